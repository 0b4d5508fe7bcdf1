"""The contrast with usages solved out: its value, its gradient, and steps along it.

f(C) = min_H ||X - H C||^2 - alpha min_H ||Y - H C||^2 depends only on the directions of the rows of
C, so they are kept on the unit sphere, where f is bounded below by -alpha ||Y||^2. By the envelope
theorem the gradient of f needs no derivative of the usages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from bcnmf.device import as_float64, gram_float64, to_match
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.divergence import squared_error

# Multiplication cannot leave an exact zero, so loadings rest on a floor far below any real one.
_FLOOR = 1e-12
_MODEL_SWEEPS = 100
# The objective has to settle relative to what the topics explain, which a contrast makes small
# beside the data; below this share of the data it is noise.
_LEAST_SHARE = 1e-4


@dataclass(frozen=True)
class Term:
    """One data set of a contrast.

    Attributes
    ----------
    data : Matrix
        (samples, features).
    weight : float
        Of its squared error: 1 for a target, -alpha for a background.
    """

    data: Matrix
    weight: float


def terms_of(target: Matrix, background: Matrix | None, alpha: float) -> list[Term]:
    """Return the terms of the contrast; only the target's without a background."""
    return [Term(target, 1.0)] + ([] if background is None else [Term(background, -alpha)])


def with_share_of_contrast(terms: Sequence[Term], share: float) -> list[Term]:
    """Return the terms with the weight of what is contrasted with times `share`."""
    return [
        replace(term, weight=term.weight * share) if term.weight < 0 else term for term in terms
    ]


@dataclass
class Point:
    """Components with their exact usages, and what the pass that solved them left."""

    components: torch.Tensor
    usages: list[torch.Tensor]
    moments: list[Moments]
    gram: torch.Tensor
    errors: list[float]
    objective: float


def relative_contrast(terms: Sequence[Term]) -> float:
    """Return the weight of what is contrasted with, relative to the energy of the target."""
    full = -sum(min(term.weight, 0.0) * term.data.squared_norm for term in terms)
    return full / terms[0].data.squared_norm


def normalise(components: torch.Tensor) -> torch.Tensor:
    """Return components (K, features) with unit-norm rows and no exact zero."""
    # By the largest entry first: a long step may leave a row too small to square.
    largest = components.amax(dim=1, keepdim=True).clamp(min=torch.finfo(components.dtype).tiny)
    components = (components / largest).clamp(min=_FLOOR)
    norms: torch.Tensor = components.norm(dim=1, keepdim=True)
    return components / norms


def evaluate(terms: Sequence[Term], components: torch.Tensor, usages: list[torch.Tensor]) -> Point:
    """Solve the usages, warm-started from `usages` (overwritten), and evaluate the objective."""
    gram, moments = solve(terms, components, usages)
    errors: list[float] = errors_of(terms, moments, gram).tolist()
    return Point(components, usages, moments, gram, errors, objective(terms, errors))


def solve(
    terms: Sequence[Term], components: torch.Tensor, usages: list[torch.Tensor]
) -> tuple[torch.Tensor, list[Moments]]:
    """Solve the usages, from `usages` on (overwritten); return the components' Gram matrix too."""
    gram = gram_float64(components)
    moments = [
        term.data.exact_pass(components, gram, usage)
        for term, usage in zip(terms, usages, strict=True)
    ]
    return gram, moments


def errors_of(
    terms: Sequence[Term], moments: Sequence[Moments], gram: torch.Tensor
) -> torch.Tensor:
    """Return the terms' squared errors after a pass with components of this Gram matrix."""
    return torch.stack(
        [
            squared_error(term.data.squared_norm, part.fit, part.usage_gram, gram)
            for term, part in zip(terms, moments, strict=True)
        ]
    )


def weighted(terms: Sequence[Term], losses: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the weighted sum of the terms' losses, left on the device."""
    return torch.stack([term.weight * loss for term, loss in zip(terms, losses, strict=True)]).sum()


def objective(terms: Sequence[Term], errors: Sequence[float]) -> float:
    """Return the weighted sum of the terms' squared errors."""
    return sum(term.weight * error for term, error in zip(terms, errors, strict=True))


def scale(terms: Sequence[Term], reached: float) -> float:
    """Return the size of what the objective changes by: the contrast that the topics explain.

    `reached` is the objective with them.
    """
    nothing = objective(terms, [term.data.squared_norm for term in terms])
    return max(abs(nothing - reached), _LEAST_SHARE * whole(terms))


def whole(terms: Sequence[Term]) -> float:
    """Return the size of the terms themselves."""
    return sum(abs(term.weight) * term.data.squared_norm for term in terms)


def gradient_parts(terms: Sequence[Term], point: Point) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (negative, positive), both >= 0: half the gradient is positive - negative."""
    return weighted_parts(terms, point.moments, point.components)


def weighted_parts(
    terms: Sequence[Term], moments: Sequence[Moments], components: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `gradient_parts` from what passes over the data left."""
    negative, positive = torch.zeros_like(components), torch.zeros_like(components)
    for term, part in zip(terms, moments, strict=True):
        model = to_match(part.usage_gram, components) @ components
        less, more = (part.cross, model) if term.weight > 0 else (model, part.cross)
        negative = negative + abs(term.weight) * less
        positive = positive + abs(term.weight) * more
    return negative, positive


def multiplicative_step(
    point: Point, negative: torch.Tensor, positive: torch.Tensor, exponent: float
) -> torch.Tensor:
    """Return the components times a power of the ratio of the gradient's parts."""
    ratio = negative / positive.clamp(min=torch.finfo(positive.dtype).tiny)
    # Beyond these factors a power is infinite or zero before it is normalised.
    return point.components * ratio.clamp(1e-4, 1e4) ** exponent


def quasi_newton_step(
    point: Point, negative: torch.Tensor, positive: torch.Tensor, length: float
) -> torch.Tensor:
    """Move towards, or beyond, the minimiser of the model at the target's usages."""
    curvature = point.moments[0].usage_gram
    moved = towards_minimiser(point.components, (negative, positive), curvature, length)
    return torch.where(moved.amax(dim=1, keepdim=True) <= 0, point.components, moved)


def towards_minimiser(
    values: torch.Tensor,
    gradient: tuple[torch.Tensor, torch.Tensor],
    curvature: torch.Tensor,
    length: float,
) -> torch.Tensor:
    """Move (K, any) towards, or beyond, the non-negative minimiser of a quadratic model."""
    diagonal = curvature.diagonal()
    unused = diagonal <= 1e-12 * diagonal.sum()
    # Topics that coincide would have no unique minimiser.
    curvature = raised(curvature, 1e-10 * diagonal.sum())
    negative, positive = gradient
    aim = (to_match(curvature, values) @ values + negative - positive).T.contiguous()
    solved = values.T.clone(memory_format=torch.contiguous_format)
    nonnegative_least_squares(aim, curvature, solved, max_sweeps=_MODEL_SWEEPS, tol=1e-7)
    moved = (values + length * (solved.T - values)).clamp(min=0)
    return torch.where(unused.to(moved.device)[:, None], values, moved)


def raised(matrix: torch.Tensor, by: torch.Tensor | float) -> torch.Tensor:
    """Return a matrix with something added to its diagonal."""
    return matrix + by * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)


def kkt_residual(terms: Sequence[Term], point: Point) -> float:
    """Norm of the projected gradient relative to that of its two parts."""
    negative, positive = gradient_parts(terms, point)
    step = negative - positive
    projected = torch.where(at_floor(point.components), step.clamp(min=0), step)
    size = (as_float64(negative).norm() + as_float64(positive).norm()).clamp(min=1e-300)
    return float(as_float64(projected).norm() / size)


def at_floor(components: torch.Tensor) -> torch.Tensor:
    """Return which entries are as good as zero."""
    return components <= 2 * _FLOOR


def kkt_tolerance(tol: float, share: float = 1.0) -> float:
    """Return how large a relative projected gradient still counts as converged.

    The objective is quadratic near its minimum, so a change of `tol` goes with a gradient of its
    square root. Where what the topics explain is a small `share` of the terms, so is the change.
    """
    return math.sqrt(tol * share)
