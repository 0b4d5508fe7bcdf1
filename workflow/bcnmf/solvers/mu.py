"""The published multiplicative updates, to the letter.

Update order, uniform start, eps and damping follow Li, Yang & Li (arXiv 2602.22387) and its
reference code. In their notation X is features x samples, X ~ W H; here X is samples x features,
X ~ H C, so C is W' and H is their H'. The scale of the factors is left as the iterations leave it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bcnmf.divergence import poisson_divergence, squared_error, wide
from bcnmf.init import Factors
from bcnmf.matrix import Matrix
from bcnmf.solvers.result import SolverResult, Trace

EPS_SQUARED_ERROR = 1e-10
EPS_POISSON = 1e-16

Report = Callable[[int, float], None] | None


def fit_squared_error(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    report: Report = None,
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
    report : callable, optional
        Progress callback.

    Returns
    -------
    SolverResult
    """
    components, *usages = (factor.clone() for factor in start)
    sides = [(target, 1.0)] + ([(background, -alpha)] if background is not None else [])
    eps = EPS_SQUARED_ERROR
    trace = Trace(tol, sum(abs(weight) * side.squared_norm for side, weight in sides), report)
    cross = [side.transposed_times(usage) for (side, _), usage in zip(sides, usages, strict=False)]
    iteration, converged = 0, False
    while True:
        gram = components @ components.T
        trace.append(
            sum(
                weight * squared_error(side, components, gram, cross[i], usages[i])
                for i, (side, weight) in enumerate(sides)
            )
        )
        converged = trace.settled()
        if converged or iteration == max_iter:
            break
        for i, (side, _) in enumerate(sides):
            usages[i] *= side.times(components) / (usages[i] @ gram + eps)
            cross[i] = side.transposed_times(usages[i])
        numerator = cross[0]
        denominator = (usages[0].T @ usages[0]) @ components
        if background is not None:
            numerator = numerator + alpha * ((usages[1].T @ usages[1]) @ components)
            denominator = denominator + alpha * cross[1]
        components *= numerator / (denominator + eps)
        iteration += 1
    return SolverResult(components, *usages, trace.values(), iteration, converged)


def fit_poisson(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    damping: float = 0.5,
    report: Report = None,
) -> SolverResult:
    """Minimise KL(X | H_X C) - alpha KL(Y | H_Y C) by damped multiplicative updates.

    Every ratio is raised to `damping`: 0.5 in the authors' newest code, 1 in their first. For
    alpha > 0 the objective is unbounded below, whatever the damping: topics lose the features that
    the background expresses and their share of the objective goes to minus infinity.

    Parameters
    ----------
    target, background, start, alpha, max_iter, tol, report
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
    trace = Trace(tol, sum(abs(weight) * side.total for side, weight in sides), report)
    iteration, converged = 0, False
    while True:
        # The loss of the present factors falls out of the pass that updates them.
        updated = [
            _poisson_pass(side, components, usage, damping)
            for (side, _), usage in zip(sides, usages, strict=False)
        ]
        trace.append(
            sum(weight * part[0] for (_, weight), part in zip(sides, updated, strict=True))
        )
        converged = trace.settled()
        if converged or iteration == max_iter:
            break
        for i, (_, usage, _) in enumerate(updated):
            usages[i] = usage
        numerator = updated[0][2]
        denominator = usages[0].sum(0)[:, None]
        if background is not None:
            numerator = numerator + alpha * usages[1].sum(0)[:, None]
            denominator = denominator + alpha * updated[1][2]
        components = components * (numerator / (denominator + eps)) ** damping
        iteration += 1
    return SolverResult(components, *usages, trace.values(), iteration, converged)


def _poisson_pass(
    data: Matrix, components: torch.Tensor, usage: torch.Tensor, damping: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the loss at `usage`, the updated usage, and H' (X / H C) at the updated usage."""
    weights = components.sum(1)
    loss = wide(usage.sum(0)) @ wide(weights)
    updated = torch.empty_like(usage)
    numerator = torch.zeros_like(components)
    for block in data.blocks():
        old = usage[block.rows]
        model = block.at_stored(old @ components)
        loss = loss + poisson_divergence(block.values, model, EPS_POISSON)
        ratio = block.times(block.values / (model + EPS_POISSON), components)
        new = old * (ratio / (weights + EPS_POISSON)) ** damping
        model = block.at_stored(new @ components)
        numerator += block.transposed_times(block.values / (model + EPS_POISSON), new)
        updated[block.rows] = new
    return loss, updated, numerator
