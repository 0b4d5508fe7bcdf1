"""Diagnostics, each on data that deserve it and on data that do not."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from bcnmf import BCNMF, NMF, SharedTargetNMF, diagnose
from bcnmf.errors import InputError
from bcnmf.evidence.findings import VERDICTS
from bcnmf_pipeline.datasets.simulation import simulate_counts

SIZES = {
    "n_genes": 400, "n_target": 160, "n_background": 160, "n_shared": 3, "shared_block": 60,
    "target_block": 60,
}  # fmt: skip
ESTIMATOR = BCNMF(2, alpha=2, max_iter=100, tol=1e-4)


def counts(seed=0, **changes):
    data = simulate_counts(4.0, **{**SIZES, **changes}, random_state=seed)
    target = (data.obs["side"] == "target").to_numpy()
    return data.X[target].toarray(), data.X[~target].toarray()


def log_values(values):
    return np.log1p(1e4 * values / values.sum(1, keepdims=True)).astype(np.float32)


def logs(seed=0, **changes):
    return [log_values(side) for side in counts(seed, **changes)]


def halves(seed=0):
    """Return two halves of one background."""
    _, cells = counts(seed, n_background=320)
    return cells[:160], cells[160:]


def of(found, code, program=0):
    return next(one for one in found.findings if (one.code, one.program) == (code, program))


def codes(found):
    return {one.code for one in found.findings}


@pytest.fixture(scope="module")
def fitted():
    x, y = logs()
    return clone(ESTIMATOR).fit(x, background=y), x, y


@pytest.fixture(scope="module")
def found(fitted):
    return diagnose(*fitted)


def test_programs_that_are_there_stand_up(found):
    for program in (1, 2):
        share = of(found, "share", program)
        assert share.verdict == "ok"
        assert 2 < share.value < 20
        assert share.remedy == ""
        assert f"Program {program}: left-out target samples hold" in share.sentence
    assert of(found, "explained").verdict == of(found, "converged").verdict == "ok"


def test_all_is_said_in_one_sentence_first(found):
    first = found.findings[0]
    assert (first.code, first.program, first.value) == ("overall", 0, 2)
    assert first.sentence.startswith("2 of 2 programs stand up to samples that no fit has seen")
    assert "replicates" in first.sentence
    assert found.text().startswith(first.sentence)
    assert found.text().count("[unclear]") == len(found.trouble) == 1
    assert all(one.verdict in VERDICTS for one in found.findings)


def test_the_all_clear_is_a_sentence(fitted):
    units = np.arange(160) % 5
    found = diagnose(*fitted, units, units, units, units)
    assert found.verdict() == "ok"
    assert found.trouble == []
    assert found.findings[0].sentence.endswith("the study itself is without fault.")
    assert found.findings[0].remedy == ""


def test_of_nothing_there_is_no_evidence():
    found = diagnose(ESTIMATOR, *map(log_values, halves()))
    assert {of(found, "share", program).verdict for program in (1, 2)} <= {"none", "unclear"}
    assert of(found, "explained").verdict == "none"
    assert found.verdict() == "none"
    assert all(one.remedy for one in found.trouble)


def test_a_program_that_the_background_lacks_is_named():
    found = diagnose(ESTIMATOR, *logs(n_missing=1))
    lacking = [one for one in found.findings if one.code == "share" and one.value > 50]
    assert lacking
    assert lacking[0].verdict == "batch"
    assert "kind of sample that the background lacks" in lacking[0].sentence


def captured_unequally(seed, spread, **sizes):
    """Return halves of one background, with more or less of each feature in the first."""
    target, background = np.array_split(counts(seed, **sizes)[1], 2)
    rng = np.random.default_rng(seed)
    factor = np.exp(spread * rng.normal(size=target.shape[1]))
    return rng.binomial(target.astype(int), factor / factor.max()), background


@pytest.mark.parametrize("seed", range(5))
def test_features_captured_unequally_are_no_program(seed):
    sides = captured_unequally(seed, 0.5, n_background=320)
    found = diagnose(ESTIMATOR, *map(log_values, sides))
    capture = of(found, "capture")
    assert capture.verdict == "unclear"
    assert capture.value > 0.15
    assert "ok" not in {of(found, "share", program).verdict for program in (1, 2)}
    assert found.verdict() != "ok"


def test_of_many_features_captured_unequally_it_is_told_what_they_are():
    target, background = captured_unequally(
        3, 0.3, n_genes=1000, n_background=600, shared_block=100
    )
    background = np.random.default_rng(1).binomial(background.astype(int), 1 / 3)
    found = diagnose(ESTIMATOR, log_values(target), log_values(background))
    shares = [of(found, "share", program) for program in (1, 2)]
    assert [one.verdict for one in shares] == ["batch", "batch"]
    assert "measured more strongly in the target" in shares[0].sentence


def test_features_are_captured_alike(found):
    assert of(found, "capture").verdict == "ok"
    assert of(found, "capture").value < 0.08


@pytest.mark.parametrize(("m", "verdict"), [(30, "fault"), (80, "unclear"), (160, "ok")])
def test_few_background_samples(m, verdict):
    assert of(diagnose(ESTIMATOR, *logs(n_background=m)), "background_size").verdict == verdict


def test_too_few_to_leave_any_out():
    x, y = logs()
    found = diagnose(BCNMF(2, max_iter=20, tol=0.1), x, y[:3])
    assert of(found, "left_out").verdict == found.verdict() == "fault"
    assert "needs" in of(found, "left_out").sentence or "need" in of(found, "left_out").sentence
    assert "share" not in codes(found)


def test_deeper_samples(found):
    assert of(found, "library_sizes").verdict == "ok"
    deep = of(
        diagnose(SharedTargetNMF(3, 1, max_iter=30), *counts(target_depth=4)), "library_sizes"
    )
    assert deep.verdict == "unclear"
    assert deep.value == pytest.approx(4, rel=0.2)
    assert "of the target were measured deeper" in deep.sentence
    shallow = diagnose(SharedTargetNMF(3, 1, max_iter=30), *counts(target_depth=0.25))
    assert "of the background were measured deeper" in of(shallow, "library_sizes").sentence


def test_features_of_one_side(found):
    assert of(found, "one_sided").value == 0
    x, y = logs()
    names = [f"gene{place}" for place in range(x.shape[1])]
    # As of 60 samples in which it is not found, while half of the others have it.
    common = np.argsort(-(x > 0).mean(0))[:2]
    y[:, common] = 0
    sides = [pd.DataFrame(side, columns=names) for side in (x, y)]
    few = of(diagnose(ESTIMATOR, *sides), "one_sided")
    assert (few.verdict, few.value) == ("unclear", 2)
    assert all(names[place] in few.sentence for place in common)
    y[:, np.argsort(-(x > 0).mean(0))[:20]] = 0
    many = of(diagnose(ESTIMATOR, x, y), "one_sided")
    assert (many.verdict, many.value) == ("batch", 20)


@pytest.mark.parametrize(
    ("batch", "background_batch", "verdict"),
    [(("a", "b"), ("a", "b"), "ok"), (("a", "b"), ("a", "c"), "unclear"), ("ab", "cd", "batch")],
)
def test_batches_on_both_sides_or_not(fitted, batch, background_batch, verdict):
    sides = [np.resize(names, 160) for names in (list(batch), list(background_batch))]
    found = diagnose(*fitted, batch=sides[0], background_batch=sides[1])
    assert of(found, "confounded").verdict == verdict


def test_one_of_several_columns_of_batches_may_be_the_condition(fitted):
    fine = np.arange(160) % 2
    columns = np.stack([fine, np.zeros(160, dtype=int)], axis=1)
    others = np.stack([fine, np.ones(160, dtype=int)], axis=1)
    found = diagnose(*fitted, batch=columns, background_batch=others)
    verdicts = [one.verdict for one in found.findings if one.code == "confounded"]
    assert verdicts == ["ok", "batch"]


@pytest.mark.parametrize(("number", "verdict"), [(1, "batch"), (2, "unclear"), (4, "ok")])
def test_units_a_side(fitted, number, verdict):
    units = np.arange(160) % number
    assert of(diagnose(*fitted, units, units + 10), "units").verdict == verdict


def test_a_program_of_one_unit():
    x, y = logs()
    plain = log_values(counts(n_background=320)[1])[:160]
    units = np.arange(160) // 32
    x[units > 0] = plain[units > 0]
    # Units stay in the target alone, so that parts are of samples: else no fit would have seen it.
    model = BCNMF(1, alpha=2, max_iter=100, tol=1e-4)
    found = diagnose(model, x, y, units)
    one = of(found, "one_unit", 1)
    assert one.verdict == "batch"
    assert one.sentence.startswith("Program 1 is that of one unit: 0 holds")


def test_every_unit_has_the_program(fitted):
    assert "one_unit" not in codes(diagnose(*fitted, np.arange(160) // 32))


def test_a_fit_that_has_not_settled(fitted):
    _, x, y = fitted
    found = diagnose(BCNMF(2, alpha=2, max_iter=2), x, y)
    assert of(found, "converged").verdict == "fault"
    whole = diagnose(BCNMF(2, alpha=2, max_iter=60, tol=0), x, y)
    assert of(whole, "converged").verdict == "ok"
    assert "as tol=0 asks" in of(whole, "converged").sentence


def test_topics_that_are_the_same(fitted):
    model, x, y = fitted
    assert not {"duplicate", "shared_part"} & codes(diagnose(model, x, y))
    # What is alike at the start stays alike.
    start = (model.components_[[0, 0]], model.usage_[:, [0, 0]], model.background_usage_[:, [0, 0]])
    twice = BCNMF(2, alpha=2, init=start, solver="mu", max_iter=2, tol=0).fit(x, background=y)
    found = diagnose(twice, x, y)
    assert of(found, "duplicate", 2).value > 0.95
    assert "program 1" in of(found, "duplicate", 2).sentence


def test_programs_of_the_background(fitted):
    _, x, y = fitted
    found = diagnose(NMF(3, max_iter=100, tol=1e-4), x, y)
    assert any(one.code == "shared_part" and one.verdict == "unclear" for one in found.findings)


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, pd.DataFrame, ad.AnnData])
def test_any_container_says_the_same(fitted, found, make):
    model, x, y = fitted
    other = diagnose(BCNMF(**model.get_params()), make(x), make(y))
    assert [one.verdict for one in other.findings] == [one.verdict for one in found.findings]
    values = [[one.value for one in side.findings] for side in (other, found)]
    np.testing.assert_allclose(*values, rtol=0.1, atol=1e-3)


def test_counts_and_shared_topics():
    found = diagnose(SharedTargetNMF(3, 2, max_iter=100), *counts())
    assert [of(found, "share", program).verdict for program in (1, 2)] == ["ok", "ok"]


def test_a_fitted_model_is_not_changed(fitted):
    model, x, y = fitted
    before = model.components_.copy(), model.get_params()
    diagnose(model, x, y)
    np.testing.assert_array_equal(model.components_, before[0])
    assert model.get_params() == before[1]


def test_backed_data_are_read_in_part(fitted, found, tmp_path):
    model, x, y = fitted
    backed = []
    for name, side in (("x", x), ("y", y)):
        ad.AnnData(sp.csr_matrix(side)).write_h5ad(tmp_path / f"{name}.h5ad")
        backed.append(ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r"))
    other = diagnose(model, *backed)
    assert [one.verdict for one in other.findings] == [one.verdict for one in found.findings]


def test_what_cannot_be_used_is_refused(fitted):
    model, x, y = fitted
    with pytest.raises(InputError, match="background is missing"):
        diagnose(model, x)
    with pytest.raises(InputError, match="negative"):
        diagnose(model, -x, y)
    sides = [pd.DataFrame(side).add_prefix(name) for side, name in ((x, "a"), (y, "b"))]
    with pytest.raises(InputError, match="are missing"):
        diagnose(model, *sides)
