"""How many target samples hold what the background does not, judged by fits that saw none of them.

A fit looks for what its target has more of than its background, and finds some even where nothing
is there. Samples that it has not seen show whether there is: if not, 5% of them lie above the 95%
point of background samples that it has not seen either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bcnmf import checks
from bcnmf.errors import InputError
from bcnmf.matrices.inputs import host_array, is_anndata
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed

CHANCE = 0.05
_RESAMPLED = 1000
_COMPONENTS = 50

# Given the samples of a fold's training parts: what scores others (samples,), and topics.
Judge = Callable[[Any], np.ndarray]
Fitting = Callable[[Any, Any], tuple[Judge, np.ndarray]]


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
        Which fit has not seen the sample and scores it, from 0 on.
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
    components : list of ndarray
        The topics of each fold (K, features); for `coverage` one row, the classifier's weights.
    """

    score: np.ndarray
    fold: np.ndarray
    background_score: np.ndarray
    background_fold: np.ndarray
    threshold: np.ndarray
    components: list[np.ndarray]
    _seed: int
    _units: np.ndarray | None = None
    _background_units: np.ndarray | None = None

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
        rng = np.random.default_rng(derive_seed("interval", "target", self._seed))
        score, fold = self.score[chosen], self.fold[chosen]
        units = None if self._units is None else self._units[chosen]
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
        rng = np.random.default_rng(derive_seed("interval", "background", self._seed))
        scores, units = self.background_score, self._background_units
        drawn, unit = _drawn_units(units, len(scores), rng)
        points = []
        for fold in range(len(self.threshold)):
            rows = np.flatnonzero(self.background_fold == fold)
            rows = rows[np.argsort(scores[rows])]
            if drawn.shape[1] > 1:
                points.append(_weighted_points(scores[rows], drawn, unit[rows]))
            else:
                # Below the k-th smallest of n lies a part of the population that is Beta(k, n+1-k).
                k = min((1 - CHANCE) * (len(rows) + 1), len(rows))
                parts = rng.beta(k, len(rows) + 1 - k, _RESAMPLED)
                points.append(np.quantile(scores[rows], parts))
        return np.stack(points, axis=1)


def crossfit(
    estimator: Any,
    X: Any,
    background: Any = None,
    folds: int = 3,
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
) -> CrossFit:
    """Fit without each part of the samples in turn, and score the part that was left out.

    Parameters
    ----------
    estimator : BCNMF, NMF, SharedTargetNMF or CombinedBasisNMF
        How to fit; it is not changed itself.
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Target.
    background : as X, of shape (m, features)
        Background; required.
    folds : int
        Parts, at least 2, at random, of target and background each.
    random_state : int
        Seed of the parts and of the interval.
    units, background_units : array of shape (n,), (m,), optional
        What each sample comes from, for instance its donor. The interval is then one over units.

    Returns
    -------
    CrossFit

    Raises
    ------
    InputError
        No background, fewer samples than parts need, or anything that the estimator refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, crossfit
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((60, 12)), rng.random((60, 12))
    >>> found = crossfit(BCNMF(2, random_state=0, tol=1e-3), X, background=Y)
    >>> found.share < 0.3, found.above.shape
    (True, (60,))
    """
    if not hasattr(estimator, "target_score"):
        raise InputError(
            f"{type(estimator).__name__} has no target_score; give BCNMF, NMF, SharedTargetNMF or "
            "CombinedBasisNMF"
        )

    def fitted(target: Any, other: Any) -> tuple[Judge, np.ndarray]:
        model = clone(estimator).fit(target, background=other)
        return model.target_score, model.components_

    return _judged(fitted, X, background, folds, random_state, units, background_units)


def coverage(
    X: Any,
    background: Any = None,
    folds: int = 3,
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
) -> CrossFit:
    """Score samples as `crossfit` does, by a classifier that tells target from background.

    It is a logistic regression, balanced, on 50 principal components. It names no programs, but
    what it finds and topics do not is what they miss.

    Parameters
    ----------
    X, background, folds, random_state, units, background_units
        See `crossfit`; data in memory. Sparse data are not made dense.

    Returns
    -------
    CrossFit

    Raises
    ------
    InputError
        As `crossfit`, and data on disk.
    """
    for name, data in (("target", X), ("background", background)):
        if is_on_disk(data):
            raise InputError(
                f"{name}: is on disk; principal components are computed in memory. Take a random "
                "part of its samples: data[rows].to_memory()"
            )

    def fitted(target: Any, other: Any) -> tuple[Judge, np.ndarray]:
        both = sp.vstack([target, other], format="csr") if sp.issparse(target) else None
        values = np.concatenate([target, other]) if both is None else both
        k = min(_COMPONENTS, min(values.shape) - 1)
        seed = derive_seed("principal components", random_state)
        space = PCA(k, svd_solver="arpack", random_state=seed).fit(values)
        label = np.repeat([1, 0], [target.shape[0], other.shape[0]])
        classifier = LogisticRegression(class_weight="balanced", max_iter=1000)
        classifier.fit(space.transform(values), label)
        return (
            lambda samples: classifier.decision_function(space.transform(samples)),
            classifier.coef_ @ space.components_,
        )

    return _judged(fitted, X, background, folds, random_state, units, background_units)


def _judged(
    fitted: Fitting,
    X: Any,
    background: Any,
    folds: int,
    random_state: int,
    units: Any,
    background_units: Any,
) -> CrossFit:
    if background is None:
        raise InputError("background is missing: samples are new beside one; pass background=...")
    checks.check_integer("folds", folds, 2)
    checks.check_integer("random_state", random_state, 0)
    checks.check_same_names(
        checks.feature_names(background), checks.feature_names(X), "background", "target"
    )
    target = _Side(X, "target", units, folds, random_state)
    other = _Side(background, "background", background_units, folds, random_state)
    threshold, components = np.empty(folds), []
    for fold in range(folds):
        judge, topics = fitted(target.without(fold), other.without(fold))
        components.append(topics)
        left_out = np.asarray(judge(other.only(fold)), dtype=float)
        spread = left_out.std()
        for side, values in ((target, judge(target.only(fold))), (other, left_out)):
            scaled = (values - left_out.mean()) / (spread if spread > 0 else 1.0)
            side.score[side.part == fold] = scaled
        scores = other.score[other.part == fold]
        threshold[fold] = np.quantile(scores, 1 - CHANCE, method="weibull")
    return CrossFit(
        target.score, target.part, other.score, other.part, threshold, components, random_state,
        target.units, other.units,
    )  # fmt: skip


class _Side:
    """Target or background, in random parts of equal size."""

    def __init__(self, data: Any, name: str, units: Any, folds: int, random_state: int) -> None:
        self.data = _selectable(data, name)
        n = self.data.shape[0]
        if n < 2 * folds:
            raise InputError(
                f"{name}: has {n} samples; {folds} folds need at least {2 * folds}: lower folds, "
                "or use target_score of one fit, which cannot say how many samples hold something"
            )
        rng = np.random.default_rng(derive_seed("folds", name, random_state))
        self.part = rng.permutation(n) % folds
        self.score = np.empty(n)
        self.units = None if units is None else np.asarray(units).astype(str)
        if self.units is not None and self.units.shape != (n,):
            raise InputError(
                f"units of the {name} have shape {self.units.shape}; expected one a sample, ({n},)"
            )

    def without(self, fold: int) -> Any:
        """Return the samples of all other parts."""
        return self.data[np.flatnonzero(self.part != fold)]

    def only(self, fold: int) -> Any:
        """Return the samples of a part."""
        return self.data[np.flatnonzero(self.part == fold)]


def _selectable(data: Any, name: str) -> Any:
    """Return data of which samples can be taken by their numbers."""
    if not is_on_disk(data):
        return host_array(data, name)
    if is_anndata(data):
        return data
    raise InputError(
        f"{name}: is a data set in a file, of which no samples can be taken; pass a backed AnnData "
        "(anndata.read_h5ad(path, backed='r')), or read it into memory"
    )


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
