"""The data as the solvers see them: passes over X, dense or sparse, on any device.

A solver asks a matrix X (samples x features) for a pass that updates usages and returns what the
components need, never for X itself, so sparse data stay sparse and no residual is ever formed.
`Matrix` has the passes in torch, for dense data and for accelerators; sparse data on the CPU have
compiled ones (`bcnmf.matrices.csr_compiled`).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import wide
from bcnmf.errors import InputError
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.divergence import poisson_at_stored
from bcnmf.matrices.inputs import check_non_negative, host_array

EPS_POISSON = 1e-16
# Rows of a block are chosen so that a dense block of samples x features stays near this size.
_BLOCK_ELEMENTS = 1 << 22


@dataclass
class Moments:
    """What a pass leaves for the update of the components and for the objective.

    Attributes
    ----------
    cross : torch.Tensor of shape (K, features)
        H' X.
    usage_gram : torch.Tensor of shape (K, K), float64
        H' H.
    fit : torch.Tensor
        <X, H C>, float64: ||X - H C||^2 is ||X||^2 - 2 fit + <H'H, C C'>.
    """

    cross: torch.Tensor
    usage_gram: torch.Tensor
    fit: torch.Tensor


class Matrix(ABC):
    """Non-negative data, samples x features.

    Attributes
    ----------
    shape : tuple of int
        (samples, features).
    total, squared_norm : float
        Sum and sum of squares of all entries, in float64.
    run_length : int
        How many consecutive rows `rows` had better be asked for at a time.
    compiled : bool
        Whether passes are compiled, with threads of their own.
    """

    shape: tuple[int, int]
    total: float
    squared_norm: float
    run_length: int = 1
    compiled: bool = False

    @abstractmethod
    def times(self, components: torch.Tensor) -> torch.Tensor:
        """Return X C', (samples, K), for components C (K, features)."""

    @abstractmethod
    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """Return H' X, (K, features), for usages H (samples, K)."""

    @abstractmethod
    def rows(self, chosen: np.ndarray) -> Matrix:
        """Return some rows, given by increasing numbers, as a matrix of their own."""

    def multiplicative_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, eps: float
    ) -> Moments:
        """Update H <- H * (X C') / (H C C' + eps) in place; `gram` is C C'."""
        product = self.times(components)
        usage *= product / (usage @ gram + eps)
        return self._moments(product, usage)

    def exact_pass(
        self, components: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor
    ) -> Moments:
        """Solve min ||X - H C||^2 over H >= 0, from `usage` on, in place.

        `gram` is C C', best in float64: topics that nearly coincide differ in its last digits.
        """
        product = self.times(components)
        nonnegative_least_squares(product, gram, usage)
        return self._moments(product, usage)

    def _moments(self, product: torch.Tensor, usage: torch.Tensor) -> Moments:
        solved = wide(usage)
        return Moments(
            self.transposed_times(usage), solved.T @ solved, (wide(product) * solved).sum()
        )

    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Update H <- H * ((X / H C) C' / sums of C)^damping in place.

        Returns
        -------
        loss : torch.Tensor
            The generalised Kullback-Leibler divergence D(X | H C) before the update, float64.
        numerator : torch.Tensor of shape (K, features)
            H' (X / H C) at the updated usages.
        """
        weights = components.sum(1)
        loss = wide(usage.sum(0)) @ wide(weights)
        numerator = torch.zeros_like(components)
        for block in self.blocks():
            old = usage[block.rows]
            model = block.at_stored(old @ components)
            loss = loss + poisson_at_stored(block.values, model, EPS_POISSON)
            ratio = block.times(block.values / (model + EPS_POISSON), components)
            new = old * (ratio / (weights + EPS_POISSON)) ** damping
            model = block.at_stored(new @ components)
            numerator += block.transposed_times(block.values / (model + EPS_POISSON), new)
            usage[block.rows] = new
        return loss, numerator

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        """Return the generalised Kullback-Leibler divergence D(X | H C), float64."""
        loss = wide(usage.sum(0)) @ wide(components.sum(1))
        for block in self.blocks():
            model = block.at_stored(usage[block.rows] @ components)
            loss = loss + poisson_at_stored(block.values, model, EPS_POISSON)
        return loss

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        """Minimise D(X | H C) over H >= 0 by undamped updates, which never ascend, in place.

        A block of samples stops when its divergence falls by less than `tol` of itself in ten
        iterations.
        """
        weights = components.sum(1)
        for block in self.blocks():
            part = usage[block.rows]
            before = float("inf")
            for iteration in range(max_iter):
                model = block.at_stored(part @ components)
                if iteration % 10 == 0:
                    loss = poisson_at_stored(block.values, model, EPS_POISSON)
                    now = float(loss + wide(part.sum(0)) @ wide(weights))
                    if before - now <= tol * abs(now):
                        break
                    before = now
                ratio = block.times(block.values / (model + EPS_POISSON), components)
                part = part * ratio / (weights + EPS_POISSON)
            usage[block.rows] = part

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield blocks of consecutive rows that together cover X once."""

    def _rows_per_block(self) -> int:
        return max(1, min(self.shape[0], _BLOCK_ELEMENTS // max(1, self.shape[1])))


class Block(ABC):
    """Some consecutive rows of a matrix, for losses that need the model at every stored value.

    Attributes
    ----------
    rows : slice
        Which rows of the matrix.
    values : torch.Tensor
        The stored values: (rows, features) if dense, (stored,) if sparse.
    """

    rows: slice
    values: torch.Tensor

    @abstractmethod
    def at_stored(self, model: torch.Tensor) -> torch.Tensor:
        """Pick from `model` (rows, features) the entries at which this block stores values."""

    @abstractmethod
    def times(self, values: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        """Return V C', V being this block with `values` in place of its own."""

    @abstractmethod
    def transposed_times(self, values: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        """Return H' V, V being this block with `values` in place of its own."""


class DenseMatrix(Matrix):
    """Data held as one dense tensor."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.shape = (values.shape[0], values.shape[1])

    @cached_property
    def total(self) -> float:
        """Sum of all entries."""
        return _sum64(self.values)

    @cached_property
    def squared_norm(self) -> float:
        """Sum of squares of all entries."""
        return _sum64(self.values, squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        return self.values @ components.T

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        return usage.T @ self.values

    def rows(self, chosen: np.ndarray) -> DenseMatrix:
        """See `Matrix.rows`."""
        return DenseMatrix(self.values[torch.as_tensor(chosen, device=self.values.device)])

    def blocks(self) -> Iterator[Block]:
        """See `Matrix.blocks`."""
        step = self._rows_per_block()
        for start in range(0, self.shape[0], step):
            rows = slice(start, min(start + step, self.shape[0]))
            yield _DenseBlock(rows, self.values[rows])


class _DenseBlock(Block):
    def __init__(self, rows: slice, values: torch.Tensor) -> None:
        self.rows = rows
        self.values = values

    def at_stored(self, model: torch.Tensor) -> torch.Tensor:
        return model

    def times(self, values: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        return values @ components.T

    def transposed_times(self, values: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        return usage.T @ values


class DeviceSparseMatrix(Matrix):
    """Data held on an accelerator as CSR together with the CSR of the transpose.

    The transpose is stored because multiplying by a transposed view of a torch CSR matrix is about
    15 times slower than by a stored one.
    """

    def __init__(self, values: sp.csr_matrix, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = values.shape
        self._forward = _torch_csr(values, dtype, device)
        self._transpose = _torch_csr(values.T.tocsr(), dtype, device)
        self._host = values
        self._dtype = dtype
        self._device = device
        self._blocks: list[Block] | None = None

    @cached_property
    def total(self) -> float:
        """Sum of all entries."""
        return _sum64(self._forward.values())

    @cached_property
    def squared_norm(self) -> float:
        """Sum of squares of all entries."""
        return _sum64(self._forward.values(), squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        return self._forward @ components.T.contiguous()

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        return (self._transpose @ usage).T

    def rows(self, chosen: np.ndarray) -> DeviceSparseMatrix:
        """See `Matrix.rows`."""
        return DeviceSparseMatrix(self._host[chosen], self._dtype, self._device)

    def blocks(self) -> Iterator[Block]:
        """See `Matrix.blocks`."""
        if self._blocks is None:
            step = self._rows_per_block()
            self._blocks = [
                _SparseBlock(
                    slice(start, min(start + step, self.shape[0])),
                    self._host[start : start + step],
                    self._dtype,
                    self._device,
                )
                for start in range(0, self.shape[0], step)
            ]
        return iter(self._blocks)


class _SparseBlock(Block):
    def __init__(
        self, rows: slice, part: sp.csr_matrix, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.rows = rows
        self._shape = part.shape
        self.values = torch.as_tensor(part.data, dtype=dtype, device=device)
        self._pointer = torch.as_tensor(part.indptr, device=device)
        self._feature = torch.as_tensor(part.indices, device=device)
        row_of = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        self._flat = torch.as_tensor(row_of * part.shape[1] + part.indices, device=device)
        # The transpose of any values on this pattern is a permutation of them.
        order = sp.csr_matrix(
            (np.arange(part.nnz, dtype=np.int64), part.indices, part.indptr), shape=part.shape
        ).T.tocsr()
        self._order = torch.as_tensor(order.data, device=device)
        self._transposed_pointer = torch.as_tensor(order.indptr, device=device)
        self._transposed_index = torch.as_tensor(order.indices, device=device)

    def at_stored(self, model: torch.Tensor) -> torch.Tensor:
        return model.reshape(-1)[self._flat]

    def times(self, values: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
        matrix = _csr_tensor(self._pointer, self._feature, values, self._shape)
        return matrix @ components.T.contiguous()

    def transposed_times(self, values: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        matrix = _csr_tensor(
            self._transposed_pointer,
            self._transposed_index,
            values[self._order],
            (self._shape[1], self._shape[0]),
        )
        return (matrix @ usage).T


def as_matrix(data: Any, name: str, dtype: torch.dtype, device: torch.device) -> Matrix:
    """Check user data and bring them to the device.

    Parameters
    ----------
    data : ndarray, scipy sparse, torch.Tensor or AnnData
        Samples x features, non-negative and finite.
    name : str
        What to call the data in errors, for instance "target".
    dtype, device : torch.dtype, torch.device
        Where and how the factors are computed.

    Raises
    ------
    InputError
        Not two-dimensional, empty, or with negative, missing or infinite values.
    """
    # Imported here: its class derives from `Matrix`.
    from bcnmf.matrices.csr_compiled import CompiledSparseMatrix

    values = host_array(data, name)
    check_non_negative(values, name)
    if sp.issparse(values) and device.type == "cpu":
        return CompiledSparseMatrix(values, dtype)
    if sp.issparse(values) and device.type != "mps":
        return DeviceSparseMatrix(values, dtype, device)
    if sp.issparse(values):
        raise InputError(
            f"{name}: sparse data cannot be used on MPS (torch has no CSR products there); "
            "use device='cpu', or pass a dense array if it fits into memory"
        )
    return DenseMatrix(torch.as_tensor(np.ascontiguousarray(values), dtype=dtype).to(device))


def _torch_csr(values: sp.csr_matrix, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return _csr_tensor(
        torch.as_tensor(values.indptr),
        torch.as_tensor(values.indices),
        torch.as_tensor(values.data, dtype=dtype),
        values.shape,
    ).to(device)


def _csr_tensor(
    pointer: torch.Tensor, index: torch.Tensor, values: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(pointer, index, values, size=shape, check_invariants=False)


def _sum64(values: torch.Tensor, squared: bool = False) -> float:
    """Sum in float64, without a float64 copy of the values."""
    rows = max(1, _BLOCK_ELEMENTS // max(1, values[:1].numel()))
    parts = (wide(part) for part in values.split(rows))
    return float(sum(((part * part).sum() if squared else part.sum()) for part in parts))
