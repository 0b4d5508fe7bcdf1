"""Sparse data on a GPU, by kernels in Triton: an iteration's passes in a few launches.

The device holds the CSR with int32 features, and its transpose by tiles of rows with int32 samples:
without it H'X would need additions in no fixed order, and the same seed would not give the same
numbers. Tiles keep the usages that run-together programs read small enough for the cache.
"""

# ruff: noqa: D102  (methods are described by `Matrix`)
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import as_float64, negligible
from bcnmf.kernels import accelerated
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Block, Matrix, Moments, sum_float64, usage_gram
from bcnmf.matrices.divergence import EPS_POISSON

# About so many stored values make a segment, within these numbers of rows a tile.
_VALUES_OF_A_SEGMENT = 1024
_LEAST_ROWS, _MOST_ROWS = 1 << 12, 1 << 16
_BYTES_OF_SORTING = 48


def rows_of_a_tile(shape: tuple[int, int], stored: int) -> int:
    """Return how many rows a tile of the transpose has, a power of two."""
    wanted = _VALUES_OF_A_SEGMENT * shape[0] * shape[1] // max(1, stored)
    return min(_MOST_ROWS, max(_LEAST_ROWS, accelerated.padded(wanted)))


def device_bytes(shape: tuple[int, int], stored: int, size: int) -> int:
    """Return how many bytes such data take on the device, if a value takes `size`."""
    tile = rows_of_a_tile(shape, stored)
    tiles = -(-shape[0] // tile)
    # A tile is sorted at a time: int64 places, and what the sort needs besides.
    sorting = _BYTES_OF_SORTING * min(stored, -(-stored * tile // max(1, shape[0])))
    return 2 * (size + 4) * stored + 8 * (shape[0] + tiles * shape[1] + 2) + sorting


class Transpose(NamedTuple):
    """The transpose, by tiles: feature f of tile t is segment t * features + f.

    Attributes
    ----------
    pointer : torch.Tensor of shape (tiles * features + 1,), int64
        Where each segment begins.
    sample : torch.Tensor of shape (stored,), int32
        In which row of the matrix a value stands; increasing within a segment.
    values : torch.Tensor of shape (stored,)
        The values.
    """

    pointer: torch.Tensor
    sample: torch.Tensor
    values: torch.Tensor


class FusedSparseMatrix(Matrix):
    """CSR on a GPU; see the module.

    Parameters
    ----------
    values : scipy.sparse.csr_matrix of shape (samples, features)
        Canonical, non-negative.
    dtype, device : torch.dtype, torch.device
        Of the factors.
    """

    def __init__(self, values: sp.csr_matrix, dtype: torch.dtype, device: torch.device) -> None:
        host_pointer = values.indptr.astype(np.int64, copy=False)
        self._hold(
            host_pointer,
            _tensor(host_pointer).to(device),
            _tensor(values.indices.astype(np.int32, copy=False)).to(device),
            _tensor(values.data).to(dtype).to(device),
            values.shape,
        )

    @classmethod
    def from_tensors(
        cls,
        host_pointer: np.ndarray,
        pointer: torch.Tensor,
        index: torch.Tensor,
        values: torch.Tensor,
        shape: tuple[int, int],
    ) -> FusedSparseMatrix:
        """Return a matrix of arrays that are on the device, or on their way there.

        Parameters
        ----------
        host_pointer, pointer : ndarray, torch.Tensor of shape (samples + 1,), int64
            Where rows begin, here and there.
        index : torch.Tensor of shape (stored,), int32
            Features.
        values : torch.Tensor of shape (stored,)
            In the precision of the factors.
        shape : tuple of int
            (samples, features).
        """
        matrix = cls.__new__(cls)
        matrix._hold(host_pointer, pointer, index, values, shape)
        return matrix

    def _hold(
        self,
        host_pointer: np.ndarray,
        pointer: torch.Tensor,
        index: torch.Tensor,
        values: torch.Tensor,
        shape: tuple[int, int],
    ) -> None:
        self.shape = shape
        self._host_pointer = host_pointer
        self._csr = (pointer, index, values)

    def prepare(self) -> None:
        """Make what the passes need now, which is else made by the first."""
        _ = self._transpose

    @cached_property
    def total(self) -> float:
        return sum_float64(self._csr[2])

    @cached_property
    def squared_norm(self) -> float:
        return sum_float64(self._csr[2], squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        return self._times(components[None])[0]

    def times_each(self, components: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return _by_size(self._times, components, 0)

    def _times(self, components: torch.Tensor) -> torch.Tensor:
        """Return X C' (starts, samples, K) for components (starts, K, features)."""
        starts, k, features = components.shape
        n, _ = self.shape
        product = components.new_empty((starts, n, k))
        kernel, topics = self._kernel("times"), components.transpose(1, 2).contiguous()
        kernel(starts * n, topics, product, n, features, k, starts=starts)
        return product

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        return self._by_segments(usage[None])[0].to(usage)

    def transposed_times_each(self, usages: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return _by_size(lambda every: self._by_segments(every).to(every), usages, 1)

    def rows(self, chosen: np.ndarray) -> FusedSparseMatrix:
        self.passes += len(chosen) / self.shape[0]
        lengths = np.diff(self._host_pointer)[chosen]
        host_pointer = np.concatenate([[0], np.cumsum(lengths)])
        _, index, values = self._csr
        moves = torch.tensor(self._host_pointer[chosen] - host_pointer[:-1]).to(index.device)
        stored = int(host_pointer[-1])
        places = torch.arange(stored, device=index.device) + torch.repeat_interleave(
            moves, torch.tensor(lengths).to(index.device), output_size=stored
        )
        return self.from_tensors(
            host_pointer,
            torch.tensor(host_pointer).to(index.device),
            index[places],
            values[places],
            (len(chosen), self.shape[1]),
        )

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        _check(usage)
        topics, gram = components.T.contiguous(), gram.to(components).contiguous()
        self._kernel("multiply")(len(usage), topics, gram, usage, len(gram), eps=eps)
        return self._moments_of(components, usage)

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        nonnegative_least_squares(self.times(components), gram, usage)
        return self._moments_of(components, usage)

    def _moments_of(self, components: torch.Tensor, usage: torch.Tensor) -> Moments:
        (cross,) = self._by_segments(usage[None])
        fit = (cross * as_float64(components)).sum()
        return Moments(cross.to(usage), usage_gram(usage), fit)

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = self._poisson_update(components, usage, damping)
        return loss, self._by_segments(usage[None], components)[0].to(usage)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        return self._poisson_update(components, usage, 0.0)

    def _poisson_update(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> torch.Tensor:
        """Return the divergence, then update the usages unless `damping` is zero."""
        _check(usage)
        topics, weights = components.T.contiguous(), components.sum(1)
        loss = as_float64(usage.sum(0)) @ as_float64(weights)
        losses = usage.new_empty(len(usage), dtype=torch.float64)
        kernel, options = self._kernel("poisson_update"), {"damping": damping, "eps": EPS_POISSON}
        kernel(len(usage), topics, weights, usage, losses, len(weights), **options)
        return loss + losses.sum()

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        _check(usage)
        topics, weights = components.T.contiguous(), components.sum(1)
        options = {"tol": tol, "least": negligible(usage.dtype), "eps": EPS_POISSON}
        kernel = self._kernel("poisson_solve")
        kernel(len(usage), topics, weights, usage, len(weights), max_iter, **options)

    def blocks(self) -> Iterator[Block]:
        """Not needed: every pass has kernels of its own."""
        raise TypeError("sparse data on a GPU have passes of their own, not blocks")

    def _kernel(self, name: str) -> Callable[..., None]:
        """Return what launches a kernel of `bcnmf.kernels.triton_rows` on the CSR."""
        from bcnmf.kernels import triton_rows

        kernel, arrays = getattr(triton_rows, name), self._csr

        def call(programs: int, components: torch.Tensor, *rest: Any, **options: float) -> None:
            options |= accelerated.tile(components.shape[-1])
            accelerated.launch(kernel, programs, *arrays, components, *rest, **options)

        return call

    def _by_segments(
        self, usage: torch.Tensor, components: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return H'X (starts, K, features) in float64 for usages (starts, samples, K).

        With components, of one start, it is H'(X / H C).
        """
        from bcnmf.kernels import triton_segments

        _check(usage)
        self.passes += 1
        starts, n, k = usage.shape
        features, segments = self.shape[1], self._tiles * self.shape[1]
        sums = usage.new_empty((starts, segments, k))
        topics = usage if components is None else components.T.contiguous()
        accelerated.launch(
            triton_segments.transposed_times, starts * segments, *self._transpose, usage, topics,
            sums, n, features, segments, k, starts=starts, poisson=components is not None,
            eps=EPS_POISSON, **accelerated.tile(k),
        )  # fmt: skip
        every = sums.reshape(starts, self._tiles, features, k)
        return every.sum(1, dtype=torch.float64).transpose(1, 2)

    @property
    def _tiles(self) -> int:
        return max(1, -(-self.shape[0] // self._rows_of_a_tile))

    @cached_property
    def _rows_of_a_tile(self) -> int:
        return rows_of_a_tile(self.shape, int(self._host_pointer[-1]))

    @cached_property
    def _transpose(self) -> Transpose:
        """Sort the values of each tile by feature, on the device, without waiting for it."""
        pointer, index, values = self._csr
        n, features = self.shape
        found = Transpose(
            pointer.new_full((self._tiles * features + 1,), int(self._host_pointer[-1])),
            torch.empty_like(index),
            torch.empty_like(values),
        )
        every = torch.arange(features, dtype=index.dtype, device=index.device)
        for tile in range(self._tiles):
            first = tile * self._rows_of_a_tile
            last = min(first + self._rows_of_a_tile, n)
            low, high = (int(self._host_pointer[row]) for row in (first, last))
            by_feature, order = torch.sort(index[low:high], stable=True)
            rows = torch.arange(first, last, dtype=index.dtype, device=index.device)
            sample = torch.repeat_interleave(
                rows, pointer[first : last + 1].diff(), output_size=high - low
            )
            found.sample[low:high] = sample[order]
            found.values[low:high] = values[low:high][order]
            begins = slice(tile * features, (tile + 1) * features)
            found.pointer[begins] = low + torch.searchsorted(by_feature, every)
        return found


def _tensor(values: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor, copied only if it must not be written to."""
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))


def _check(usage: torch.Tensor) -> None:
    if not usage.is_contiguous():
        raise TypeError("usages must be contiguous, samples x topics")


def _by_size(
    work: Callable[[torch.Tensor], torch.Tensor], factors: Sequence[torch.Tensor], axis: int
) -> list[torch.Tensor]:
    """Call `work` once for all factors with the same K, which stands along `axis`, stacked."""
    found: dict[int, torch.Tensor] = {}
    for k in {factor.shape[axis] for factor in factors}:
        places = [place for place, factor in enumerate(factors) if factor.shape[axis] == k]
        results = work(torch.stack([factors[place] for place in places]))
        found |= dict(zip(places, results, strict=True))
    return [found[place] for place in range(len(factors))]
