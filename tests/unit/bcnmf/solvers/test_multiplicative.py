"""The published algorithm, step by step against plain numpy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, InputError
from naive import (
    poisson_objective,
    poisson_step,
    squared_error_objective,
    squared_error_step,
)

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def problem(seed, n=9, m=7, features=6, k=3, zeros=0.3):
    rng = np.random.default_rng(seed)
    x, y = (
        rng.poisson(3.0, (rows, features)) * (rng.random((rows, features)) > zeros)
        for rows in (n, m)
    )
    x[0, 0] = y[0, 0] = 1  # never all zero
    start = rng.random((k, features)), rng.random((n, k)), rng.random((m, k))
    return x.astype(float), y.astype(float), start


def fit(x, y, start, iterations, **parameters):
    model = BCNMF(
        n_components=start[0].shape[0], contrast="absolute", solver="mu", init=start,
        max_iter=iterations, tol=0, device="cpu", dtype="float64", **parameters,
    )  # fmt: skip
    model.fit(x, background=y)
    return model


def steps(x, y, start, iterations, step, objective, **settings_of_step):
    W, HX, HY = (factor.T.copy() for factor in start)
    alpha = settings_of_step["alpha"]
    trace = [objective(x.T, y.T, W, HX, HY, alpha)]
    for _ in range(iterations):
        W, HX, HY = step(x.T, y.T, W, HX, HY, **settings_of_step)
        trace.append(objective(x.T, y.T, W, HX, HY, alpha))
    return W.T, HX.T, HY.T, trace


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize("iterations", [1, 2, 25])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 5.0])
def test_squared_error_equals_the_published_updates(container, iterations, alpha):
    x, y, start = problem(1)
    W, HX, HY, trace = steps(
        x, y, start, iterations, squared_error_step, squared_error_objective, alpha=alpha
    )
    model = fit(container(x), container(y), start, iterations, alpha=alpha)
    np.testing.assert_allclose(model.components_, W, rtol=1e-9)
    np.testing.assert_allclose(model.usage_, HX, rtol=1e-9)
    np.testing.assert_allclose(model.background_usage_, HY, rtol=1e-9)
    np.testing.assert_allclose(model.objective_, trace, rtol=1e-9, atol=1e-9)
    assert model.n_iter_ == iterations


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("iterations", [1, 2, 15])
@pytest.mark.parametrize("damping", [0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_poisson_equals_the_published_updates(container, iterations, damping, alpha):
    x, y, start = problem(2)
    W, HX, HY, trace = steps(
        x, y, start, iterations, poisson_step, poisson_objective, alpha=alpha, damping=damping
    )
    model = fit(
        container(x), container(y), start, iterations, alpha=alpha, loss="poisson", damping=damping
    )
    np.testing.assert_allclose(model.components_, W, rtol=1e-8)
    np.testing.assert_allclose(model.usage_, HX, rtol=1e-8)
    np.testing.assert_allclose(model.background_usage_, HY, rtol=1e-8)
    np.testing.assert_allclose(model.objective_, trace, rtol=1e-8, atol=1e-8)


def test_poisson_blocks_do_not_change_the_result(monkeypatch):
    x, y, start = problem(3, n=23, m=11)
    whole = fit(sp.csr_matrix(x), sp.csr_matrix(y), start, 8, alpha=0.3, loss="poisson")
    monkeypatch.setattr(
        "bcnmf.matrices.base._BLOCK_ELEMENTS", 6 * 4
    )  # four rows, a ragged last block
    for container in (np.asarray, sp.csr_matrix):
        split = fit(container(x), container(y), start, 8, alpha=0.3, loss="poisson")
        np.testing.assert_allclose(split.usage_, whole.usage_, rtol=1e-9)
        np.testing.assert_allclose(split.components_, whole.components_, rtol=1e-9)
        np.testing.assert_allclose(split.objective_, whole.objective_, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 8), st.integers(2, 7))
def test_alpha_zero_never_ascends_and_equals_nmf(seed, n, m, features):
    x, y, start = problem(seed, n=n, m=m, features=features, k=2)
    for loss in ("squared_error", "poisson"):
        contrast = fit(x, y, start, 12, alpha=0.0, loss=loss, damping=1.0)
        plain = NMF(
            2, loss=loss, solver="mu", init=start, max_iter=12, tol=0, damping=1.0,
            device="cpu", dtype="float64",
        ).fit(x, background=y)  # fmt: skip
        np.testing.assert_array_equal(plain.usage_, contrast.usage_)
        rises = np.diff(plain.objective_)
        assert (rises <= 1e-9 * (1 + abs(plain.objective_[:-1]))).all()


def test_factors_are_left_unnormalised():
    x, y, start = problem(4)
    model = fit(x, y, start, 30, alpha=1.0)
    assert not np.allclose(np.linalg.norm(model.components_, axis=1), 1)


def test_relative_contrast_is_absolute_in_units_of_the_energies():
    x, y, start = problem(5)
    factor = (x**2).sum() / (y**2).sum()
    relative = BCNMF(
        3, alpha=0.8, contrast="relative", solver="mu", init=start, max_iter=5, tol=0,
        device="cpu", dtype="float64",
    ).fit(x, background=y)  # fmt: skip
    assert relative.alpha_ == pytest.approx(0.8 * factor)
    absolute = fit(x, y, start, 5, alpha=0.8 * factor)
    np.testing.assert_allclose(relative.usage_, absolute.usage_, rtol=1e-12)


def test_relative_contrast_for_counts_uses_totals():
    x, y, start = problem(6)
    model = BCNMF(
        3, alpha=0.5, contrast="relative", loss="poisson", solver="mu", init=start, max_iter=2,
        tol=0, device="cpu",
    ).fit(x, background=y)  # fmt: skip
    assert model.alpha_ == pytest.approx(0.5 * x.sum() / y.sum())


def published(scale, **parameters):
    x, y, _ = problem(3, n=60, m=50, features=30)
    parameters = {"alpha": 0.5, "contrast": "absolute", "dtype": "float64"} | parameters
    model = BCNMF(3, solver="mu", max_iter=60, tol=0, device="cpu", **parameters)
    return model.fit(x * scale, background=y * scale)


def directions(components):
    return components / np.linalg.norm(components, axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1e-6, 1e-8, 1e-20, 1e-170])
def test_published_updates_refuse_numbers_beside_which_eps_is_large(scale):
    with pytest.raises(InputError, match=r"target: .*too small.*adds to denominators") as at:
        published(scale)
    assert "multiply both sides by 1e" in str(at.value)
    assert "contrast='relative' or solver='safeguarded'" in str(at.value)


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 255.0, 1e9])
def test_published_updates_take_numbers_beside_which_eps_is_small(scale):
    found, expected = (directions(published(one).components_) for one in (scale, 1.0))
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize(("scale", "dtype"), [(1e18, "float32"), (1e160, "float64")])
def test_published_updates_refuse_numbers_whose_squares_overflow(scale, dtype):
    with pytest.raises(InputError, match=r"target: .*too large"):
        published(scale, dtype=dtype)


def test_published_poisson_updates_refuse_numbers_beside_which_eps_is_large():
    with pytest.raises(InputError, match="1e-16 that it adds to denominators"):
        published(1e-14, loss="poisson")
    published(1e-10, loss="poisson")


def test_published_updates_look_at_the_background_too():
    x, y, _ = problem(3, n=60, m=50, features=30)
    model = BCNMF(3, solver="mu", contrast="absolute", device="cpu", max_iter=3, tol=0)
    with pytest.raises(InputError, match=r"background: .*too small"):
        model.fit(x, background=y * 1e-9)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_no_entry_of_the_factors_is_subnormal(container, loss):
    rng = np.random.default_rng(0)
    x, y = rng.poisson(2.0, (40, 12)), rng.poisson(2.0, (30, 12))
    x[:, :4] = 0  # what topics lose at once, or by and by
    x[:20, 4:8] += 9
    model = BCNMF(3, alpha=2.0, loss=loss, solver="mu", max_iter=400, tol=0, device="cpu")
    model.fit(container(x.astype("f4")), background=container(y.astype("f4")))
    numbers = np.finfo(np.float32)
    new = model.transform(container(x.astype("f4")))
    for factor in (model.components_, model.usage_, model.background_usage_, new):
        small = factor[(factor > 0) & (factor < numbers.tiny / numbers.eps)]
        assert small.size == 0
    assert (model.components_ == 0).any()
