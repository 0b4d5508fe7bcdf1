"""Directions of descent that learn curvature from the steps before: limited-memory BFGS.

The variables are components C >= 0, (K, features). Entries that rest on their bound and that the
gradient would push through it are held; the others move along the two-loop recursion [1]_ in the
space of what is free [2]_. It starts from the curvature that the target's usages give each topic.

References
----------
.. [1] Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation
   35:773, 1980.
.. [2] Bertsekas, "Projected Newton methods for optimization problems with simple constraints",
   SIAM Journal on Control and Optimization 20:221, 1982.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from bcnmf.solvers.result import Precision, as_tensor

# More pairs cost time and hold on to curvature of places long left: usages change on the way.
_PAIRS = 5
# A pair counts if its curvature is at least this share of what the lengths of both would allow. A
# contrast has directions of no or negative curvature, along which steps would have no length.
_LEAST_COSINE = 0.05


class Memory:
    """The latest steps and how the gradient changed over them; see the module."""

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []
        self._changes: list[torch.Tensor] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: torch.Tensor, change: torch.Tensor) -> Memory:
        """Remember a step and the change of the gradient, both (K, features); return itself."""
        self._steps = [*self._steps[1 - _PAIRS :], step]
        self._changes = [*self._changes[1 - _PAIRS :], change]
        return self

    def copy(self) -> Memory:
        """Return a memory that remembers the same."""
        other = Memory()
        other._steps, other._changes = self._steps, self._changes
        return other

    def direction(
        self, gradient: torch.Tensor, free: torch.Tensor, curvature: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Return where to go, (K, features), and the slope there: direction times gradient.

        Parameters are those of `basis`.
        """
        basis = self.basis(gradient, free, curvature)
        return basis.direction(basis.products().tolist())

    def basis(self, gradient: torch.Tensor, free: torch.Tensor, curvature: torch.Tensor) -> Basis:
        """Return the vectors that a direction is made of.

        Parameters
        ----------
        gradient : torch.Tensor of shape (K, features)
            At the present components.
        free : torch.Tensor of bool, (K, features)
            Which entries may move; the direction is zero elsewhere.
        curvature : torch.Tensor of shape (K,)
            Of each topic, positive; what the recursion starts from.
        """
        # In units in which the first curvature is one, of what is free; the recursion needs inner
        # products alone, so it runs on numbers, and a device is waited for once.
        root = curvature.sqrt()[:, None]
        steps, changes = root * free, free / root
        vectors = torch.stack(
            [step * steps for step in self._steps]
            + [change * changes for change in (*self._changes, gradient)]
        )
        return Basis(vectors.flatten(1), changes)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what `restore` takes."""
        if not len(self):
            return {}
        return {"steps": torch.stack(self._steps), "changes": torch.stack(self._changes)}

    def restore(self, state: Mapping[str, Any], precision: Precision) -> None:
        """Go on with what another memory held."""
        self._steps, self._changes = (
            list(as_tensor(state[name], precision)) if name in state else []
            for name in ("steps", "changes")
        )


class Basis(NamedTuple):
    """The vectors that a direction is made of: steps, changes, and the gradient.

    Attributes
    ----------
    vectors : torch.Tensor of shape (2 * pairs + 1, K * features)
        In units in which the first curvature is one.
    unit : torch.Tensor of shape (K, features)
        What a direction is multiplied by to leave these units.
    """

    vectors: torch.Tensor
    unit: torch.Tensor

    def products(self) -> torch.Tensor:
        """Return the inner products, which `direction` takes as numbers."""
        return self.vectors @ self.vectors.T

    def direction(self, products: list[list[float]]) -> tuple[torch.Tensor, float]:
        """Return where to go, (K, features), and the slope there."""
        shares, slope = _two_loops(products, len(self.vectors) // 2)
        # From pinned memory, or the host would wait.
        weights = torch.tensor(shares, dtype=self.vectors.dtype, pin_memory=self.vectors.is_cuda)
        weights = weights.to(self.vectors.device, non_blocking=True)
        return (weights @ self.vectors).reshape(self.unit.shape) * self.unit, slope


def _two_loops(products: list[list[float]], count: int) -> tuple[list[float], float]:
    """Return the direction as weights of steps, changes and gradient, and its slope.

    `products` are the inner products of these, `count` steps, as many changes, one gradient.
    """
    last = 2 * count
    shares = [0.0] * last + [-1.0]
    pairs = [
        (step, step + count)
        for step in range(count)
        if products[step][step + count]
        > _LEAST_COSINE * math.sqrt(products[step][step] * products[step + count][step + count])
    ]

    def along(vector: int) -> float:
        return sum(share * product for share, product in zip(shares, products[vector], strict=True))

    taken = []
    for step, change in reversed(pairs):
        taken.append(along(step) / products[step][change])
        shares[change] -= taken[-1]
    if pairs:
        step, change = pairs[-1]
        scale = products[step][change] / products[change][change]
        shares = [scale * share for share in shares]
    for (step, change), share in zip(pairs, reversed(taken), strict=True):
        shares[step] += share - along(change) / products[step][change]
    return shares, along(last)
