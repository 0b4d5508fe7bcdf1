"""Descent on the true reduced objective, squared error.

With usages solved out, f(C) = min_H ||X - H C||^2 - alpha min_H ||Y - H C||^2 depends only on the
directions of the rows of C, so they are kept on the unit sphere, where f is bounded below by
-alpha ||Y||^2. By the envelope theorem the gradient of f needs no derivative of the usages. Two
descent directions are tried in turn, the one that gained more lately first, and a step is accepted
only if f really falls:

- multiplicative: C times a power of the ratio of the gradient's two parts, as in the paper;
- quasi-Newton: towards the non-negative minimiser of the model that is exact for the target at the
  present usages and linear for the background; for alpha = 0 it is alternating least squares.

An iteration is one pass over the data, which evaluates f and its gradient at one trial point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bcnmf.device import wide, wide_gram
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.divergence import squared_error
from bcnmf.solvers.result import Monitor, SolverResult, Trace, packed_moments, unpacked_moments
from bcnmf.solvers.starts import Factors

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

# Multiplication cannot leave an exact zero, so loadings rest on a floor far below any real one.
_FLOOR = 1e-12
_SHORTEST_STEP, _LONGEST_STEP = 1e-4, 8.0
# A direction that has not been tried for so long gets its turn: what pays changes on the way.
_LONGEST_WAIT = 10
_MODEL_SWEEPS = 100
# From random starts a strong contrast drives all topics into one; it is reached in so many passes.
WARM_UP_CONTRAST, _WARM_UP_PASSES = 1.0, 20
_SAME_DIRECTION = 1e-7
_RESEEDS_PER_TOPIC = 2
# The objective has to settle relative to what the topics explain, which a contrast makes small
# beside the data; below this share of the data it is noise.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Side:
    """One data set of a contrast.

    Attributes
    ----------
    data : Matrix
        (samples, features).
    weight : float
        Of its squared error: 1 for a target, -alpha for a background.
    scale : torch.Tensor of shape (features,), optional
        The components are multiplied by it before they meet the data.
    """

    data: Matrix
    weight: float
    scale: torch.Tensor | None = None


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
    contrasted = background is not None and alpha > 0
    sides = [Side(target, 1.0)] + ([Side(background, -alpha)] if contrasted else [])
    result = minimise(sides, start[0], start[1:], max_iter, tol, monitor, warm_up)
    if not contrasted:
        result.background_usage = exact_usage(background, result.components)
    return result


def exact_usage(data: Matrix | None, components: torch.Tensor) -> torch.Tensor:
    """Return the usages (samples, K) that solve the least-squares problem, none without data."""
    usage = components.new_zeros((0 if data is None else data.shape[0], len(components)))
    if data is not None:
        data.exact_pass(components, wide_gram(components), usage)
    return usage


def minimise(
    sides: Sequence[Side],
    components: torch.Tensor,
    usages: Sequence[torch.Tensor],
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
    warm_up: bool = True,
) -> SolverResult:
    """Minimise the weighted sum of the sides' reduced squared errors over unit-norm components.

    Parameters
    ----------
    sides : sequence of Side
        The target first; those with a negative weight are contrasted with.
    components, usages : torch.Tensor
        Start, (K, features), and for each side (samples, K).
    max_iter, tol, monitor, warm_up
        See `fit_squared_error`.
    """
    trace, monitor = Trace(tol, 1.0, monitor), monitor or Monitor()
    iteration, converged = int(monitor.resumed.get("iteration", 0)), False
    search, reseeds = Search(), [0] * len(components)
    if iteration:
        point = _restored(sides, components, list(usages), monitor.resumed)
        search.restore(monitor.resumed["search"])
        reseeds = monitor.resumed["reseeds"].tolist()
        trace.resume(monitor.resumed["objective"])
    else:
        point = evaluate(sides, normalise(components), [usage.clone() for usage in usages])
        if warm_up:
            point = _raise_contrast(sides, point)
        trace.append(point.objective)
    while iteration < max_iter:
        idle = _idle_topic(point, reseeds) if iteration % _LONGEST_WAIT == 0 else None
        if idle is not None:
            reseeds[idle] += 1
            point = _better(point, _reseeded(sides, point, idle, reseeds[idle]))
        elif search.exhausted:
            break
        else:
            point = search.advance(sides, point)
        iteration += 1
        trace.append(point.objective)
        trace.scale = scale(sides, point)
        if trace.settled() and kkt_residual(sides, point) <= kkt_tolerance(tol):
            converged = True
            break
        monitor.after_iteration(_state, point, search, reseeds, iteration, trace)
    residual = kkt_residual(sides, point)
    return SolverResult(
        point.components,
        point.usages[0],
        point.usages[1] if len(sides) > 1 else point.usages[0][:0],
        trace.values(),
        iteration,
        converged or residual <= kkt_tolerance(tol),
        kkt_residual=residual,
    )


def kkt_tolerance(tol: float) -> float:
    """Return how large a relative projected gradient still counts as converged.

    The objective is quadratic near its minimum, so a change of `tol` goes with a gradient of its
    square root.
    """
    return tol**0.5


def unit_norm(result: SolverResult) -> SolverResult:
    """Give components unit-norm rows and move their scale into the usages."""
    norms = result.components.norm(dim=1).clamp(min=torch.finfo(result.components.dtype).tiny)
    result.components = result.components / norms[:, None]
    result.usage = result.usage * norms
    result.background_usage = result.background_usage * norms
    return result


@dataclass
class Point:
    """Components with their exact usages, and what the pass that solved them left.

    `moments` have H'X in the units of the components, whatever the side's scale.
    """

    components: torch.Tensor
    usages: list[torch.Tensor]
    moments: list[Moments]
    grams: list[torch.Tensor]
    errors: list[float]
    objective: float


@dataclass
class Search:
    """Which direction to try, and how far."""

    length: dict[str, float] = field(
        default_factory=lambda: {"multiplicative": 1.0, "quasi-Newton": 1.0}
    )
    gain: dict[str, float] = field(
        default_factory=lambda: {"multiplicative": float("inf"), "quasi-Newton": float("inf")}
    )
    waited: dict[str, int] = field(default_factory=lambda: {"multiplicative": 0, "quasi-Newton": 0})

    @property
    def exhausted(self) -> bool:
        """Whether no step of any length lowers the objective beyond rounding."""
        return all(length < _SHORTEST_STEP for length in self.length.values())

    def state(self) -> list[list[float]]:
        """Return what `restore` takes."""
        return [list(values.values()) for values in (self.length, self.gain, self.waited)]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from where another search was."""
        for values, stored in zip((self.length, self.gain, self.waited), state, strict=True):
            values.update(zip(values, map(float, stored), strict=True))

    def advance(self, sides: Sequence[Side], point: Point) -> Point:
        """Try one step and return the better point."""
        kind = self._choose()
        pull, push = gradient_parts(sides, point)
        if kind == "multiplicative":
            moved = multiplicative_step(point, pull, push, self.length[kind])
        else:
            moved = quasi_newton_step(point, pull, push, self.length[kind])
        found = evaluate(sides, normalise(moved), [usage.clone() for usage in point.usages])
        better = _better(point, found)
        self._learn(kind, point.objective - better.objective, better is found)
        return better

    def _choose(self) -> str:
        usable = [kind for kind, length in self.length.items() if length >= _SHORTEST_STEP]
        for kind in usable:
            self.waited[kind] += 1
        longest = max(usable, key=lambda kind: self.waited[kind])
        best = max(usable, key=lambda kind: self.gain[kind])
        kind = longest if self.waited[longest] > _LONGEST_WAIT else best
        self.waited[kind] = 0
        return kind

    def _learn(self, kind: str, decrease: float, accepted: bool) -> None:
        if not accepted:
            self.length[kind] /= 2
            self.gain[kind] = 0.0 if self.gain[kind] == float("inf") else self.gain[kind] / 2
            return
        self.gain[kind] = decrease
        # The other direction starts from another point now and may work again.
        for other in self.length:
            self.length[other] = max(self.length[other], 20 * _SHORTEST_STEP)
        self.length[kind] = min(1.5 * self.length[kind], _LONGEST_STEP)


def _state(point: Point, search: Search, reseeds: list[int], iteration: int, trace: Trace) -> State:
    """Return what the next iteration starts from."""
    usages = [*point.usages, point.usages[0][:0]]
    return {
        "components": point.components, "usage": usages[0], "background_usage": usages[1],
        "errors": point.errors, "point_objective": point.objective, "search": search.state(),
        "reseeds": reseeds, "iteration": iteration, "objective": trace.recorded(),
    } | packed_moments(point.moments)  # fmt: skip


def _restored(
    sides: Sequence[Side],
    components: torch.Tensor,
    usages: list[torch.Tensor],
    state: Mapping[str, Any],
) -> Point:
    """Return the point of which `_state` made arrays."""
    seen = [components if side.scale is None else components * side.scale for side in sides]
    return Point(
        components,
        usages[: len(sides)],
        unpacked_moments(state, len(sides), components),
        [wide_gram(one) for one in seen],
        state["errors"].tolist(),
        float(state["point_objective"]),
    )


def _better(point: Point, found: Point) -> Point:
    return found if found.objective <= point.objective else point


def relative_contrast(sides: Sequence[Side]) -> float:
    """Return the weight of what is contrasted with, relative to the energy of the target."""
    full = -sum(min(side.weight, 0.0) * side.data.squared_norm for side in sides)
    return full / sides[0].data.squared_norm


def _raise_contrast(sides: Sequence[Side], point: Point) -> Point:
    """Descend at a growing contrast, up to the one asked for."""
    relative = relative_contrast(sides)
    if relative <= WARM_UP_CONTRAST:
        return point
    search = Search()
    for i in range(_WARM_UP_PASSES):
        if search.exhausted:
            search = Search()
        share = (WARM_UP_CONTRAST / relative) ** (1 - i / _WARM_UP_PASSES)
        eased = [
            Side(side.data, side.weight * (share if side.weight < 0 else 1.0), side.scale)
            for side in sides
        ]
        point.objective = objective(eased, point.errors)
        point = search.advance(eased, point)
    point.objective = objective(sides, point.errors)
    return point


def normalise(components: torch.Tensor) -> torch.Tensor:
    """Return components (K, features) with unit-norm rows and no exact zero."""
    # By the largest entry first: a long step may leave a row too small to square.
    largest = components.amax(dim=1, keepdim=True).clamp(min=torch.finfo(components.dtype).tiny)
    components = (components / largest).clamp(min=_FLOOR)
    return components / components.norm(dim=1, keepdim=True)


def evaluate(sides: Sequence[Side], components: torch.Tensor, usages: list[torch.Tensor]) -> Point:
    """Solve the usages, warm-started from `usages` (overwritten), and evaluate the objective."""
    moments, grams, errors = [], [], []
    for side, usage in zip(sides, usages, strict=False):
        seen = components if side.scale is None else components * side.scale
        gram = wide_gram(seen)
        part = side.data.exact_pass(seen, gram, usage)
        errors.append(float(squared_error(side.data.squared_norm, part.fit, part.usage_gram, gram)))
        if side.scale is not None:
            part.cross = part.cross * side.scale
        moments.append(part)
        grams.append(gram)
    return Point(components, usages[: len(sides)], moments, grams, errors, objective(sides, errors))


def objective(sides: Sequence[Side], errors: Sequence[float]) -> float:
    """Return the weighted sum of the sides' squared errors."""
    return sum(side.weight * error for side, error in zip(sides, errors, strict=True))


def scale(sides: Sequence[Side], point: Point) -> float:
    """Return the size of what the objective changes by: the contrast that the topics explain."""
    nothing = objective(sides, [side.data.squared_norm for side in sides])
    whole = sum(abs(side.weight) * side.data.squared_norm for side in sides)
    return max(abs(nothing - point.objective), _LEAST_SHARE * whole)


def gradient_parts(sides: Sequence[Side], point: Point) -> tuple[torch.Tensor, torch.Tensor]:
    """Split minus half the gradient of the reduced objective into pull - push, both >= 0."""
    pull = torch.zeros_like(point.components)
    push = torch.zeros_like(point.components)
    for side, part in zip(sides, point.moments, strict=True):
        model = _like(part.usage_gram, point.components) @ point.components
        if side.scale is not None:
            model = model * side.scale.square()
        if side.weight > 0:
            pull, push = pull + side.weight * part.cross, push + side.weight * model
        else:
            pull, push = pull - side.weight * model, push - side.weight * part.cross
    return pull, push


def multiplicative_step(
    point: Point, pull: torch.Tensor, push: torch.Tensor, exponent: float
) -> torch.Tensor:
    """Return the components times a power of the ratio of the gradient's parts."""
    ratio = pull / push.clamp(min=torch.finfo(push.dtype).tiny)
    # Beyond these factors a power is infinite or zero before it is normalised.
    return point.components * ratio.clamp(1e-4, 1e4) ** exponent


def quasi_newton_step(
    point: Point, pull: torch.Tensor, push: torch.Tensor, length: float
) -> torch.Tensor:
    """Move towards, or beyond, the minimiser of the model at the target's usages."""
    curvature = point.moments[0].usage_gram.clone()
    diagonal = curvature.diagonal()
    unused = diagonal <= 1e-12 * diagonal.sum()
    # Topics that coincide would have no unique minimiser.
    diagonal += 1e-10 * diagonal.sum()
    now = _like(curvature, pull) @ point.components
    solved = point.components.T.clone(memory_format=torch.contiguous_format)
    nonnegative_least_squares(
        (now + pull - push).T.contiguous(), curvature, solved, max_sweeps=_MODEL_SWEEPS, tol=1e-7
    )
    moved = (point.components + length * (solved.T - point.components)).clamp(min=0)
    kept = unused.to(moved.device) | (moved.amax(dim=1) <= 0)
    return torch.where(kept[:, None], point.components, moved)


def _idle_topic(point: Point, reseeds: Sequence[int]) -> int | None:
    """Return a topic that no target sample uses, or that repeats another, if it may be moved."""
    energy = point.moments[0].usage_gram.diagonal()
    likeness = (point.grams[0] / _outer_norms(point.grams[0])).tril(diagonal=-1)
    idle = (energy <= 1e-12 * energy.sum()) | (likeness.amax(dim=1) > 1 - _SAME_DIRECTION)
    for topic in torch.nonzero(idle).flatten().tolist():
        if reseeds[topic] < _RESEEDS_PER_TOPIC:
            return topic
    return None


def _outer_norms(gram: torch.Tensor) -> torch.Tensor:
    norms = gram.diagonal().clamp(min=1e-300).sqrt()
    return norms[:, None] * norms


def _reseeded(sides: Sequence[Side], point: Point, topic: int, attempt: int) -> Point:
    """Point a topic at what the others leave unexplained in some samples of the target."""
    usage, target = point.usages[0], sides[0].data
    generator = torch.Generator().manual_seed(1000 * attempt + topic)
    # Heavy tails: a few samples decide, other ones for every topic and attempt.
    draw = torch.rand(len(usage), generator=generator, dtype=torch.float64)
    weights = (-(draw.clamp(min=1e-12).log() ** 3)).abs().to(usage.dtype).to(usage.device)[:, None]
    left = target.transposed_times(weights) - (weights.T @ usage) @ point.components
    components = point.components.clone()
    row = left[0].clamp(min=0)
    components[topic] = torch.where(row.amax() > 0, row, components[topic])
    usages = [part.clone() for part in point.usages]
    return evaluate(sides, normalise(components), usages)


def kkt_residual(sides: Sequence[Side], point: Point) -> float:
    """Norm of the projected gradient relative to that of its two parts."""
    pull, push = gradient_parts(sides, point)
    step = pull - push
    at_floor = point.components <= 2 * _FLOOR
    projected = torch.where(at_floor, step.clamp(min=0), step)
    size = (wide(pull).norm() + wide(push).norm()).clamp(min=1e-300)
    return float(wide(projected).norm() / size)


def _like(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return values.to(other.dtype).to(other.device)
