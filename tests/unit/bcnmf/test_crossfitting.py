"""Samples are judged by fits that have not seen them, and 5% of nothing is found."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from bcnmf import BCNMF, CrossFit, InputError, SharedTargetNMF, coverage, crossfit
from programs import new_program

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def quick(**parameters):
    return BCNMF(2, alpha=3, max_iter=40, n_background=3, device="cpu", **parameters)


class FirstColumn(BaseEstimator):
    """Scores samples by their first feature, and remembers what it was fitted on."""

    seen = None

    def fit(self, X, background=None):
        self.components_ = np.eye(1, X.shape[1])
        if FirstColumn.seen is not None:
            FirstColumn.seen.append((set(X[:, 1]), set(background[:, 1])))
        return self

    def target_usage(self, X):
        return np.square(np.asarray(X)[:, :1])


def marked(n, m, seed=0):
    """Return sides whose first feature is random and whose second is the number of the sample."""
    rng = np.random.default_rng(seed)
    return tuple(
        np.stack([rng.random(size), np.arange(size) + start], axis=1)
        for size, start in ((n, 0), (m, n))
    )


def test_no_fit_sees_what_it_judges():
    x, y = marked(31, 29)
    FirstColumn.seen = []
    try:
        found = crossfit(FirstColumn(), x, background=y)
        seen = FirstColumn.seen
    finally:
        FirstColumn.seen = None
    assert len(seen) == 3
    for fold, (target, background) in enumerate(seen):
        assert target == set(np.flatnonzero(found.fold != fold))
        assert background == set(31 + np.flatnonzero(found.background_fold != fold))
    assert np.bincount(found.fold).tolist() == [11, 10, 10]
    assert not np.array_equal(found.fold[:29], found.background_fold)


def test_half_of_the_samples_hold_something_and_are_named():
    x, y, holds = new_program(n=120, m=120)
    found = crossfit(quick(), x, background=y)
    assert isinstance(found, CrossFit)
    assert found.above[holds].mean() > 0.95
    assert found.above[~holds].mean() < 0.2
    assert found.share == found.above.mean()
    assert found.interval[0] < found.share < found.interval[1]
    share, low, high = found.share_of(holds)
    assert low <= share <= high
    assert share == found.above[holds].mean()
    assert low < 1
    assert found.auroc > 0.7
    assert [topics.shape for topics in found.components] == [(2, 24)] * 3
    np.testing.assert_array_equal(found.above, found.score > found.threshold[found.fold])


def test_scores_of_folds_are_in_units_of_their_left_out_background():
    x, y = marked(60, 60)
    found = crossfit(FirstColumn(), x * [100, 1], background=y * [100, 1])
    for fold in range(3):
        left_out = found.background_score[found.background_fold == fold]
        assert left_out.mean() == pytest.approx(0, abs=1e-9)
        assert left_out.std() == pytest.approx(1)
        expected = np.quantile(left_out, 0.95, method="weibull")
        assert found.threshold[fold] == pytest.approx(expected)
    np.testing.assert_allclose(found.score, crossfit(FirstColumn(), x, background=y).score)
    constant = crossfit(FirstColumn(), x * [0, 1], background=y * [0, 1])
    assert constant.share == 0


@pytest.mark.parametrize("m", [12, 60, 300])
def test_as_many_are_above_by_chance_as_is_said(m):
    found = [crossfit(FirstColumn(), *marked(90, m, seed)) for seed in range(150)]
    shares = np.array([one.share for one in found])
    assert found[0].chance == pytest.approx(0.05 if m >= 57 else 1 / (m / 3 + 1))
    assert shares.mean() == pytest.approx(found[0].chance, abs=0.012)
    covered = np.mean([one.interval[0] <= one.chance <= one.interval[1] for one in found])
    assert covered > 0.88


def donors(effect=0.0, both=False, n_donors=6, cells=30):
    """Return sides of donors that differ from one another, and who their samples are from."""
    rng = np.random.default_rng(1)
    sides, units, holds = [], [], []
    for side, letter in enumerate("tb"):
        for number in range(n_donors):
            own = np.random.default_rng((number, 0 if both else side)).normal(0, 1.0, 24)
            values = rng.gamma(2.0, 1.0, (cells, 24)) * np.exp(own)
            new = (np.arange(cells) % 2 == 0) & (side == 0)
            values[new, :4] += 10 * effect
            sides.append(values)
            units += [f"{'d' if both else letter}{number}"] * cells
            holds.append(new)
    values, units = np.vstack(sides), np.array(units)
    half = n_donors * cells
    return values[:half], values[half:], units[:half], units[half:], np.hstack(holds)[:half]


@pytest.mark.parametrize("both", [True, False])
def test_whole_donors_are_left_out(both):
    x, y, units, others, _ = donors(both=both)
    found = crossfit(FirstColumn(), x, background=y, units=units, background_units=others)
    assert found.by_unit
    for side, fold in ((units, found.fold), (others, found.background_fold)):
        folds = {unit: set(fold[side == unit]) for unit in side}
        assert all(len(one) == 1 for one in folds.values())
        assert set.union(*folds.values()) == {0, 1, 2}
    if both:
        np.testing.assert_array_equal(found.fold, found.background_fold)


def test_what_tells_donors_apart_is_not_new():
    x, y, units, others, _ = donors()
    given = {"units": units, "background_units": others}
    for judge in (lambda **more: crossfit(quick(), x, background=y, **more),
                  lambda **more: coverage(x, background=y, **more)):  # fmt: skip
        assert judge().share > 0.2
        found = judge(**given)
        assert found.share < 0.15
        assert found.interval[0] < 0.05
    x, y, units, others, holds = donors(effect=4.0)
    found = crossfit(quick(), x, background=y, units=units, background_units=others)
    assert found.above[holds].mean() > 0.95
    assert found.above[~holds].mean() < 0.15


def test_few_units_make_few_folds_and_one_a_side_none():
    x, y, units, others, _ = donors(n_donors=2)
    found = crossfit(FirstColumn(), x, background=y, units=units, background_units=others)
    assert (found.by_unit, len(found.threshold)) == (True, 2)
    one = np.repeat("b0", len(y))
    found = crossfit(FirstColumn(), x, background=y, units=units, background_units=one)
    assert (found.by_unit, len(found.threshold)) == (False, 3)
    assert found.interval[0] <= found.share <= found.interval[1]


@pytest.mark.parametrize("kind", ["csr", "table", "anndata", "file"])
def test_every_kind_of_data_is_cut_alike(kind, tmp_path):
    x, y, _ = new_program(poisson=True)
    expected = crossfit(quick(dtype="float64"), x, background=y)

    def made(values, name):
        if kind == "table":
            return pd.DataFrame(values)
        data = sp.csr_matrix(values)
        if kind == "csr":
            return data
        data = ad.AnnData(data)
        if kind == "anndata":
            return data
        data.write_h5ad(tmp_path / f"{name}.h5ad")
        return ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")

    found = crossfit(quick(dtype="float64"), made(x, "x"), background=made(y, "y"))
    np.testing.assert_allclose(found.score, expected.score, atol=1e-3)


def test_counts_are_judged_by_their_own_model():
    x, y, holds = new_program(poisson=True)
    found = crossfit(SharedTargetNMF(3, 1, max_iter=60, device="cpu"), x, background=y)
    assert found.above[holds].mean() > 0.8
    assert found.above[~holds].mean() < 0.2


def test_a_classifier_finds_them_too_and_sparse_data_stay_sparse(monkeypatch):
    x, y, holds = new_program(n=120, m=120, poisson=True)
    dense = coverage(x, background=y)
    assert dense.above[holds].mean() > 0.9
    assert dense.components[0].shape == (1, 24)

    def refuse(*_, **__):
        raise AssertionError("made dense")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    sparse = coverage(sp.csr_matrix(x), background=sp.csr_matrix(y))
    np.testing.assert_allclose(sparse.score, dense.score, rtol=1e-3, atol=1e-3)
    mixed = coverage(x, background=sp.csr_matrix(y))
    np.testing.assert_allclose(mixed.score, dense.score, rtol=1e-3, atol=1e-3)


def test_the_seed_decides():
    x, y, _ = new_program()
    once = coverage(x, background=y, random_state=1)
    again = coverage(x, background=y, random_state=1)
    np.testing.assert_array_equal(once.score, again.score)
    assert once.interval == again.interval
    assert not np.array_equal(once.fold, coverage(x, background=y, random_state=2).fold)


def test_what_cannot_be_judged_is_refused(tmp_path):
    x, y = marked(30, 30)
    with pytest.raises(InputError, match="background: has 5 samples; 3 folds need at least 6"):
        crossfit(FirstColumn(), x, background=y[:5])
    with pytest.raises(InputError, match="background is missing"):
        crossfit(FirstColumn(), x)
    with pytest.raises(InputError, match="folds=1 is not allowed"):
        crossfit(FirstColumn(), x, background=y, folds=1)
    with pytest.raises(InputError, match="BaseEstimator has no target_score; give BCNMF"):
        crossfit(BaseEstimator(), x, background=y)
    with pytest.raises(InputError, match=r"units of the target have shape \(29,\)"):
        crossfit(FirstColumn(), x, background=y, units=np.arange(29))
    names = [
        pd.DataFrame(side, columns=columns) for side, columns in ((x, ["a", "b"]), (y, ["a", "c"]))
    ]
    with pytest.raises(InputError, match="background has 2 features, target 2: 1 are missing"):
        crossfit(FirstColumn(), names[0], background=names[1])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
        with pytest.raises(InputError, match=r"target: is a data set in a file.*a backed AnnData"):
            crossfit(FirstColumn(), file["x"], background=y)
        with pytest.raises(InputError, match=r"target: is on disk; principal components"):
            coverage(file["x"], background=y)
    found = crossfit(FirstColumn(), x, background=y)
    with pytest.raises(InputError, match=r"mask: has shape \(3,\); expected \(30,\)"):
        found.share_of(np.ones(3, dtype=bool))
    assert np.isnan(found.share_of(np.zeros(30, dtype=bool))).all()
    with pytest.raises(InputError, match="target: has one feature; a classifier"):
        coverage(x[:, :1], background=y[:, :1])


@pytest.fixture(scope="module")
def kang(shared_data):
    """Return log values of real cells, their donor, and which were stimulated."""
    data = ad.read_h5ad(shared_data / "kang" / "kang.h5ad")
    shares = data.X.toarray() / data.X.sum(1) * 1e4
    values = np.asarray(np.log1p(shares), dtype=np.float32)
    return (
        values,
        data.obs["donor"].to_numpy(dtype=str),
        (data.obs["group_id"] == "stim").to_numpy(),
    )


@pytest.mark.shared
def test_stimulated_cells_are_found_among_real_ones(kang):
    values, donor, stimulated = kang
    target, background = donor == "101", (donor == "107") & ~stimulated
    model = BCNMF(2, max_iter=50, device="cpu", random_state=0)
    found = crossfit(model, values[target], background=values[background])
    assert found.share_of(stimulated[target])[0] >= 0.98
    assert found.share_of(~stimulated[target])[0] < 0.2


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.parametrize("k", [2, 10])
def test_nothing_is_found_where_nothing_is(kang, k):
    values, _, stimulated = kang
    cells = values[~stimulated]
    shares = []
    for split in range(20):
        order = np.random.default_rng(split).permutation(len(cells))
        model = BCNMF(k, max_iter=50, device="cpu", random_state=0)
        halves = cells[order[:375]], cells[order[375:]]
        shares.append(crossfit(model, halves[0], background=halves[1]).share)
    assert 0.03 <= np.mean(shares) <= 0.07
