"""The published multiplicative updates, to the letter.

Update order, uniform start, eps and damping follow Li, Yang & Li (arXiv 2602.22387) and its
reference code. In their notation X is features x samples, X ~ W H; here X is samples x features,
X ~ H C, so C is W' and H is their H'. The scale of the factors is left as the iterations leave it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import log10
from typing import TYPE_CHECKING

import torch

from bcnmf.device import as_float64, flush, to_match
from bcnmf.errors import InputError
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.divergence import EPS_POISSON, squared_error
from bcnmf.solvers.contrast import Term, terms_of, weighted
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
# From here on, measured, topics differ by percents from those of the same data in larger numbers.
_MOST_OF_EPS = 1e-3
# Of the largest number: sums of products are larger than the squares that they are sums of.
_ROOM = 1e-4


def check_sizes(sides: Mapping[str, Matrix], k: int, loss: str, dtype: torch.dtype) -> None:
    """Raise `InputError` if what the updates add to denominators matters, or numbers overflow.

    In the squared error eps acts as a penalty eps * sum(C) beside ||X||^2, C being uniform(0, 1) at
    first. In the usages it stands beside H C C', about half a sample's total; in the Poisson loss
    beside the mean.

    Parameters
    ----------
    sides : mapping of str to Matrix
        "target" and, if there is one, "background".
    k, loss, dtype
        Number of topics, objective and precision.
    """
    for name, data in sides.items():
        n, features = data.shape
        mean, eps, size = data.total / (n * features), EPS_POISSON, data.total
        share = eps / mean
        if loss == "squared_error":
            eps, size = EPS_SQUARED_ERROR, max(data.squared_norm, sys.float_info.min)
            share = eps * max(2 / (features * mean), (name == "target") * k * features / size)
        small = share > _MOST_OF_EPS
        if small or size > _ROOM * torch.finfo(dtype).max:
            what = "small" if small else "large"
            fault = f"the {eps:g} that it adds to denominators" if small else "an overflow"
            raise InputError(
                f"{name}: values are {mean:.1g} on average, too {what} for "
                f"solver='mu', where {fault} would decide; multiply both sides by "
                f"{10.0 ** -round(log10(mean)):g}, bring them into the same unit if they are not, "
                "or use contrast='relative' or solver='safeguarded'"
            )


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
    terms, monitor = terms_of(target, background, alpha), monitor or Monitor()
    trace = Trace(tol, sum(abs(term.weight) * term.data.squared_norm for term in terms), monitor)
    iteration = monitor.resume(trace)
    if iteration:
        moments = unpacked_moments(monitor.resumed, len(terms), components)
    else:
        moments = [
            Moments(
                term.data.transposed_times(usage),
                as_float64(usage).T @ as_float64(usage),
                torch.zeros(()),
            )
            for term, usage in zip(terms, usages, strict=False)
        ]
    while True:
        gram = components @ components.T
        trace.append(_contrast(terms, moments, components, gram))
        converged = trace.settled()
        if converged or iteration >= max_iter:
            break
        moments = [
            term.data.multiplicative_pass(components, gram, usage, EPS_SQUARED_ERROR)
            for term, usage in zip(terms, usages, strict=False)
        ]
        numerator, denominator = moments[0].cross, _model(moments[0], components)
        if background is not None:
            numerator = numerator + alpha * _model(moments[1], components)
            denominator = denominator + alpha * moments[1].cross
        components *= numerator / (denominator + EPS_SQUARED_ERROR)
        flush(components, *usages)
        iteration += 1
        monitor.after_iteration(_state, (components, *usages), iteration, trace, moments)
    return SolverResult(components, usages[0], usages[1], trace.values(), iteration, converged)


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
    terms, monitor = terms_of(target, background, alpha), monitor or Monitor()
    trace = Trace(tol, sum(abs(term.weight) * term.data.total for term in terms), monitor)
    iteration, converged = monitor.resume(trace), False
    while True:
        last, evaluated = iteration >= max_iter, False
        if last or trace.due():
            # Should the iterations end here, the usages must not have moved on.
            losses = [
                term.data.poisson_loss(components, usage)
                for term, usage in zip(terms, usages, strict=False)
            ]
            trace.append(weighted(terms, losses))
            evaluated, converged = True, trace.settled()
            if last or converged:
                break
        # Otherwise the loss of the present factors falls out of the pass that updates them.
        passes = [
            term.data.poisson_pass(components, usage, damping)
            for term, usage in zip(terms, usages, strict=False)
        ]
        if not evaluated:
            trace.append(weighted(terms, [loss for loss, _ in passes]))
        numerator, denominator = passes[0][1], usages[0].sum(0)[:, None]
        if background is not None:
            numerator = numerator + alpha * usages[1].sum(0)[:, None]
            denominator = denominator + alpha * passes[1][1]
        components = components * (numerator / (denominator + EPS_POISSON)) ** damping
        flush(components, *usages)
        iteration += 1
        monitor.after_iteration(_state, (components, *usages), iteration, trace)
    return SolverResult(components, usages[0], usages[1], trace.values(), iteration, converged)


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
    terms: Sequence[Term],
    moments: Sequence[Moments],
    components: torch.Tensor,
    gram: torch.Tensor,
) -> torch.Tensor:
    """Return the weighted sum of the squared errors, for components newer than H'X."""
    errors = [
        squared_error(
            term.data.squared_norm, _inner_product(part.cross, components), part.usage_gram, gram
        )
        for term, part in zip(terms, moments, strict=True)
    ]
    return weighted(terms, errors)


def _inner_product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the sum of products, added up in float64."""
    product = one * other
    if product.device.type == "mps":  # no float64 there
        return as_float64(product).sum()
    return product.sum(dtype=torch.float64)


def _model(moments: Moments, components: torch.Tensor) -> torch.Tensor:
    return to_match(moments.usage_gram, components) @ components
