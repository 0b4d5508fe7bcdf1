"""What cross-fitted scores of target and background say: which are above, how many, how surely."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from sklearn.metrics import roc_auc_score

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed

CHANCE = 0.05
_RESAMPLED = 1000


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Scores of samples by fits that have not seen them.

    Attributes
    ----------
    score : ndarray of shape (n,)
        Scores of the target samples, in units of what the same fit makes of background samples that
        it has not seen: 0 is their mean, 1 is one standard deviation above it. So scores of
        different folds can be compared.
    fold : ndarray of shape (n,)
        Which fit has not seen the sample (nor its unit, if `by_unit`) and scores it, from 0 on.
    above : ndarray of shape (n,), bool
        Whether the score is above the threshold of its fold.
    share : float
        Share of the target samples that are above.
    interval : tuple of float
        95% interval of the share; see `share_of`.
    chance : float
        Share that is to be expected where target and background do not differ: 0.05, or more where
        a fold has fewer than 19 background samples.
    background_score, background_fold : ndarray of shape (m,)
        The same of the background samples.
    threshold : ndarray of shape (folds,)
        95% point of the background scores of each fold.
    auroc : float
        Probability that a target sample scores higher than a background sample.
    by_unit : bool
        Whether whole units were left out, both sides having at least two.
    components : list of ndarray
        The topics of each fold (K, features); for `coverage` one row, the classifier's weights.
    usage, background_usage : ndarray of shape (n, K), (m, K)
        Usages of the programs, beside topics of the background (`target_usage`), by the fit that
        has not seen the sample. Programs are numbered as in the reference of `crossfit`; NaN where
        this fit has no such topic. For `coverage` there are none, (n, 0).
    cosines : ndarray of shape (folds, K)
        Of each program to the topic that it has in each fold, or would have were they more alike.
    location, scale : ndarray of shape (folds,)
        Mean and standard deviation of the target score in left-out background, by which scores
        were brought to common units.
    seed : int
        Of the parts and the interval.
    units, background_units : ndarray of shape (n,), (m,), or None
        What samples come from, as it was given.
    """

    score: np.ndarray
    fold: np.ndarray
    background_score: np.ndarray
    background_fold: np.ndarray
    threshold: np.ndarray
    components: list[np.ndarray]
    usage: np.ndarray
    background_usage: np.ndarray
    cosines: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    seed: int
    units: np.ndarray | None = None
    background_units: np.ndarray | None = None

    @property
    def above(self) -> np.ndarray:  # noqa: D102
        return np.asarray(self.score > self.threshold[self.fold])

    @property
    def share(self) -> float:  # noqa: D102
        return float(self.above.mean())

    @property
    def interval(self) -> tuple[float, float]:  # noqa: D102
        return self.share_of(np.ones(len(self.score), dtype=bool))[1:]

    @property
    def chance(self) -> float:  # noqa: D102
        left_out = np.bincount(self.background_fold)
        return float(np.average(np.maximum(CHANCE, 1 / (left_out + 1)), weights=left_out))

    @property
    def by_unit(self) -> bool:  # noqa: D102
        units = (self.units, self.background_units)
        return all(one is not None and len(np.unique(one)) > 1 for one in units)

    @property
    def auroc(self) -> float:  # noqa: D102
        scores = np.concatenate([self.score, self.background_score])
        label = np.repeat([1, 0], [len(self.score), len(self.background_score)])
        return float(roc_auc_score(label, scores))

    def share_of(self, mask: np.ndarray) -> tuple[float, float, float]:
        """Return the share above of some target samples, and its 95% interval.

        The interval says how much the share may owe to which samples were drawn, of the target and
        of the background, from which the threshold is. With units, it is whole units that are
        drawn, provided that a side has at least two. It says nothing on what else target and
        background differ by.

        Parameters
        ----------
        mask : ndarray of shape (n,), bool
            Which target samples.

        Returns
        -------
        share, low, high : float
            NaN where the mask is empty.
        """
        chosen = np.asarray(mask, dtype=bool)
        if chosen.shape != self.score.shape:
            raise InputError(f"mask: has shape {chosen.shape}; expected {self.score.shape}")
        if not chosen.any():
            return float("nan"), float("nan"), float("nan")
        shares = self._resampled_shares(chosen)
        low, high = np.quantile(shares, [0.025, 0.975])
        share = float(self.above[chosen].mean())
        return share, float(min(low, share)), float(max(high, share))

    def _resampled_shares(self, chosen: np.ndarray) -> np.ndarray:
        """Return the share above (resampled,) of target samples, as it might have come out."""
        rng = np.random.default_rng(derive_seed("interval", "target", self.seed))
        score, fold = self.score[chosen], self.fold[chosen]
        units = None if self.units is None else self.units[chosen]
        drawn, unit = _drawn_units(units, len(score), rng)
        above = np.zeros(drawn.shape)
        for which, part in product(range(drawn.shape[1]), range(len(self.threshold))):
            scores = np.sort(score[(unit == which) & (fold == part)])
            above[:, which] += len(scores) - np.searchsorted(
                scores, self._thresholds[:, part], side="right"
            )
        if drawn.shape[1] > 1:
            sizes = np.bincount(unit, minlength=drawn.shape[1])
            return np.asarray((drawn * above).sum(1) / (drawn @ sizes))
        # Not the share of samples drawn again: where all are above, all would be in each draw.
        return rng.beta(above[:, 0] + 0.5, len(score) - above[:, 0] + 0.5)

    @cached_property
    def _thresholds(self) -> np.ndarray:
        """Thresholds (resampled, folds) of backgrounds that might have been drawn."""
        rng = np.random.default_rng(derive_seed("interval", "background", self.seed))
        scores, units = self.background_score, self.background_units
        drawn, unit = _drawn_units(units, len(scores), rng)
        points = []
        for fold in range(len(self.threshold)):
            rows = np.flatnonzero(self.background_fold == fold)
            rows = rows[np.argsort(scores[rows])]
            if drawn.shape[1] > 1:
                points.append(_weighted_points(scores[rows], drawn, unit[rows]))
            else:
                points.append(_drawn_points(scores[rows], rng))
        return np.stack(points, axis=1)


def _drawn_units(
    units: np.ndarray | None, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each unit is drawn (resampled, units), and the unit (n,) of each sample.

    Without units, all samples are of one.
    """
    names, unit = np.unique(np.zeros(n) if units is None else units, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLED)
    return drawn, unit


def _weighted_points(scores: np.ndarray, drawn: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return the 95% point (resampled,) of sorted scores whose units are drawn so often."""
    points = np.full(len(drawn), np.quantile(scores, 1 - CHANCE, method="weibull"))
    for number, times in enumerate(drawn):
        counts = np.cumsum(times[unit])
        if counts[-1]:
            place = np.searchsorted(counts, (1 - CHANCE) * (counts[-1] + 1))
            points[number] = scores[min(place, len(scores) - 1)]
    return points


def _drawn_points(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the 95% point (resampled,) of sorted scores, as other samples might have had it."""
    n = len(scores)
    # Below the k-th smallest of n lies a part of the population that is Beta(k, n + 1 - k).
    k = min((1 - CHANCE) * (n + 1), n)
    part = rng.beta(k, n + 1 - k, _RESAMPLED)
    points = np.quantile(scores, part, method="weibull")
    # Beyond the largest score, an exponential tail like that of the upper fifth.
    upper = max(1, n // 5)
    tail = float((scores[-upper:] - scores[-upper - 1]).mean())
    beyond = np.log(np.maximum(1.0, 1 / ((n + 1) * np.maximum(1 - part, 1e-12))))
    return np.asarray(points + tail * beyond)
