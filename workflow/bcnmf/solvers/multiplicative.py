"""The published multiplicative updates, to the letter.

Update order, uniform start, eps and damping follow Li, Yang & Li (arXiv 2602.22387) and its
reference code. In their notation X is features x samples, X ~ W H; here X is samples x features,
X ~ H C, so C is W' and H is their H'. The scale of the factors is left as the iterations leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from bcnmf.device import wide
from bcnmf.matrices.base import EPS_POISSON, Matrix, Moments
from bcnmf.matrices.divergence import squared_error
from bcnmf.solvers.result import (
    FACTORS,
    Monitor,
    SolverResult,
    Trace,
    packed_moments,
    unpacked_moments,
)
from bcnmf.solvers.starts import Factors

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

EPS_SQUARED_ERROR = 1e-10


def fit_squared_error(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
) -> SolverResult:
    """Minimise ||X - H_X C||^2 - alpha ||Y - H_Y C||^2 by multiplicative updates.

    H_X <- H_X * (X C') / (H_X C C' + eps), H_Y likewise, then
    C <- C * (H_X' X + alpha H_Y' H_Y C) / (H_X' H_X C + alpha H_Y' Y + eps).

    Parameters
    ----------
    target, background : Matrix
        X (n, features) and Y (m, features); Y may be None when alpha is 0.
    start : tuple of torch.Tensor
        Components (K, features), usage (n, K), background usage (m, K).
    alpha : float
        The contrast, as the paper writes it.
    max_iter, tol : int, float
        See `Trace`.
    monitor : Monitor, optional
        Who is told about the fit while it runs.

    Returns
    -------
    SolverResult
    """
    components, *usages = (factor.clone() for factor in start)
    sides = [(target, 1.0)] + ([(background, -alpha)] if background is not None else [])
    eps = EPS_SQUARED_ERROR
    trace = Trace(tol, sum(abs(weight) * side.squared_norm for side, weight in sides), monitor)
    monitor = monitor or Monitor()
    iteration, converged = int(monitor.resumed.get("iteration", 0)), False
    if iteration:
        trace.resume(monitor.resumed["objective"])
        moments = unpacked_moments(monitor.resumed, len(sides), components)
    else:
        moments = [
            Moments(side.transposed_times(usage), wide(usage).T @ wide(usage), torch.zeros(()))
            for (side, _), usage in zip(sides, usages, strict=False)
        ]
    while True:
        gram = components @ components.T
        trace.append(_contrast(sides, moments, components, gram))
        converged = trace.settled()
        if converged or iteration >= max_iter:
            break
        moments = [
            side.multiplicative_pass(components, gram, usage, eps)
            for (side, _), usage in zip(sides, usages, strict=False)
        ]
        pull, push = moments[0].cross, _model(moments[0], components)
        if background is not None:
            pull = pull + alpha * _model(moments[1], components)
            push = push + alpha * moments[1].cross
        components *= pull / (push + eps)
        iteration += 1
        monitor.after_iteration(_state, (components, *usages), iteration, trace, moments)
    return SolverResult(components, *usages, trace.values(), iteration, converged)


def fit_poisson(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
    damping: float = 0.5,
) -> SolverResult:
    """Minimise KL(X | H_X C) - alpha KL(Y | H_Y C) by damped multiplicative updates.

    Every ratio is raised to `damping`: 0.5 in the authors' newest code, 1 in their first. For
    alpha > 0 the objective is unbounded below, whatever the damping: topics lose the features that
    the background expresses and their share of the objective goes to minus infinity.

    Parameters
    ----------
    target, background, start, alpha, max_iter, tol, monitor
        As for `fit_squared_error`.
    damping : float
        Exponent of the ratios, in (0, 1].

    Returns
    -------
    SolverResult
    """
    components, *usages = (factor.clone() for factor in start)
    sides = [(target, 1.0)] + ([(background, -alpha)] if background is not None else [])
    eps = EPS_POISSON
    trace = Trace(tol, sum(abs(weight) * side.total for side, weight in sides), monitor)
    monitor = monitor or Monitor()
    iteration, converged = int(monitor.resumed.get("iteration", 0)), False
    if iteration:
        trace.resume(monitor.resumed["objective"])
    while True:
        last = iteration >= max_iter
        before = None
        if last or trace.due():
            # Should the iterations end here, the usages must not have moved on.
            before = _weighted(
                (side.poisson_loss(components, usage), weight)
                for (side, weight), usage in zip(sides, usages, strict=False)
            )
            trace.append(before)
            converged = trace.settled()
            if last or converged:
                break
        # Otherwise the loss of the present factors falls out of the pass that updates them.
        losses, numerators = zip(
            *(
                side.poisson_pass(components, usage, damping)
                for (side, _), usage in zip(sides, usages, strict=False)
            ),
            strict=True,
        )
        if before is None:
            trace.append(_weighted(zip(losses, (weight for _, weight in sides), strict=True)))
        pull, push = numerators[0], usages[0].sum(0)[:, None]
        if background is not None:
            pull = pull + alpha * usages[1].sum(0)[:, None]
            push = push + alpha * numerators[1]
        components = components * (pull / (push + eps)) ** damping
        iteration += 1
        monitor.after_iteration(_state, (components, *usages), iteration, trace)
    return SolverResult(components, *usages, trace.values(), iteration, converged)


def _state(
    factors: Sequence[torch.Tensor],
    iteration: int,
    trace: Trace,
    moments: Sequence[Moments] = (),
) -> State:
    """Return what the next iteration starts from."""
    named = dict(zip(FACTORS, factors, strict=True)) | packed_moments(moments)
    return named | {"iteration": iteration, "objective": trace.recorded()}


def _contrast(
    sides: list[tuple[Matrix, float]],
    moments: list[Moments],
    components: torch.Tensor,
    gram: torch.Tensor,
) -> torch.Tensor:
    """Return the weighted sum of the sides' squared errors, for components newer than H'X."""
    return _weighted(
        (
            squared_error(
                side.squared_norm,
                _inner_product(part.cross, components),
                part.usage_gram,
                gram,
            ),
            weight,
        )
        for (side, weight), part in zip(sides, moments, strict=True)
    )


def _inner_product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the sum of products, added up in float64."""
    product = one * other
    if product.device.type == "mps":  # no float64 there
        return wide(product).sum()
    return product.sum(dtype=torch.float64)


def _model(moments: Moments, components: torch.Tensor) -> torch.Tensor:
    return moments.usage_gram.to(components.dtype).to(components.device) @ components


def _weighted(parts: Iterable[tuple[torch.Tensor, float]]) -> torch.Tensor:
    return sum(weight * loss for loss, weight in parts)
