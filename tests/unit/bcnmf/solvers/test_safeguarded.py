"""The safeguarded solver: descent on the true reduced objective, well-posed factors."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, ConvergenceWarning
from bcnmf_pipeline.datasets.simulation import simulate_counts

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def exact_objective(x, y, components, alpha):
    """Return the reduced objective with usages from scipy's active-set solver."""
    residual = [
        sum(scipy.optimize.nnls(components.T, row)[1] ** 2 for row in side) for side in (x, y)
    ]
    return residual[0] - alpha * residual[1]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 12),
    m=st.integers(1, 12),
    features=st.integers(2, 9),
    k=st.integers(1, 4),
    alpha=st.sampled_from([0.0, 0.5, 1.0, 3.0, 50.0, 1000.0]),
    sparse=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
# Topics alike to four digits: sweeps crawl towards a usage of zero.
@example(1252, 5, 5, 2, 2, 1.0, False, "float64")
def test_the_true_objective_never_rises(seed, n, m, features, k, alpha, sparse, dtype):
    rng = np.random.default_rng(seed)
    x, y = (rng.poisson(1.0, (rows, features)).astype(float) for rows in (n, m))
    x[0, 0] = y[0, 0] = 1
    k = min(k, n, features)
    container = sp.csr_matrix if sparse else np.asarray
    model = BCNMF(
        k, alpha=alpha, contrast="absolute", max_iter=25, tol=0, dtype=dtype, device="cpu",
        random_state=seed,
    ).fit(container(x), background=container(y))  # fmt: skip
    assert (np.diff(model.objective_) <= 0).all()
    assert np.isfinite(model.components_).all()
    assert np.isfinite(model.usage_).all()
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, rtol=1e-5)
    scale = (x**2).sum() + alpha * (y**2).sum()
    assert model.objective_[-1] >= -alpha * (y**2).sum() - 1e-6 * scale
    components = model.components_.astype(float)
    # Where topics coincide to half the digits, a Gram matrix no longer tells them apart; before
    # that, they magnify the rounding of X C' in the precision of the factors.
    condition = np.linalg.cond(components @ components.T)
    if condition < 1e9:
        tolerance = 1e-5 + np.finfo(dtype).eps * condition**0.5
        truth = exact_objective(x, y, components, alpha)
        assert model.objective_[-1] == pytest.approx(truth, abs=tolerance * scale)


def planted(seed):
    """Return a target with a shared and an own topic, and a background with the shared one."""
    rng = np.random.default_rng(seed)
    shared, own = np.r_[np.ones(10), np.zeros(10)], np.r_[np.zeros(10), np.ones(10)]
    x = np.outer(rng.gamma(2, 5, 80), shared) + np.outer(rng.gamma(2, 1, 80), own)
    y = np.outer(rng.gamma(2, 5, 60), shared)
    return x + 0.05 * rng.random(x.shape), y + 0.05 * rng.random(y.shape), own


def test_the_contrast_finds_what_the_target_has_alone():
    x, y, own = planted(0)
    cosine = {
        name: float(model.fit(x, background=y).components_[0] @ own) / np.sqrt(10)
        for name, model in {
            "contrast": BCNMF(1, alpha=2.0, random_state=1, device="cpu"),
            "plain": NMF(1, random_state=1, device="cpu"),
        }.items()
    }
    assert cosine["contrast"] > 0.99
    assert cosine["plain"] < 0.5


def test_poisson_without_contrast_is_normalised_maximum_likelihood():
    rng = np.random.default_rng(2)
    x = rng.poisson(2.0, (20, 9)).astype(float)
    model = NMF(2, loss="poisson", max_iter=30, tol=0, device="cpu", dtype="float64").fit(x)
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1)
    assert (np.diff(model.objective_) <= 1e-9).all()
    mean = model.usage_ @ model.components_
    logs = np.where(x > 0, x * np.log(np.maximum(x, 1) / mean), 0)
    assert model.objective_[-1] == pytest.approx(float((logs - x + mean).sum()))


def test_convergence_is_reported_and_warned_about():
    x, y, _ = planted(3)
    model = BCNMF(2, alpha=0.5, max_iter=2000, tol=1e-6, device="cpu").fit(x, background=y)
    assert model.converged_
    assert model.n_iter_ < 2000
    assert model.kkt_residual_ < 0.05
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        BCNMF(2, alpha=0.5, max_iter=2, tol=1e-12, device="cpu").fit(x, background=y)


def test_unused_topics_are_named():
    x, y, _ = planted(4)
    rng = np.random.default_rng(0)
    start = [rng.random(shape) for shape in ((3, 20), (80, 3), (60, 3))]
    start[1][:, 1] = 0  # multiplication leaves it so
    with pytest.warns(ConvergenceWarning, match="the target uses topics 2 of 3 nowhere"):
        BCNMF(3, solver="mu", init=start, max_iter=5, tol=0, device="cpu").fit(x, background=y)


def test_a_topic_that_repeats_another_is_used_again():
    """From a start with equal topics no gradient tells them apart."""
    rng = np.random.default_rng(1)
    truth = np.kron(np.eye(3), np.ones(8))
    x = rng.gamma(1.0, 1.0, (90, 3)) @ truth + 0.01 * rng.random((90, 24))
    start = np.ones((3, 24)), np.ones((90, 3)), np.ones((0, 3))
    model = NMF(3, init=start, max_iter=200, device="cpu").fit(x)
    assert model.explained_target_ > 0.99
    assert (model.usage_.max(0) > 0).all()


def simulated():
    """Return log values of a target and a background with strong shared programs."""
    drawn = simulate_counts(
        8.0, n_genes=400, n_target=150, n_background=150, n_shared=3, shared_block=60,
        target_block=40, random_state=1,
    )  # fmt: skip
    counts = drawn.X.toarray()
    values = np.log1p(1e4 * counts / counts.sum(1, keepdims=True))
    target = (drawn.obs["side"] == "target").to_numpy()
    return values[target], values[~target]


@pytest.mark.parametrize("alpha", [1.5, 2.0])
def test_it_ends_no_higher_than_plain_updates_and_where_other_starts_end(alpha):
    x, y = simulated()
    nothing, ended = (1 - alpha) * (x**2).sum(), []
    for seed in range(3):
        settings = {"alpha": alpha, "random_state": seed, "device": "cpu"}
        plain = BCNMF(5, solver="mu", max_iter=500, tol=0, **settings).fit(x, background=y)
        model = BCNMF(5, max_iter=1000, **settings).fit(x, background=y)
        assert model.converged_
        reached = exact_objective(x, y, plain.components_.astype(float), model.alpha_)
        ended.append(exact_objective(x, y, model.components_.astype(float), model.alpha_))
        assert ended[-1] <= reached + 0.0005 * (nothing - reached)
    assert max(ended) - min(ended) < 0.02 * (nothing - min(ended))


def test_a_strong_contrast_is_reached_from_random_starts():
    """Without a warm-up, all topics fall into one and the descent ends at once."""
    x, y = simulated()
    for seed in range(3):
        model = BCNMF(5, alpha=5.0, max_iter=150, random_state=seed, device="cpu")
        model.fit(x, background=y)
        # No topics at all: ||X||^2 - alpha ||Y||^2 = (1 - alpha) ||X||^2 in relative terms.
        nothing = -4.0 * (x.astype(np.float32) ** 2).sum(dtype=float)
        assert model.objective_[-1] < nothing + 1e-3 * abs(nothing)
