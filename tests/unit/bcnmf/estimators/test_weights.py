"""Weights: whole ones are repeated samples, ones are none, zeros are samples left out."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, CombinedBasisNMF, InputError, SharedTargetNMF, crossfit
from bcnmf.errors import StaleCheckpoint
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.weighting import Weighting
from bcnmf.solvers import staged
from programs import new_program

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

N, M, FEATURES, K = 30, 20, 12, 3
rng = np.random.default_rng(0)
X, Y = (rng.poisson(2.0, (rows, FEATURES)).astype(float) for rows in (N, M))
W, V = (rng.integers(1, 4, rows) for rows in (N, M))
C, HX, HY, T = (rng.random((rows, width)) for rows, width in
                ((K, FEATURES), (N, K), (M, K), (2, FEATURES)))  # fmt: skip
# Given starts, so that repeated samples start where one sample does.
GIVEN = {
    "safeguarded": (BCNMF, {"alpha": 0.5}),
    "absolute": (BCNMF, {"alpha": 0.5, "contrast": "absolute"}),
    "mu to the letter": (BCNMF, {"alpha": 0.5, "contrast": "absolute", "solver": "mu"}),
    "mu on counts": (BCNMF, {"alpha": 0.5, "loss": "poisson", "solver": "mu"}),
    "counts": (NMF, {"loss": "poisson"}),
    "alone": (NMF, {}),
    "shared": (SharedTargetNMF, {"loss": "squared_error"}),
    "combined": (CombinedBasisNMF, {}),
    "combined, absolute": (CombinedBasisNMF, {"contrast": "absolute", "penalty": 3.0}),
}
ANY = {
    "safeguarded": BCNMF(K, alpha=0.5),
    "stochastic": BCNMF(K, alpha=0.5, solver="stochastic"),
    "nndsvd": BCNMF(K, alpha=0.5, init="nndsvd"),
    "mu": BCNMF(K, alpha=0.5, solver="mu"),
    "counts": NMF(K, loss="poisson"),
    "shared": SharedTargetNMF(K, 2),
    "shared, squared error": SharedTargetNMF(K, 2, loss="squared_error"),
    "combined": CombinedBasisNMF(K),
}
KINDS = {
    "dense": (np.asarray, None),
    "sparse": (sp.csr_matrix, None),
    "streamed": (np.asarray, 7),
    "streamed, sparse": (sp.csr_matrix, 7),
}


def made(name, repeats_x, repeats_y, **options):
    kind, parameters = GIVEN[name]
    init = (C, np.repeat(HX, repeats_x, 0), np.repeat(HY, repeats_y, 0))
    sizes = (K,)
    if kind is SharedTargetNMF:
        init, sizes = (C, T), (K, 2)
    elif kind is CombinedBasisNMF:
        init = (C, C[::-1].copy())
    return kind(*sizes, init=init, tol=0, device="cpu", **parameters, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GIVEN)
def test_whole_weights_are_repeated_samples(name, kind):
    container, batch_size = KINDS[kind]
    options = {"max_iter": 8, "dtype": "float64", "batch_size": batch_size}
    weighted = made(name, np.ones(N, int), np.ones(M, int), **options)
    weighted.fit(container(X), background=container(Y), sample_weight=W, background_weight=V)
    repeated = made(name, W, V, **options)
    repeated.fit(container(np.repeat(X, W, 0)), background=container(np.repeat(Y, V, 0)))
    # What the published updates add to denominators stands beside another number.
    close = {"rtol": 1e-8, "atol": 1e-9} if name == "mu to the letter" else {"rtol": 1e-9}
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, **close)
    np.testing.assert_allclose(weighted.components_, repeated.components_, atol=1e-9)
    np.testing.assert_allclose(np.repeat(weighted.usage_, W, 0), repeated.usage_, atol=1e-7)
    np.testing.assert_allclose(
        np.repeat(weighted.background_usage_, V, 0), repeated.background_usage_, atol=1e-7
    )
    for fact in ("explained_target_", "explained_background_", "alpha_", "penalty_"):
        if hasattr(repeated, fact):
            assert getattr(weighted, fact) == pytest.approx(getattr(repeated, fact), rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whole_weights_are_repeated_samples_whatever_they_are(data):
    sizes = st.integers(0, 3)
    weights, others = (
        np.array(data.draw(st.lists(sizes, min_size=n, max_size=n).filter(lambda w: sum(w) > 6)))
        for n in (N, M)
    )
    sparse, poisson = data.draw(st.booleans()), data.draw(st.booleans())
    name = "mu on counts" if poisson else "safeguarded"
    container = sp.csr_matrix if sparse else np.asarray
    weighted = made(name, np.ones(N, int), np.ones(M, int), max_iter=3, dtype="float64")
    weighted.fit(
        container(X), background=container(Y), sample_weight=weights, background_weight=others
    )
    repeated = made(name, weights, others, max_iter=3, dtype="float64")
    repeated.fit(container(np.repeat(X, weights, 0)), background=container(np.repeat(Y, others, 0)))
    np.testing.assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-9)
    np.testing.assert_allclose(weighted.components_, repeated.components_, atol=1e-8)
    np.testing.assert_allclose(np.repeat(weighted.usage_, weights, 0), repeated.usage_, atol=1e-6)


def test_stages_on_counts_are_those_of_repeated_samples():
    """`SharedTargetNMF` draws usages of every sample; from the same ones it goes the same way."""
    precision = torch.float64, torch.device("cpu")
    weighting = Weighting.of(W.astype(float), "poisson")
    one = as_matrix(X, "x", *precision, weighting=weighting)
    many = as_matrix(np.repeat(X, W, 0), "x", *precision)
    start, usage = torch.tensor(C), torch.tensor(HX)
    ours = staged.descend([(one, K)], start, [weighting.weighted(usage)], "poisson", 20, 0.0)
    whole = usage[np.repeat(np.arange(N), W)]
    theirs = staged.descend([(many, K)], start, [whole], "poisson", 20, 0.0)
    np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-10)
    np.testing.assert_allclose(ours.components, theirs.components, atol=1e-10)
    found = weighting.unweighted(ours.usages[0])[np.repeat(np.arange(N), W)]
    np.testing.assert_allclose(found, theirs.usages[0], atol=1e-10)


def quick(name, **options):
    model = ANY[name].set_params(max_iter=6, tol=0, device="cpu", batch_size=None, **options)
    return type(model)(**model.get_params())


@pytest.mark.parametrize("kind", ["dense", "sparse", "streamed"])
@pytest.mark.parametrize("name", ANY)
def test_weights_of_one_are_none_bit_for_bit(name, kind):
    container, batch_size = KINDS[kind]
    x, y = container(X), container(Y)
    fits = [
        quick(name).set_params(batch_size=batch_size).fit(x, background=y, **weights)
        for weights in ({}, {"sample_weight": np.ones(N), "background_weight": [1] * M})
    ]
    for attribute in ("components_", "usage_", "background_usage_", "objective_"):
        np.testing.assert_array_equal(*(getattr(fit, attribute) for fit in fits))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("name", ANY)
def test_a_weight_of_zero_leaves_the_sample_out_and_its_usage_is_that_of_a_new_one(name, kind):
    container = KINDS[kind][0]
    weights, others = W.astype(float), V.astype(float)
    weights[[0, 7, N - 1]] = others[[3, 4]] = 0
    kept, kept_other = weights > 0, others > 0
    whole = quick(name).fit(
        container(X), background=container(Y), sample_weight=weights, background_weight=others
    )
    part = quick(name).fit(
        container(X[kept]), background=container(Y[kept_other]),
        sample_weight=weights[kept], background_weight=others[kept_other],
    )  # fmt: skip
    np.testing.assert_array_equal(whole.components_, part.components_)
    np.testing.assert_array_equal(whole.objective_, part.objective_)
    np.testing.assert_array_equal(whole.usage_[kept], part.usage_)
    np.testing.assert_array_equal(whole.background_usage_[kept_other], part.background_usage_)
    left_out = container(X[~kept])
    np.testing.assert_allclose(whole.usage_[~kept], part.transform(left_out), atol=1e-5)
    if not isinstance(whole, SharedTargetNMF | CombinedBasisNMF):
        found = part.transform(container(Y[~kept_other]))
        np.testing.assert_allclose(whole.background_usage_[~kept_other], found, atol=1e-5)
    if isinstance(whole, SharedTargetNMF):
        assert whole.shared_usage_.shape == (N, K)
        np.testing.assert_array_equal(whole.shared_usage_[kept], part.shared_usage_)
        assert whole.target_share().shape == (N, 2)
    assert (whole.background_usage_[~kept_other].sum(1) > 0).all()


def test_samples_on_disk_are_weighed_and_left_out_as_those_in_memory(tmp_path):
    weights, others = W.astype(float), V.astype(float)
    weights[[2, 11, 12, 29]] = others[[0, 19]] = 0
    options = {"background": Y, "sample_weight": weights, "background_weight": others}
    expected = BCNMF(K, alpha=0.5, max_iter=6, tol=0, dtype="float64").fit(X, **options)
    backed = []
    for name, side in (("x", X), ("y", Y)):
        ad.AnnData(sp.csr_matrix(side)).write_h5ad(tmp_path / f"{name}.h5ad")
        backed.append(ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r"))
    with h5py.File(tmp_path / "dense.h5", "w") as file:
        for name, side in (("x", X), ("y", Y)):
            file[name] = side
    found = BCNMF(K, alpha=0.5, max_iter=6, tol=0, dtype="float64", batch_size=6)
    with h5py.File(tmp_path / "dense.h5") as file:
        for x, y in (backed, (file["x"], file["y"])):
            found.fit(x, **{**options, "background": y})
            np.testing.assert_allclose(found.components_, expected.components_, atol=1e-7)
            np.testing.assert_allclose(found.usage_, expected.usage_, atol=1e-5)
            np.testing.assert_allclose(
                found.background_usage_, expected.background_usage_, atol=1e-5
            )


@pytest.mark.parametrize("name", ["safeguarded", "counts", "shared", "combined"])
def test_weights_that_cannot_be_used_are_refused_before_the_fit(name):
    model = quick(name)
    for weights, match in (
        (np.ones(N + 1), r"sample_weight: has shape \(31,\)"),
        (-np.ones(N), "30 of 30 weights are negative"),
        (np.full(N, np.nan), "30 of 30 weights are NaN"),
        (np.zeros(N), "all weights are zero"),
    ):
        with pytest.raises(InputError, match=match):
            model.fit(X, background=Y, sample_weight=weights)
    table = pd.DataFrame(X, index=[f"cell{i}" for i in range(N)])
    with pytest.raises(InputError, match=r"sample_weight has 30 samples, .* another order"):
        model.fit(table, background=Y, sample_weight=pd.Series(np.ones(N), table.index[::-1]))
    with pytest.raises(InputError, match="background_weight: has shape"):
        model.fit(X, background=Y, background_weight=np.ones(M - 1))
    few = np.zeros(N)
    few[:1] = 1
    with pytest.raises(InputError, match="is larger than the data: the target has 1 samples"):
        model.fit(X, background=Y, sample_weight=few)


def test_weights_of_a_background_that_is_not_there_are_refused():
    with pytest.raises(InputError, match="background_weight is given, but no background"):
        NMF(K).fit(X, background_weight=np.ones(M))


def test_topics_of_the_background_weigh_its_samples():
    others = np.where(np.arange(M) < 8, 1.0, 0.0)
    options = {"alpha": 0.5, "max_iter": 5, "tol": 0, "n_background": 3, "dtype": "float64"}
    whole = BCNMF(K, **options).fit(X, background=Y, background_weight=others)
    part = BCNMF(K, **options).fit(X, background=Y[:8])
    np.testing.assert_array_equal(whole.background_components_, part.background_components_)
    plain = BCNMF(K, **options).fit(X, background=Y)
    assert not np.array_equal(whole.background_components_, plain.background_components_)


def test_a_checkpoint_of_other_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bcnmf.checkpoint.SECONDS", 0.0)
    monkeypatch.setattr("bcnmf.checkpoint.Checkpoint.remove", lambda self: None)
    path = tmp_path / "state.npz"
    model = BCNMF(K, alpha=0.5, max_iter=4, tol=0)
    model.fit(X, background=Y, checkpoint=path, sample_weight=W)
    assert path.exists()
    for weights in (None, W + (np.arange(N) == 3), np.where(np.arange(N) == 3, 0, W)):
        with pytest.raises(StaleCheckpoint, match=r"target \(weights\)"):
            model.fit(X, background=Y, checkpoint=path, sample_weight=weights)
    model.fit(X, background=Y, checkpoint=path, sample_weight=W)


def test_a_fit_goes_on_from_its_checkpoint_with_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("bcnmf.checkpoint.SECONDS", 0.0)
    path = tmp_path / "state.npz"
    for solver in ("safeguarded", "mu", "stochastic"):
        options = {"alpha": 0.5, "tol": 0, "solver": solver}
        weights = {"sample_weight": W, "background_weight": V}
        whole = BCNMF(K, max_iter=8, **options).fit(X, background=Y, **weights)
        with monkeypatch.context() as kept:
            kept.setattr("bcnmf.checkpoint.Checkpoint.remove", lambda self: None)
            BCNMF(K, max_iter=4, **options).fit(X, background=Y, checkpoint=path, **weights)
        again = BCNMF(K, max_iter=8, **options)
        again.fit(X, background=Y, checkpoint=path, **weights)
        np.testing.assert_array_equal(again.components_, whole.components_)
        np.testing.assert_array_equal(again.usage_, whole.usage_)


def test_a_cross_fit_weighs_the_samples_of_each_part():
    x, y, _ = new_program(60, 50)
    estimator = BCNMF(2, alpha=2, max_iter=10, n_background=3)
    weights = {"sample_weight": np.ones(60), "background_weight": np.ones(50)}
    plain, ones = crossfit(estimator, x, y), crossfit(estimator, x, y, **weights)
    np.testing.assert_array_equal(plain.score, ones.score)
    # A sample of weight zero is in no fit, but is judged.
    weights["sample_weight"][:20] = 0
    found = crossfit(estimator, x, y, **weights)
    assert np.isfinite(found.score).all()
    assert not np.array_equal(found.score, plain.score)
    other = x.copy()
    other[:20] = x[:20][::-1]
    assert np.array_equal(
        crossfit(estimator, other, y, **weights).background_score, found.background_score
    )
    with pytest.raises(InputError, match=r"sample_weight: has shape \(3,\)"):
        crossfit(estimator, x, y, sample_weight=np.ones(3))
