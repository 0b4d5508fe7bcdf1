"""Few passes over large data: components move after every batch of samples.

Of each batch the usages are solved exactly, and H'H and H'X enter running averages over the latest
batches, as in online matrix factorisation (Mairal et al. 2010). These stand for the whole data in
the gradient of the reduced objective (`bcnmf.solvers.contrast`), along which the components take
two steps; both the weight of a batch and the steps get smaller with the batches seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bcnmf.device import as_float64, gram_float64
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.divergence import squared_error
from bcnmf.solvers import contrast
from bcnmf.solvers.contrast import (
    Point,
    Term,
    gradient_parts,
    kkt_residual,
    multiplicative_step,
    normalise,
    quasi_newton_step,
)
from bcnmf.solvers.result import (
    FACTORS,
    Monitor,
    SolverResult,
    Trace,
    packed_moments,
    unpacked_moments,
)
from bcnmf.solvers.starts import Factors
from bcnmf.solvers.usage import exact_usage

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

# Batches into which a pass is cut where their size is not given: smaller ones would be noise.
_LEAST_BATCH, _MOST_BATCHES = 256, 100
# The t-th batch enters the averages with weight t^-0.6, which forgets what earlier components gave;
# steps are halves of those of the full solver, and shrink as 1 / t from t = 20 on.
_FORGETTING, _STEP, _FULL_STEPS = 0.6, 0.5, 20
# From random starts a strong contrast drives all topics into one; it is reached in so many passes.
_WARM_UP_CONTRAST, _WARM_UP_PASSES = 1.0, 2.0


def fit_squared_error(
    target: Matrix,
    background: Matrix | None,
    start: Factors,
    alpha: float,
    max_iter: int,
    tol: float,
    monitor: Monitor | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    warm_up: bool = True,
) -> SolverResult:
    """Reduce ||X - H_X C||^2 - alpha ||Y - H_Y C||^2 by steps after batches of samples.

    Parameters
    ----------
    target, background, start, alpha, tol, monitor, warm_up
        See `bcnmf.solvers.safeguarded.fit_squared_error`.
    max_iter : int
        Passes over the data at most; one more solves all usages at the end.
    batch_size : int, optional
        Samples of both sides in a batch, in proportion to the sizes of the sides.
    seed : int
        Of the order of samples, which is another one in every pass.

    Returns
    -------
    SolverResult
        `objective` holds, for every pass, the sum of what its batches showed, and at the end the
        objective itself; `converged` is whether the former settled.
    """
    sides = [Term(target, 1.0)]
    if background is not None and alpha > 0:
        sides.append(Term(background, -alpha))
    monitor, trace = monitor or Monitor(), Trace(tol, 1.0, monitor)
    descent = _Descent(sides, start, batch_size, seed, warm_up)
    passes, converged = monitor.resume(trace), False
    if passes:
        descent.restore(monitor.resumed)
    while passes < max_iter and not converged:
        before = descent.point.objective
        descent.one_pass(passes)
        trace.append(descent.point.objective)
        passes += 1
        converged = descent.settled(before, tol)
        monitor.after_iteration(descent.state, passes, trace)
    solved = descent.solved()
    trace.append(solved.objective)
    return SolverResult(
        solved.components,
        solved.usages[0],
        solved.usages[1] if len(sides) > 1 else exact_usage(background, solved.components),
        trace.values(),
        passes,
        converged,
        kkt_residual=kkt_residual(sides, solved),
    )


class _Descent:
    """Components on their way, and averages of what the latest batches gave."""

    def __init__(
        self,
        sides: Sequence[Term],
        start: Factors,
        batch_size: int | None,
        seed: int,
        warm_up: bool,
    ) -> None:
        samples = sum(side.data.shape[0] for side in sides)
        self._sides = sides
        batches = min(samples / _LEAST_BATCH, _MOST_BATCHES)
        self._count = math.ceil(batches if batch_size is None else samples / batch_size)
        self._seed = seed
        self._batches_done = 0
        self._batches_of_side = [0] * len(sides)
        self._shares: Sequence[float] = _warm_up(sides, self._count) if warm_up else []
        components = normalise(start[0])
        moments = [_no_moments(components) for _ in sides]
        usages = [usage.clone() for usage in start[1 : 1 + len(sides)]]
        self.point = Point(
            components, usages, moments, gram_float64(components), [0.0] * len(sides), math.inf
        )

    def one_pass(self, number: int) -> None:
        """Go through all samples once, in an order of their own for every pass."""
        rng = np.random.default_rng([self._seed, number])
        batches = [_batches(side.data, self._count, rng) for side in self._sides]
        errors: list[torch.Tensor | float] = [0.0] * len(self._sides)
        for rows_of_sides in zip(*batches, strict=True):
            for i, rows in enumerate(rows_of_sides):
                if len(rows):
                    errors[i] = errors[i] + self._take_in(i, rows)
            self._batches_done += 1
            self._move()
        # Only here does the host wait for the device.
        self.point.errors = [float(error) for error in errors]
        self.point.objective = contrast.objective(self._sides, self.point.errors)

    def settled(self, before: float, tol: float) -> bool:
        """Whether a pass changed the objective by at most `tol` of what the topics explain."""
        if tol == 0 or self._batches_done <= len(self._shares) or math.isinf(before):
            return False
        scale = contrast.scale(self._sides, self.point.objective)
        return abs(before - self.point.objective) <= tol * scale

    def solved(self) -> Point:
        """Return the components with exact usages of all samples."""
        return contrast.evaluate(self._sides, self.point.components, self.point.usages)

    def state(self, passes: int, trace: Trace) -> State:
        """Return what `restore` takes, and the factors."""
        usages = [*self.point.usages, self.point.usages[0][:0]]
        factors = dict(zip(FACTORS, (self.point.components, *usages[:2]), strict=True))
        rest = {"seen": self._batches_done, "taken": self._batches_of_side}
        rest |= {"estimate": self.point.objective, "errors": self.point.errors}
        rest |= {"iteration": passes, "objective": trace.recorded()}
        return factors | rest | packed_moments(self.point.moments)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where another descent was that had the same factors."""
        self.point.components = torch.as_tensor(state["components"]).to(self.point.components)
        self.point.gram = gram_float64(self.point.components)
        self._batches_done, self._batches_of_side = int(state["seen"]), state["taken"].tolist()
        self.point.objective = float(state["estimate"])
        self.point.errors = state["errors"].tolist()
        self.point.moments = unpacked_moments(state, len(self._sides), self.point.components)

    def _take_in(self, i: int, rows: np.ndarray) -> torch.Tensor:
        """Solve the usages of a batch and average in what it gives; return its squared error."""
        side, point = self._sides[i].data, self.point
        batch, index = side.rows(rows), torch.as_tensor(rows, device=point.usages[i].device)
        usage = point.usages[i][index]
        found = batch.exact_pass(point.components, point.gram, usage)
        point.usages[i][index] = usage
        # A small side is not in every batch.
        self._batches_of_side[i] += 1
        weight = float(self._batches_of_side[i]) ** -_FORGETTING
        factor = side.shape[0] / len(rows)
        _average(point.moments[i], found, weight, factor)
        return squared_error(batch.squared_norm, found.fit, found.usage_gram, point.gram)

    def _move(self) -> None:
        """Take steps along the gradient that the averages give."""
        sides, point = self._eased(), self.point
        length = _STEP * min(1.0, _FULL_STEPS / self._batches_done)
        # Neither is enough alone: the first stalls with more topics than programs, the second
        # crawls near a minimum.
        for step in (quasi_newton_step, multiplicative_step):
            pull, push = gradient_parts(sides, point)
            point.components = normalise(step(point, pull, push, length))
        point.gram = gram_float64(point.components)

    def _eased(self) -> Sequence[Term]:
        """Return the sides with the contrast of this moment."""
        done = self._batches_done
        share = self._shares[done - 1] if done <= len(self._shares) else 1.0
        return [
            Term(side.data, side.weight * (share if side.weight < 0 else 1.0))
            for side in self._sides
        ]


def _batches(data: Matrix, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut the rows, in random order but in runs that are read together, into batches."""
    starts = np.arange(0, data.shape[0], data.run_length)
    shuffled = rng.permutation(starts)
    return [
        np.sort(
            np.concatenate(
                [np.arange(i, min(i + data.run_length, data.shape[0])) for i in part]
                or [np.empty(0, dtype=np.int64)]
            )
        )
        for part in np.array_split(shuffled, count)
    ]


def _warm_up(sides: Sequence[Term], count: int) -> list[float]:
    """Return which share of the contrast counts after each of the first batches."""
    relative = contrast.relative_contrast(sides)
    if relative <= _WARM_UP_CONTRAST:
        return []
    batches = max(1, round(_WARM_UP_PASSES * count))
    return list(np.geomspace(_WARM_UP_CONTRAST / relative, 1.0, batches))


def _average(running: Moments, found: Moments, weight: float, factor: float) -> None:
    """Average what a batch gave, times the factor by which all samples are more, into the rest."""
    running.cross = (1 - weight) * running.cross + weight * factor * found.cross
    running.usage_gram = (1 - weight) * running.usage_gram + weight * factor * found.usage_gram


def _no_moments(components: torch.Tensor) -> Moments:
    zeros = torch.zeros_like(components)
    return Moments(zeros, torch.zeros_like(gram_float64(components)), as_float64(zeros).sum())
