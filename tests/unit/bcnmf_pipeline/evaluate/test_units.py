"""Units of replication: what stands for one, and tests that samples of one unit do not fool."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from bcnmf_pipeline.evaluate.association import welch_test
from bcnmf_pipeline.evaluate.units import replicates, unit_test


def donors(n_donors, cells, classes, rng, columns=50, shared=True):
    """Return cells of donors that differ from one another, and their classes and donors."""
    units = np.repeat(np.arange(n_donors), cells)
    labels = (
        np.tile(classes, n_donors * cells // len(classes))
        if shared
        else (np.repeat(classes, n_donors * cells // len(classes)))
    )
    own = rng.normal(size=(n_donors, columns))
    return rng.normal(size=(len(units), columns)) + own[units], labels, units


def test_a_unit_and_class_is_a_replicate():
    found = replicates(np.array(list("baab")), np.array(["u2", "u1", "u2", "u2"]))
    assert found.units.tolist() == ["u1", "u2", "u2"]
    assert found.classes.tolist() == ["a", "a", "b"]
    assert found.of_sample.tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_units_of_both_classes_are_tested_in_pairs(make):
    values, labels, units = donors(6, 10, ["after", "before"], np.random.default_rng(0))
    means = np.array(
        [[values[(units == u) & (labels == c)].mean(axis=0) for u in range(6)]
         for c in ("after", "before")]
    )  # fmt: skip
    expected = stats.ttest_rel(*means).pvalue
    found = unit_test(make(values), labels, units)
    np.testing.assert_allclose(found["p_value_units"], expected)
    np.testing.assert_allclose(found["p_adjusted_units"], stats.false_discovery_control(expected))


def test_units_of_one_class_are_tested_by_welch():
    values, labels, units = donors(
        6, 10, ["case", "control"], np.random.default_rng(0), shared=False
    )
    means = np.array([values[units == u].mean(axis=0) for u in range(6)])
    expected = stats.ttest_ind(means[:3], means[3:], equal_var=False).pvalue
    np.testing.assert_allclose(unit_test(values, labels, units)["p_value_units"], expected)


def test_pairs_count_where_they_are_the_rule():
    rng = np.random.default_rng(0)
    values, labels, units = donors(6, 10, ["a", "b"], rng, columns=3)
    few = (units < 1) | (labels == np.where(units % 2, "a", "b"))
    most = (units < 4) | (labels == "a")
    for kept, paired in ((few, False), (most, True)):
        found = unit_test(values[kept], labels[kept], units[kept])["p_value_units"]
        both = units < (4 if paired else 0)
        if paired:
            alone = unit_test(values[both], labels[both], units[both])["p_value_units"]
        else:
            r = replicates(labels[kept], units[kept])
            means = np.array(
                [values[kept][r.of_sample == i].mean(axis=0) for i in range(len(r.units))]
            )
            alone = welch_test(means, r.classes).p_value
        np.testing.assert_allclose(found, alone)


def test_what_cannot_be_tested_is_missing():
    values = np.arange(8.0)[:, None]
    classes = np.repeat(["a", "b"], 4)
    one_unit, two_units = np.zeros(8), np.tile([0, 1], 4)
    for labels, units in (
        (None, two_units), (classes, None), (np.full(8, "a"), two_units), (classes, one_unit),
    ):  # fmt: skip
        found = unit_test(values, labels, units)
        assert np.isnan(found["p_value_units"]).all()
        assert np.isnan(found["p_adjusted_units"]).all()
    same = unit_test(np.ones((8, 1)), classes, two_units)["p_value_units"]
    assert np.isnan(same).all()


@pytest.mark.parametrize("shared", [True, False], ids=["both sides", "one side"])
def test_null_p_values_of_units_are_uniform_where_those_of_cells_are_not(shared):
    """Twelve donors that differ, no effect: cells find most columns, donors one in twenty."""
    rng = np.random.default_rng(1)
    small = []
    for _ in range(10):
        values, labels, units = donors(12, 30, ["a", "b"], rng, columns=200, shared=False)
        if shared:
            # The effect of the condition differs from donor to donor, around none.
            values, labels, units = donors(12, 60, ["a", "b"], rng, columns=200)
            values += rng.normal(size=(12, 200))[units] * (labels == "a")[:, None]
        of_cells = welch_test(values, labels).p_value
        of_units = unit_test(values, labels, units)["p_value_units"]
        small.append([(of_cells < 0.05).mean(), (of_units < 0.05).mean()])
    cells, found = np.mean(small, axis=0)
    assert cells > 0.4
    assert 0.03 < found < 0.07
