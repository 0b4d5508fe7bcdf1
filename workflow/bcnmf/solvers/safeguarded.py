"""Descent on the true reduced objective of the contrast (`bcnmf.solvers.contrast`).

From a random start, first some of the published updates: cheap passes, which share the samples out
among topics better than any longer step does. Then quasi-Newton steps
(`bcnmf.solvers.quasi_newton`) with exact usages. A step is accepted only if the objective really
falls; else it is cut, and how far steps may go is remembered.

An iteration is one step: a pass over the data, which evaluates the objective and its gradient, and
one more for each time that the step had to be cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bcnmf.device import as_float64, flush, gram_float64, to_match
from bcnmf.kernels import accelerated
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.solvers.contrast import (
    Point,
    Term,
    at_floor,
    errors_of,
    evaluate,
    kkt_residual,
    kkt_tolerance,
    normalise,
    objective,
    relative_contrast,
    scale,
    solve,
    terms_of,
    weighted,
    weighted_parts,
    whole,
    with_share_of_contrast,
)
from bcnmf.solvers.quasi_newton import Memory
from bcnmf.solvers.result import Monitor, SolverResult, Trace, packed_moments, unpacked_moments
from bcnmf.solvers.starts import Factors
from bcnmf.solvers.usage import exact_usage

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

# Published updates at a random start. A strong contrast would drive all topics into one there, so
# one above `_WARM_UP_CONTRAST` is reached gradually, over the first of them. They end early where
# ten change the objective by less than a share of what is explained.
_FIRST_UPDATES, _WARM_UP_UPDATES = 100, 20
_WARM_UP_CONTRAST, _FIRST_TOLERANCE = 2.0, 0.01
_EPS = 1e-10
# How far a topic, of length one, may move at first; how often a step is cut before the memory of
# earlier ones is given up, and how often without any before the descent is over.
_FIRST_RADIUS, _CUTS, _MOST_CUTS = 0.5, 6, 12
_LOOK_FOR_IDLE_TOPICS = 10
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
    """Minimise the reduced objective; after the first updates every step lowers it.

    Parameters are those of `bcnmf.solvers.multiplicative.fit_squared_error`, and

    warm_up : bool
        Begin with published updates. Right for random starts, not for given ones.

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
    iteration, usages = monitor.resume(trace), [usage.clone() for usage in usages[: len(terms)]]
    if iteration:
        descent = _Descent.restored(terms, components, usages, monitor.resumed)
    else:
        components = normalise(components)
        if warm_up:
            components = _first_updates(terms, components, usages, monitor)
        descent = _Descent(terms, evaluate(terms, components, usages))
        trace.append(descent.point.objective)
    converged = False
    while iteration < max_iter:
        descent.advance(look_for_idle_topics=iteration % _LOOK_FOR_IDLE_TOPICS == 0)
        iteration += 1
        trace.append(descent.point.objective)
        trace.scale = scale(terms, descent.point.objective)
        converged = trace.settled() and descent.stationary(tol)
        # A state is taken up by another iteration, which must not follow the last one.
        if converged or descent.exhausted:
            break
        monitor.after_iteration(descent.state, iteration, trace)
    point = descent.point
    return SolverResult(
        point.components,
        point.usages[0],
        point.usages[1] if len(terms) > 1 else point.usages[0][:0],
        trace.values(),
        iteration,
        converged or descent.stationary(tol),
        kkt_residual=kkt_residual(terms, point),
    )


def unit_norm(result: SolverResult) -> SolverResult:
    """Give components unit-norm rows and move their scale into the usages."""
    norms = result.components.norm(dim=1).clamp(min=torch.finfo(result.components.dtype).tiny)
    result.components = result.components / norms[:, None]
    result.usage = result.usage * norms
    result.background_usage = result.background_usage * norms
    return result


class _Descent:
    """A point on its way down, and what steers the next step.

    Attributes
    ----------
    point : Point
        The best so far.
    exhausted : bool
        Whether no step of any length lowers the objective beyond rounding.
    """

    def __init__(self, terms: Sequence[Term], point: Point) -> None:
        self.exhausted = False
        self._terms, self.point = terms, point
        self._ahead = _Ahead(terms, point.components, point.moments, Memory())
        self._radius = _FIRST_RADIUS
        self._reseeds = [0] * len(point.components)

    def advance(self, look_for_idle_topics: bool) -> None:
        """Move an idle topic, or else all."""
        idle = _idle_topic(self.point, self._reseeds) if look_for_idle_topics else None
        if idle is None:
            self._step()
            return
        self._reseeds[idle] += 1
        found = _reseeded(self._terms, self.point, idle, self._reseeds[idle])
        if found.objective <= self.point.objective:
            self.point = found
            self._forget()

    def stationary(self, tol: float) -> bool:
        """Whether the projected gradient is as small as `tol` asks for."""
        share = scale(self._terms, self.point.objective) / whole(self._terms)
        return kkt_residual(self._terms, self.point) <= kkt_tolerance(tol, share)

    def _step(self) -> None:
        """Go along the direction of the memory, or of the bare gradient if that leads nowhere."""
        while not self._descend(_CUTS if len(self._ahead.memory) else _MOST_CUTS):
            if not len(self._ahead.memory):
                self.exhausted = True
                return
            self._forget()

    def _forget(self) -> None:
        point = self.point
        self._ahead = _Ahead(self._terms, point.components, point.moments, Memory())

    def _descend(self, tries: int) -> bool:
        """Move to a lower point; return whether a step, or cutting it, leads to one."""
        components, gradient = self.point.components, self._ahead.gradient
        direction, slope = self._ahead.direction()
        reach = as_float64(direction.norm(dim=1).max())
        if not slope < 0:
            return False
        # By a tensor, which torch divides by; a number it would multiply with the inverse.
        limit = (torch.full_like(reach, self._radius) / reach).clamp(max=1.0)
        length = math.nan
        for attempt in range(tries):
            share = length if attempt else limit
            moved = (components + share * direction).clamp(min=0)
            # A topic that would lose all its features stays.
            moved = torch.where(moved.amax(dim=1, keepdim=True) > 0, moved, components)
            gain = -2 * as_float64(((moved - components) * gradient).sum())
            found, ahead, (farthest, gained) = self._look_at(moved, reach, gain)
            if not math.isfinite(farthest):
                return False
            if attempt == 0:
                length = min(1.0, self._radius / farthest)
            if found.objective <= self.point.objective:
                if attempt == 0 and length < 1:
                    self._radius *= 2
                self.point, self._ahead = found, ahead or self._ahead_of(found)
                return True
            length *= _cut(gained, found.objective - self.point.objective)
            self._radius = length * farthest
        return False

    def _look_at(
        self, moved: torch.Tensor, *beside: torch.Tensor
    ) -> tuple[Point, _Ahead | None, list[float]]:
        """Evaluate a point, and return other tensors' numbers as well.

        The host waits for a device once: also for what a step from there would need.
        """
        components, usages = normalise(moved), [usage.clone() for usage in self.point.usages]
        gram, moments = solve(self._terms, components, usages)
        errors = errors_of(self._terms, moments, gram)
        point = Point(components, usages, moments, gram, [], math.nan)
        wanted, ahead = [errors, torch.stack(beside)], None
        if accelerated.present(components.device):
            ahead = self._ahead_of(point)
            wanted.append(as_float64(ahead.products).flatten())
        numbers: list[float] = torch.cat(wanted).tolist()
        point.errors, rest = numbers[: len(errors)], numbers[len(errors) :]
        point.objective = objective(self._terms, point.errors)
        if ahead is not None:
            ahead.read(rest[len(beside) :])
        return point, ahead, rest[: len(beside)]

    def _ahead_of(self, point: Point) -> _Ahead:
        """Return what a step from another point would need, with the step to it remembered."""
        last, step = self._ahead, point.components - self.point.components
        return _Ahead(
            self._terms, point.components, point.moments, last.memory, step, last.gradient
        )

    def state(self, iteration: int, trace: Trace) -> State:
        """Return what `restored` takes: all that the next iteration starts from."""
        point = self.point
        usages = [*point.usages, point.usages[0][:0]]
        return {
            "components": point.components, "usage": usages[0], "background_usage": usages[1],
            "errors": point.errors, "point_objective": point.objective, "radius": self._radius,
            "reseeds": self._reseeds, "iteration": iteration, "objective": trace.recorded(),
        } | packed_moments(point.moments) | self._ahead.memory.state()  # fmt: skip

    @classmethod
    def restored(
        cls,
        terms: Sequence[Term],
        components: torch.Tensor,
        usages: list[torch.Tensor],
        state: Mapping[str, Any],
    ) -> _Descent:
        """Return the descent of which `state` made arrays."""
        moments = unpacked_moments(state, len(terms), components)
        errors, reached = state["errors"].tolist(), float(state["point_objective"])
        point = Point(components, usages, moments, gram_float64(components), errors, reached)
        descent = cls(terms, point)
        memory = Memory()
        memory.restore(state, (components.dtype, components.device))
        descent._ahead = _Ahead(terms, components, moments, memory)
        descent._radius, descent._reseeds = float(state["radius"]), state["reseeds"].tolist()
        return descent


class _Ahead:
    """What the next step from some components needs: a gradient, and what was learnt on the way."""

    def __init__(
        self,
        terms: Sequence[Term],
        components: torch.Tensor,
        moments: Sequence[Moments],
        memory: Memory,
        step: torch.Tensor | None = None,
        before: torch.Tensor | None = None,
    ) -> None:
        negative, positive = weighted_parts(terms, moments, components)
        self.gradient = positive - negative
        self.memory = memory
        if step is not None and before is not None:
            self.memory = memory.copy().add(step, self.gradient - before)
        energy = moments[0].usage_gram.diagonal()
        # Topics that the target hardly uses have no curvature of their own.
        least = (1e-8 * energy.max()).clamp(min=1e-30)
        curvature = to_match(energy.clamp(min=least), components)
        free = ~(at_floor(components) & (self.gradient >= 0))
        self._basis = self.memory.basis(self.gradient, free, curvature)
        self.products = self._basis.products()
        self._numbers: list[list[float]] | None = None

    def read(self, products: list[float]) -> None:
        """Take the products as numbers."""
        size = len(self.products)
        self._numbers = [products[i * size : (i + 1) * size] for i in range(size)]

    def direction(self) -> tuple[torch.Tensor, float]:
        """Return where to go, and the slope there."""
        return self._basis.direction(self._numbers or self.products.tolist())


def _cut(gain: float, rise: float) -> float:
    """Return by how much to shorten a step that rose: to the lowest point of a parabola.

    `gain` is by how much it should have fallen, by the gradient.
    """
    return min(max(gain / (2 * (rise + gain)), 0.1), 0.5) if gain > 0 else 0.25


def _first_updates(
    terms: Sequence[Term], components: torch.Tensor, usages: list[torch.Tensor], monitor: Monitor
) -> torch.Tensor:
    """Return components after published updates; those of the usages are in place.

    With rows brought to unit norm, which the updates do not notice. They end where ten of them
    changed the objective little.
    """
    eases = max(1.0, relative_contrast(terms) / _WARM_UP_CONTRAST)
    trace = Trace(_FIRST_TOLERANCE, 1.0)
    for i in range(_FIRST_UPDATES):
        if monitor.progress is not None:
            monitor.progress.before(i, _FIRST_UPDATES)
        eased = with_share_of_contrast(terms, eases ** min(0.0, i / _WARM_UP_UPDATES - 1))
        gram = gram_float64(components)
        moments = [
            term.data.multiplicative_pass(components, to_match(gram, components), usage, _EPS)
            for term, usage in zip(terms, usages, strict=True)
        ]
        if eases == 1.0 or i >= _WARM_UP_UPDATES:
            errors = errors_of(terms, moments, gram)
            trace.append(weighted(terms, errors))
            if trace.looks():
                trace.scale = scale(terms, objective(terms, errors.tolist()))
                if trace.settled():
                    break
        negative, positive = weighted_parts(eased, moments, components)
        moved = components * negative / (positive + _EPS)
        norms = moved.norm(dim=1)
        components = normalise(moved)
        for usage in usages:
            usage *= norms
        flush(*usages)
    return components


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
