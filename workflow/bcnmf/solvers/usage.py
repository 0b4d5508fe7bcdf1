"""Usages of given components: exact ones, and flat ones to start from."""

from __future__ import annotations

import torch

from bcnmf.device import gram_float64
from bcnmf.matrices.base import Matrix

# Poisson usages are solved by a fixed number of updates, so that sparse and dense data agree; less
# than a nat a sample is left to gain, far below the noise of the counts.
_POISSON_UPDATES = 100


def exact_usage(data: Matrix | None, components: torch.Tensor) -> torch.Tensor:
    """Return the usages (samples, K) that solve the least-squares problem, none without data."""
    usage = components.new_zeros((0 if data is None else data.shape[0], len(components)))
    if data is not None:
        data.exact_pass(components, gram_float64(components), usage)
    return usage


def flat_usage(data: Matrix, components: torch.Tensor) -> torch.Tensor:
    """Return usages (samples, K) in which topics have equal shares of each sample's total."""
    weights = components.sum(1).clamp(min=torch.finfo(components.dtype).tiny)
    totals = data.times(torch.ones_like(components[:1]))
    return (totals / (len(components) * weights)).contiguous()


def solve_usage(data: Matrix, components: torch.Tensor, usage: torch.Tensor, loss: str) -> None:
    """Minimise D(X | H C) over H >= 0, from `usage` (samples, K) on, in place."""
    if loss == "poisson":
        data.poisson_usage(components, usage, _POISSON_UPDATES, 0.0)
    else:
        data.exact_pass(components, components @ components.T, usage)
