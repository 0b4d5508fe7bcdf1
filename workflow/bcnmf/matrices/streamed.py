"""Data larger than memory: every pass over X block by block, the next block read meanwhile.

On a GPU the next one is also copied meanwhile, and blocks that fit stay there, see `...uploads`.
A block is some consecutive rows, as an ordinary `Matrix`. Its pass updates its rows of the usages,
and what the components need is added up over the blocks, so that an iteration is that of the data
in memory up to rounding, whatever the size of the blocks.
"""

# ruff: noqa: D102  (methods are described by `Matrix`)
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import zip_longest
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import as_float64
from bcnmf.errors import InputError
from bcnmf.matrices.base import Block, Matrix, Moments
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.in_memory import as_matrix, check_device, matrix_of, numpy_name
from bcnmf.matrices.inputs import Faults, Values, check_non_negative
from bcnmf.matrices.sources import Piece, Source, View, open_source
from bcnmf.matrices.units import Size, divided, number
from bcnmf.matrices.uploads import Sent, Uploads
from bcnmf.matrices.weighting import Weighting

T = TypeVar("T")

# Large beside what a pass allocates and starts for each block, and with two blocks in memory, and
# copies of one of them, still within a small machine.
_BLOCK_BYTES = 256 * 2**20
# Two blocks, and a copy of one in the unit and the precision of the factors.
_BLOCKS_AT_A_TIME = 3


def default_batch_size(row_bytes: float) -> int:
    """Return how many rows make a block of about 256 MiB, if each takes `row_bytes`."""
    return max(1, int(_BLOCK_BYTES / max(1.0, row_bytes)))


def streamed(
    data: Any,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    batch_size: int | None = None,
    unit: float | None = None,
    weighting: Weighting | None = None,
) -> Matrix:
    """Check data block by block and return them as a matrix that holds two blocks at most.

    Parameters
    ----------
    data : AnnData, anndata.abc.CSRDataset, h5py.Dataset, or as for `as_matrix`
        Samples x features, non-negative and finite, on disk or in memory. AnnData may be a view;
        of a backed one, all rows between its first and last are read.
    name : str
        What to call the data in errors, for instance "target".
    dtype, device : torch.dtype, torch.device
        Where and how the factors are computed.
    batch_size : int, optional
        Rows of a block, at least 1; by default those of `default_batch_size`. Data that fit into
        one block are kept in memory.
    unit, weighting
        As for `as_matrix`.

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
    source = open_source(data, name)
    if 0 in source.shape:
        check_non_negative(np.empty(source.shape), name)  # says that they are empty
    check_device(source.sparse, name, device)
    size = int(batch_size or default_batch_size(source.row_bytes))
    pieces = source.pieces(size)
    if len(pieces) == 1:
        return as_matrix(source.read(pieces[0]), name, dtype, device, unit, weighting)
    if weighting is not None and len(weighting.left_out):
        source = View(source, weighting.kept, None, name)
        pieces = source.pieces(size)
    return StreamedMatrix(source, pieces, name, dtype, device, unit, weighting)


class StreamedMatrix(Matrix):
    """Data of which two blocks of rows at most are in memory; see `streamed`, which makes it.

    A GPU keeps as many as fit.

    Parameters
    ----------
    source : Source
        Where the rows come from.
    pieces : sequence of Piece
        The blocks.
    name : str
        What to call the data in errors.
    dtype, device, unit
        As for `streamed`.
    weighting : Weighting, optional
        By what samples are multiplied; those that are left out are not in `source`.

    Raises
    ------
    InputError
        Values are negative, missing or infinite: all are looked at here, once.
    """

    def __init__(
        self,
        source: Source,
        pieces: Sequence[Piece],
        name: str,
        dtype: torch.dtype,
        device: torch.device,
        unit: float | None = None,
        weighting: Weighting | None = None,
    ) -> None:
        self.shape, self.weighting = source.shape, weighting
        self._source = source
        self._dtype, self._device = dtype, device
        self._pieces = pieces
        self._entropies: dict[int, float] = {}
        self.run_length = source.run_length
        self.compiled = source.sparse and device.type == "cpu"
        self._threads = torch.get_num_threads()
        self._uploads = Uploads(dtype, device) if device.type == "cuda" else None
        largest = max(piece.stored.stop - piece.stored.start for piece in pieces)
        self.buffer_bytes = int(_BLOCKS_AT_A_TIME * largest * source.row_bytes)
        self._name, precision = name, numpy_name(dtype)
        faults, size = Faults(precision), Size(precision)

        def look(piece: Piece, values: Values) -> None:
            if faults.count(values.data if sp.issparse(values) else values):
                factor = self._factor(piece)
                size.add(
                    values if factor is None else divided(values, 1.0, precision, name, factor)
                )

        _one_ahead(source.read, pieces, look)
        self.passes = 1.0
        faults.check(name)
        self.unit = size.unit(name) if unit is None else unit
        self._total = number(size.total / Fraction(self.unit))
        self._squared_norm = number(size.squares / Fraction(self.unit) ** 2)

    @property
    def total(self) -> float:
        return self._total

    @property
    def squared_norm(self) -> float:
        return self._squared_norm

    def times(self, components: torch.Tensor) -> torch.Tensor:
        products = components.new_empty((self.shape[0], len(components)))

        def work(block: Matrix, rows: slice) -> None:
            products[rows] = block.times(components)

        self._each(work)
        return products

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        (cross,) = self._sums(lambda block, rows: (block.transposed_times(usage[rows]),))
        return cross.to(usage)

    def rows(self, chosen: np.ndarray) -> Matrix:
        """See `Matrix.rows`; consecutive rows are read together."""
        self.passes += len(chosen) / self.shape[0]
        ends = np.flatnonzero(np.diff(chosen) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(chosen, ends)]
        parts = [self._load(self._source.piece(slice(*run))) for run in runs]
        values = sp.vstack(parts, format="csr") if self._source.sparse else np.concatenate(parts)
        return matrix_of(values, self._dtype, self._device, self._threads)

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        return self._added_moments(
            lambda block, rows: block.multiplicative_pass(components, gram, usage[rows], eps),
            components,
        )

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        return self._added_moments(
            lambda block, rows: block.exact_pass(components, gram, usage[rows]), components
        )

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss, numerator = self._sums(
            lambda block, rows: block.poisson_pass(components, usage[rows], damping)
        )
        return loss, numerator.to(components)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        (loss,) = self._sums(lambda block, rows: (block.poisson_loss(components, usage[rows]),))
        return loss

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        self._each(lambda block, rows: block.poisson_usage(components, usage[rows], max_iter, tol))

    def blocks(self) -> Iterator[Block]:
        """Not needed: every pass goes block by block."""
        raise TypeError("streamed data have passes over their blocks, not the blocks themselves")

    def _added_moments(
        self, work: Callable[[Matrix, slice], Moments], components: torch.Tensor
    ) -> Moments:
        def parts(block: Matrix, rows: slice) -> Sequence[torch.Tensor]:
            moments = work(block, rows)
            return moments.cross, moments.usage_gram, moments.fit

        cross, usage_gram, fit = self._sums(parts)
        return Moments(cross.to(components), usage_gram, fit)

    def _sums(self, work: Callable[[Matrix, slice], Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Add up what `work(block, rows)` returns, in float64: there may be many blocks."""
        sums: list[torch.Tensor] = []

        def add(block: Matrix, rows: slice) -> None:
            parts = [as_float64(part) for part in work(block, rows)]
            sums[:] = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts

        self._each(add)
        return sums

    def _each(self, work: Callable[[Matrix, slice], None]) -> None:
        """Call `work(block, rows)` for all blocks in their order."""
        self.passes += 1
        if self._uploads is not None:
            self._each_on_device(self._uploads, work)
            return

        def one(piece: Piece, values: Values) -> None:
            block = matrix_of(values, self._dtype, self._device, self._threads)
            key = piece.rows.start
            # Compiled blocks keep what no factor changes; they themselves do not last.
            if isinstance(block, CompiledSparseMatrix) and key in self._entropies:
                block.entropy = self._entropies[key]
            work(block, piece.rows)
            if isinstance(block, CompiledSparseMatrix) and "entropy" in vars(block):
                self._entropies[key] = block.entropy

        _one_ahead(self._load, self._pieces, one)

    def _each_on_device(self, uploads: Uploads, work: Callable[[Matrix, slice], None]) -> None:
        def load(piece: Piece) -> Sent | None:
            kept = uploads.kept(piece.rows.start) is not None
            return None if kept else uploads.send(self._load(piece))

        def one(piece: Piece, sent: Sent | None) -> None:
            key = piece.rows.start
            if sent is None:
                block = uploads.kept(key)
                assert block is not None  # it is not sent because it is kept
                work(block, piece.rows)
            else:
                work(uploads.block(key, sent), piece.rows)
                uploads.done(sent)

        _one_ahead(load, self._pieces, one)

    def _load(self, piece: Piece) -> Values:
        """Read a block in the precision of the factors, ready to be computed with."""
        precision = numpy_name(self._dtype)
        values = self._source.read(piece)
        values = divided(values, self.unit, precision, self._name, self._factor(piece))
        if sp.issparse(values):
            return values.astype(precision, copy=False)
        # Torch wants arrays that it could write to; a read-only memory map gets copied.
        return np.require(values, precision, ["C", "W"])

    def _factor(self, piece: Piece) -> np.ndarray | None:
        return None if self.weighting is None else self.weighting.factor[piece.rows]


def _one_ahead(
    load: Callable[[Piece], T],
    pieces: Sequence[Piece],
    work: Callable[[Piece, T], None],
) -> None:
    """Call `work(piece, load(piece))` in order while another thread loads the next piece.

    A piece is loaded only when the last but one is gone, so two are in memory at most. The thread
    ends with the call, also by an exception.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="bcnmf-read") as pool:
        ahead = deque([pool.submit(load, pieces[0])])
        for piece, following in zip_longest(pieces, pieces[1:]):
            # The future would keep the values alive.
            values = ahead.popleft().result()
            if following is not None:
                ahead.append(pool.submit(load, following))
            work(piece, values)
            del values


def _check_batch_size(batch_size: object) -> None:
    if batch_size is None:
        return
    if not isinstance(batch_size, Integral) or isinstance(batch_size, bool) or batch_size < 1:
        raise InputError(
            f"batch_size={batch_size!r} is not allowed; expected an integer of at least 1, or None"
        )
