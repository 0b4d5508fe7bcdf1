"""Units of replication (donors, mice): where they stand, and tests of features by their means.

Programs are few and tested by permutation, `bcnmf.unit_test`. Features are many: the least p that
a permutation of a few units can have would not survive the adjustment over thousands of them, so
these tests assume that means of units are about normal.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import stats

from bcnmf.evidence.units import Replicates, replicates
from bcnmf_pipeline.evaluate.association import welch_test


def units_of(side: AnnData, unit: str) -> np.ndarray | None:
    """Return the unit of every sample by a column of `obs`; None where one has none."""
    if not unit or unit not in side.obs or side.obs[unit].isna().any():
        return None
    return np.asarray(side.obs[unit].astype(str))


def testable(classes: np.ndarray | None, units: np.ndarray | None) -> Replicates | None:
    """Return the replicates of samples; None without units, or with one class."""
    if classes is None or units is None or len(np.unique(classes)) < 2:
        return None
    return replicates(classes, units)


def means_test(
    values: Any, classes: np.ndarray | None, units: np.ndarray | None
) -> tuple[np.ndarray, str]:
    """Test whether means of units differ between classes: samples of one unit are not independent.

    Two classes: where at least half of the units hold samples of both, a paired t-test on these
    units; else, and with more classes, Welch's test on the means of replicates. Where units hold
    several classes the latter is too careful rather than too sure, as long as replicates of one
    unit are alike.

    Parameters
    ----------
    values : ndarray or scipy sparse matrix of shape (samples, columns)
        Features.
    classes, units : ndarray of shape (samples,), or None
        Class and unit of each sample. Without either, or with one class, nothing is tested.

    Returns
    -------
    p_value : ndarray of shape (columns,)
        NaN where nothing can be tested.
    test : str
        Which test, of how many units; "" where nothing is tested.
    """
    found = testable(classes, units)
    if found is None:
        return np.full(values.shape[1], np.nan), ""
    means, pairs = found.means(values), found.pairs()
    if pairs is None:
        return welch_test(means, found.classes).p_value, f"Welch's t of unit means, {sizes(found)}"
    return _paired(means, *pairs), f"t of paired unit means, {sizes(found)}"


def sizes(found: Replicates) -> str:
    """Return how many units of each class are tested, in words."""
    if (pairs := found.pairs()) is not None:
        return f"{len(pairs[0])} pairs"
    return " + ".join(map(str, np.unique(found.classes, return_counts=True)[1])) + " units"


def _paired(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # Differences that are all alike: of zero nothing can be said, of others p is 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(means[first], means[second])
    return np.asarray(test.pvalue)
