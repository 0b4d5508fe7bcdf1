"""Where rows come from: data in memory, files, and views of files; without importing h5py."""

# ruff: noqa: D102  (methods are described by `Source`)
from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import Values, canonical, host_array, is_anndata

# A read costs about as much as this many rows.
_ROWS_AT_ONCE = 64
# What h5py raises on files that are damaged, cut short or closed, and scipy on impossible CSR.
_UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, IndexError)


def is_on_disk(data: Any) -> bool:
    """Return whether data are read from a file: backed AnnData, or its X, or an HDF5 data set."""
    if is_anndata(data):
        return bool(getattr(data, "isbacked", False))
    return _is_sparse_file(data) or _is_dense_file(data)


class Piece(NamedTuple):
    """Rows of the matrix, and the rows of what is stored that hold them."""

    rows: slice
    stored: slice


class Source(ABC):
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

    def pieces(self, batch_size: int) -> list[Piece]:
        """Cut the rows into pieces of `batch_size` rows that are stored."""
        n = self.shape[0]
        cuts = (slice(start, min(start + batch_size, n)) for start in range(0, n, batch_size))
        return [Piece(rows, rows) for rows in cuts]

    def piece(self, rows: slice) -> Piece:
        """Return the piece that consists of some consecutive rows of the matrix."""
        return Piece(rows, rows)

    @abstractmethod
    def read(self, piece: Piece) -> Values:
        """Return rows, as they are stored but canonical."""


class InMemory(Source):
    """Data in memory, for devices that have less of it; also memory-mapped arrays."""

    def __init__(self, data: Any, name: str) -> None:
        self._values = host_array(data, name)
        self.shape = self._values.shape
        self.sparse = sp.issparse(self._values)
        stored = self._values.nnz if self.sparse else self._values.size
        each = self._values.dtype.itemsize + 4 * self.sparse
        self.row_bytes = stored * each / max(1, self.shape[0])

    def read(self, piece: Piece) -> Values:
        return self._values[piece.stored]


class OnDisk(Source):
    """CSR or a dense data set on disk.

    Of CSR the arrays are read themselves: anndata's own slicing looks up its version every time.
    """

    run_length = _ROWS_AT_ONCE

    def __init__(self, stored: Any, name: str) -> None:
        self._name = name
        with self._reported("what it holds"):
            if getattr(stored, "format", "csr") != "csr":
                raise InputError(
                    f"{name}: is stored by columns (CSC), which cannot be read by rows; store it "
                    "as CSR: read it into memory, set adata.X = adata.X.tocsr(), and write it again"
                )
            self._stored = stored
            self.shape = tuple(stored.shape)
            self.sparse = _is_sparse_file(stored)
            self.row_bytes = _row_bytes(stored, self.sparse)
            path, writable = _file(stored)
            self._name = name if path is None else f"{name} ({path})"
            if self.sparse:
                self._pointer = self._checked_pointer(stored.group)
        if len(self.shape) != 2:
            raise InputError(
                f"{name}: has {len(self.shape)} dimensions, shape {self.shape}; "
                "expected samples x features"
            )
        # A file open for writing may change by what its own process has not yet written.
        self._watched = None if writable else path
        self._stamp = _stamp(self._watched)

    def read(self, piece: Piece) -> Values:
        rows = piece.stored
        with self._reported(f"rows {rows.start} to {rows.stop - 1}"):
            values = self._csr(rows) if self.sparse else self._stored[rows]
            if values.shape != (rows.stop - rows.start, self.shape[1]):
                raise ValueError(f"only {values.shape[0]} rows are left")
            # Of a file, impossible indices are damage.
            values = (canonical if self.sparse else host_array)(values, self._name)
        if _stamp(self._watched) != self._stamp:
            raise InputError(
                f"{self._name}: the file changed while it was read; wait until it is complete, "
                "then fit again"
            )
        return values

    def _csr(self, rows: slice) -> sp.csr_matrix:
        group, pointer = self._stored.group, self._pointer[rows.start : rows.stop + 1]
        where = slice(int(pointer[0]), int(pointer[-1]))
        parts = group["data"][where], group["indices"][where], pointer - pointer[0]
        return sp.csr_matrix(parts, shape=(len(pointer) - 1, self.shape[1]))

    def _checked_pointer(self, group: Any) -> np.ndarray:
        """Return where rows begin, after checks of what no block shows and scipy does not read."""
        types = [group[part].dtype for part in ("data", "indices", "indptr")]
        if any(kind.kind not in "iu" for kind in types[1:]) or not all(k.isnative for k in types):
            raise InputError(
                f"{self._name}: stores values, indices and pointers as {types}; expected numbers "
                "in this machine's byte order, the last two integers: write the file anew"
            )
        pointer = group["indptr"][:]
        if pointer[0] != 0 or pointer[-1] != group["data"].shape[0]:
            raise ValueError(f"indptr goes from {pointer[0]} to {pointer[-1]}, not over all values")
        return np.asarray(pointer)

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


class View(Source):
    """Some rows, in the order of another source such as a file, and some of its features."""

    def __init__(
        self, source: Source, rows: np.ndarray, columns: np.ndarray | None, name: str
    ) -> None:
        if (np.diff(rows) <= 0).any():
            raise InputError(
                f"{name}: is a view of a backed AnnData whose samples are not in the order of the "
                "file, or repeat; select them in that order, for instance by a boolean mask, or "
                "use adata[...].to_memory()"
            )
        self._source, self._rows, self._name = source, rows, name
        everything = columns is None or np.array_equal(columns, np.arange(source.shape[1]))
        self._columns = None if everything else columns
        self.shape = (len(rows), source.shape[1] if columns is None else len(columns))
        self.sparse, self.row_bytes = source.sparse, source.row_bytes
        self.run_length = source.run_length

    def pieces(self, batch_size: int) -> list[Piece]:
        """Cut the source, not the selection: it is read in one go from row to row."""
        if len(self._rows) == 0:
            return []
        starts = np.arange(self._rows[0], self._rows[-1] + 1, batch_size)
        cuts = np.unique([*np.searchsorted(self._rows, starts), len(self._rows)]).tolist()
        return [self.piece(slice(a, b)) for a, b in pairwise(cuts)]

    def piece(self, rows: slice) -> Piece:
        stored = slice(int(self._rows[rows.start]), int(self._rows[rows.stop - 1]) + 1)
        return Piece(rows, stored)

    def read(self, piece: Piece) -> Values:
        values = self._source.read(self._source.piece(piece.stored))
        chosen = self._rows[piece.rows] - piece.stored.start
        if len(chosen) < values.shape[0]:
            values = values[chosen]
        if self._columns is None:
            return values
        return host_array(values[:, self._columns], self._name)


def open_source(data: Any, name: str) -> Source:
    """Find out what data are, without importing anndata or h5py."""
    if not is_on_disk(data):
        return InMemory(data, name)
    if not is_anndata(data):
        return OnDisk(data, name)
    if not data.is_view:
        return OnDisk(_x(data, name), name)
    try:
        parent, rows, columns = data._adata_ref, data._oidx, data._vidx
    except AttributeError as error:
        raise InputError(
            f"{name}: is a view of a backed AnnData that this version of anndata does not let be "
            "read in parts; write the selection to a file of its own, or use adata[...].to_memory()"
        ) from error
    return View(
        OnDisk(_x(parent, name), name),
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


def _is_sparse_file(data: Any) -> bool:
    """Whether data are an `anndata.abc.CSRDataset` or `CSCDataset`."""
    return all(hasattr(data, name) for name in ("format", "backend", "to_memory", "shape"))


def _is_dense_file(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "h5py" and hasattr(data, "chunks")


def _row_bytes(stored: Any, sparse: bool) -> float:
    size = int(stored.dtype.itemsize)
    if not sparse:
        return float(stored.shape[-1] * size)
    return float(stored.group["data"].shape[0] * (size + 4) / max(1, stored.shape[0]))


def _file(stored: Any) -> tuple[str | None, bool]:
    """Return the path of a data set, None where there is none to look at, and if it is writable."""
    file: Any = getattr(getattr(stored, "group", stored), "file", None)
    path = getattr(file, "filename", None)
    if path is None or not os.path.isfile(path):
        return None, False
    return str(path), file.mode != "r"


def _stamp(path: str | None) -> tuple[int, int] | None:
    """Return size and time of a file: HDF5 reads zeros where a file was cut short."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
