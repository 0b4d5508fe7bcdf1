"""Combined bases: a target that uses shared and target parts of its topics with one usage.

With unit-norm shared topics S, weights v >= 0 and target parts T, topic k of the target is
A_k = v_k S_k + T_k, of unit norm too, and with usages solved out ::

    F(S, v, T) = min_H ||X - H A||^2 + b min_H ||Y - H S||^2 + p ||S T'||_F^2

All factors are non-negative, so F lives on a compact set and has a minimum. Three directions are
tried in turn, the one that gained more lately first, and a step is accepted only if F really falls:
a multiplicative one for S, v and T together, and towards the minimiser of a convex model of F
either for S and v or for T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from bcnmf.device import as_float64, gram_float64, to_match
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.divergence import squared_error
from bcnmf.seeds import derive_seed
from bcnmf.solvers.contrast import kkt_tolerance, raised, towards_minimiser
from bcnmf.solvers.restarts import packed, unpacked
from bcnmf.solvers.result import Monitor, Trace
from bcnmf.solvers.search import Search
from bcnmf.solvers.starts import diverse_samples, unexplained, uniform
from bcnmf.solvers.usage import exact_usage

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

# Multiplication cannot leave an exact zero, so entries rest on a floor far below any real one.
_FLOOR = 1e-12
# The objective has to settle relative to what the topics explain; see `bcnmf.solvers.contrast`.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Bases:
    """Shared topics, target parts, and how both make the target's topics.

    Attributes
    ----------
    shared : torch.Tensor of shape (K, features)
        S, with unit-norm rows.
    weight : torch.Tensor of shape (K,)
        v, how much of a shared topic is in the target's topic.
    target : torch.Tensor of shape (K, features)
        T; rows of v S + T have unit norm.
    """

    shared: torch.Tensor
    weight: torch.Tensor
    target: torch.Tensor

    def combined(self) -> torch.Tensor:
        """Return the target's topics A (K, features)."""
        return self.weight[:, None] * self.shared + self.target


@dataclass(frozen=True)
class Problem:
    """What is minimised.

    Attributes
    ----------
    target, background : Matrix
        X (n, features) and Y (m, features).
    background_weight, penalty : float
        b > 0 and p >= 0, in absolute terms.
    """

    target: Matrix
    background: Matrix
    background_weight: float
    penalty: float


@dataclass
class CombinedResult:
    """Factors and how they were reached; see `bcnmf.solvers.result.SolverResult`."""

    bases: Bases
    usage: torch.Tensor
    background_usage: torch.Tensor
    objective: list[float]
    n_iter: int
    converged: bool
    kkt_residual: float


def normalise(shared: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> Bases:
    """Give shared topics, then target topics, unit norm; the objective does not change.

    Parameters
    ----------
    shared, weight, target : torch.Tensor of shape (K, features), (K,), (K, features)
        S, v and T, non-negative, in any scale: only the direction of a row of S matters, and that
        of (v, T) for each topic.
    """
    # Largest entry first: a long step may leave a row too small to square.
    largest = torch.maximum(weight, target.amax(dim=1)).clamp(min=torch.finfo(weight.dtype).tiny)
    bases = Bases(
        _unit(_floored(shared, shared.amax(dim=1))),
        _floored(weight[:, None], largest)[:, 0],
        _floored(target, largest),
    )
    norms = bases.combined().norm(dim=1)
    return Bases(bases.shared, bases.weight / norms, bases.target / norms[:, None])


def seeded_start(
    target: Matrix, background: Matrix, k: int, seed: int, template: torch.Tensor
) -> Bases:
    """Start S from background samples that differ, T from what S leaves over of some samples of X.

    From random starts S may take over what only the target has: where the background does not use a
    shared topic, nothing ties it to the background.

    Parameters
    ----------
    target, background : Matrix
        X and Y.
    k : int
        Number of topics K.
    seed : int
        Seed of the draws.
    template : torch.Tensor
        Its dtype and device are those of the bases.
    """
    shared = _unit(diverse_samples([background], k, "squared_error", seed, template))
    usage = exact_usage(target, shared)
    draw = uniform((len(usage), k), derive_seed("target parts", seed), template)
    # Heavy tails: a few samples decide, other ones for every topic.
    weights = -(draw.clamp(min=_FLOOR).log() ** 3)
    parts = _unit(unexplained(target, shared, usage, weights).clamp(min=_FLOOR))
    return normalise(shared, torch.ones_like(shared[:, 0]), parts)


def random_start(features: int, k: int, seed: int, template: torch.Tensor) -> Bases:
    """Draw S and T from uniform(0, 1)."""
    shared, parts = (
        uniform((k, features), derive_seed(name, seed), template)
        for name in ("shared topics", "target parts")
    )
    return normalise(shared, torch.ones_like(shared[:, 0]), parts)


def minimise(
    problem: Problem, start: Bases, max_iter: int, tol: float, monitor: Monitor | None = None
) -> CombinedResult:
    """Minimise F; every accepted step lowers it.

    Parameters
    ----------
    problem : Problem
        Data, weights and penalty.
    start : Bases
        As `normalise` returns them.
    max_iter, tol, monitor
        See `bcnmf.solvers.multiplicative.fit_squared_error`.

    Returns
    -------
    CombinedResult
        Usages solve the least-squares problems for the bases; `objective` has F before the first
        and after every iteration.
    """
    monitor = monitor or Monitor()
    trace, search = Trace(tol, 1.0, monitor), Search(_STEPS)
    iteration, converged = monitor.resume(trace), False
    if iteration:
        point = unpacked(monitor.resumed, "point", _Point, start.shared.device)
        search.restore(monitor.resumed["search"])
    else:
        samples = problem.target.shape[0], problem.background.shape[0]
        usages = [start.shared.new_zeros((n, len(start.shared))) for n in samples]
        point = _evaluate(problem, start, usages)
        trace.append(point.objective)
    while iteration < max_iter and not search.exhausted:
        point = _advance(problem, point, search)
        iteration += 1
        trace.append(point.objective)
        trace.scale = _size(problem, point)
        converged = trace.settled() and _kkt_residual(problem, point) <= kkt_tolerance(tol)
        if converged:
            break
        monitor.after_iteration(_state, point, search, iteration, trace)
    residual = _kkt_residual(problem, point)
    return CombinedResult(
        point.bases,
        point.usages[0],
        point.usages[1],
        trace.values(),
        iteration,
        converged or residual <= kkt_tolerance(tol),
        residual,
    )


@dataclass
class _Point:
    """Bases with their exact usages, and what the passes that solved them left."""

    bases: Bases
    combined: torch.Tensor
    usages: list[torch.Tensor]
    moments: list[Moments]
    overlap: torch.Tensor
    objective: float


def _state(point: _Point, search: Search, iteration: int, trace: Trace) -> State:
    """Return what the next iteration starts from."""
    counted = {"iteration": iteration, "objective": trace.recorded(), "search": search.state()}
    return counted | packed(point, "point")


class _Gradient(NamedTuple):
    """Half the gradient of F, positive - negative, as (negative, positive), both >= 0.

    For S, v (K, 1) and T.
    """

    shared: tuple[torch.Tensor, torch.Tensor]
    weight: tuple[torch.Tensor, torch.Tensor]
    target: tuple[torch.Tensor, torch.Tensor]


def _advance(problem: Problem, point: _Point, search: Search) -> _Point:
    """Try one step and return the better point."""
    gradient = _gradient(problem, point)

    def step(direction: str, length: float) -> _Point:
        moved = _STEPS[direction](problem, point, gradient, length)
        return _evaluate(problem, normalise(*moved), [usage.clone() for usage in point.usages])

    return search.advance(point, step)


def _evaluate(problem: Problem, bases: Bases, usages: list[torch.Tensor]) -> _Point:
    """Solve the usages, warm-started from `usages` (overwritten), and evaluate F."""
    overlap = as_float64(bases.shared) @ as_float64(bases.target).T
    objective = problem.penalty * float(overlap.square().sum())
    combined = bases.combined()
    moments = []
    for data, weight, topics, usage in (
        (problem.target, 1.0, combined, usages[0]),
        (problem.background, problem.background_weight, bases.shared, usages[1]),
    ):
        gram = gram_float64(topics)
        part = data.exact_pass(topics, gram, usage)
        error = squared_error(data.squared_norm, part.fit, part.usage_gram, gram)
        objective += weight * float(error)
        moments.append(part)
    return _Point(bases, combined, usages, moments, overlap, objective)


def _gradient(problem: Problem, point: _Point) -> _Gradient:
    """Return half the gradient of F; by the envelope theorem usages count as constants.

    F does not change with the norm of a row of S, or of (v, T): what points along these is taken
    out of the gradient.
    """
    bases, combined = point.bases, point.combined
    weight = bases.weight[:, None]
    less = point.moments[0].cross
    more = to_match(point.moments[0].usage_gram, combined) @ combined
    overlap = problem.penalty * to_match(point.overlap, combined)
    # The penalty of target part k, which a longer topic would make smaller.
    longer = problem.penalty * to_match(point.overlap.square().sum(0), combined)
    less = less + longer[:, None] * combined
    background = point.moments[1]
    model = to_match(background.usage_gram, combined) @ bases.shared
    negative = weight * less + problem.background_weight * background.cross
    positive = weight * more + problem.background_weight * model + overlap @ bases.target
    radial = ((positive - negative) * bases.shared).sum(dim=1, keepdim=True)
    negative = negative + radial.clamp(min=0) * bases.shared
    positive = positive + (-radial).clamp(min=0) * bases.shared

    def along_shared(part: torch.Tensor) -> torch.Tensor:
        return (part * bases.shared).sum(dim=1, keepdim=True)

    return _Gradient(
        (negative, positive),
        (along_shared(less), along_shared(more)),
        (less, more + overlap.T @ bases.shared),
    )


Moved = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _multiplicative(problem: Problem, point: _Point, gradient: _Gradient, exponent: float) -> Moved:
    """Multiply everything by a power of negative / positive."""
    bases = point.bases
    values = bases.shared, bases.weight[:, None], bases.target
    shared, weight, target = (
        # Beyond these factors a power is infinite or zero before it is normalised.
        part * (less / more.clamp(min=torch.finfo(more.dtype).tiny)).clamp(1e-4, 1e4) ** exponent
        for part, (less, more) in zip(values, gradient, strict=True)
    )
    return shared, weight[:, 0], target


def _shared_model(problem: Problem, point: _Point, gradient: _Gradient, length: float) -> Moved:
    """Move S towards the minimiser of a model at the present usages, and v likewise."""
    bases, usage_gram = point.bases, point.moments[0].usage_gram
    weight = as_float64(bases.weight)
    curvature = weight[:, None] * usage_gram * weight
    curvature = curvature + problem.background_weight * point.moments[1].usage_gram
    curvature = raised(curvature, problem.penalty * _largest(bases.target))
    shared = towards_minimiser(bases.shared, gradient.shared, curvature, length)
    likeness = gram_float64(bases.shared)
    scale = towards_minimiser(bases.weight[:, None], gradient.weight, usage_gram * likeness, length)
    return shared, scale[:, 0], bases.target


def _target_model(problem: Problem, point: _Point, gradient: _Gradient, length: float) -> Moved:
    """Move T towards the minimiser of a model at the present usages."""
    bases = point.bases
    curvature = raised(point.moments[0].usage_gram, problem.penalty * _largest(bases.shared))
    return (
        bases.shared,
        bases.weight,
        towards_minimiser(bases.target, gradient.target, curvature, length),
    )


_STEPS: dict[str, Callable[[Problem, _Point, _Gradient, float], Moved]] = {
    "multiplicative": _multiplicative,
    "shared": _shared_model,
    "target": _target_model,
}


def _largest(topics: torch.Tensor) -> float:
    """Return the largest eigenvalue of topics' topics, which bounds the penalty's curvature."""
    return float(torch.linalg.eigvalsh(gram_float64(topics))[-1])


def _kkt_residual(problem: Problem, point: _Point) -> float:
    """Norm of the projected gradient relative to that of its two parts."""
    bases = point.bases
    slope, size = 0.0, 0.0
    for values, (negative, positive) in zip(
        (bases.shared, bases.weight[:, None], bases.target), _gradient(problem, point), strict=True
    ):
        step = negative - positive
        projected = torch.where(values <= 2 * _FLOOR, step.clamp(min=0), step)
        slope += float(as_float64(projected).square().sum())
        size += float(as_float64(negative).norm() + as_float64(positive).norm()) ** 2
    return math.sqrt(slope / max(size, 1e-300))


def _size(problem: Problem, point: _Point) -> float:
    """Return the size of what the objective changes by: what the topics explain."""
    whole = problem.target.squared_norm
    whole += problem.background_weight * problem.background.squared_norm
    return max(whole - point.objective, _LEAST_SHARE * whole)


def _floored(values: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    largest = largest.clamp(min=torch.finfo(values.dtype).tiny)
    return (values / largest[:, None]).clamp(min=_FLOOR)


def _unit(topics: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = topics.norm(dim=1, keepdim=True)
    return topics / norms
