"""Differential expression between classes of a label by units: PyDESeq2 on sums of their counts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from bcnmf_pipeline.evaluate.units import sizes, testable


def pseudobulk_test(
    counts: Any, classes: np.ndarray | None, units: np.ndarray | None
) -> tuple[np.ndarray, str] | None:
    """Test whether counts differ between two classes, a sum of counts a unit and class.

    The negative binomial model of Love et al. 2014 as PyDESeq2 has it (Muzellec et al. 2023), Wald
    test; where at least half of the units hold both classes, of these units alone, with the unit in
    the design.

    Parameters
    ----------
    counts : ndarray or scipy sparse matrix of shape (samples, features)
        Counts.
    classes, units : ndarray of shape (samples,), or None
        Class and unit of each sample.

    Returns
    -------
    p_value : ndarray of shape (features,)
        NaN for features without counts, and for those in which one unit is an outlier (Cook's
        distance, as PyDESeq2 has it).
    test : str
        Which test, of how many units. None in place of both where there are not two classes with
        two units each.
    """
    found = testable(classes, units)
    if found is None:
        return None
    names, of_class = np.unique(found.classes, return_counts=True)
    if len(names) != 2 or of_class.min() < 2:
        return None
    pairs = found.pairs()
    kept = np.arange(len(found.units)) if pairs is None else np.sort(np.concatenate(pairs))
    sums = np.rint(found.means(counts) * np.bincount(found.of_sample)[:, None]).astype(np.int64)
    there = sums[kept].sum(0) > 0
    rows = [f"r{place}" for place in range(len(kept))]
    # Names of one's own would be taken apart as formulas.
    design = pd.DataFrame(
        {
            "class_": np.where(found.classes[kept] == names[0], "first", "second"),
            "unit": [f"u{place}" for place in np.unique(found.units[kept], return_inverse=True)[1]],
        },
        index=rows,
    )
    table = pd.DataFrame(sums[kept][:, there], index=rows)
    table.columns = [f"g{place}" for place in range(table.shape[1])]
    p_value = np.full(counts.shape[1], np.nan)
    if table.shape[1]:
        p_value[there] = _wald(table, design, "~class_" if pairs is None else "~unit + class_")
    return p_value, f"PyDESeq2 of sums per unit, {sizes(found)}"


def _wald(counts: pd.DataFrame, design: pd.DataFrame, formula: str) -> np.ndarray:
    # Here, so that only jobs with counts and units pay for it.
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.default_inference import DefaultInference
    from pydeseq2.ds import DeseqStats

    options = {"quiet": True, "inference": DefaultInference(n_cpus=1)}
    with warnings.catch_warnings():
        # Of dispersions without a trend, and of what its own dependencies will change.
        warnings.simplefilter("ignore")
        model = DeseqDataSet(counts=counts, metadata=design, design=formula, **options)
        model.deseq2()
        found = DeseqStats(
            model, contrast=["class_", "second", "first"], independent_filter=False, **options
        )
        found.summary()
    return np.asarray(found.results_df["pvalue"], dtype=np.float64)
