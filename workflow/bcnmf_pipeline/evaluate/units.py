"""Units of replication (donors, mice): what stands for one, and tests of their means."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import stats

from bcnmf_pipeline.evaluate.association import benjamini_hochberg, welch_test


@dataclass(frozen=True)
class Replicates:
    """Units, or the parts of a unit where its samples are of several classes.

    A patient before and after treatment is two replicates, which belong together.

    Attributes
    ----------
    of_sample : ndarray of int, shape (samples,)
        Replicate of each sample, as its place in `units`.
    units, classes : ndarray of shape (replicates,)
        Unit and class of each; sorted by unit, then by class.
    """

    of_sample: np.ndarray
    units: np.ndarray
    classes: np.ndarray


def replicates(classes: np.ndarray, units: np.ndarray) -> Replicates:
    """Return the replicates of samples, one a unit and class.

    Parameters
    ----------
    classes, units : ndarray of shape (samples,)
        Class (a label, or the side of the contrast) and unit of each sample.
    """
    unit_names, unit_of = np.unique(np.asarray(units), return_inverse=True)
    class_names, class_of = np.unique(np.asarray(classes), return_inverse=True)
    codes, of_sample = np.unique(unit_of * len(class_names) + class_of, return_inverse=True)
    return Replicates(
        of_sample, unit_names[codes // len(class_names)], class_names[codes % len(class_names)]
    )


def units_of(side: AnnData, unit: str) -> np.ndarray | None:
    """Return the unit of every sample by a column of `obs`; None where one has none."""
    if not unit or unit not in side.obs or side.obs[unit].isna().any():
        return None
    return np.asarray(side.obs[unit].astype(str))


def unit_test(
    values: Any, classes: np.ndarray | None, units: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Test whether means of units differ between classes: samples of one unit are not independent.

    Two classes: where at least half of the units hold samples of both, a paired t-test on these
    units; else, and with more classes, Welch's test on the means of replicates. Where units hold
    several classes the latter is too careful rather than too sure, as long as replicates of one
    unit are alike.

    Parameters
    ----------
    values : ndarray or scipy sparse matrix of shape (samples, columns)
        Usages or features.
    classes, units : ndarray of shape (samples,), or None
        Class and unit of each sample. Without either, or with one class, nothing is tested.

    Returns
    -------
    dict
        Columns of a table: `p_value_units`, NaN where nothing can be tested, and
        `p_adjusted_units` (Benjamini and Hochberg).
    """
    p_value = np.full(values.shape[1], np.nan)
    if classes is not None and units is not None and len(np.unique(classes)) > 1:
        found = replicates(classes, units)
        means = np.array(
            [
                np.asarray(values[found.of_sample == place].mean(axis=0)).ravel()
                for place in range(len(found.units))
            ]
        )
        pairs = _pairs(found)
        p_value = (
            welch_test(means, found.classes).p_value if pairs is None else _paired(means, *pairs)
        )
    return {"p_value_units": p_value, "p_adjusted_units": benjamini_hochberg(p_value)}


def _pairs(found: Replicates) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the replicates of either class of units that hold both, where these are the rule."""
    names, counts = np.unique(found.units, return_counts=True)
    both = names[counts == 2]
    if len(np.unique(found.classes)) != 2 or len(both) < 2 or 2 * len(both) < len(names):
        return None
    first = np.searchsorted(found.units, both)
    return first, first + 1


def _paired(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # Differences that are all alike: of zero nothing can be said, of others p is 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(means[first].astype(np.float64), means[second].astype(np.float64))
    return np.asarray(test.pvalue)
