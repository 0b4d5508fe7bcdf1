"""Descent on the true reduced objective of the contrast (`bcnmf.solvers.contrast`).

Two descent directions are tried in turn, the one that gained more lately first, and a step is
accepted only if the objective really falls:

- multiplicative: C times a power of the ratio of the gradient's two parts, as in the paper;
- quasi-Newton: towards the non-negative minimiser of the model that is exact for the target at the
  present usages and linear for the background; for alpha = 0 it is alternating least squares.

An iteration is one pass over the data, which evaluates the objective and its gradient at one trial
point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bcnmf.device import gram_float64
from bcnmf.matrices.base import Matrix
from bcnmf.solvers.contrast import (
    Point,
    Term,
    evaluate,
    gradient_parts,
    kkt_residual,
    kkt_tolerance,
    multiplicative_step,
    normalise,
    objective,
    quasi_newton_step,
    relative_contrast,
    scale,
    terms_of,
    with_share_of_contrast,
)
from bcnmf.solvers.result import Monitor, SolverResult, Trace, packed_moments, unpacked_moments
from bcnmf.solvers.search import LONGEST_WAIT, Search
from bcnmf.solvers.starts import Factors
from bcnmf.solvers.usage import exact_usage

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

_STEPS = {"multiplicative": multiplicative_step, "quasi-Newton": quasi_newton_step}
# From random starts a strong contrast drives all topics into one; it is reached in so many passes.
WARM_UP_CONTRAST, _WARM_UP_PASSES = 1.0, 20
_SAME_DIRECTION = 1e-7
_RESEEDS_PER_TOPIC = 2


def fit_squared_error(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
    warm_up: bool = True,
) -> SolverResult:
    """Minimise the reduced objective; every accepted step lowers it.

    Parameters are those of `bcnmf.solvers.multiplicative.fit_squared_error`, and

    warm_up : bool
        Reach a strong contrast gradually. Right for random starts, not for given ones.

    Returns
    -------
    SolverResult
        Components with unit-norm rows, usages that solve the least-squares problem for them.
    """
    # Without weight the background does not touch the components: its usages come at the end.
    terms = terms_of(target, background if alpha > 0 else None, alpha)
    result = minimise(terms, start[0], start[1:], max_iter, tol, monitor, warm_up)
    if len(terms) == 1:
        result.background_usage = exact_usage(background, result.components)
    return result


def minimise(
    terms: Sequence[Term],
    components: torch.Tensor,
    usages: Sequence[torch.Tensor],
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
    warm_up: bool = True,
) -> SolverResult:
    """Minimise the weighted sum of the terms' reduced squared errors over unit-norm components.

    Parameters
    ----------
    terms : sequence of Term
        The target first; those with a negative weight are contrasted with.
    components, usages : torch.Tensor
        Start, (K, features), and for each term (samples, K).
    max_iter, tol, monitor, warm_up
        See `fit_squared_error`.
    """
    monitor = monitor or Monitor()
    trace = Trace(tol, 1.0, monitor)
    iteration, converged = monitor.resume(trace), False
    search, reseeds = Search(_STEPS), [0] * len(components)
    if iteration:
        point = _restored(terms, components, list(usages), monitor.resumed)
        search.restore(monitor.resumed["search"])
        reseeds = monitor.resumed["reseeds"].tolist()
    else:
        point = evaluate(terms, normalise(components), [usage.clone() for usage in usages])
        if warm_up:
            point = _raise_contrast(terms, point)
        trace.append(point.objective)
    while iteration < max_iter:
        idle = _idle_topic(point, reseeds) if iteration % LONGEST_WAIT == 0 else None
        if idle is not None:
            reseeds[idle] += 1
            found = _reseeded(terms, point, idle, reseeds[idle])
            point = found if found.objective <= point.objective else point
        elif search.exhausted:
            break
        else:
            point = _advance(terms, point, search)
        iteration += 1
        trace.append(point.objective)
        trace.scale = scale(terms, point)
        if trace.settled() and kkt_residual(terms, point) <= kkt_tolerance(tol):
            converged = True
            break
        monitor.after_iteration(_state, point, search, reseeds, iteration, trace)
    residual = kkt_residual(terms, point)
    return SolverResult(
        point.components,
        point.usages[0],
        point.usages[1] if len(terms) > 1 else point.usages[0][:0],
        trace.values(),
        iteration,
        converged or residual <= kkt_tolerance(tol),
        kkt_residual=residual,
    )


def unit_norm(result: SolverResult) -> SolverResult:
    """Give components unit-norm rows and move their scale into the usages."""
    norms = result.components.norm(dim=1).clamp(min=torch.finfo(result.components.dtype).tiny)
    result.components = result.components / norms[:, None]
    result.usage = result.usage * norms
    result.background_usage = result.background_usage * norms
    return result


def _advance(terms: Sequence[Term], point: Point, search: Search) -> Point:
    negative, positive = gradient_parts(terms, point)

    def step(direction: str, length: float) -> Point:
        moved = _STEPS[direction](point, negative, positive, length)
        return evaluate(terms, normalise(moved), [usage.clone() for usage in point.usages])

    return search.advance(point, step)


def _state(point: Point, search: Search, reseeds: list[int], iteration: int, trace: Trace) -> State:
    """Return what the next iteration starts from."""
    usages = [*point.usages, point.usages[0][:0]]
    return {
        "components": point.components, "usage": usages[0], "background_usage": usages[1],
        "errors": point.errors, "point_objective": point.objective, "search": search.state(),
        "reseeds": reseeds, "iteration": iteration, "objective": trace.recorded(),
    } | packed_moments(point.moments)  # fmt: skip


def _restored(
    terms: Sequence[Term],
    components: torch.Tensor,
    usages: list[torch.Tensor],
    state: Mapping[str, Any],
) -> Point:
    """Return the point of which `_state` made arrays."""
    return Point(
        components,
        usages[: len(terms)],
        unpacked_moments(state, len(terms), components),
        gram_float64(components),
        state["errors"].tolist(),
        float(state["point_objective"]),
    )


def _raise_contrast(terms: Sequence[Term], point: Point) -> Point:
    """Descend at a growing contrast, up to the one asked for."""
    relative = relative_contrast(terms)
    if relative <= WARM_UP_CONTRAST:
        return point
    search = Search(_STEPS)
    for i in range(_WARM_UP_PASSES):
        if search.exhausted:
            search = Search(_STEPS)
        share = (WARM_UP_CONTRAST / relative) ** (1 - i / _WARM_UP_PASSES)
        eased = with_share_of_contrast(terms, share)
        point.objective = objective(eased, point.errors)
        point = _advance(eased, point, search)
    point.objective = objective(terms, point.errors)
    return point


def _idle_topic(point: Point, reseeds: Sequence[int]) -> int | None:
    """Return a topic that no target sample uses, or that repeats another, if it may be moved."""
    energy = point.moments[0].usage_gram.diagonal()
    likeness = (point.gram / _outer_norms(point.gram)).tril(diagonal=-1)
    idle = (energy <= 1e-12 * energy.sum()) | (likeness.amax(dim=1) > 1 - _SAME_DIRECTION)
    topics = (int(topic) for topic in torch.nonzero(idle))
    return next((topic for topic in topics if reseeds[topic] < _RESEEDS_PER_TOPIC), None)


def _outer_norms(gram: torch.Tensor) -> torch.Tensor:
    norms = gram.diagonal().clamp(min=1e-300).sqrt()
    return norms[:, None] * norms


def _reseeded(terms: Sequence[Term], point: Point, topic: int, attempt: int) -> Point:
    """Point a topic at what the others leave unexplained in some samples of the target."""
    usage, target = point.usages[0], terms[0].data
    generator = torch.Generator().manual_seed(1000 * attempt + topic)
    # Heavy tails: a few samples decide, other ones for every topic and attempt.
    draw = torch.rand(len(usage), generator=generator, dtype=torch.float64)
    weights = (-(draw.clamp(min=1e-12).log() ** 3)).abs().to(usage.dtype).to(usage.device)[:, None]
    left = target.transposed_times(weights) - (weights.T @ usage) @ point.components
    components = point.components.clone()
    row = left[0].clamp(min=0)
    components[topic] = torch.where(row.amax() > 0, row, components[topic])
    usages = [part.clone() for part in point.usages]
    return evaluate(terms, normalise(components), usages)
