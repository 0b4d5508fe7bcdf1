"""Sparse data on the CPU: compiled passes over row chunks, by several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.kernels import sparse as kernels
from bcnmf.kernels.pack import pack_width
from bcnmf.matrix import EPS_POISSON, Block, Matrix, Moments

# Chunks depend on the data alone, so that the number of threads changes no rounding.
_MOST_CHUNKS = 16
# Every chunk has an accumulator of features x K of its own: this keeps them small beside the data.
_VALUES_PER_ACCUMULATED = 8
_MAX_SWEEPS = 5000
_NNLS_TOL = 1e-8


class CompiledSparseMatrix(Matrix):
    """CSR on the host; see `bcnmf.kernels.sparse` for the passes.

    Parameters
    ----------
    values : scipy.sparse.csr_matrix of shape (samples, features)
        Canonical, non-negative; its arrays are used as they are where their types allow.
    dtype : torch.dtype
        Precision of the factors.
    """

    def __init__(self, values: sp.csr_matrix, dtype: torch.dtype) -> None:
        self.shape = values.shape
        self._dtype = np.dtype(str(dtype).removeprefix("torch."))
        self._pointer = values.indptr.astype(np.int64, copy=False)
        self._index = values.indices.astype(np.int32, copy=False)
        self._values = values.data.astype(self._dtype, copy=False)

    @cached_property
    def total(self) -> float:
        """Sum of all entries."""
        return float(self._values.sum(dtype=np.float64))

    @cached_property
    def squared_norm(self) -> float:
        """Sum of squares of all entries."""
        return _squared_norm(self._values)

    @cached_property
    def entropy(self) -> float:
        """Sum of x log x - x, the part of the divergence that no factor changes."""
        stored = self._values[self._values > 0].astype(np.float64)
        return float(stored @ np.log(stored)) - self.total

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        tag, padded = self._padded(components)
        products = np.empty((self.shape[0], len(components)), self._dtype)
        self._run(
            len(components),
            lambda rows, csr: kernels.times_pass(tag, *csr, padded, products[rows]),
        )
        return torch.from_numpy(products)

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        k = usage.shape[1]
        tag, factors = (0,) * pack_width(k), _rows(usage)

        def chunk(rows: slice, csr: tuple) -> np.ndarray:
            cross = self._accumulator(tag)
            kernels.transposed_pass(tag, *csr, factors[rows], cross)
            return cross

        return _components(self._run(k, chunk), k)

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        """See `Matrix.multiplicative_pass`."""
        tag, padded = self._padded(components)
        wide_gram = np.zeros((len(tag), len(tag)), self._dtype)
        wide_gram[: len(gram), : len(gram)] = gram.numpy()
        rest = (self._dtype.type(eps),)
        return self._squared_error_pass(
            kernels.multiplicative_pass, tag, padded, wide_gram, usage, rest
        )

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        """See `Matrix.exact_pass`."""
        tag, padded = self._padded(components)
        gram64 = np.ascontiguousarray(gram.numpy(), dtype=np.float64)
        rest = (_MAX_SWEEPS, _NNLS_TOL)
        return self._squared_error_pass(kernels.exact_pass, tag, padded, gram64, usage, rest)

    def _squared_error_pass(
        self,
        kernel: Callable,
        tag: tuple,
        padded: np.ndarray,
        gram: np.ndarray,
        usage: torch.Tensor,
        rest: tuple,
    ) -> Moments:
        k, factors = usage.shape[1], _rows(usage)

        def chunk(rows: slice, csr: tuple) -> tuple[np.ndarray, np.ndarray, float]:
            cross, usage_gram = self._accumulator(tag), np.zeros((k, k))
            part = factors[rows]
            fit = kernel(tag, *csr, padded, gram, part, cross, usage_gram, *rest)
            return cross, usage_gram, fit

        crosses, grams, fits = zip(*self._run(k, chunk), strict=True)
        return Moments(
            _components(list(crosses), k),
            torch.from_numpy(sum(grams)),
            torch.tensor(sum(fits), dtype=torch.float64),
        )

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Matrix.poisson_pass`."""
        k, factors = len(components), _rows(usage)
        tag, padded = self._padded(components)
        weights = components.sum(1).numpy()
        constants = self._dtype.type(damping), self._dtype.type(EPS_POISSON)
        modelled = self._modelled(components, usage)

        def chunk(rows: slice, csr: tuple) -> tuple[np.ndarray, float]:
            numerator = self._accumulator(tag)
            logs = kernels.poisson_pass(
                tag, *csr, padded, weights, factors[rows], numerator, *constants
            )
            return numerator, logs

        numerators, logs = zip(*self._run(k, chunk), strict=True)
        return self._divergence(sum(logs), modelled), _components(list(numerators), k)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.poisson_loss`."""
        tag, padded = self._padded(components)
        factors, eps = _rows(usage), self._dtype.type(EPS_POISSON)
        logs = self._run(
            len(components),
            lambda rows, csr: kernels.poisson_logs(tag, *csr, padded, factors[rows], eps),
        )
        return self._divergence(sum(logs), self._modelled(components, usage))

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        """Minimise D(X | H C) over H >= 0, in place.

        Here a sample stops on its own, when no usage moves by more than `tol` times its largest.
        """
        tag, padded = self._padded(components)
        factors, weights = _rows(usage), components.sum(1).numpy()
        rest = max_iter, tol, self._dtype.type(EPS_POISSON)
        self._run(
            len(components),
            lambda rows, csr: kernels.poisson_solve(
                tag, *csr, padded, weights, factors[rows], *rest
            ),
        )

    def blocks(self) -> Iterator[Block]:
        """Not needed: every pass is compiled."""
        raise TypeError("sparse data on the CPU have compiled passes, not blocks")

    def _padded(self, components: torch.Tensor) -> tuple[tuple, np.ndarray]:
        """Return the kernels' tag and C' (features, width), padded with zeros."""
        k, features = components.shape
        width = pack_width(k)
        padded = np.zeros((features, width), self._dtype)
        padded[:, :k] = components.numpy().T
        return (0,) * width, padded

    def _accumulator(self, tag: tuple) -> np.ndarray:
        return np.zeros((self.shape[1], len(tag)), self._dtype)

    def _run(self, k: int, chunk: Callable[[slice, tuple], Any]) -> list[Any]:
        """Call `chunk(rows, csr)` for row chunks of about equal work; results in their order."""
        cuts = self._cuts(k)
        work = [
            (slice(a, b), (self._pointer[a : b + 1], self._index, self._values))
            for a, b in pairwise(cuts)
        ]
        threads = min(torch.get_num_threads(), len(work))
        if threads == 1:
            return [chunk(*one) for one in work]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda one: chunk(*one), work))

    def _cuts(self, k: int) -> list[int]:
        stored = int(self._pointer[-1])
        accumulated = self.shape[1] * pack_width(k)
        chunks = max(1, min(_MOST_CHUNKS, stored // (_VALUES_PER_ACCUMULATED * accumulated)))
        ends = np.searchsorted(self._pointer, np.linspace(0, stored, chunks + 1)[1:-1])
        return sorted({0, *map(int, ends), self.shape[0]})

    def _modelled(self, components: torch.Tensor, usage: torch.Tensor) -> float:
        """Return the sum of H C."""
        return float(usage.sum(0, dtype=torch.float64) @ components.sum(1, dtype=torch.float64))

    def _divergence(self, logs: float, modelled: float) -> torch.Tensor:
        return torch.tensor(self.entropy - logs + modelled, dtype=torch.float64)


def _rows(usage: torch.Tensor) -> np.ndarray:
    """Return the memory of usages (samples, K), which the kernels read and write row by row."""
    if not usage.is_contiguous():
        raise TypeError("usages must be contiguous, samples x topics")
    return usage.numpy()


def _components(parts: list[np.ndarray], k: int) -> torch.Tensor:
    """Add up padded accumulators, in order, and return them as (K, features)."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return torch.from_numpy(np.ascontiguousarray(total[:, :k].T))


def _squared_norm(values: np.ndarray, step: int = 1 << 20) -> float:
    """Return the sum of squares in float64, without a float64 copy of the values."""
    parts = (values[i : i + step].astype(np.float64) for i in range(0, len(values), step))
    return float(sum(part @ part for part in parts))
