"""Sparse data on an accelerator, by torch's products of CSR matrices."""

# ruff: noqa: D102  (methods are described by `Matrix`)
from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.matrices.base import Block, Matrix, sum_float64


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
        return sum_float64(self._forward.values())

    @cached_property
    def squared_norm(self) -> float:
        return sum_float64(self._forward.values(), squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return self._forward @ components.T.contiguous()

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return (self._transpose @ usage).T

    def rows(self, chosen: np.ndarray) -> DeviceSparseMatrix:
        self.passes += len(chosen) / self.shape[0]
        return DeviceSparseMatrix(self._host[chosen], self._dtype, self._device)

    def blocks(self) -> Iterator[Block]:
        self.passes += 1
        if self._blocks is None:
            self._blocks = [
                _SparseBlock(rows, self._host[rows], self._dtype, self._device)
                for rows in self._slices(self._device)
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
