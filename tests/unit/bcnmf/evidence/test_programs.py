"""Programs are tested by units that the fit has not seen, and say where they cannot be."""

import numpy as np
import pytest
from scipy import stats

from bcnmf import BCNMF, InputError, coverage, crossfit, program_tests, unit_test

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def quick(k=2, **parameters):
    return BCNMF(
        k, alpha=2, max_iter=40, n_background=2, device="cpu", random_state=0, **parameters
    )


def sides(effect, both=False, n_donors=6, cells=12, seed=0):
    """Return sides of donors that differ, and their donors; the target has more of six genes."""
    rng = np.random.default_rng(seed)
    own = np.exp(rng.normal(0, 0.2, (n_donors if both else 2 * n_donors, 20)))
    own = np.concatenate([own, own]) if both else own
    rates = np.repeat(own, cells, axis=0) * 4
    rates[: n_donors * cells, :6] += effect
    values = rng.poisson(rates).astype(np.float32)
    units = np.repeat([f"d{i % n_donors if both else i}" for i in range(2 * n_donors)], cells)
    half = n_donors * cells
    return values[:half], values[half:], units[:half], units[half:]


@pytest.mark.parametrize("both", [False, True])
def test_a_program_of_the_target_is_found_by_units(both):
    x, y, units, others = sides(8, both)
    found = crossfit(quick(1), x, background=y, units=units, background_units=others)
    score, program = program_tests(found)
    assert (score.program, program.program) == (0, 1)
    assert program.contrast == "target against background"
    assert program.tested == "left-out units"
    assert program.paired is both
    assert (program.n_units_first, program.n_units_second) == (6, 6)
    assert program.p_units == pytest.approx(2 / 64 if both else 2 / 924)
    assert program.test.startswith("exact, 64 sign" if both else "exact, 924 arr")
    assert 0 < program.low < program.effect < program.high
    assert program.p_cells < 1e-10
    assert program.cosine > 0.9
    assert program.n_fits == 3
    assert score.effect > 0
    assert score.n_fits == 3


def test_rows_are_those_of_units_left_out():
    x, y, units, others = sides(3)
    found = crossfit(quick(), x, background=y, units=units, background_units=others)
    rows = program_tests(found)[1:]
    usage = np.concatenate([found.usage, found.background_usage])
    classes = np.repeat(["target", "background"], [len(x), len(y)])
    every = np.concatenate([units, others])
    for number, row in enumerate(rows):
        kept = ~np.isnan(usage[:, number])
        expected = unit_test(
            usage[kept, number, None], classes[kept], every[kept], first="target", inflation=2.0
        )
        assert row.effect == pytest.approx(expected.effect[0])
        assert row.p_units == pytest.approx(expected.p_value[0])
        cells = [usage[kept & (classes == side), number] for side in ("target", "background")]
        of_cells = stats.ttest_ind(*cells, equal_var=False).pvalue
        assert row.p_cells == pytest.approx(of_cells)
    adjusted = stats.false_discovery_control([row.p_units for row in rows])
    assert [row.q_units for row in rows] == pytest.approx(list(adjusted))


def test_usages_are_in_the_order_of_the_fit_and_of_unseen_samples():
    x, y, units, others = sides(4)
    model = quick().fit(x, background=y)
    found = crossfit(model, x, background=y, units=units, background_units=others)
    turned = crossfit(
        model, x, background=y, units=units, background_units=others,
        reference=model.components_[::-1],
    )  # fmt: skip
    np.testing.assert_allclose(found.usage, turned.usage[:, ::-1])
    np.testing.assert_allclose(found.cosines, turned.cosines[:, ::-1])
    raw = found.score * found.scale[found.fold] + found.location[found.fold]
    np.testing.assert_allclose(raw, np.sqrt(found.usage.sum(1)), rtol=1e-5)
    fold = found.fold == 1
    again = quick().fit(x[~fold], background=y[found.background_fold != 1])
    np.testing.assert_allclose(
        np.sort(found.usage[fold], axis=1), np.sort(again.target_usage(x[fold]), axis=1), rtol=1e-4
    )


def test_a_topic_that_no_fold_has_is_missing_and_said():
    x, y, units, others = sides(8)
    lonely = np.zeros((2, 20))
    lonely[0, :6], lonely[1, -1] = 1, 1
    found = crossfit(
        quick(1), x, background=y, units=units, background_units=others, reference=lonely
    )
    assert np.isnan(found.usage[:, 1]).all()
    assert not np.isnan(found.usage[:, 0]).any()
    *_, program, missing = program_tests(found)
    assert program.p_units < 0.01
    assert np.isnan(missing.p_units)
    assert np.isnan(missing.p_cells)
    assert missing.n_fits == 0
    assert missing.test == "not tested: no fit that left units out has the program"
    with pytest.raises(InputError, match=r"reference: has shape \(2, 7\); expected \(topics, 20\)"):
        crossfit(quick(1), x, background=y, reference=np.ones((2, 7)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "not tested: no units on both sides"),
        ({"units": True}, "not tested: no units on both sides"),
        ({"units": True, "background_units": "one"}, "not tested: the background is of one unit"),
    ],
)
def test_without_units_on_both_sides_only_cells_are_tested(given, words):
    x, y, units, _ = sides(8)
    how = {"units": units} if "units" in given else {}
    how |= {"background_units": np.full(len(y), "d")} if "background_units" in given else {}
    found = crossfit(quick(1), x, background=y, **how)
    program = program_tests(found)[1]
    assert program.tested == "left-out samples"
    assert program.test == words
    assert np.isnan(program.p_units)
    assert np.isnan(program.low)
    assert program.p_cells < 1e-10
    assert program.effect > 0
    assert program.n_units_first == 0


def test_donors_that_differ_are_no_program():
    """What tests of fitted cells find in most data sets, tests of left-out donors do not."""
    p = []
    for seed in range(12):
        x, y, units, others = sides(0, cells=60, seed=seed)
        found = crossfit(quick(1), x, background=y, units=units, background_units=others)
        p.append([(row.p_units, row.p_cells) for row in program_tests(found)])
    of_units, of_cells = np.moveaxis(np.array(p), -1, 0)
    assert (of_units <= 0.05).mean() < 0.1
    assert (of_cells <= 0.05).mean() > 0.3


def test_a_classifier_has_no_programs():
    x, y, *_ = sides(2)
    with pytest.raises(InputError, match="has no programs"):
        program_tests(coverage(x, background=y))
