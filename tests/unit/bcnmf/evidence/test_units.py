"""Units of replication: what stands for one, and tests that samples of one unit do not fool."""

from math import comb

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from bcnmf import InputError, unit_test
from bcnmf.evidence.units import benjamini_hochberg, exact_arrangements, replicates


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
    assert found.means(np.array([[4.0], [1.0], [7.0], [6.0]])).ravel().tolist() == [1, 7, 5]


def test_all_arrangements_are_there_once():
    found = exact_arrangements(2, 5)
    assert found.shape == (comb(5, 2), 5)
    assert (found.sum(1) == 2).all()
    assert len(np.unique(found, axis=0)) == 10
    assert found[0].tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_units_of_both_classes_are_tested_in_pairs(make):
    values, labels, units = donors(6, 10, ["after", "before"], np.random.default_rng(0))
    means = np.array(
        [[values[(units == u) & (labels == c)].mean(axis=0) for u in range(6)]
         for c in ("after", "before")]
    )  # fmt: skip
    expected = stats.permutation_test(
        (means[0] - means[1],), lambda x, axis: np.abs(x.mean(axis)),
        permutation_type="samples", alternative="greater", vectorized=True,
    )  # fmt: skip
    found = unit_test(make(values), labels, units)
    np.testing.assert_allclose(found.p_value, expected.pvalue)
    np.testing.assert_allclose(found.effect, (means[0] - means[1]).mean(0))
    assert (found.n_first, found.n_second, found.paired) == (6, 6, True)
    assert found.test == "exact, 64 sign flips of pairs"
    np.testing.assert_allclose(found.q_value, stats.false_discovery_control(expected.pvalue))


@pytest.mark.parametrize("sizes", [(6, 6), (3, 7)])
def test_units_of_one_class_change_places(sizes):
    rng = np.random.default_rng(0)
    n = sum(sizes)
    means = rng.normal(size=(n, 20)) * np.repeat([3, 1], sizes)[:, None]
    values, units = np.repeat(means, 4, axis=0), np.repeat(np.arange(n), 4)
    labels = np.repeat(["case", "control"], np.multiply(sizes, 4))

    def t(a, b, axis):
        return np.abs(stats.ttest_ind(a, b, axis=axis, equal_var=False).statistic)

    expected = stats.permutation_test(
        (means[: sizes[0]], means[sizes[0] :]), t, alternative="greater", vectorized=True,
        n_resamples=np.inf,
    )  # fmt: skip
    found = unit_test(values, labels, units)
    np.testing.assert_allclose(found.p_value, expected.pvalue)
    assert found.test == f"exact, {comb(n, sizes[0])} arrangements"
    turned = unit_test(values, labels, units, first="control")
    np.testing.assert_allclose(turned.effect, -found.effect)
    np.testing.assert_allclose(turned.p_value, found.p_value)
    assert (turned.first, turned.second, turned.n_first) == ("control", "case", sizes[1])


def test_many_arrangements_are_drawn_and_the_observed_one_counts():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 3))
    values[:15, 0] += 20
    labels, units = np.repeat(["a", "b"], 15), np.arange(30)
    found = unit_test(values, labels, units)
    assert found.p_value[0] == pytest.approx(1e-4)
    assert found.test == "9999 of 1.6e+08 arrangements, drawn"
    of_t = stats.ttest_ind(values[:15], values[15:], equal_var=False).pvalue
    np.testing.assert_allclose(found.p_value[1:], of_t[1:], atol=0.03)
    np.testing.assert_array_equal(found.p_value, unit_test(values, labels, units).p_value)


def test_three_classes_are_tested_by_f():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(18, 4))
    values[:6, 0] += 5
    found = unit_test(values, np.repeat(list("abc"), 6), np.arange(18))
    expected = stats.f_oneway(values[:6], values[6:12], values[12:]).pvalue
    np.testing.assert_allclose(found.p_value, expected, atol=0.02)
    assert found.p_value[0] < 0.001
    assert np.isnan(found.effect).all()
    assert found.test == "9999 arrangements of 3 classes, drawn"


def test_pairs_count_where_they_are_the_rule():
    rng = np.random.default_rng(0)
    values, labels, units = donors(6, 10, ["a", "b"], rng, columns=3)
    few = (units < 1) | (labels == np.where(units % 2, "a", "b"))
    most = (units < 4) | (labels == "a")
    assert not unit_test(values[few], labels[few], units[few]).paired
    found = unit_test(values[most], labels[most], units[most])
    both = units < 4
    alone = unit_test(values[both], labels[both], units[both])
    assert found.paired
    assert found.n_first == 4
    np.testing.assert_allclose(found.p_value, alone.p_value)


@pytest.mark.parametrize(
    ("labels", "units", "words"),
    [
        (np.full(8, "a"), np.tile([0, 1], 4), "not tested: one class"),
        (np.repeat(["a", "b"], 4), np.repeat([0, 1], 4), "not tested: a class has one unit"),
        (np.repeat(["a", "b"], 4), np.zeros(8), "not tested: a class has one unit"),
        (list("aabbccdd"), np.repeat([0, 1, 2, 3], 2), "not tested: a class has one unit"),
    ],
)
def test_what_cannot_be_tested_is_missing_and_said(labels, units, words):
    found = unit_test(np.arange(8.0)[:, None], labels, units)
    assert np.isnan(found.p_value).all()
    assert np.isnan(found.q_value).all()
    assert found.test.startswith(words)


def test_columns_without_a_difference_between_units_are_missing():
    classes, units = np.repeat(["a", "b"], 4), np.repeat(np.arange(4), 2)
    values = np.column_stack([np.ones(8), np.arange(8.0)])
    found = unit_test(values, classes, units).p_value
    assert np.isnan(found).tolist() == [True, False]
    paired = unit_test(values, classes, np.tile([0, 1, 2, 3], 2)).p_value
    assert np.isnan(paired).tolist() == [True, False]


def test_few_units_are_said_to_be_few():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 200))
    found = unit_test(values, list("aaabbb"), np.arange(6))
    assert found.test == "exact, 20 arrangements: p cannot be below 0.1"
    assert found.p_value.min() == pytest.approx(0.1)
    pairs = unit_test(values[:4], list("abab"), [0, 0, 1, 1])
    assert pairs.test == "exact, 4 sign flips of pairs: p cannot be below 0.5"
    assert np.isnan(pairs.low).all()


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
        cells = stats.ttest_ind(values[labels == "a"], values[labels == "b"], equal_var=False)
        found = unit_test(values, labels, units)
        held = ((found.low <= 0) & (found.high >= 0)).mean()
        small.append([(cells.pvalue < 0.05).mean(), (found.p_value < 0.05).mean(), held])
    cells, units, held = np.mean(small, axis=0)
    assert cells > 0.4
    assert 0.03 < units < 0.07
    assert 0.93 < held < 0.98


@pytest.mark.parametrize("pairs", [False, True])
def test_intervals_of_three_units_hold_what_they_say(pairs):
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(6, 1000))
    units = np.tile([0, 1, 2], 2) if pairs else np.arange(6)
    found = unit_test(values, list("aaabbb"), units)
    assert found.paired is pairs
    assert 0.9 < ((found.low <= 0) & (found.high >= 0)).mean() <= 1
    assert (found.high > found.low).all()


def test_an_inflated_variance_makes_less_sure():
    rng = np.random.default_rng(0)
    for labels, units in ((np.repeat(["a", "b"], 6), np.arange(12)),
                          (np.tile(["a", "b"], 6), np.repeat(np.arange(6), 2))):  # fmt: skip
        values = rng.normal(size=(12, 300))
        plain = unit_test(values, labels, units)
        twice = unit_test(values, labels, units, inflation=2.0)
        assert (twice.p_value >= plain.p_value - 1e-12).all()
        np.testing.assert_allclose(twice.high - twice.low, np.sqrt(2) * (plain.high - plain.low))
        assert (twice.p_value <= 0.05).mean() < (plain.p_value <= 0.05).mean()


def test_what_does_not_fit_is_refused():
    values = np.ones((4, 1))
    with pytest.raises(InputError, match="classes 3, units 4; expected one class and one unit"):
        unit_test(values, list("aab"), list("abcd"))
    with pytest.raises(InputError, match="first='c': is none of two classes; found a, b"):
        unit_test(values, list("aabb"), list("abcd"), first="c")


def test_adjusted_p_by_hand():
    found = benjamini_hochberg([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(found, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg([np.nan])).all()
