"""Programs beside topics of the background, also where each feature may be measured unequally."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import median_abs_deviation

from bcnmf.calibration import CrossFit
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.scoring import background_topics, usage_beside

# Share of samples in which features are found that say something of how all are measured.
_FOUND, _FEWEST_FEATURES = 0.05, 20


def totals_of(values: Any) -> np.ndarray:
    """Return the sum of each sample (n,), above zero."""
    return np.maximum(np.asarray(values.sum(1), dtype=np.float64).ravel(), 1e-30)


def precision_of(model: Any) -> tuple[Any, Any]:
    """Return the precision that a model computes in, and where."""
    precision: tuple[Any, Any] = model._precision_and_device()
    return precision


def topics_beside(model: Any, y: Any, loss: str) -> np.ndarray:
    """Return topics of the background: those of the model, if it has any."""
    if hasattr(model, "shared_components_"):
        return np.asarray(model.shared_components_, dtype=np.float64)
    if model.has_target_score:
        return np.asarray(model.background_components_, dtype=np.float64)
    topics = background_topics(
        y, model.n_background, loss=loss, device=str(precision_of(model)[1]),
        dtype=model.dtype, random_state=model.seed_,
    )  # fmt: skip
    return topics.astype(np.float64)


@dataclass(frozen=True)
class Solving:
    """Usages of given topics by samples, as shares of a sample."""

    loss: str
    precision: tuple[Any, Any]

    def usage(self, samples: Any, topics: np.ndarray, beside: np.ndarray) -> np.ndarray:
        """Return the usages (samples, K) of topics beside others; for Poisson shares already."""
        data = as_matrix(samples, "samples", *self.precision)
        return usage_beside(data, topics, beside, self.loss, self.precision)

    def strength(self, samples: Any, topics: np.ndarray) -> np.ndarray:
        """Return usages (samples, K) whose product with the topics is the fit."""
        usage = self.usage(samples, topics, topics[:0])
        if self.loss == "poisson":
            return np.asarray(
                usage * totals_of(samples)[:, None] / np.maximum(topics.sum(1), 1e-30)
            )
        return np.asarray(usage / np.maximum(np.linalg.norm(topics, axis=1), 1e-30))

    def shares(self, usage: np.ndarray, topics: np.ndarray, samples: Any) -> np.ndarray:
        """Return what part of each sample's total usages (samples, K) are."""
        if self.loss == "poisson":
            return usage
        # Usages belong to topics of unit norm.
        sizes = topics.sum(1) / np.maximum(np.linalg.norm(topics, axis=1), 1e-30)
        return np.asarray(usage * sizes / totals_of(samples)[:, None])


def kept_of(
    solving: Solving,
    topics: np.ndarray,
    beside: np.ndarray,
    scaled: np.ndarray,
    x: Any,
    y: Any,
    found: CrossFit,
) -> np.ndarray:
    """Return what is left of each program's excess (K,) if features may be measured unequally.

    The background's topics are given as much of each feature as the target has, and usages of
    left-out samples are solved again beside them. A program is more of some features in some
    samples, whatever else these hold; a feature captured threefold is threefold everywhere.
    """
    sums = np.zeros((3, len(topics)))
    for fold, ours in enumerate(found.components):
        # The topic of this fit that is most like each program.
        own = np.asarray(ours, dtype=np.float64)[(unit(topics) @ unit(ours).T).argmax(1)]
        rows, others = (
            np.flatnonzero(part == fold) for part in (found.fold, found.background_fold)
        )
        for place, (side, chosen, stands) in enumerate(
            ((x, rows, beside), (x, rows, scaled), (y, others, beside))
        ):
            usage = solving.usage(side[chosen], own, stands)
            shares = solving.shares(usage, own, side[chosen])
            sums[place] += shares.sum(0) / side.shape[0]
    seen, left, background = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((left - background) / (seen - background))


def scaled_to(beside: np.ndarray, strength: np.ndarray, x: Any, loss: str) -> np.ndarray:
    """Return topics of the background with each feature as strong as the target has it."""
    fitted, sums = strength.sum(0) @ beside, np.asarray(x.sum(0), dtype=np.float64).ravel()
    # Added to both, so that features that are hardly there keep their place.
    faint = 1.0 if loss == "poisson" else 10 * sums.sum() / (len(sums) * x.shape[0])
    return np.asarray(beside * ((sums + faint) / (fitted + faint)))


def capture_of(
    beside: np.ndarray,
    strengths: Sequence[np.ndarray],
    sides: Sequence[Any],
    folds: Sequence[np.ndarray],
) -> float:
    """Return by how much features differ between the sides, without what is noise of samples.

    Noise of one half of the samples is not that of the other, so the covariance of both has none.
    It is taken from medians, so that the features of programs do not count.
    """
    typical = np.logical_and(*(np.asarray((x > 0).mean(0)).ravel() >= _FOUND for x in sides))
    if typical.sum() < _FEWEST_FEATURES:
        return float("nan")
    logs = np.zeros((2, typical.sum()))
    for x, strength, fold, sign in zip(sides, strengths, folds, (1, -1), strict=True):
        for half, part in enumerate((fold == 0, fold > 0)):
            rows = np.flatnonzero(part)
            sums = np.asarray(x[rows].sum(0), dtype=np.float64).ravel()
            fitted = strength[rows].sum(0) @ beside
            logs[half] += sign * np.log(np.maximum(sums, 1e-9) / np.maximum(fitted, 1e-9))[typical]
    spreads = [
        median_abs_deviation(one, scale="normal") for one in (logs[0] + logs[1], logs[0] - logs[1])
    ]
    return float(np.sqrt(max(0.0, spreads[0] ** 2 - spreads[1] ** 2)) / 2)


def unit(topics: Any) -> np.ndarray:
    """Return topics of unit norm."""
    values = np.asarray(topics, dtype=np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-30))


def explained_by(topics: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Return the share of each topic's energy that other topics explain."""
    others = unit(beside).T
    return np.array([1 - nnls(others, topic)[1] ** 2 for topic in unit(topics)])
