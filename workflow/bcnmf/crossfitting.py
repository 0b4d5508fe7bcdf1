"""How many target samples hold what the background does not, judged by fits that saw none of them.

A fit looks for what its target has more of than its background, and finds some even where nothing
is there. Samples that it has not seen show whether there is: if not, 5% of them lie above the 95%
point of background samples that it has not seen either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import ArpackError
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bcnmf import batches, checks, progress
from bcnmf.calibration import CHANCE, CrossFit
from bcnmf.errors import InputError
from bcnmf.matrices.inputs import check_non_negative, host_array, is_anndata
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed

_COMPONENTS = 50
_ROUNDING = 1e-7
# How what is missing looks as text.
_NO_UNIT = ("", "nan", "None", "<NA>", "NaT")

# Topics of two fits that are less alike than this are not the same program.
_SAME = 0.5

# Given the samples of a fold's training parts: what gives others scores (samples,) and usages
# (samples, K) that they are made of, and topics.
Judge = Callable[[Any], tuple[np.ndarray, np.ndarray]]
# With the weights of these samples, by the keywords of `fit`; none where all count alike.
Fitting = Callable[[Any, Any, dict[str, np.ndarray]], tuple[Judge, np.ndarray]]


def crossfit(
    estimator: Any,
    X: Any,
    background: Any = None,
    folds: int = 3,
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
    reference: Any = None,
    sample_weight: Any = None,
    background_weight: Any = None,
) -> CrossFit:
    """Fit without each part of the samples in turn, and score the part that was left out.

    Parameters
    ----------
    estimator : BCNMF, NMF, SharedTargetNMF or CombinedBasisNMF
        How to fit; it is not changed itself. Where it is fitted, programs are numbered as its
        topics are.
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Target.
    background : as X, of shape (m, features)
        Background; required.
    folds : int
        Parts, at least 2, at random, of target and background each.
    random_state : int
        Seed of the parts and of the interval.
    units, background_units : array of shape (n,), (m,), optional
        What each sample comes from, for instance its donor. Where both sides have at least two
        units, parts are of whole units (the same unit of both sides is in the same part; with fewer
        units than `folds` there are fewer parts), so that a sample is judged by a fit that has seen
        nothing of its donor, beside background samples of which it has not either. Only then does
        what merely tells donors apart not count as new.
    reference : array of shape (K, features), optional
        Topics whose numbers the programs get, in place of those of `estimator`. Each fold's topics
        are assigned to them one to one, such that the sum of cosines is largest; an assigned topic
        with a cosine below 0.5 is another one, and the program is missing in this fold. Without
        any, topics of the first fold are taken.
    sample_weight, background_weight : array of shape (n,), (m,), optional
        What samples count in the fits. Judged are all of them alike.

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
    if not hasattr(estimator, "target_usage"):
        raise InputError(
            f"{type(estimator).__name__} has no target_score; give BCNMF, NMF, SharedTargetNMF or "
            "CombinedBasisNMF"
        )

    def fitted(target: Any, other: Any, counted: dict[str, np.ndarray]) -> tuple[Judge, np.ndarray]:
        model = clone(estimator).fit(target, background=other, **counted)

        def judge(samples: Any) -> tuple[np.ndarray, np.ndarray]:
            usage = np.asarray(model.target_usage(samples))
            return np.sqrt(usage.sum(1)), usage

        return judge, model.components_

    if reference is None:
        reference = getattr(estimator, "components_", None)
    weights = sample_weight, background_weight
    return _judged(
        "judging samples, part", fitted, X, background, folds, random_state, units,
        background_units, weights, reference,
    )  # fmt: skip


def coverage(
    X: Any,
    background: Any = None,
    folds: int = 3,
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
    sample_weight: Any = None,
    background_weight: Any = None,
) -> CrossFit:
    """Score samples as `crossfit` does, by a classifier that tells target from background.

    It is a logistic regression, balanced, on 50 principal components of unit variance. It names no
    programs, but what it finds and topics do not is what they miss.

    Parameters
    ----------
    X, background, folds, random_state, units, background_units, sample_weight, background_weight
        See `crossfit`; data in memory. Sparse data are not made dense. Weights are those of the
        classifier; components are of samples that count alike.

    Returns
    -------
    CrossFit

    Raises
    ------
    InputError
        As `crossfit`; data on disk, or of a single feature.
    """
    for name, data in (("target", X), ("background", background)):
        if is_on_disk(data):
            raise InputError(
                f"{name}: is on disk; principal components are computed in memory. Take a random "
                "part of its samples: data[rows].to_memory()"
            )

    def fitted(target: Any, other: Any, counted: dict[str, np.ndarray]) -> tuple[Judge, np.ndarray]:
        if target.shape[1] < 2:
            raise InputError(
                "target: has one feature; a classifier on principal components needs two or more"
            )
        if sp.issparse(target) or sp.issparse(other):
            values = sp.vstack([sp.csr_matrix(target), sp.csr_matrix(other)], format="csr")
        else:
            values = np.concatenate([target, other])
        label = np.repeat([1, 0], [target.shape[0], other.shape[0]])
        sides = (("sample_weight", target), ("background_weight", other))
        given = [counted.get(name, np.ones(side.shape[0])) for name, side in sides]
        options = {"logisticregression__sample_weight": np.concatenate(given)} if counted else {}
        seed = derive_seed("principal components", random_state)
        k = min(_COMPONENTS, min(values.shape) - 1)
        space = PCA(k, whiten=True, svd_solver="arpack", random_state=seed)
        classifier = LogisticRegression(class_weight="balanced", max_iter=2000)
        try:
            model = make_pipeline(space, classifier).fit(values, label, **options)
        except ArpackError as error:
            raise InputError(
                "target and background: no feature differs between their samples, so there is "
                "nothing to tell them apart by; see that these are the data that you mean"
            ) from error
        # Of fewer dimensions than components, the last of these are rounding.
        spread = np.sqrt(space.explained_variance_)
        real = np.broadcast_to(spread > _ROUNDING * spread[0], classifier.coef_.shape)
        weights = np.zeros_like(classifier.coef_)
        np.divide(classifier.coef_, spread, out=weights, where=real)

        def judge(samples: Any) -> tuple[np.ndarray, np.ndarray]:
            return model.decision_function(samples), np.empty((samples.shape[0], 0))

        return judge, weights @ space.components_

    counts = sample_weight, background_weight
    return _judged(
        "classifier, part", fitted, X, background, folds, random_state, units, background_units,
        counts,
    )  # fmt: skip


def _judged(
    what: str,
    fitted: Fitting,
    X: Any,
    background: Any,
    folds: int,
    random_state: int,
    units: Any,
    background_units: Any,
    weights: tuple[Any, Any],
    reference: Any = None,
) -> CrossFit:
    if background is None:
        raise InputError("background is missing: samples are new beside one; pass background=...")
    checks.check_integer("folds", folds, 2)
    checks.check_integer("random_state", random_state, 0)
    checks.check_same_names(
        checks.feature_names(background), checks.feature_names(X), "background", "target"
    )
    target = _Side(X, "target", units, weights[0])
    other = _Side(background, "background", background_units, weights[1])
    folds = _cut(target, other, folds, random_state)
    threshold, components, cosines = np.empty(folds), [], []
    location, scale = np.empty(folds), np.empty(folds)
    for fold in progress.counted(range(folds), what, folds):
        counted = target.weights_without(fold) | other.weights_without(fold)
        judge, topics = fitted(target.without(fold), other.without(fold), counted)
        components.append(topics)
        if reference is None:
            reference = topics
        place, cosine = _matched(np.asarray(reference), topics)
        cosines.append(cosine)
        for side in (other, target):
            score, usage = judge(side.only(fold))
            score = np.asarray(score, dtype=float)
            if side is other:
                location[fold], spread = score.mean(), score.std()
                scale[fold] = spread if spread > 0 else 1.0
            side.score[side.part == fold] = (score - location[fold]) / scale[fold]
            side.keep(fold, usage, place)
        scores = other.score[other.part == fold]
        threshold[fold] = np.quantile(scores, 1 - CHANCE, method="weibull")
    return CrossFit(
        target.score, target.part, other.score, other.part, threshold, components, target.usage,
        other.usage, np.array(cosines), location, scale, random_state, target.units, other.units,
    )  # fmt: skip


def _matched(reference: np.ndarray, topics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the topic of each reference topic (K,), -1 where it has none, and cosines (K,)."""
    if reference.ndim != 2 or reference.shape[1] != topics.shape[1]:
        raise InputError(
            f"reference: has shape {reference.shape}; expected (topics, {topics.shape[1]}), the "
            "topics of a fit of these data"
        )
    norms = [np.linalg.norm(one, axis=1, keepdims=True) for one in (reference, topics)]
    unit = [
        one / np.maximum(norm, 1e-30) for one, norm in zip((reference, topics), norms, strict=True)
    ]
    alike = unit[0] @ unit[1].T
    rows, columns = linear_sum_assignment(alike, maximize=True)
    place, cosine = np.full(len(reference), -1), np.zeros(len(reference))
    place[rows], cosine[rows] = columns, alike[rows, columns]
    place[cosine < _SAME] = -1
    return place, cosine


class _Side:
    """Target or background, to be cut into parts, and the scores that they are given."""

    part: np.ndarray
    usage: np.ndarray

    def __init__(self, data: Any, name: str, units: Any, weights: Any) -> None:
        self.data, self.name = _selectable(data, name), name
        n = self.data.shape[0]
        self.score = np.empty(n)
        self.units = None if units is None else _named_units(units, name, n)
        names = checks.sample_names(units), checks.sample_names(data)
        checks.check_same_names(*names, f"units of the {name}", name, "samples")
        self.keyword = {"target": "sample_weight", "background": "background_weight"}[name]
        self.weights = batches.checked(weights, self.keyword, n, names[1])

    def without(self, fold: int) -> Any:
        """Return the samples of all other parts."""
        return self.data[np.flatnonzero(self.part != fold)]

    def weights_without(self, fold: int) -> dict[str, np.ndarray]:
        """Return the weights of these samples as a keyword of `fit`, if there are any."""
        return {} if self.weights is None else {self.keyword: self.weights[self.part != fold]}

    def only(self, fold: int) -> Any:
        """Return the samples of a part."""
        return self.data[np.flatnonzero(self.part == fold)]

    def keep(self, fold: int, usage: np.ndarray, place: np.ndarray) -> None:
        """Keep the usages (samples, topics) of a part, by the program that each topic is."""
        if fold == 0:
            self.usage = np.full((len(self.score), len(place) if usage.size else 0), np.nan)
        found = np.flatnonzero(place >= 0)
        if usage.size:
            self.usage[np.ix_(self.part == fold, found)] = usage[:, place[found]]


def _named_units(units: Any, name: str, n: int) -> np.ndarray:
    """Return the unit of each sample (n,) as text, after a check that each has one."""
    text = np.asarray(units, dtype=object).astype(str)
    found = np.where(np.ma.getmaskarray(units), "", text)
    if found.shape != (n,):
        raise InputError(
            f"units of the {name} have shape {found.shape}; expected one a sample, ({n},)"
        )
    if lacking := int(np.isin(found, _NO_UNIT).sum()):
        raise InputError(
            f"units of the {name}: {lacking} of {n} samples have none ({', '.join(_NO_UNIT[1:])} "
            "or no text); name them, or leave these samples out"
        )
    return np.asarray(found)


def _cut(target: _Side, background: _Side, folds: int, random_state: int) -> int:
    """Cut both sides into random parts, of whole units where there are some; return how many."""
    sides = (target, background)
    units = [set() if side.units is None else set(side.units) for side in sides]
    if min(map(len, units)) < 2:
        for side in sides:
            n = len(side.score)
            if n < 2 * folds:
                raise InputError(
                    f"{side.name}: has {n} samples; {folds} folds need at least {2 * folds}: "
                    "lower folds, or use target_score of one fit, which cannot say how many "
                    "samples hold something new"
                )
            rng = np.random.default_rng(derive_seed("folds", side.name, random_state))
            side.part = rng.permutation(n) % folds
        return folds
    folds = min(folds, *map(len, units))
    seed = derive_seed("folds", "units", random_state)
    sides[0].part, sides[1].part = parts_of_units(target.units, background.units, folds, seed)
    return folds


def parts_of_units(
    units: Any, background_units: Any, parts: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut two sides into random parts of whole units; a unit of both is in the same part on either.

    Parameters
    ----------
    units, background_units : ndarray of shape (n,), (m,)
        What each sample comes from, as text.
    parts : int
        At most as many as either side has units.
    seed : int
        Of the order of units.

    Returns
    -------
    ndarray of int, shapes (n,) and (m,)
        The part of every sample, from 0 on.
    """
    rng = np.random.default_rng(seed)
    sides = [np.asarray(units), np.asarray(background_units)]
    there = [set(side.tolist()) for side in sides]
    both = rng.permutation(sorted(there[0] & there[1]))
    found = []
    for side, own, other in zip(sides, there, there[::-1], strict=True):
        # Those of both sides first: each is in the same part on either.
        names = [*both, *rng.permutation(sorted(own - other))]
        number = {name: place % parts for place, name in enumerate(names)}
        found.append(np.array([number[name] for name in side]))
    return found[0], found[1]


def _selectable(data: Any, name: str) -> Any:
    """Return data of which samples can be taken by their numbers."""
    if not is_on_disk(data):
        values = host_array(data, name)
        check_non_negative(values, name)
        return values
    if is_anndata(data):
        return data
    raise InputError(
        f"{name}: is a data set in a file, of which no samples can be taken; pass a backed AnnData "
        "(anndata.read_h5ad(path, backed='r')), or read it into memory"
    )
