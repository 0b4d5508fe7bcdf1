"""A background that does not fit: programs it lacks, genes it misses, too few samples."""

import pickle
import signal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bcnmf import ConvergenceWarning, InputError, SharedTargetNMF
from bcnmf.checkpoint import Checkpoint
from bcnmf.persistence import Fit
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def simulated(beta=4.0, seed=0, **departures):
    cells = simulate_counts(
        beta, n_genes=400, n_target=200, n_background=200, shared_block=40, target_block=80,
        random_state=seed, **departures,
    )  # fmt: skip
    in_target = (cells.obs["side"] == "target").to_numpy()
    sides = cells.X[in_target], cells.X[~in_target]
    return *sides, cells.obs["target_program"][in_target].to_numpy(), cells


def model(**parameters):
    chosen = {"n_shared": 6, "n_target": 2, "device": "cpu", "tol": 1e-3, "random_state": 0}
    return SharedTargetNMF(**(chosen | parameters))


def found(fitted, labels):
    return adjusted_rand(labels, kmeans_labels(np.sqrt(fitted.target_share()), 2))


@pytest.fixture(scope="module")
def lacking():
    """Return a target, a background that lacks a shared program, labels, and the whole data."""
    return simulated(n_missing=1)


@pytest.fixture(scope="module")
def second(lacking):
    x, y, _, _ = lacking
    return model(second_round="auto").fit(x, background=y)


def test_a_second_round_finds_what_a_missing_program_hides(lacking, second):
    x, y, labels, cells = lacking
    first = model().fit(x, background=y)
    assert first.n_absent_ == 0
    assert found(first, labels) < 0.1
    assert found(second, labels) > 0.9
    assert second.n_absent_ >= 1
    held = second.shared_components_[-second.n_absent_ :]
    missing = cells.uns["shared_programs"][-1]
    cosine = held @ missing / np.linalg.norm(missing)
    assert cosine.max() > 0.95


def test_a_second_round_fits_better_and_keeps_the_shapes(lacking, second):
    x, y, _, _ = lacking
    first = model().fit(x, background=y)
    n_beside = 6 + second.n_absent_
    assert second.components_.shape == (2, 400)
    assert second.shared_components_.shape == (n_beside, 400)
    assert second.shared_usage_.shape == (200, n_beside)
    assert second.background_usage_.shape == (200, n_beside)
    assert (second.background_usage_[:, 6:] == 0).all()
    np.testing.assert_array_equal(second.shared_components_[:6], first.shared_components_)
    assert len(second.stages_) == len(first.stages_) + 1
    assert sum(second.stages_) == len(second.objective_)
    for stage in np.split(second.objective_, np.cumsum(second.stages_)[:-1]):
        assert (np.diff(stage) <= 0).all()
    assert second.objective_[-1] < first.objective_[-1]
    assert second.explained_target_ > first.explained_target_
    assert second.explained_background_ == pytest.approx(first.explained_background_)
    whole = second.shared_usage_ @ second.shared_components_
    whole += second.usage_ @ second.components_
    np.testing.assert_allclose(whole.sum(1), np.asarray(x.sum(1))[:, 0], rtol=0.05)
    assert (second.target_share().sum(1) < 0.5).all()


def test_new_samples_are_solved_beside_what_is_held(lacking, second):
    x, y, _, cells = lacking
    usage = second.transform(x)
    np.testing.assert_allclose(usage, second.usage_, atol=0.05 * second.usage_.max())
    assert second.inverse_transform(usage).shape == (200, 400)
    # Cells of the missing program hold no more that is new than the others.
    of_missing = (cells.obs["shared_program"][: len(usage)] == "shared_5").to_numpy()
    score = second.target_score(x)
    first = model().fit(x, background=y).target_score(x)
    assert score[of_missing].mean() < 1.5 * score[~of_missing].mean()
    assert first[of_missing].mean() > 3 * first[~of_missing].mean()


def test_no_second_round_where_the_first_has_found_what_there_is():
    # Without shared programs most of each cell's counts are of target programs: nothing else is.
    x, y, labels, _ = simulated(0.0)
    expected = model().fit(x, background=y)
    fitted = model(second_round="auto").fit(x, background=y)
    assert fitted.n_absent_ == 0
    np.testing.assert_array_equal(fitted.usage_, expected.usage_)
    assert fitted.stages_ == expected.stages_
    assert found(fitted, labels) > 0.9


def test_without_a_missing_program_the_second_round_changes_nothing():
    x, y, _, _ = simulated()
    expected = model().fit(x, background=y)
    fitted = model(second_round="auto").fit(x, background=y)
    np.testing.assert_array_equal(fitted.components_, expected.components_)
    np.testing.assert_array_equal(fitted.objective_, expected.objective_)


def test_few_background_samples_do_not_judge_a_second_round(lacking):
    x, y, _, _ = lacking
    assert model(second_round="auto").fit(x, background=y[:99]).n_absent_ == 0


@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
def test_a_second_round_may_be_had_always(loss):
    rng = np.random.default_rng(0)
    x, y = rng.poisson(2.0, (30, 12)), rng.poisson(2.0, (20, 12))
    fitted = model(n_shared=3, second_round="always", loss=loss, max_iter=20).fit(x, background=y)
    assert fitted.n_absent_ == 2
    assert fitted.shared_components_.shape == (5, 12)
    first = model(n_shared=3, loss=loss, max_iter=20).fit(x, background=y)
    np.testing.assert_allclose(
        fitted.shared_components_, np.vstack([first.shared_components_, first.components_]),
        rtol=1e-5,
    )  # fmt: skip
    refined = model(n_shared=3, second_round="always", loss=loss, max_iter=20, refine=5)
    refined.fit(x, background=y)
    assert refined.objective_[-1] < fitted.objective_[-1]
    assert refined.background_usage_.shape == (20, 5)


def test_what_the_background_lacks_is_said_and_what_to_do(lacking):
    x, y, _, _ = lacking
    with pytest.warns(ConvergenceWarning, match="lacks a kind of sample.*second_round='auto'"):
        model().fit(x, background=y)
    with pytest.warns(ConvergenceWarning, match="last . of shared_components_.*'never'"):
        model(second_round="auto").fit(x, background=y)


def test_topics_of_both_sides_serve_where_the_background_has_few_samples():
    for seed in range(2):
        x, y, labels, _ = simulated(8.0, seed)
        few = y[:10]
        alone = model().fit(x, background=few)
        both = model(shared_from="both").fit(x, background=few)
        assert found(both, labels) > found(alone, labels) + 0.2
        assert both.background_usage_.shape == (10, len(both.shared_components_))


def test_topics_of_both_sides_that_only_the_target_uses_are_not_shared():
    x, y, labels, _ = simulated(0.0)
    fitted = model(shared_from="both").fit(x, background=y)
    assert len(fitted.shared_components_) < 6
    assert found(fitted, labels) > 0.9


def test_topics_of_both_sides_do_not_depend_on_the_container():
    x, y, _, _ = simulated()
    sparse = model(shared_from="both", max_iter=30, tol=0, dtype="float64")
    sparse.fit(x, background=y)
    dense = model(shared_from="both", max_iter=30, tol=0, dtype="float64")
    dense.fit(x.toarray(), background=y.toarray())
    np.testing.assert_allclose(sparse.usage_, dense.usage_, rtol=1e-4, atol=1e-4)
    assert (np.diff(sparse.objective_[: sparse.stages_[0]]) <= 0).all()


@pytest.fixture(scope="module")
def unequal():
    return simulated(n_captured=20, capture=3.0)


def test_offsets_find_unequal_capture(unequal):
    x, y, labels, cells = unequal
    without = model().fit(x, background=y)
    fitted = model(offsets="side").fit(x, background=y)
    assert found(without, labels) < 0.5
    assert found(fitted, labels) > 0.9
    captured = cells.var["capture"].to_numpy() == 3
    # What all genes have in common is in the usages.
    of_captured, of_others = fitted.offsets_[captured], fitted.offsets_[~captured]
    assert np.median(of_captured) / np.median(of_others) == pytest.approx(3, rel=0.2)
    assert of_captured.min() > np.quantile(of_others, 0.95)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_offsets_leave_programs_of_the_target_alone(beta):
    x, y, labels, cells = simulated(beta)
    fitted = model(offsets="side").fit(x, background=y)
    assert found(fitted, labels) > 0.9
    own = cells.var["block"].str.startswith("target").to_numpy()
    assert np.median(fitted.offsets_[own]) < 1.3


def test_offsets_belong_to_the_model_of_the_target(unequal):
    x, y, _, _ = unequal
    fitted = model(offsets="side").fit(x, background=y)
    usage = fitted.transform(x)
    np.testing.assert_allclose(usage, fitted.usage_, atol=0.1 * fitted.usage_.max())
    whole = fitted.shared_usage_ @ (fitted.shared_components_ * fitted.offsets_)
    whole += fitted.usage_ @ fitted.components_
    np.testing.assert_allclose(whole.sum(1), np.asarray(x.sum(1))[:, 0], rtol=0.05)
    # Samples of either side are scored beside topics of their own.
    score, other = fitted.target_score(x), fitted.target_score(y)
    assert np.median(other) < np.median(score)
    genes = [f"gene_{gene}" for gene in range(400)]
    x, y = (pd.DataFrame(side.toarray(), columns=genes) for side in (x, y))
    with pytest.warns(ConvergenceWarning, match=r"offsets='side'.*The most: gene_\d+ x [0-9.]+"):
        model(offsets="side", max_iter=5).fit(x, background=y)


def test_offsets_are_ones_unless_asked_for():
    x, y, _, _ = simulated()
    assert (model(max_iter=5).fit(x, background=y).offsets_ == 1).all()


@pytest.mark.parametrize(
    "parameters",
    [{"second_round": "auto"}, {"offsets": "side"}, {"shared_from": "both"}],
)
def test_saved_and_pickled_models_come_back_whole(lacking, parameters, tmp_path):
    x, y, _, _ = lacking
    fitted = model(**parameters).fit(x, background=y)
    fitted.save(tmp_path / "model.npz")
    for back in (
        SharedTargetNMF.load(tmp_path / "model.npz"),
        pickle.loads(pickle.dumps(fitted)),
    ):
        assert back.get_params() == fitted.get_params()
        assert back.n_absent_ == fitted.n_absent_
        for name in ("offsets_", "shared_components_", "shared_usage_", "background_usage_"):
            np.testing.assert_array_equal(getattr(back, name), getattr(fitted, name))
        np.testing.assert_array_equal(back.transform(x), fitted.transform(x))
        np.testing.assert_array_equal(back.target_score(y), fitted.target_score(y))
        np.testing.assert_array_equal(back.target_share(), fitted.target_share())


def test_files_of_earlier_versions_are_read(lacking, tmp_path):
    x, y, _, _ = lacking
    fit = model(max_iter=5).fit(x, background=y).to_fit()
    for name in ("shared_from", "second_round", "offsets"):
        del fit.info["estimator"]["parameters"][name]
    del fit.info["estimator"]["fitted"]["n_absent_"]
    fit.offsets = np.empty(0)
    fit.write(tmp_path / "old.npz")
    assert Fit.read(tmp_path / "old.npz").offsets.size == 0
    back = SharedTargetNMF.load(tmp_path / "old.npz")
    assert back.n_absent_ == 0
    assert (back.offsets_ == 1).all()
    assert back.transform(x).shape == (200, 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shared_from": "target"}, "shared_from='target' is not known; allowed: background, both"),
        ({"second_round": True}, "second_round=True is not known; allowed: never, auto, always"),
        ({"offsets": "batch"}, "offsets='batch' is not known; allowed: none, side"),
        ({"offsets": "side", "loss": "squared_error"}, "offsets='side' with loss='squared_error'"),
        ({"offsets": "side", "shared_from": "both"}, "with shared_from='both'.*'background'"),
        ({"offsets": "side", "refine": 3}, "offsets='side' with refine=3.*allowed: refine=0"),
    ],
)
def test_what_cannot_be_is_refused(parameters, message):
    x = sp.csr_matrix(np.ones((8, 5)))
    with pytest.raises(InputError, match=message):
        model(n_shared=2, **parameters).fit(x, background=x)


@pytest.mark.parametrize("iterations", [9, 17, 25, 33])
def test_a_second_round_that_was_stopped_goes_on(lacking, tmp_path, monkeypatch, iterations):
    x, y, _, _ = lacking
    # Eight iterations each of W_s, W_t, the second round, and the two that judge it.
    chosen = {"second_round": "auto", "max_iter": 8, "tol": 0.0}
    whole = model(**chosen).fit(x, background=y)
    assert whole.n_absent_ >= 1
    path, original, left = tmp_path / "fit.npz", Checkpoint.after_iteration, [iterations]

    def interrupted(self, state):
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGTERM)
        original(self, state)

    monkeypatch.setattr(Checkpoint, "after_iteration", interrupted)
    with pytest.raises(SystemExit):
        model(**chosen).fit(x, background=y, checkpoint=path)
    assert path.exists()
    resumed = model(**chosen).fit(x, background=y, checkpoint=path)
    np.testing.assert_array_equal(resumed.usage_, whole.usage_)
    np.testing.assert_array_equal(resumed.objective_, whole.objective_)
    assert resumed.n_absent_ == whole.n_absent_


def test_weights_and_left_out_samples_go_with_a_second_round(lacking):
    x, y, _, _ = lacking
    weight, other = np.ones(200), np.ones(200)
    weight[:3] = other[:4] = 0
    fitted = model(second_round="auto").fit(
        x, background=y, sample_weight=weight, background_weight=other
    )
    assert fitted.n_absent_ >= 1
    assert fitted.usage_.shape == (200, 2)
    assert fitted.shared_usage_.shape == (200, len(fitted.shared_components_))
    assert fitted.background_usage_.shape == fitted.shared_usage_.shape
    np.testing.assert_allclose(fitted.usage_[:3], fitted.transform(x[:3]), rtol=1e-3, atol=1e-3)
