"""A whole fit beside refits under the null: what changes sides, what p means, what is refused."""

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf import BCNMF, InputError, SharedTargetNMF, permutation_null
from bcnmf.evidence.arrangements import BySamples, ByUnits
from programs import new_program


def shared(**parameters):
    return SharedTargetNMF(3, 1, loss="squared_error", max_iter=8, device="cpu", **parameters)


def donors(n, names):
    """Return a unit for each of n samples, every donor with as many of both kinds of samples."""
    return np.repeat(names, -(-n // len(names)))[:n]


def of_units(target, background, folds=2, most=10_000):
    units = np.array([*target, *background])
    is_target = np.repeat([True, False], [len(target), len(background)])
    return units, is_target, ByUnits(units, is_target, folds, most, 0)


def sides(folds, units):
    """Return the units that are left out on either side, over all folds."""
    return tuple(
        frozenset(units[rows[0]] for fold in folds for rows in fold[place]) for place in (2, 3)
    )


def test_every_other_assignment_of_units_is_made_once():
    units, _, drawn = of_units("aaabbbccc", "dddeeefff")
    assert drawn.arrangements == 20
    found = Counter(sides(folds, units) for folds in drawn.others(19))
    assert set(found.values()) == {1}
    assert len(found) == 19
    assert all(len(one) == len(other) == 3 and not one & other for one, other in found)
    assert sides(drawn.observed(), units) == (frozenset("abc"), frozenset("def"))
    assert (frozenset("abc"), frozenset("def")) not in found


def test_no_fit_sees_a_unit_that_it_judges():
    units, _, drawn = of_units("aabbccddxx", "eeffgghhxx", folds=3)
    for folds in (drawn.observed(), *drawn.others(5)):
        judged = Counter()
        for fold in folds:
            fitted = set(units[fold.target]) | set(units[fold.background])
            left = [units[rows[0]] for rows in (*fold.left_target, *fold.left_background)]
            assert not fitted & set(left)
            assert fitted | set(left) == set("abcdefghx")
            judged.update(left)
        assert judged == Counter("abcdefgh") + Counter("xx")


def test_a_unit_of_both_sides_exchanges_them_and_others_change_places():
    units, is_target, drawn = of_units("xxyya", "xxyyb")
    assert (drawn.paired, drawn.n_units) == (2, (3, 3))
    assert drawn.arrangements == 2**2 * 2
    for folds in drawn.others(7):
        target = np.concatenate([rows for fold in folds for rows in fold.left_target])
        assert Counter(units[target]) == Counter("xxyy" + units[target][units[target] < "x"][0])
        for name in "xy":
            assert len(set(is_target[target[units[target] == name]])) == 1


def test_arrangements_are_drawn_where_there_are_many_and_more_change_none():
    units, _, drawn = of_units("abcdef", "ghijkl")
    assert drawn.arrangements == 924
    few, more = ([sides(folds, units) for folds in drawn.others(count)] for count in (20, 30))
    assert more[:20] == few
    assert len(set(more)) > 25


def test_of_many_samples_as_many_of_each_unit_are_kept():
    _, _, drawn = of_units("a" * 50 + "b" * 4, "c" * 30 + "d" * 30, most=40)
    kept = [len(rows) for fold in drawn.observed() for rows in (*fold[2], *fold[3])]
    assert sorted(kept) == [4, 10, 10, 10]
    assert drawn.thinned == "34 of 114 samples at random, at most 10 of a unit and side"


def test_halves_are_of_the_background_alone_and_as_large_as_what_is_observed():
    is_target = np.repeat([True, False], [30, 41])
    drawn = BySamples(is_target, 2, 10_000, 0)
    for folds in drawn.others(3):
        rows = [
            np.concatenate([side for fold in folds for side in fold[place]]) for place in (2, 3)
        ]
        assert [len(one) for one in rows] == [20, 20]
        assert len(set(np.concatenate(rows))) == 40
        assert min(map(min, rows)) >= 30
    observed = drawn.observed()
    assert {len(rows) for fold in observed for rows in (*fold[2], *fold[3])} == {10}
    assert all(is_target[fold.target].all() for fold in observed)
    assert not any(is_target[fold.background].any() for fold in observed)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_a_program_of_all_target_units_is_found_at_the_smallest_p(kind):
    x, y, _ = new_program(n=60, m=60)
    null = permutation_null(
        shared(), kind(x), kind(y), units=donors(60, list("abc")),
        background_units=donors(60, list("def")),
    )  # fmt: skip
    assert (null.by, null.n_units, null.paired, null.arrangements) == ("units", (3, 3), 0, 20)
    assert null.exact
    assert len(null.refits) == 19
    assert null.p_value == null.smallest_p == 1 / 20
    assert null.statistic > 3 * np.abs(null.refits).max()
    assert null.advice().startswith("There is something: ")
    assert (
        "in 0 of all 19 refits with units exchanged between the sides (p = 0.05)" in null.advice()
    )
    assert "all samples" in null.approximated


def test_nothing_is_found_where_there_is_nothing_and_p_counts_ties():
    x, _, _ = new_program(n=120, m=4, strength=0.0)
    null = permutation_null(
        shared(), x[:60], x[60:], units=donors(60, list("abc")),
        background_units=donors(60, list("def")),
    )  # fmt: skip
    assert null.p_value == np.mean(null.statistics >= null.statistic)
    assert null.p_value > 0.05
    assert null.advice().startswith("No evidence of anything: ")


def test_the_contrast_works_as_well_and_the_estimator_is_left_alone():
    x, y, _ = new_program(n=40, m=40)
    model = BCNMF(1, alpha=2, n_background=3, device="cpu", max_iter=3)
    null = permutation_null(
        model, x, y, units=donors(40, list("ab")), background_units=donors(40, list("cd"))
    )
    assert null.arrangements == 6
    assert null.p_value == pytest.approx(1 / 6)
    assert not hasattr(model, "components_")
    assert null.advice().startswith("Too few units to tell: ")
    assert (
        "With 2 and 2 units there are only 6 ways to assign them, so that p cannot be below 0.17 "
        "whatever the data hold" in null.advice()
    )


def test_p_is_exact_each_assignment_of_the_same_units_has_a_rank_of_its_own():
    x, _, _ = new_program(n=48, m=4)
    names = donors(48, list("abcd"))
    found = []
    for chosen in ("ab", "ac", "ad", "bc", "bd", "cd"):
        inside = np.isin(names, list(chosen))
        null = permutation_null(
            shared(), x[inside], x[~inside], units=names[inside], background_units=names[~inside]
        )
        found.append(null.p_value)
    np.testing.assert_allclose(sorted(found), np.arange(1, 7) / 6)


def test_pairs_exchange_sides():
    x, y, _ = new_program(n=48, m=48)
    units = donors(48, list("abcd"))
    null = permutation_null(shared(), x, y, units=units, background_units=units)
    assert (null.paired, null.arrangements) == (4, 16)
    assert null.p_value == 1 / 16


def test_counts_are_tested_by_their_deviance():
    x, y, _ = new_program(n=40, m=40, poisson=True)
    model = SharedTargetNMF(3, 1, max_iter=8, device="cpu")
    null = permutation_null(
        model, x, y, units=donors(40, list("ab")), background_units=donors(40, list("cd"))
    )
    assert null.p_value == pytest.approx(1 / 6)
    assert 0.05 < null.statistic < 1


def test_without_units_halves_of_the_background_are_the_null_and_batches_stay_unknown():
    x, y, _ = new_program(n=40, m=80)
    null = permutation_null(shared(), x, y, n_refits=19)
    assert (null.by, null.n_units, null.arrangements, null.exact) == (
        "samples",
        (0, 0),
        None,
        False,
    )
    assert null.p_value == 0.05
    assert "of 19 refits of two random halves of the background" in null.advice()
    assert "One sample a side cannot tell condition from batch" in null.advice()
    alone = permutation_null(
        shared(), x, y, units=["a"] * 40, background_units=["b"] * 80, n_refits=19
    )
    np.testing.assert_array_equal(alone.refits, null.refits)


@pytest.mark.parametrize("by_units", [True, False])
def test_where_refits_are_few_more_of_them_are_asked_for_and_not_units(by_units):
    x, y, _ = new_program(n=40, m=40)
    units = {"units": donors(40, list("abcd")), "background_units": donors(40, list("efgh"))}
    few = permutation_null(shared(), x, y, n_refits=2, **(units if by_units else {}))
    assert few.advice().startswith("Too few refits to tell: ")
    assert few.advice().endswith(
        "With so few refits p cannot be below 0.33 whatever the data hold: 19 are needed at least."
    )


def test_classes_inside_the_target_take_the_sides():
    x, y, _ = new_program(n=40, m=40)
    units = donors(80, list("abcd"))
    classes = np.arange(80) < 40
    inside = permutation_null(shared(), np.vstack([x, y]), units=units, labels=classes)
    apart = permutation_null(shared(), x, y, units=units[:40], background_units=units[40:])
    assert inside.statistic == apart.statistic
    np.testing.assert_array_equal(inside.refits, apart.refits)


def test_weights_change_sides_with_their_samples():
    x, y, _ = new_program(n=40, m=40)
    units = {"units": donors(40, list("ab")), "background_units": donors(40, list("cd"))}
    plain = permutation_null(shared(), x, y, **units)
    ones = permutation_null(shared(), x, y, **units, sample_weight=np.ones(40))
    np.testing.assert_array_equal(plain.refits, ones.refits)
    weights = np.where(np.arange(40) % 2 == 0, 1.9, 0.1)
    weighted = permutation_null(shared(), x, y, **units, sample_weight=weights)
    assert weighted.statistic != plain.statistic


def test_a_start_that_may_know_the_sides_is_not_taken():
    x, y, _ = new_program(n=40, m=40)
    units = {"units": donors(40, list("ab")), "background_units": donors(40, list("cd"))}
    start = (np.ones((3, 24)), np.ones((1, 24)))
    found = [permutation_null(shared(init=init), x, y, **units) for init in (start, "seeded")]
    np.testing.assert_array_equal(found[0].refits, found[1].refits)


X, Y, _ = new_program(n=20, m=20)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "background is missing"),
        ({"background": Y[:10]}, "20 and 10 samples.*needs 8 target samples and twice as many"),
        ({"background": Y[:, :5]}, "features"),
        ({"background": Y, "n_refits": 0}, "n_refits"),
        ({"background": Y, "folds": 1}, "folds"),
        ({"background": Y, "max_iter": 0}, "max_iter"),
        ({"background": Y, "units": ["a"] * 3}, "units of the target: has shape"),
        ({"background": Y, "units": ["a"] * 19 + [None]}, "1 of 20 samples have none"),
        ({"background": Y, "labels": np.arange(20) < 5}, "background is given with labels"),
        ({"labels": np.arange(20)}, "labels: int64 of shape"),
        ({"labels": np.ones(20, dtype=bool)}, "labels: all are True"),
        ({"background": Y, "sample_weight": -np.ones(20)}, "sample_weight"),
        ({"background": -Y}, "background"),
    ],
)
def test_what_cannot_be_tested_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        permutation_null(shared(), X, **arguments)


def test_an_estimator_without_target_topics_is_refused():
    from sklearn.decomposition import PCA

    with pytest.raises(InputError, match="PCA has no target topics"):
        permutation_null(PCA(), X, Y)
