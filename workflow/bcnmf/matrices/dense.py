"""Dense data, on any device."""

# ruff: noqa: D102  (methods are described by `Matrix`)
from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch

from bcnmf.matrices.base import Block, Matrix, sum_float64


class DenseMatrix(Matrix):
    """Data held as one dense tensor."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.shape = (values.shape[0], values.shape[1])

    @cached_property
    def total(self) -> float:
        return sum_float64(self.values)

    @cached_property
    def squared_norm(self) -> float:
        return sum_float64(self.values, squared=True)

    def times(self, components: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return self.values @ components.T

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return usage.T @ self.values

    def rows(self, chosen: np.ndarray) -> DenseMatrix:
        self.passes += len(chosen) / self.shape[0]
        return DenseMatrix(self.values[torch.as_tensor(chosen, device=self.values.device)])

    def blocks(self) -> Iterator[Block]:
        self.passes += 1
        return (_DenseBlock(rows, self.values[rows]) for rows in self._slices(self.values.device))


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
