"""The data as the solvers see them: three products, dense or sparse, on any device.

A solver asks a matrix X (samples x features) for X C', H' X and row blocks, never for X itself, so
sparse data stay sparse and no residual is ever formed.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.errors import InputError
from bcnmf.inputs import check_non_negative, host_array

# Rows of a block are chosen so that a dense block of samples x features stays near this size.
_BLOCK_ELEMENTS = 1 << 22


class Matrix(ABC):
    """Non-negative data, samples x features.

    Attributes
    ----------
    shape : tuple of int
        (samples, features).
    total, squared_norm : float
        Sum and sum of squares of all entries, in float64.
    """

    shape: tuple[int, int]
    total: float
    squared_norm: float

    @abstractmethod
    def times(self, components: torch.Tensor) -> torch.Tensor:
        """Return X C', (samples, K), for components C (K, features)."""

    @abstractmethod
    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """Return H' X, (K, features), for usages H (samples, K)."""

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
        self.total = _sum64(values)
        self.squared_norm = _sum64(values, squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        return self.values @ components.T

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        return usage.T @ self.values

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


class SparseMatrix(Matrix):
    """Data held as CSR together with the CSR of the transpose.

    The transpose is stored because multiplying by a transposed view of a torch CSR matrix is about
    15 times slower than by a stored one.
    """

    def __init__(self, values: sp.csr_matrix, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = values.shape
        self.total = float(values.data.sum(dtype=np.float64))
        self.squared_norm = float(np.square(values.data, dtype=np.float64).sum())
        self._forward = _torch_csr(values, dtype, device)
        self._transpose = _torch_csr(values.T.tocsr(), dtype, device)
        self._host = values
        self._dtype = dtype
        self._device = device
        self._blocks: list[Block] | None = None

    def times(self, components: torch.Tensor) -> torch.Tensor:
        """See `Matrix.times`."""
        return self._forward @ components.T.contiguous()

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """See `Matrix.transposed_times`."""
        return (self._transpose @ usage).T

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
    values = host_array(data, name)
    check_non_negative(values, name)
    if sp.issparse(values) and device.type != "mps":
        return SparseMatrix(values, dtype, device)
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
    if values.device.type == "mps":
        values = values.cpu()
    values = values.to(torch.float64)
    return float((values * values).sum() if squared else values.sum())
