"""Descent on the true reduced objective, squared error.

With usages solved out, f(C) = min_H ||X - H C||^2 - alpha min_H ||Y - H C||^2 depends only on the
directions of the rows of C, so they are kept on the unit sphere, where f is bounded below by
-alpha ||Y||^2. C moves along the multiplicative ratio raised to an exponent; by the envelope
theorem that is a descent direction of f, and the exponent is shortened until f really falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bcnmf.divergence import wide
from bcnmf.init import Factors
from bcnmf.matrix import Matrix
from bcnmf.solvers.result import SolverResult, Trace
from bcnmf.solvers.usage import nonnegative_least_squares

# Multiplication cannot leave an exact zero, so loadings rest on a floor far below any real one.
_FLOOR = 1e-12
_LONGEST_STEP = 8.0
_SHORTEST_STEP = 1e-4


@dataclass
class _Point:
    """Components with their exact usages and the reduced objective there."""

    components: torch.Tensor
    usages: list[torch.Tensor]
    gram: torch.Tensor
    objective: torch.Tensor


def fit_squared_error(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    report: Callable[[int, float], None] | None = None,
) -> SolverResult:
    """Minimise the reduced objective; every accepted step lowers it.

    Parameters are those of `bcnmf.solvers.mu.fit_squared_error`.

    Returns
    -------
    SolverResult
        Components with unit-norm rows, usages that solve the least-squares problem for them.
    """
    sides = [(target, 1.0)] + ([(background, -alpha)] if background is not None else [])
    scale = sum(abs(weight) * side.squared_norm for side, weight in sides)
    trace = Trace(tol, scale, report)
    point = _point(sides, _normalise(start[0]), [usage.clone() for usage in start[1:]])
    trace.append(point.objective)
    exponent, iteration, converged = 1.0, 0, False
    while iteration < max_iter and not converged:
        pull, push = _gradient_parts(sides, point)
        ratio = pull / push.clamp(min=torch.finfo(push.dtype).tiny)
        accepted = None
        while exponent >= _SHORTEST_STEP:
            moved = _normalise(point.components * ratio**exponent)
            candidate = _point(sides, moved, [usage.clone() for usage in point.usages])
            if bool(candidate.objective <= point.objective):
                accepted = candidate
                break
            exponent /= 2
        if accepted is None:  # no step lowers the objective beyond rounding
            break
        point = accepted
        exponent = min(exponent * 1.5, _LONGEST_STEP)
        iteration += 1
        trace.append(point.objective)
        converged = trace.settled()
    residual = _kkt_residual(point.components, *_gradient_parts(sides, point))
    usages = point.usages if background is not None else [point.usages[0], start[2].clone()]
    return SolverResult(
        point.components, *usages, trace.values(), iteration, converged, kkt_residual=residual
    )


def unit_norm(result: SolverResult) -> SolverResult:
    """Give components unit-norm rows and move their scale into the usages."""
    norms = result.components.norm(dim=1).clamp(min=torch.finfo(result.components.dtype).tiny)
    result.components = result.components / norms[:, None]
    result.usage = result.usage * norms
    result.background_usage = result.background_usage * norms
    return result


def _normalise(components: torch.Tensor) -> torch.Tensor:
    # By the largest entry first: a long step may leave a row too small to square.
    largest = components.amax(dim=1, keepdim=True).clamp(min=torch.finfo(components.dtype).tiny)
    components = (components / largest).clamp(min=_FLOOR)
    return components / components.norm(dim=1, keepdim=True)


def _point(
    sides: list[tuple[Matrix, float]], components: torch.Tensor, usages: list[torch.Tensor]
) -> _Point:
    """Solve the usages, warm-started from `usages` (overwritten), and evaluate the objective."""
    gram = components @ components.T
    wide_gram = wide(gram)
    objective = wide_gram.new_zeros(())
    for (side, weight), usage in zip(sides, usages, strict=False):
        product = side.times(components)
        nonnegative_least_squares(product, gram, usage)
        solved = wide(usage)
        fit = (wide(product) * solved).sum()
        model = ((solved.T @ solved) * wide_gram).sum()
        objective = objective + weight * (side.squared_norm - 2.0 * fit + model)
    return _Point(components, usages, gram, objective)


def _gradient_parts(
    sides: list[tuple[Matrix, float]], point: _Point
) -> tuple[torch.Tensor, torch.Tensor]:
    """Split minus half the gradient of the reduced objective into pull - push, both >= 0."""
    pull = torch.zeros_like(point.components)
    push = torch.zeros_like(point.components)
    for (side, weight), usage in zip(sides, point.usages, strict=False):
        cross = side.transposed_times(usage)
        model = (usage.T @ usage) @ point.components
        if weight > 0:
            pull, push = pull + cross, push + model
        else:
            pull, push = pull - weight * model, push - weight * cross
    return pull, push


def _kkt_residual(components: torch.Tensor, pull: torch.Tensor, push: torch.Tensor) -> float:
    """Norm of the projected gradient relative to that of its two parts."""
    step = pull - push
    at_floor = components <= 2 * _FLOOR
    projected = torch.where(at_floor, step.clamp(min=0), step)
    size = (wide(pull).norm() + wide(push).norm()).clamp(min=1e-300)
    return float(wide(projected).norm() / size)
