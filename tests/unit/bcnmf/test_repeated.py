"""The consensus of many starts as a fitted model."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone

from bcnmf import BCNMF, NMF, CombinedBasisNMF, InputError, SharedTargetNMF, consensus
from bcnmf.agreement import UNSTABLE
from bcnmf.seeds import seed_of_start

SHARED = np.kron(np.eye(2, 3), np.ones(8))
NEW = np.kron(np.eye(3)[2:], np.ones(8))


def side(n, programs, seed):
    rng = np.random.default_rng(seed)
    usage = rng.gamma(1, 1, (n, len(programs)))
    return rng.poisson(usage @ programs + 0.05).astype(float)


@pytest.fixture(scope="module")
def data():
    return side(90, np.concatenate([SHARED, NEW]), 0), side(70, SHARED, 1)


ESTIMATORS = {
    "safeguarded": BCNMF(2, alpha=1.0),
    "mu": BCNMF(2, alpha=1.0, solver="mu", contrast="absolute", max_iter=100),
    "stochastic": BCNMF(2, alpha=1.0, solver="stochastic", max_iter=10, tol=0),
    "poisson": BCNMF(2, alpha=0.5, loss="poisson", solver="mu", max_iter=30, tol=0),
    "nmf": NMF(3),
    "nmf poisson": NMF(3, loss="poisson"),
    "shared": SharedTargetNMF(2, 1),
    "shared squared error": SharedTargetNMF(2, 1, loss="squared_error"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("sparse", [False, True])
def test_it_is_a_fitted_model(name, sparse, data, tmp_path):
    X, Y = map(sp.csr_matrix, data) if sparse else data
    found = consensus(ESTIMATORS[name], X, background=Y, n_starts=4)
    model, k = found.model, len(found.components_)
    assert type(model) is type(ESTIMATORS[name])
    assert np.linalg.norm(found.components_, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert found.usage_ == pytest.approx(model.transform(X), abs=1e-4)
    assert found.background_usage_.shape[0] == 70
    assert model.target_score(X).shape == (90,)
    assert model.objective_.shape == (1,)
    assert np.isfinite(model.objective_).all()
    assert found.stability_.shape == found.support_.shape == found.stable_.shape == (k,)
    assert ((found.stability_ >= 0) & (found.stability_ <= 1)).all()
    assert found.objectives_.shape == (4,)
    # Those that the target uses most come first.
    assert (np.diff(np.square(found.usage_).sum(0)) <= 0).all()
    model.save(tmp_path / "fit.npz")
    loaded = type(model).load(tmp_path / "fit.npz")
    assert np.array_equal(loaded.components_, model.components_)
    assert loaded.target_score(X) == pytest.approx(model.target_score(X))
    assert np.array_equal(pickle.loads(pickle.dumps(model)).usage_, model.usage_)
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("name", ["safeguarded", "mu", "nmf poisson", "shared"])
def test_objective_and_explained_share_are_those_of_its_factors(name, data):
    X, Y = data
    model = consensus(ESTIMATORS[name], X, background=Y, n_starts=3).model

    def errors(values, fit):
        if model.loss == "squared_error":
            return ((values - fit) ** 2).sum()
        filled = values > 0
        logs = values[filled] * np.log(values[filled] / fit[filled])
        return logs.sum() - values.sum() + fit.sum()

    fit = model.usage_ @ model.components_
    other = model.background_usage_ @ (
        model.shared_components_ if name == "shared" else model.components_
    )
    weight = 1.0 if name == "shared" else -model.alpha_
    if name == "shared":
        fit = fit + model.shared_usage_ @ model.shared_components_
    expected = errors(X, fit) + weight * (errors(Y, other) if weight else 0.0)
    assert model.objective_[-1] == pytest.approx(expected, rel=1e-3)
    if model.loss == "squared_error":
        assert model.explained_target_ == pytest.approx(
            1 - errors(X, fit) / np.square(X).sum(), rel=1e-4
        )


def test_starts_are_single_fits_by_name_however_many_there_are(data):
    X, Y = data
    make = BCNMF(2, alpha=1.0)
    few, many = (consensus(make, X, Y, n, random_state=5).objectives_ for n in (3, 6))
    assert np.array_equal(few, many[:3])
    for number, objective in enumerate(few):
        seed = seed_of_start(5, number)
        alone = clone(make).set_params(random_state=seed).fit(X, background=Y)
        assert alone.objective_[-1] == objective


@pytest.mark.parametrize("sparse", [False, True])
def test_threads_change_no_number(sparse, data):
    X, Y = map(sp.csr_matrix, data) if sparse else data
    one, two = (consensus(BCNMF(2), X, Y, 5, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.objectives_, two.objectives_)
    assert np.array_equal(one.components_, two.components_)
    assert np.array_equal(one.stability_, two.stability_)


def test_the_program_that_only_the_target_has_is_stable(data):
    found = consensus(BCNMF(1, alpha=2.0), *data, n_starts=5)
    assert found.stability_ == pytest.approx(1.0, abs=0.01)
    assert found.components_[0] @ NEW[0] / np.sqrt(8) > 0.9
    assert found.advice() == "1 of 1 programs are stable over 5 starts"


def test_topics_of_noise_are_flagged():
    noise = np.random.default_rng(0).poisson(0.5, (150, 60)).astype(float)
    found = consensus(NMF(4, loss="poisson", max_iter=100, tol=1e-3), noise, n_starts=10)
    assert not found.stable_.any()
    assert np.array_equal(found.stable_, found.stability_ >= UNSTABLE)
    assert found.advice().startswith(
        "0 of 4 programs are stable over 10 starts; unstable: 1 (found"
    )
    assert "lower the number of topics" in found.advice()


def test_the_shared_topics_are_those_of_the_best_start(data):
    X, Y = data
    make = SharedTargetNMF(2, 1)
    found = consensus(make, X, Y, 4)
    seed = seed_of_start(0, int(found.objectives_.argmin()))
    best = clone(make).set_params(random_state=seed).fit(X, background=Y)
    assert np.array_equal(found.model.shared_components_, best.shared_components_)
    assert np.array_equal(found.model.background_usage_, best.background_usage_)


def test_shared_topics_with_offsets_and_second_rounds_keep_them(data):
    make = SharedTargetNMF(2, 1, offsets="side")
    found = consensus(make, *data, n_starts=3)
    assert found.usage_ == pytest.approx(found.model.transform(data[0]), abs=1e-4)


def test_weights_count(data):
    X, _ = data
    twice = np.where(np.arange(len(X)) < 20, 2.0, 1.0)
    weighted = consensus(NMF(2), X, n_starts=3, sample_weight=twice)
    repeated = consensus(NMF(2), np.concatenate([X, X[:20]]), n_starts=3)
    cosine = (weighted.components_ @ repeated.components_.T).max(1)
    assert cosine == pytest.approx(1.0, abs=1e-3)
    assert weighted.usage_ == pytest.approx(weighted.model.transform(X), abs=1e-4)


def test_the_estimator_is_not_changed(data):
    make = BCNMF(2, n_init=3, random_state=9)
    found = consensus(make, *data, n_starts=2)
    assert not hasattr(make, "components_")
    assert make.n_init == 3
    assert found.model.seed_ == 0
    assert "_solve" not in vars(found.model)


def test_it_fits_what_is_stored_in_the_fit_file(data):
    found = consensus(BCNMF(2), *data, n_starts=3)
    stored = found.to_fit().info["consensus"]
    assert stored["n_starts"] == 3
    assert stored["stability"] == found.stability_.tolist()
    assert stored["support"] == found.support_.tolist()


@pytest.mark.parametrize(
    ("estimator", "options", "text"),
    [
        (CombinedBasisNMF(2), {}, "no consensus of it, whose shared and target parts"),
        (object(), {}, "give BCNMF, NMF or SharedTargetNMF"),
        (BCNMF(2, init="nndsvd"), {}, "all starts would be one; set init='random'"),
        (BCNMF(2, init=(1, 2, 3)), {}, "init='arrays'"),
        (BCNMF(2), {"n_starts": 1}, "n_starts=1 is not allowed"),
        (BCNMF(2), {"neighbours": 1.5}, "neighbours=1.5"),
        (BCNMF(2), {"max_distance": -1}, "max_distance=-1"),
        (BCNMF(2), {"random_state": None}, "random_state=None"),
        (BCNMF(2), {"threads": 0}, "threads=0"),
        (BCNMF(200), {}, "n_components=200 is larger than the data"),
    ],
)
def test_what_cannot_be_is_refused(estimator, options, text, data):
    with pytest.raises(InputError, match=text):
        consensus(estimator, *data, **options)


def test_the_model_warns_where_most_starts_have_not_converged(data):
    with pytest.warns(UserWarning, match="not met after max_iter=12"):
        found = consensus(BCNMF(2, max_iter=12, tol=1e-12), *data, n_starts=3)
    assert not found.model.converged_
