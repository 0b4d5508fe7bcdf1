"""Sparse data on the CPU: compiled passes over row chunks, by several threads."""

# ruff: noqa: D102  (methods are described by `Matrix`)
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import negligible
from bcnmf.kernels import poisson, squared_error
from bcnmf.kernels.pack import Tag, make_tag, pack_widths, split, split_zeros
from bcnmf.matrices.base import Block, Matrix, Moments
from bcnmf.matrices.divergence import EPS_POISSON

# Chunks depend on the data alone, so that the number of threads changes no rounding.
_MOST_CHUNKS = 16
# Every chunk has an accumulator of features x K of its own: this keeps them small beside the data.
_VALUES_PER_ACCUMULATED = 8
_MAX_SWEEPS = 5000
_NNLS_TOL = 1e-8

# A factor (features, K) as the kernels keep it, see `bcnmf.kernels.pack.split`.
Split = tuple[np.ndarray, ...]
# Row pointer, indices and values.
Csr = tuple[np.ndarray, np.ndarray, np.ndarray]


class CompiledSparseMatrix(Matrix):
    """CSR on the host; see `bcnmf.kernels.squared_error` and `bcnmf.kernels.poisson`.

    Parameters
    ----------
    values : scipy.sparse.csr_matrix of shape (samples, features)
        Canonical, non-negative; its arrays are used as they are where their types allow.
    dtype : torch.dtype
        Precision of the factors.
    threads : int, optional
        Threads of a pass; as many as torch may use now, if not given.
    """

    compiled = True

    def __init__(
        self, values: sp.csr_matrix, dtype: torch.dtype, threads: int | None = None
    ) -> None:
        self.shape = values.shape
        self._threads = torch.get_num_threads() if threads is None else threads
        self._dtype = np.dtype(str(dtype).removeprefix("torch."))
        self._pointer = values.indptr.astype(np.int64, copy=False)
        self._index = values.indices.astype(np.int32, copy=False)
        self._values = values.data.astype(self._dtype, copy=False)

    @cached_property
    def total(self) -> float:
        return float(self._values.sum(dtype=np.float64))

    @cached_property
    def squared_norm(self) -> float:
        return float(sum(part @ part for part in _float64_parts(self._values)))

    @cached_property
    def entropy(self) -> float:
        """Sum of x log x - x, the part of the divergence that no factor changes."""
        return sum(_xlogx(part) for part in _float64_parts(self._values)) - self.total

    def times(self, components: torch.Tensor) -> torch.Tensor:
        tag, padded = self._padded(components)
        products = np.empty((self.shape[0], len(components)), self._dtype)
        for _ in self._run(
            len(components),
            lambda rows, csr: squared_error.times_pass(tag, *csr, padded, products[rows]),
        ):
            pass
        return torch.from_numpy(products)

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        k = usage.shape[1]
        tag, factors = make_tag(k), _rows(usage)

        def chunk(rows: slice, csr: Csr) -> tuple[Split]:
            cross = self._accumulator(tag)
            squared_error.transposed_pass(tag, *csr, factors[rows], cross)
            return (cross,)

        (cross,) = _added(self._run(k, chunk))
        return _components(cross, k)

    def rows(self, chosen: np.ndarray) -> CompiledSparseMatrix:
        self.passes += len(chosen) / self.shape[0]
        dtype = torch.from_numpy(self._values[:0]).dtype
        return CompiledSparseMatrix(self._csr[chosen], dtype, self._threads)

    @cached_property
    def _csr(self) -> sp.csr_matrix:
        return sp.csr_matrix((self._values, self._index, self._pointer), self.shape)

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        tag, padded = self._padded(components)
        width = sum(map(len, tag))
        padded_gram = np.zeros((width, width), self._dtype)
        padded_gram[: len(gram), : len(gram)] = gram.numpy()
        rest = (self._dtype.type(eps),)
        return self._squared_error_pass(
            squared_error.multiplicative_pass, tag, padded, padded_gram, usage, rest
        )

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        tag, padded = self._padded(components)
        gram64 = np.ascontiguousarray(gram.numpy(), dtype=np.float64)
        rest = (_MAX_SWEEPS, _NNLS_TOL)
        return self._squared_error_pass(squared_error.exact_pass, tag, padded, gram64, usage, rest)

    def _squared_error_pass(
        self,
        kernel: Callable[..., float],
        tag: Tag,
        padded: Split,
        gram: np.ndarray,
        usage: torch.Tensor,
        rest: tuple[float, ...],
    ) -> Moments:
        k, factors = usage.shape[1], _rows(usage)

        def chunk(rows: slice, csr: Csr) -> tuple[Split, np.ndarray, float]:
            cross, usage_gram = self._accumulator(tag), np.zeros((k, k))
            part = factors[rows]
            fit = kernel(tag, *csr, padded, gram, part, cross, usage_gram, *rest)
            return cross, usage_gram, fit

        cross, usage_gram, fit = _added(self._run(k, chunk))
        return Moments(
            _components(cross, k),
            torch.from_numpy(usage_gram),
            torch.tensor(fit, dtype=torch.float64),
        )

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        k, factors = len(components), _rows(usage)
        tag, padded = self._padded(components)
        weights = components.sum(1).numpy()
        constants = self._dtype.type(damping), self._dtype.type(EPS_POISSON)
        modelled = self._modelled(components, usage)

        def chunk(rows: slice, csr: Csr) -> tuple[Split, float]:
            numerator = self._accumulator(tag)
            logs = poisson.poisson_pass(
                tag, *csr, padded, weights, factors[rows], numerator, *constants
            )
            return numerator, logs

        numerator, logs = _added(self._run(k, chunk))
        return self._divergence(logs, modelled), _components(numerator, k)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        tag, padded = self._padded(components)
        factors, eps = _rows(usage), self._dtype.type(EPS_POISSON)
        logs = self._run(
            len(components),
            lambda rows, csr: poisson.poisson_logs(tag, *csr, padded, factors[rows], eps),
        )
        return self._divergence(sum(logs), self._modelled(components, usage))

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        tag, padded = self._padded(components)
        factors, weights = _rows(usage), components.sum(1).numpy()
        constants = self._dtype.type(EPS_POISSON), negligible(usage.dtype)
        for _ in self._run(
            len(components),
            lambda rows, csr: poisson.poisson_solve(
                tag, *csr, padded, weights, factors[rows], max_iter, tol, *constants
            ),
        ):
            pass

    def blocks(self) -> Iterator[Block]:
        """Not needed: every pass is compiled."""
        raise TypeError("sparse data on the CPU have compiled passes, not blocks")

    def _padded(self, components: torch.Tensor) -> tuple[Tag, Split]:
        """Return the kernels' tag and C', split and padded with zeros."""
        tag = make_tag(len(components))
        return tag, split(components.numpy().T.astype(self._dtype, copy=False), tag)

    def _accumulator(self, tag: Tag) -> Split:
        return split_zeros(self.shape[1], tag, self._dtype)

    def _run(self, k: int, chunk: Callable[[slice, Csr], Any]) -> Iterator[Any]:
        """Call `chunk(rows, csr)` for row chunks of about equal work; results in their order.

        They come one by one, so that accumulators can be added up as they come.
        """
        self.passes += 1
        cuts = self._cuts(k)
        work = [
            (slice(a, b), (self._pointer[a : b + 1], self._index, self._values))
            for a, b in pairwise(cuts)
        ]
        threads = min(self._threads, len(work))
        if threads == 1:
            yield from (chunk(*one) for one in work)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(lambda one: chunk(*one), work)

    def _cuts(self, k: int) -> list[int]:
        stored = int(self._pointer[-1])
        accumulated = self.shape[1] * sum(pack_widths(k))
        pairs = round(stored / (2 * _VALUES_PER_ACCUMULATED * accumulated))
        # Even, as much for two threads each; small data are not worth a second one.
        chunks = min(_MOST_CHUNKS, 2 * pairs) or 1
        ends = np.searchsorted(self._pointer, np.linspace(0, stored, chunks + 1)[1:-1])
        return sorted({0, *map(int, ends), self.shape[0]})

    def _modelled(self, components: torch.Tensor, usage: torch.Tensor) -> float:
        """Return the sum of H C."""
        return float(usage.sum(0, dtype=torch.float64) @ components.sum(1, dtype=torch.float64))

    def _divergence(self, logs: float, modelled: float) -> torch.Tensor:
        return torch.tensor(self.entropy - logs + modelled, dtype=torch.float64)


@contextmanager
def leave_threads_to_passes(*data: Matrix | None) -> Iterator[None]:
    """Keep torch to one thread while all data are sparse and on the CPU.

    Between passes there is little to do for it, and its idle threads, which spin for some time in
    case more work comes, would take the processors from the threads of the passes.
    """
    before = torch.get_num_threads()
    passes = all(one is None or one.compiled for one in data)
    try:
        if passes:
            torch.set_num_threads(1)
        yield
    finally:
        if passes:
            torch.set_num_threads(before)


def _rows(usage: torch.Tensor) -> np.ndarray:
    """Return the memory of usages (samples, K), which the kernels read and write row by row."""
    if not usage.is_contiguous():
        raise TypeError("usages must be contiguous, samples x topics")
    return usage.numpy()


def _added(chunks: Iterator[tuple[Any, ...]]) -> list[Any]:
    """Add up, in order, tuples of a split accumulator and other sums."""
    total = list(next(chunks))
    for cross, *rest in chunks:
        for part, more in zip(total[0], cross, strict=True):
            part += more
        total[1:] = [old + new for old, new in zip(total[1:], rest, strict=True)]
    return total


def _components(total: Split, k: int) -> torch.Tensor:
    """Return a split accumulator as (K, features)."""
    whole = np.empty((k, len(total[0])), total[0].dtype)
    start = 0
    for part in total:
        end = min(start + part.shape[1], k)
        whole[start:end] = part[:, : end - start].T
        start = end
    return torch.from_numpy(whole)


def _xlogx(values: np.ndarray) -> float:
    return float(values @ np.log(values, where=values > 0, out=np.zeros_like(values)))


def _float64_parts(values: np.ndarray, step: int = 1 << 16) -> Iterator[np.ndarray]:
    """Yield the values in float64, a few at a time: a copy of all would be twice their size."""
    return (values[i : i + step].astype(np.float64) for i in range(0, len(values), step))
