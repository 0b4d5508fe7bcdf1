"""Tests of every column, a topic's usage or a feature, against the classes of a held-out label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy import stats
from sklearn.utils.sparsefuncs import mean_variance_axis

from bcnmf.errors import InputError

Values: TypeAlias = Any  # ndarray or sparse matrix; scipy has no types


@dataclass(frozen=True)
class Association:
    """Test of every column against the classes.

    Attributes
    ----------
    statistic : ndarray of shape (columns,)
        Welch's t (two classes; positive where the class that sorts first is higher) or F (more).
    p_value : ndarray of shape (columns,)
        Two-sided; NaN where nothing can be tested.
    favours : ndarray of shape (columns,)
        The class with the highest mean (ties: the one that sorts first).
    """

    statistic: np.ndarray
    p_value: np.ndarray
    favours: np.ndarray


def welch_test(values: Values, labels: np.ndarray) -> Association:
    """Test whether class means differ, without assuming equal variances.

    Two classes: Welch's t-test (Welch 1947), as ``scipy.stats.ttest_ind(equal_var=False)``. More:
    Welch's one-way analysis of variance (Welch 1951), as ``scipy.stats.f_oneway(equal_var=False)``.
    Classes of fewer than two samples are left out of the test. A column that is constant in every
    class gives NaN if the constants are equal, else an infinite statistic and p = 0. With more than
    two classes, one that is constant (often all zeros) is given the weight of a vanishing variance,
    the limit of the test, where scipy gives NaN.

    Parameters
    ----------
    values : ndarray or scipy sparse matrix of shape (samples, columns)
        Sparse values are not made dense.
    labels : ndarray of shape (samples,)
        Class of each sample; at least two classes.

    Returns
    -------
    Association

    Raises
    ------
    InputError
        Fewer than two classes.
    """
    moments = class_moments(values, labels)
    if len(moments.classes) < 2:
        raise InputError(
            f"a test needs at least two classes; found {', '.join(map(str, moments.classes))}"
        )
    favours = moments.classes[moments.means.argmax(axis=0)]
    enough = moments.counts >= 2
    columns = moments.means.shape[1]
    if enough.sum() < 2:
        return Association(np.full(columns, np.nan), np.full(columns, np.nan), favours)
    counts = moments.counts[enough].astype(np.float64)[:, None]
    means, variances = moments.means[enough], moments.variances[enough]
    # A difference of means this small is rounding.
    spread = np.ptp(means, axis=0)
    equal = spread <= 1e-13 * np.abs(means).max(axis=0)
    if len(counts) == 2:
        deviations = np.sqrt(variances)
        first, second = zip(means, deviations, counts, strict=True)
        statistic, p_value = stats.ttest_ind_from_stats(*first, *second, equal_var=False)
    else:
        statistic, p_value = _welch_f(counts, means, variances)
    constant = (variances == 0).all(axis=0)
    statistic[constant & equal] = p_value[constant & equal] = np.nan
    return Association(statistic, p_value, favours)


@dataclass(frozen=True)
class Moments:
    """Mean and variance (n - 1) of every column within every class.

    Attributes
    ----------
    classes : ndarray of shape (classes,)
        Labels, sorted.
    counts : ndarray of shape (classes,)
        Samples in each class.
    means, variances : ndarray of shape (classes, columns)
        Variances are NaN for classes of one sample.
    """

    classes: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    variances: np.ndarray


def class_moments(values: Values, labels: np.ndarray) -> Moments:
    """Return means and variances per class, in two passes over the stored values.

    Parameters
    ----------
    values : ndarray or scipy sparse matrix of shape (samples, columns)
        Sparse values are not made dense.
    labels : ndarray of shape (samples,)
        Class of each sample.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if sp.issparse(values):
        values = sp.csr_matrix(values)
        if not values.has_canonical_format:
            values = values.copy()
            values.sum_duplicates()
    classes_of = [_mean_and_variance(values[labels == name]) for name in classes]
    means, variances = (np.array(part) for part in zip(*classes_of, strict=True))
    # Equal values differ from their mean by rounding, which is no variance.
    variances[variances <= (1e-13 * np.abs(means)) ** 2] = 0.0
    return Moments(classes, counts, means, variances)


def _mean_and_variance(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (n - 1) of each column, in float64."""
    values, n = values.astype(np.float64), values.shape[0]
    if sp.issparse(values):
        mean, variance = mean_variance_axis(values, axis=0)
    else:
        mean, variance = values.mean(axis=0), values.var(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return mean, variance * (np.float64(n) / (n - 1))


def _welch_f(
    counts: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Welch's F and p of columns, from moments per class.

    Not scipy's `f_oneway`: it takes the samples, dense, and gives NaN where one class is constant.
    """
    classes = len(counts)
    largest = variances.max(axis=0)
    floored = np.maximum(variances, 1e-12 * largest)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Relative to the largest variance, so that no unit of measurement over- or underflows.
        weights = counts / (floored / largest)
        shares = weights / weights.sum(axis=0)
        # Means relative to the weightiest class, for the differences to keep their digits.
        anchor = np.take_along_axis(means, weights.argmax(axis=0)[None], axis=0)
        shifted = means - anchor
        centre = (shares * shifted).sum(axis=0)
        between = (weights * np.square(shifted - centre)).sum(axis=0) / largest / (classes - 1)
        imbalance = (np.square(1 - shares) / (counts - 1)).sum(axis=0)
        f = between / (1 + 2 * (classes - 2) / (classes**2 - 1) * imbalance)
        p_value = stats.f.sf(f, classes - 1, (classes**2 - 1) / (3 * imbalance))
    constant = largest == 0
    f[constant], p_value[constant] = np.inf, 0.0
    return f, p_value


def auroc_per_class(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the area under the ROC curve of each column for each class against the rest.

    Parameters
    ----------
    values : ndarray of shape (samples, columns)
        Usages.
    labels : ndarray of shape (samples,)
        Class of each sample; at least two classes.

    Returns
    -------
    classes : ndarray of shape (classes,)
        Labels, sorted.
    auroc : ndarray of shape (classes, columns)
        Probability that a sample of the class has a higher value than one of another class, ties
        counting half.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InputError(f"AUROC needs at least two classes; found {', '.join(map(str, classes))}")
    ranks = stats.rankdata(np.asarray(values), axis=0)
    sums = np.array([ranks[labels == name].sum(axis=0) for name in classes])
    wins = sums - (counts * (counts + 1) / 2)[:, None]
    return classes, wins / (counts * (len(labels) - counts))[:, None]
