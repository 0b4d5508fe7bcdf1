"""The data as the solvers see them: passes over X, dense or sparse, on any device.

A solver asks a matrix X (samples x features) for a pass that updates usages and returns what the
components need, never for X itself, so sparse data stay sparse and no residual is ever formed.
`Matrix` has the passes in torch, for dense data and for accelerators; sparse data on the CPU have
compiled ones (`bcnmf.matrices.csr_compiled`), data on disk go block by block (`...streamed`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bcnmf.device import as_float64, flush
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.divergence import EPS_POISSON, poisson_at_stored
from bcnmf.matrices.weighting import Weighting

# Rows of a block are chosen so that a dense block of samples x features stays near this size, for
# which a GPU is not worth starting.
_BLOCK_ELEMENTS, _BLOCK_ELEMENTS_OF_A_GPU = 1 << 22, 1 << 25
_LOOK_EVERY = 10
_ROWS_OF_A_SUM = 1024


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
    run_length : int
        How many consecutive rows `rows` had better be asked for at a time.
    compiled : bool
        Whether passes are compiled, with threads of their own.
    unit : float
        By what the user's values were divided, see `bcnmf.matrices.units`.
    weighting : Weighting or None
        By what the user's samples were multiplied, and which of them are here.
    passes : float
        How often all values have been read: parts of them count as their share of the rows.
    buffer_bytes : int
        What passes hold of the data at most, where these are not held as a whole.
    """

    shape: tuple[int, int]
    run_length: int = 1
    compiled: bool = False
    unit: float = 1.0
    weighting: Weighting | None = None
    passes: float = 0.0
    buffer_bytes: int = 0

    @property
    def n_given(self) -> int:
        """How many samples the user gave, those that are left out among them."""
        return self.shape[0] + (0 if self.weighting is None else len(self.weighting.left_out))

    @property
    @abstractmethod
    def total(self) -> float:
        """Sum of all entries, in float64."""

    @property
    @abstractmethod
    def squared_norm(self) -> float:
        """Sum of squares of all entries, in float64."""

    @abstractmethod
    def times(self, components: torch.Tensor) -> torch.Tensor:
        """Return X C', (samples, K), for components C (K, features)."""

    @abstractmethod
    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        """Return H' X, (K, features), for usages H (samples, K)."""

    def times_each(self, components: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return `times` of components of several fits, the same numbers as one by one."""
        return [self.times(one) for one in components]

    def transposed_times_each(self, usages: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return `transposed_times` of usages of several fits, the same numbers as one by one."""
        return [self.transposed_times(one) for one in usages]

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
        fit = (as_float64(product) * as_float64(usage)).sum()
        return Moments(self.transposed_times(usage), usage_gram(usage), fit)

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
        loss = as_float64(usage.sum(0)) @ as_float64(weights)
        numerator = torch.zeros_like(components)
        for block in self.blocks():
            old = usage[block.rows]
            model = block.at_stored(old @ components)
            loss = loss + poisson_at_stored(block.values, model)
            ratio = block.times(block.values / (model + EPS_POISSON), components)
            new = old * (ratio / (weights + EPS_POISSON)) ** damping
            model = block.at_stored(new @ components)
            numerator += block.transposed_times(block.values / (model + EPS_POISSON), new)
            usage[block.rows] = new
        return loss, numerator

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        """Return the generalised Kullback-Leibler divergence D(X | H C), float64."""
        loss = as_float64(usage.sum(0)) @ as_float64(components.sum(1))
        for block in self.blocks():
            model = block.at_stored(usage[block.rows] @ components)
            loss = loss + poisson_at_stored(block.values, model)
        return loss

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        """Minimise D(X | H C) over H >= 0 by undamped updates, which never ascend, in place.

        A sample stops on its own, when no usage moves by more than `tol` times its largest: it does
        not matter which samples stand beside it.
        """
        weights = components.sum(1) + EPS_POISSON
        for block in self.blocks():
            part = usage[block.rows]
            moving = torch.ones_like(part[:, :1], dtype=torch.bool)
            for iteration in range(max_iter):
                model = block.at_stored(part @ components)
                ratio = block.times(block.values / (model + EPS_POISSON), components)
                updated = part * ratio / weights
                flush(updated)
                change = (updated - part).abs().amax(1, keepdim=True)
                part = torch.where(moving, updated, part)
                moving &= change > tol * updated.amax(1, keepdim=True)
                # Looking makes the host wait for a GPU.
                if iteration % _LOOK_EVERY == 0 and not bool(moving.any()):
                    break
            usage[block.rows] = part

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Yield blocks of consecutive rows that together cover X once."""

    def _slices(self, device: torch.device) -> Iterator[slice]:
        """Yield the rows of blocks that are small when dense."""
        n, features = self.shape
        step = max(1, block_elements(device) // max(1, features))
        return (slice(start, min(start + step, n)) for start in range(0, n, step))


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


def block_elements(device: torch.device) -> int:
    """Return about how many elements a dense block has."""
    return _BLOCK_ELEMENTS_OF_A_GPU if device.type == "cuda" else _BLOCK_ELEMENTS


def usage_gram(usage: torch.Tensor) -> torch.Tensor:
    """Return H' H (K, K) of usages (samples, K) in float64."""
    exact = as_float64(usage)
    if exact.device.type == "cpu":
        return exact.T @ exact
    # In parts, side by side: a product of few entries with a long sum would fill none of a GPU.
    whole = len(exact) // _ROWS_OF_A_SUM * _ROWS_OF_A_SUM
    parts, rest = exact[:whole].reshape(-1, _ROWS_OF_A_SUM, exact.shape[1]), exact[whole:]
    return torch.bmm(parts.transpose(1, 2), parts).sum(0) + rest.T @ rest


def sum_float64(values: torch.Tensor, squared: bool = False) -> float:
    """Sum in float64, without a float64 copy of the values."""
    rows = max(1, _BLOCK_ELEMENTS // max(1, values[:1].numel()))
    parts = (as_float64(part) for part in torch.split(values, rows))
    return float(sum(((part * part).sum() if squared else part.sum()) for part in parts))
