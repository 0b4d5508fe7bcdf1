"""Contrastive PCA against numpy's dense eigendecomposition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf.errors import InputError
from bcnmf_pipeline.methods import eigenpairs
from bcnmf_pipeline.methods.cpca import (
    CPCA,
    automatic_alphas,
    contrastive_components,
    subspace_affinity,
)

ALPHAS = (0.0, 0.5, 2.0, 100.0)


def pair(n=30, m=25, features=10, seed=0):
    """Return counts: shared strong structure, and two groups in the target alone."""
    generator = np.random.default_rng(seed)
    shared = generator.gamma(1.0, 3.0, (3, features))
    rate_x, rate_y = (shared[generator.integers(0, 3, size)] for size in (n, m))
    groups = np.arange(n) % 2
    rate_x = rate_x + np.where(
        np.arange(features) % 2 == groups[:, None], generator.gamma(2.0, 1.0, features), 0.0
    )
    return generator.poisson(rate_x).astype(float), generator.poisson(rate_y).astype(float), groups


def naive(x, y, k, alpha):
    matrix = np.cov(x, rowvar=False) - alpha * np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1][:k], vectors[:, ::-1][:, :k].T


def assert_same_space(rows, expected, atol=1e-8):
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=atol)
    np.testing.assert_allclose(rows.T @ rows, expected.T @ expected, atol=atol)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("shape", [(30, 25, 10), (30, 25, 80), (60, 8, 50)])
def test_equals_dense_eigendecomposition(shape, convert, alpha):
    # Fewer features than samples, more features than samples, and in between.
    x, y, _ = pair(*shape)
    values, vectors = naive(x, y, 3, alpha)
    model = CPCA(n_components=3, alpha=alpha)
    usage = model.fit_transform(convert(x), background=convert(y))
    np.testing.assert_allclose(model.eigenvalues_, values, rtol=1e-9, atol=1e-9)
    assert_same_space(model.components_, vectors)
    np.testing.assert_allclose(usage, (x - x.mean(axis=0)) @ model.components_.T, atol=1e-9)
    np.testing.assert_allclose(
        model.background_usage_, (y - y.mean(axis=0)) @ model.components_.T, atol=1e-9
    )
    np.testing.assert_allclose(model.transform(x), usage, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("features", [40, 90])
def test_lanczos_equals_dense(monkeypatch, features, convert, alpha):
    x, y, _ = pair(features=features)
    x, y = convert(x), convert(y)
    values, vectors = contrastive_components(x, y, 2, alpha)
    monkeypatch.setattr(eigenpairs, "MAX_DENSE_ORDER", 10)
    monkeypatch.setattr(eigenpairs, "covariance", None)  # it must not be formed
    by_lanczos = contrastive_components(x, y, 2, alpha)
    np.testing.assert_allclose(by_lanczos[0], values, rtol=1e-8)
    assert_same_space(by_lanczos[1], vectors)


def test_row_space_equals_feature_space_when_samples_repeat():
    # The background's cells are part of the target, and some twice: a Gram matrix of low rank.
    x, y, _ = pair(20, 15, 60)
    x = np.vstack([x, y, y[:4]])
    target, background = sp.csr_matrix(x), sp.csr_matrix(y)
    for alpha in (0.0, 2.0, 50.0):
        values, vectors = eigenpairs.top_eigenpairs(
            eigenpairs.feature_space(target, background), 3, alpha
        )
        problem = eigenpairs.row_space(target, background)
        assert len(problem.target) == 34  # 35 different samples; not 20 + 15 + 4 + 15 of them
        row_values, row_vectors = eigenpairs.top_eigenpairs(problem, 3, alpha)
        full = eigenpairs.feature_space(target, background).to_features(vectors)
        np.testing.assert_allclose(row_values, values, rtol=1e-9)
        assert_same_space(problem.to_features(row_vectors).T, full.T, atol=1e-7)


@pytest.mark.parametrize("features", [350, 900])
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix])
def test_eigenpairs_along_alphas_equal_dense(monkeypatch, features, convert):
    monkeypatch.setattr(eigenpairs, "MIN_SWEEP_ORDER", 1)
    monkeypatch.setattr(scipy.linalg, "eigh", _with_orders(scipy.linalg.eigh))
    x, y, _ = pair(200, 220, features)
    problem = eigenpairs.dense_problem(
        *(np.asarray(one, float) if convert is np.asarray else convert(one) for one in (x, y))
    )
    alphas = np.concatenate([[0.0], np.geomspace(0.1, 1000, 9)])
    along = eigenpairs.eigenpairs_along(problem, 2, alphas, seed=0)
    for alpha, (values, vectors) in zip(alphas, along, strict=True):
        expected_values, expected = naive(x, y, 2, alpha)
        np.testing.assert_allclose(values, expected_values, rtol=1e-7)
        assert_same_space(problem.to_features(vectors).T, expected, atol=1e-5)
    assert max(scipy.linalg.eigh.orders) < len(problem.target)  # no full decomposition


def _with_orders(function):
    def wrapper(matrix, **kwargs):
        wrapper.orders.append(len(matrix))
        return function(matrix, **kwargs)

    wrapper.orders = []
    return wrapper


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    low=st.floats(0, 50),
    step=st.floats(0, 50),
    sparse=st.booleans(),
)
def test_eigenvalues_never_rise_with_alpha(seed, low, step, sparse):
    convert = sp.csr_matrix if sparse else np.asarray
    x, y, _ = pair(12, 9, 6, seed=seed)
    first, _ = contrastive_components(convert(x), convert(y), 3, low)
    second, _ = contrastive_components(convert(x), convert(y), 3, low + step)
    assert (second <= first + 1e-9 * (1 + np.abs(first))).all()


def test_covariance_equals_numpy():
    x, _, _ = pair()
    x[:, 3] = 0.1  # constant, and not exactly representable
    expected = np.cov(x, rowvar=False)
    for values in (x, sp.csr_matrix(x)):
        found = eigenpairs.covariance(values)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert (found[3] == 0).all()


def test_block_product_equals_product(monkeypatch):
    x, _, _ = pair(33, 5, 12)
    expected = x.T @ x
    for elements in (1, 50, 10_000):
        monkeypatch.setattr(eigenpairs, "_BLOCK_ELEMENTS", elements)
        matrix = sp.csr_matrix(x)
        np.testing.assert_allclose(eigenpairs._block_product(matrix, matrix), expected)
        np.testing.assert_allclose(eigenpairs._block_product(matrix, matrix.copy()), expected)


def test_features_that_never_vary_get_no_loading():
    x, y, _ = pair(30, 40, 8)
    x[:, 2] = y[:, 2] = 0.0
    # At this alpha all other eigenvalues are negative, so that feature alone would win.
    model = CPCA(3, alpha=1000.0).fit(sp.csr_matrix(x), background=sp.csr_matrix(y))
    assert (model.eigenvalues_ < 0).all()
    assert (model.components_[:, 2] == 0).all()


def test_contrast_uncovers_the_groups():
    # Four shared axes of variance 100 hide two groups; without a contrast they come first.
    generator = np.random.default_rng(1)
    scale = np.array([10.0] * 4 + [1.0] * 8)
    x, y = (generator.normal(size=(n, 12)) * scale for n in (200, 180))
    groups = np.arange(200) % 2
    x[:, 7] += 6 * groups
    for alpha, separated in ((0.0, False), (5.0, True)):
        usage = CPCA(1, alpha=alpha).fit_transform(x, background=y)[:, 0]
        gap = abs(usage[groups == 0].mean() - usage[groups == 1].mean()) / usage.std()
        assert (gap > 1.5) == separated


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 4))
def test_affinity_is_the_product_of_cosines_of_principal_angles(seed, k):
    generator = np.random.default_rng(seed)
    bases = [np.linalg.qr(generator.normal(size=(7, k)))[0] for _ in range(3)]
    affinity = subspace_affinity(bases)
    for i in range(3):
        for j in range(3):
            angles = scipy.linalg.subspace_angles(bases[i], bases[j])
            assert affinity[i, j] == pytest.approx(np.cos(angles).prod(), abs=1e-8)
    # A rotation within a subspace is the same subspace.
    turned = bases[0] @ np.linalg.qr(generator.normal(size=(k, k)))[0]
    np.testing.assert_allclose(subspace_affinity([turned, *bases[1:]]), affinity, atol=1e-8)


def naive_alphas(x, y, k, alphas, n_groups, seed):
    """Choose alphas by the published steps, one at a time."""
    from sklearn.cluster import SpectralClustering

    spaces = [naive(x, y, k, alpha)[1].T for alpha in alphas]
    affinity = np.array(
        [[np.cos(scipy.linalg.subspace_angles(a, b)).prod() for a in spaces] for b in spaces]
    )
    groups = SpectralClustering(n_groups, affinity="precomputed", random_state=seed).fit_predict(
        affinity
    )
    chosen = [0.0]
    for group in range(n_groups):
        members = [i for i in range(len(alphas)) if groups[i] == group]
        if 0 not in members:
            sums = [sum(affinity[i, j] for j in members) for i in members]
            chosen.append(alphas[members[int(np.argmax(sums))]])
    return sorted(chosen)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("features", [10, 70])
def test_automatic_alphas_equal_naive_steps(features, sparse):
    x, y, _ = pair(features=features, seed=3)
    convert = sp.csr_matrix if sparse else np.asarray
    found = automatic_alphas(convert(x), convert(y), 2, random_state=0)
    expected = naive_alphas(x, y, 2, np.r_[0, np.logspace(-1, 3, 40)], 4, 0)
    np.testing.assert_allclose(found, expected)
    assert found[0] == 0
    assert len(set(found)) == 4
    assert automatic_alphas(convert(x), convert(y), 2, random_state=0) == found


def test_auto_settings_use_the_chosen_alphas():
    x, y, _ = pair(seed=3)
    chosen = automatic_alphas(x, y, 2)
    for number in (1, 2, 3):
        model = CPCA(2, alpha=f"auto{number}").fit(x, background=y)
        assert model.alpha_ == chosen[number]
        by_hand = CPCA(2, alpha=chosen[number]).fit(x, background=y)
        np.testing.assert_array_equal(model.components_, by_hand.components_)
    assert CPCA(2, alpha=2).fit(x, background=y).alpha_ == 2.0


@pytest.mark.parametrize("alpha", [-1.0, "auto", "auto4", float("nan"), float("inf"), None, True])
def test_refuses_alpha(alpha):
    x, y, _ = pair()
    with pytest.raises(InputError, match="expected a number of at least 0, or 'auto1'"):
        CPCA(2, alpha=alpha).fit(x, background=y)


def test_refuses_data(monkeypatch):
    x, y, _ = pair()
    with pytest.raises(InputError, match="background is missing"):
        CPCA(2).fit(x)
    with pytest.raises(InputError, match="background has 4 features, target has 10"):
        CPCA(2).fit(x, background=y[:, :4])
    with pytest.raises(InputError, match="from 1 to 10"):
        CPCA(11).fit(x, background=y)
    with pytest.raises(InputError, match="background: has 1 samples"):
        CPCA(2).fit(x, background=y[:1])
    for shape in ((6, 4), (6, 40)):
        with pytest.raises(InputError, match="no variance"):
            CPCA(2).fit(np.ones(shape), background=np.random.default_rng(0).random(shape))
    with pytest.raises(InputError, match="the centred data span only 2 dimensions"):
        CPCA(3).fit(np.eye(4, 3)[[0, 1, 2, 0]] @ np.eye(3, 50), background=np.ones((4, 50)))
    with pytest.raises(InputError, match="not fitted"):
        CPCA(2).transform(x)
    with pytest.raises(InputError, match="hardly depend on alpha"):
        automatic_alphas(x[:, :2], y[:, :2], 2)
    with pytest.raises(InputError, match="0 < low < high"):
        automatic_alphas(x, y, 2, low=0)
    monkeypatch.setattr(eigenpairs, "MAX_DENSE_ORDER", 5)
    with pytest.raises(InputError, match=r"order 10 \(0 GB\) for 10 features and 30 \+ 25 samples"):
        automatic_alphas(x, y, 2)
