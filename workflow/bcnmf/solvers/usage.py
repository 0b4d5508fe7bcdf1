"""Usages of given components: exact ones, and flat ones to start from."""

from __future__ import annotations

import torch

from bcnmf.device import gram_float64
from bcnmf.matrices.base import Matrix
from bcnmf.solvers.result import SolverResult

# A usage of zero would stay zero under multiplicative updates; the last solve starts above it.
_LEAST_SHARE = 1e-3
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


def solved_usage(
    data: Matrix, components: torch.Tensor, usage: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return the best Poisson usages (samples, K), from given ones on, and their divergence."""
    before = float(data.poisson_loss(components, usage))
    solved = usage + _LEAST_SHARE * flat_usage(data, components)
    solve_usage(data, components, solved, "poisson")
    after = float(data.poisson_loss(components, solved))
    return (solved, after) if after <= before else (usage, before)


def with_solved_usage(
    target: Matrix, background: Matrix | None, result: SolverResult
) -> SolverResult:
    """Solve the Poisson usages of a fit without a contrast; its objective is then theirs."""
    result.usage, loss = solved_usage(target, result.components, result.usage)
    result.objective[-1] = min(loss, result.objective[-1])
    if background is not None:
        result.background_usage, _ = solved_usage(
            background, result.components, result.background_usage
        )
    return result
