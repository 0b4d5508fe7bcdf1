"""Features are tested by the means of units, or the sums of their counts."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from bcnmf_pipeline.evaluate.pseudobulk import pseudobulk_test
from bcnmf_pipeline.evaluate.units import means_test


def donors(n_donors, cells, classes, shared):
    """Return cells of donors that differ from one another, and their classes and donors."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(n_donors), cells)
    labels = np.tile(classes, len(units) // 2) if shared else np.repeat(classes, len(units) // 2)
    return rng.normal(size=(len(units), 20)) + rng.normal(size=(n_donors, 20))[units], labels, units


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_units_of_both_classes_are_tested_in_pairs(make):
    values, labels, units = donors(6, 10, ["after", "before"], True)
    means = np.array(
        [[values[(units == u) & (labels == c)].mean(axis=0) for u in range(6)]
         for c in ("after", "before")]
    )  # fmt: skip
    p_value, test = means_test(make(values), labels, units)
    np.testing.assert_allclose(p_value, stats.ttest_rel(*means).pvalue)
    assert test == "t of paired unit means, 6 pairs"


def test_units_of_one_class_are_tested_by_welch():
    values, labels, units = donors(6, 10, ["case", "control"], False)
    means = np.array([values[units == u].mean(axis=0) for u in range(6)])
    p_value, test = means_test(values, labels, units)
    expected = stats.ttest_ind(means[:3], means[3:], equal_var=False).pvalue
    np.testing.assert_allclose(p_value, expected)
    assert test == "Welch's t of unit means, 3 + 3 units"


def test_what_cannot_be_tested_is_missing():
    values = np.arange(8.0)[:, None]
    classes = np.repeat(["a", "b"], 4)
    one_unit, two_units = np.zeros(8), np.tile([0, 1], 4)
    for labels, units in ((None, two_units), (classes, None), (np.full(8, "a"), two_units)):
        p_value, test = means_test(values, labels, units)
        assert np.isnan(p_value).all()
        assert test == ""
        assert pseudobulk_test(values, labels, units) is None
    assert np.isnan(means_test(values, classes, one_unit)[0]).all()
    assert np.isnan(means_test(np.ones((8, 1)), classes, two_units)[0]).all()
    assert pseudobulk_test(values, classes, one_unit) is None
    three = np.repeat(list("abc"), 4)
    assert pseudobulk_test(np.ones((12, 1)), three, np.arange(12)) is None


def counts(paired):
    """Return counts of 6 + 6 donors or of 6 pairs: four genes differ, one is never seen."""
    rng = np.random.default_rng(0)
    units, labels = np.repeat(np.arange(12), 40), np.repeat(["a", "b"], 240)
    own = np.exp(rng.normal(0, 0.3, (12, 40)))[units]
    if paired:
        units %= 6
    rates = own * rng.gamma(1, 8, 40)
    rates[labels == "b", :4] *= 8
    rates[:, 4] = 0
    return rng.poisson(rates).astype(np.float32), labels, units


@pytest.mark.parametrize("paired", [False, True])
def test_sums_of_counts_per_unit_are_tested(paired):
    values, labels, units = counts(paired)
    p_value, test = pseudobulk_test(sp.csr_matrix(values), labels, units)
    assert np.isnan(p_value[4])
    assert (p_value[:4] < 1e-4).all()
    # Cells find many genes: donors differ.
    cells = stats.ttest_ind(values[:240], values[240:], equal_var=False).pvalue[5:]
    assert np.nanmean(p_value[5:] < 0.05) < 0.2
    assert paired or (cells < 0.05).mean() > 0.3
    sizes = "6 pairs" if paired else "6 + 6 units"
    assert test == f"PyDESeq2 of sums per unit, {sizes}"
