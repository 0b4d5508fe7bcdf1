"""Data larger than memory: every pass over X block by block, the next block read meanwhile.

A block is some consecutive rows, as an ordinary `Matrix`. Its pass updates its rows of the usages,
and what the components need is added up over the blocks, so that an iteration is that of the data
in memory up to rounding, whatever the size of the blocks.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise, zip_longest
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import wide
from bcnmf.errors import InputError
from bcnmf.matrices.base import Block, DenseMatrix, DeviceSparseMatrix, Matrix, Moments, as_matrix
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.inputs import Faults, check_non_negative, host_array

# Large beside what a pass allocates and starts for each block, and with two blocks in memory, and
# copies of one of them, still within a small machine.
_BLOCK_BYTES = 256 * 2**20
# A read costs about as much as this many rows.
_ROWS_AT_ONCE = 64
# What h5py raises on files that are damaged, cut short or closed, and scipy on impossible CSR.
_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, IndexError)

Values = np.ndarray | sp.csr_matrix


def is_on_disk(data: Any) -> bool:
    """Return whether data are read from a file: backed AnnData, or its X, or an HDF5 data set."""
    if _is_anndata(data):
        return bool(getattr(data, "isbacked", False))
    return _is_sparse_file(data) or _is_dense_file(data)


def default_batch_size(features: float, value_bytes: int = 8) -> int:
    """Return how many rows make a block of about 256 MiB.

    Parameters
    ----------
    features : float
        How many values a row stores: all features if dense, the mean number if sparse.
    value_bytes : int
        What one of them takes, if sparse with its index: 8 for float32 and an index of 32 bits.
    """
    return max(1, int(_BLOCK_BYTES / max(1.0, features * value_bytes)))


def streamed(
    data: Any,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    batch_size: int | None = None,
) -> Matrix:
    """Check data block by block and return them as a matrix that holds two blocks at most.

    Parameters
    ----------
    data : AnnData, anndata.abc.CSRDataset, h5py.Dataset, or as for `bcnmf.matrices.base.as_matrix`
        Samples x features, non-negative and finite, on disk or in memory. AnnData may be a view;
        of a backed one, all rows between its first and last are read.
    name : str
        What to call the data in errors, for instance "target".
    dtype, device : torch.dtype, torch.device
        Where and how the factors are computed.
    batch_size : int, optional
        Rows of a block, at least 1; by default those of `default_batch_size`. Data that fit into
        one block are kept in memory.

    Returns
    -------
    Matrix
        A `StreamedMatrix` if there are several blocks.

    Raises
    ------
    InputError
        As `as_matrix`; and `batch_size` is not allowed, the file stores columns (CSC) instead of
        rows, or it cannot be read or changes, now or in a later pass.
    """
    _check_batch_size(batch_size)
    source = _source(data, name)
    if 0 in source.shape:
        check_non_negative(np.empty(source.shape), name)  # says that they are empty
    if source.sparse and device.type == "mps":
        as_matrix(sp.csr_matrix((1, 1)), name, dtype, device)  # says that they cannot be used
    if batch_size is None:
        batch_size = default_batch_size(source.row_bytes, 1)
    pieces = source.pieces(int(batch_size))
    if len(pieces) == 1:
        return as_matrix(source.read(pieces[0]), name, dtype, device)
    return StreamedMatrix(source, name, dtype, device, int(batch_size))


class StreamedMatrix(Matrix):
    """Data of which two blocks of rows at most are in memory; see `streamed`, which makes it.

    Parameters
    ----------
    source : _Source
        Where the rows come from.
    name : str
        What to call the data in errors.
    dtype, device : torch.dtype, torch.device
        Where and how the factors are computed.
    batch_size : int
        Rows of a block.

    Raises
    ------
    InputError
        Values are negative, missing or infinite: all are looked at here, once.
    """

    def __init__(
        self,
        source: _Source,
        name: str,
        dtype: torch.dtype,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.shape = source.shape
        self._source = source
        self._dtype, self._device = dtype, device
        self._pieces = source.pieces(batch_size)
        self._entropies: dict[int, float] = {}
        self.run_length = source.run_length
        self.compiled = source.sparse and device.type == "cpu"
        self._threads = torch.get_num_threads()
        tally = _Tally()
        _one_ahead(source.read, self._pieces, lambda _, values: tally.add(values, dtype))
        tally.check(name)
        self.total, self.squared_norm = tally.total, tally.squared_norm

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        products = components.new_empty((self.shape[0], len(components)))

        def work(block: Matrix, rows: slice) -> None:
            products[rows] = block.times(components)

        self._each(work)
        return products

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        (cross,) = self._sums(lambda block, rows: (block.transposed_times(usage[rows]),))
        return cross.to(usage)

    def rows(self, chosen: np.ndarray) -> Matrix:
        """See `Matrix.rows`; consecutive rows are read together."""
        ends = np.flatnonzero(np.diff(chosen) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(chosen, ends)]
        parts = [self._load(self._source.piece(slice(*run))) for run in runs]
        values = sp.vstack(parts, format="csr") if self._source.sparse else np.concatenate(parts)
        return _block(values, self._dtype, self._device, self._threads)

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        """See `Matrix.multiplicative_pass`."""
        return self._moments_of(
            lambda block, rows: block.multiplicative_pass(components, gram, usage[rows], eps),
            components,
        )

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        """See `Matrix.exact_pass`."""
        return self._moments_of(
            lambda block, rows: block.exact_pass(components, gram, usage[rows]), components
        )

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Matrix.poisson_pass`."""
        loss, numerator = self._sums(
            lambda block, rows: block.poisson_pass(components, usage[rows], damping)
        )
        return loss, numerator.to(components)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.poisson_loss`."""
        (loss,) = self._sums(lambda block, rows: (block.poisson_loss(components, usage[rows]),))
        return loss

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        """See `Matrix.poisson_usage`: block by block, or sample by sample, as the blocks do it."""
        self._each(lambda block, rows: block.poisson_usage(components, usage[rows], max_iter, tol))

    def blocks(self) -> Iterator[Block]:
        """Not needed: every pass goes block by block."""
        raise TypeError("streamed data have passes over their blocks, not the blocks themselves")

    def _moments_of(self, work: Callable[[Matrix, slice], Moments], like: torch.Tensor) -> Moments:
        def parts(block: Matrix, rows: slice) -> Sequence[torch.Tensor]:
            moments = work(block, rows)
            return moments.cross, moments.usage_gram, moments.fit

        cross, usage_gram, fit = self._sums(parts)
        return Moments(cross.to(like), usage_gram, fit)

    def _sums(self, work: Callable[[Matrix, slice], Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Add up what `work(block, rows)` returns, in float64: there may be many blocks."""
        sums: list[torch.Tensor] = []

        def add(block: Matrix, rows: slice) -> None:
            parts = [wide(part) for part in work(block, rows)]
            sums[:] = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts

        self._each(add)
        return sums

    def _each(self, work: Callable[[Matrix, slice], None]) -> None:
        """Call `work(block, rows)` for all blocks in their order."""

        def one(piece: _Piece, values: Values) -> None:
            block = _block(values, self._dtype, self._device, self._threads)
            key = piece.rows.start
            # Compiled blocks keep what no factor changes; they themselves do not last.
            if key in self._entropies:
                block.entropy = self._entropies[key]
            work(block, piece.rows)
            if "entropy" in vars(block):
                self._entropies[key] = block.entropy

        _one_ahead(self._load, self._pieces, one)

    def _load(self, piece: _Piece) -> Values:
        """Read a block in the precision of the factors, ready to be computed with."""
        return _in_precision(self._source.read(piece), self._dtype)


def _in_precision(values: Values, dtype: torch.dtype) -> Values:
    numpy_dtype = np.dtype(str(dtype).removeprefix("torch."))
    if sp.issparse(values):
        return values.astype(numpy_dtype, copy=False)
    # Torch wants arrays that it could write to; a read-only memory map gets copied.
    return np.require(values, numpy_dtype, ["C", "W"])


def _block(
    values: Values, dtype: torch.dtype, device: torch.device, threads: int | None = None
) -> Matrix:
    """Return checked values as the matrix that `as_matrix` would make of them."""
    if not sp.issparse(values):
        return DenseMatrix(torch.as_tensor(values, dtype=dtype).to(device))
    if device.type == "cpu":
        return CompiledSparseMatrix(values, dtype, threads)
    return DeviceSparseMatrix(values, dtype, device)


class _Piece(NamedTuple):
    """Rows of the matrix, and the rows of what is stored that hold them."""

    rows: slice
    stored: slice


def _one_ahead(
    load: Callable[[_Piece], Values],
    pieces: Sequence[_Piece],
    work: Callable[[_Piece, Values], None],
) -> None:
    """Call `work(piece, load(piece))` in order while another thread loads the next piece.

    A piece is loaded only when the last but one is gone, so two are in memory at most. The thread
    ends with the call, also by an exception.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="bcnmf-read") as pool:
        ahead = pool.submit(load, pieces[0])
        for piece, following in zip_longest(pieces, pieces[1:]):
            values = ahead.result()
            # The future would keep the values alive.
            ahead = None if following is None else pool.submit(load, following)
            work(piece, values)
            del values


class _Tally(Faults):
    """What is wrong with the values of all blocks, and their sums, as the factors see them."""

    total = squared_norm = 0.0

    def add(self, values: Values, dtype: torch.dtype) -> None:
        """Count the faults of a block, and add to the sums if it has none."""
        if self.count(values.data if sp.issparse(values) else values):
            block = _block(_in_precision(values, dtype), dtype, torch.device("cpu"))
            self.total += block.total
            self.squared_norm += block.squared_norm


class _Source(ABC):
    """Rows somewhere.

    Attributes
    ----------
    shape : tuple of int
        (samples, features).
    sparse : bool
        Whether rows are read as CSR.
    row_bytes : float
        What a row takes, on average.
    run_length : int
        How many consecutive rows cost little more than one to read.
    """

    shape: tuple[int, int]
    sparse: bool
    row_bytes: float
    run_length: int = 1

    def pieces(self, batch_size: int) -> list[_Piece]:
        """Cut the rows into pieces of `batch_size` rows that are stored."""
        n = self.shape[0]
        cuts = (slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size))
        return [_Piece(rows, rows) for rows in cuts]

    def piece(self, rows: slice) -> _Piece:
        """Return the piece that consists of some consecutive rows of the matrix."""
        return _Piece(rows, rows)

    @abstractmethod
    def read(self, piece: _Piece) -> Values:
        """Return rows, as they are stored but canonical."""


class _Memory(_Source):
    """Data in memory, for devices that have less of it; also memory-mapped arrays."""

    def __init__(self, data: Any, name: str) -> None:
        self._values = host_array(data, name)
        self.shape = self._values.shape
        self.sparse = sp.issparse(self._values)
        stored = self._values.nnz if self.sparse else self._values.size
        each = self._values.dtype.itemsize + 4 * self.sparse
        self.row_bytes = stored * each / max(1, self.shape[0])

    def read(self, piece: _Piece) -> Values:
        return self._values[piece.stored]


class _File(_Source):
    """CSR or a dense data set on disk, read by `stored[rows]`."""

    run_length = _ROWS_AT_ONCE

    def __init__(self, stored: Any, name: str) -> None:
        self._name = name
        with self._reported("its shape"):
            if getattr(stored, "format", "csr") != "csr":
                raise InputError(_by_columns(name))
            self._stored = stored
            self.shape = tuple(stored.shape)
            self.sparse = _is_sparse_file(stored)
            self.row_bytes = _row_bytes(stored, self.sparse)
            path, writable = _file(stored)
        if len(self.shape) != 2:
            raise InputError(
                f"{name}: has {len(self.shape)} dimensions, shape {self.shape}; "
                "expected samples x features"
            )
        self._name = name if path is None else f"{name} ({path})"
        # A file open for writing may change by what its own process has not yet written.
        self._watched = None if writable else path
        self._stamp = _stamp(self._watched)

    def read(self, piece: _Piece) -> Values:
        rows = piece.stored
        with self._reported(f"rows {rows.start} to {rows.stop - 1}"):
            values = self._stored[rows]
            if sp.issparse(values):
                # The compiled passes trust the indices.
                values.check_format(full_check=True)
            if values.shape != (rows.stop - rows.start, self.shape[1]):
                raise ValueError(f"only {values.shape[0]} rows are left")
            values = host_array(values, self._name)
        if _stamp(self._watched) != self._stamp:
            raise InputError(
                f"{self._name}: the file changed while it was read; wait until it is complete, "
                "then fit again"
            )
        return values

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except _UNREADABLE as error:
            raise InputError(
                f"{self._name}: {what} cannot be read ({error}); the file is damaged, cut short or "
                "was closed: open it again, or write it anew"
            ) from error


class _Selection(_Source):
    """Some rows, in the order of the file, and some features of a file."""

    run_length = _ROWS_AT_ONCE

    def __init__(self, file: _File, rows: np.ndarray, columns: np.ndarray, name: str) -> None:
        if (np.diff(rows) <= 0).any():
            raise InputError(
                f"{name}: is a view of a backed AnnData whose samples are not in the order of the "
                "file, or repeat; select them in that order, for instance by a boolean mask, or "
                "use adata[...].to_memory()"
            )
        self._file, self._rows, self._name = file, rows, name
        everything = np.array_equal(columns, np.arange(file.shape[1]))
        self._columns = None if everything else columns
        self.shape = (len(rows), len(columns))
        self.sparse, self.row_bytes = file.sparse, file.row_bytes

    def pieces(self, batch_size: int) -> list[_Piece]:
        """Cut the file, not the selection: it is read in one go from row to row."""
        if len(self._rows) == 0:
            return []
        starts = np.arange(self._rows[0], self._rows[-1] + 1, batch_size)
        cuts = np.unique([*np.searchsorted(self._rows, starts), len(self._rows)]).tolist()
        return [
            _Piece(slice(a, b), slice(int(self._rows[a]), int(self._rows[b - 1]) + 1))
            for a, b in pairwise(cuts)
        ]

    def piece(self, rows: slice) -> _Piece:
        """See `_Source.piece`."""
        stored = slice(int(self._rows[rows.start]), int(self._rows[rows.stop - 1]) + 1)
        return _Piece(rows, stored)

    def read(self, piece: _Piece) -> Values:
        values = self._file.read(piece)
        chosen = self._rows[piece.rows] - piece.stored.start
        if len(chosen) < values.shape[0]:
            values = values[chosen]
        if self._columns is None:
            return values
        return host_array(values[:, self._columns], self._name)


def _source(data: Any, name: str) -> _Source:
    """Find out what data are, without importing anndata or h5py."""
    if not is_on_disk(data):
        return _Memory(data, name)
    if not _is_anndata(data):
        return _File(data, name)
    if not data.is_view:
        return _File(_x(data, name), name)
    try:
        parent, rows, columns = data._adata_ref, data._oidx, data._vidx
    except AttributeError as error:
        raise InputError(
            f"{name}: is a view of a backed AnnData that this version of anndata does not let be "
            "read in parts; write the selection to a file of its own, or use adata[...].to_memory()"
        ) from error
    return _Selection(
        _File(_x(parent, name), name),
        np.arange(parent.n_obs)[rows],
        np.arange(parent.n_vars)[columns],
        name,
    )


def _x(data: Any, name: str) -> Any:
    try:
        return data.X
    except _UNREADABLE as error:
        raise InputError(
            f"{name}: X of the backed AnnData cannot be read ({error}); the file has none, was "
            "moved, or is damaged"
        ) from error


def _is_anndata(data: Any) -> bool:
    # On the class: to ask a backed view itself for its X reads all of it.
    return hasattr(type(data), "obs") and hasattr(type(data), "X")


def _is_sparse_file(data: Any) -> bool:
    """Whether data are an `anndata.abc.CSRDataset` or `CSCDataset`."""
    return all(hasattr(data, name) for name in ("format", "backend", "to_memory", "shape"))


def _is_dense_file(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "h5py" and hasattr(data, "chunks")


def _by_columns(name: str) -> str:
    return (
        f"{name}: is stored by columns (CSC), which cannot be read by rows; store it as CSR: "
        "read it into memory, set adata.X = adata.X.tocsr(), and write it again"
    )


def _row_bytes(stored: Any, sparse: bool) -> float:
    if not sparse:
        return float(stored.shape[-1] * stored.dtype.itemsize)
    values = stored.group["data"].shape[0] * (stored.dtype.itemsize + 4)
    return values / max(1, stored.shape[0])


def _file(stored: Any) -> tuple[str | None, bool]:
    """Return the path of a data set, None where there is none to look at, and if it is writable."""
    file = getattr(getattr(stored, "group", stored), "file", None)
    path = getattr(file, "filename", None)
    if path is None or not os.path.isfile(path):
        return None, False
    return path, file.mode != "r"


def _stamp(path: str | None) -> tuple[int, int] | None:
    """Return size and time of a file: HDF5 reads zeros where a file was cut short."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _check_batch_size(batch_size: object) -> None:
    if batch_size is None:
        return
    if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(
            f"batch_size={batch_size!r} is not allowed; expected an integer of at least 1, or None"
        )
