"""PCA against a plain singular value decomposition, and the door to all estimators."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.methods.estimators import DETERMINISTIC, make_estimator
from bcnmf_pipeline.methods.pca import PCA


def data(n=40, features=12, seed=0):
    generator = np.random.default_rng(seed)
    values = generator.poisson(1.0, (n, features)) * generator.gamma(1.0, 2.0, features)
    return values.astype(np.float64)


def naive(values, k):
    centred = values - values.mean(axis=0)
    u, s, v = np.linalg.svd(centred, full_matrices=False)
    return u[:, :k] * s[:k], v[:k], (s**2 / (s**2).sum())[:k]


@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.csc_array])
@pytest.mark.parametrize("shape", [(40, 12), (10, 30)])
def test_equals_singular_value_decomposition(convert, shape):
    values = data(*shape)
    usage, axes, ratio = naive(values, 3)
    model = PCA(n_components=3)
    found = model.fit_transform(convert(values))
    signs = np.sign((axes * model.components_).sum(axis=1))
    np.testing.assert_allclose(model.components_, axes * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(found, usage * signs, atol=1e-9)
    np.testing.assert_allclose(model.explained_variance_ratio_, ratio, atol=1e-12)
    assert model.objective_.shape == (0,)
    assert model.converged_


def test_all_components_span_everything():
    values = data(30, 5)
    model = PCA(n_components=5)
    usage = model.fit_transform(sp.csr_matrix(values))
    np.testing.assert_allclose(usage @ model.components_ + model.mean_, values, atol=1e-9)
    assert model.explained_variance_ratio_.sum() == pytest.approx(1.0)


def test_signs_do_not_depend_on_the_seed():
    values = data()
    first, second = (PCA(4, random_state=seed).fit(values).components_ for seed in (0, 7))
    np.testing.assert_allclose(first, second, atol=1e-10)
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=1)[:, None], axis=1)
    assert (largest > 0).all()


def test_background_is_projected_and_changes_nothing():
    values, other = data(), data(9, seed=1)
    alone, beside = PCA(2), PCA(2)
    usage = alone.fit_transform(values)
    np.testing.assert_array_equal(beside.fit_transform(values, background=other), usage)
    assert alone.background_usage_.shape == (0, 2)
    expected = (other - values.mean(axis=0)) @ beside.components_.T
    np.testing.assert_allclose(beside.background_usage_, expected, atol=1e-12)
    np.testing.assert_allclose(beside.transform(values), usage, atol=1e-12)


@pytest.mark.parametrize("sparse", [True, False])
def test_float32_counts_are_computed_in_float64(sparse):
    values = data().astype(np.float32)
    model = PCA(2).fit(sp.csr_matrix(values) if sparse else values)
    assert model.usage_.dtype == np.float64


def test_sparse_data_are_not_made_dense(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    values = sp.csr_matrix(data())
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    PCA(2).fit(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 12}, "from 1 to 9"),
        ({"n_components": 0}, "n_components=0"),
        ({"n_components": 2.0}, "n_components=2.0"),
    ],
)
def test_refuses_numbers_of_components(change, message):
    with pytest.raises(InputError, match=message):
        PCA(**change).fit(data(10, 30))


def test_refuses_data():
    values = data()
    with pytest.raises(InputError, match="background has 5 features, target has 12"):
        PCA(2).fit(values, background=values[:, :5])
    with pytest.raises(InputError, match="no variance"):
        PCA(2).fit(np.full((6, 4), 0.1))
    values[3, 2] = np.nan
    with pytest.raises(InputError, match="target: 1 values are NaN"):
        PCA(2).fit(values)
    with pytest.raises(InputError, match="not fitted"):
        PCA(2).transform(values)
    with pytest.raises(InputError, match="has 5 features; the model was fitted on 12"):
        PCA(2).fit(data()).transform(data()[:, :5])
    with pytest.raises(InputError, match="at least 2"):
        PCA(1).fit(data()[:1])


def test_make_estimator():
    assert {"pca", "cpca"} == DETERMINISTIC
    assert make_estimator("pca", n_components=3).n_components == 3
    assert make_estimator("cpca", n_components=3, alpha=2.0).alpha == 2.0
    assert make_estimator("bcnmf", n_components=3, alpha=2.0).alpha == 2.0
    assert "alpha" not in make_estimator("nmf", n_components=3).get_params()


@pytest.mark.parametrize(
    ("algorithm", "parameters", "message"),
    [
        ("tsne", {}, "'tsne' is not known; allowed: bcnmf, combined, cpca, nmf, pca"),
        ("pca", {"alpha": 1.0}, "no parameter 'alpha'; allowed: n_components, random_state"),
        ("nmf", {"contrast": "relative"}, "no parameter 'contrast'; allowed: n_components, loss"),
    ],
)
def test_make_estimator_names_what_is_allowed(algorithm, parameters, message):
    with pytest.raises(InputError, match=message):
        make_estimator(algorithm, **parameters)
