"""The estimator's contract: inputs, seeds, transform, files, errors."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse as sp
import torch
from sklearn.base import clone

from bcnmf import BCNMF, NMF, ConvergenceWarning, InputError
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.seeds import seed_of_start

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.poisson(1.0, (30, 12)).astype(float)
    y = rng.poisson(1.0, (20, 12)).astype(float)
    return x, y


def quick(**parameters):
    defaults = {
        "n_components": 3, "alpha": 0.5, "solver": "mu", "max_iter": 20, "tol": 0,
        "device": "cpu", "random_state": 1,
    }  # fmt: skip
    return BCNMF(**(defaults | parameters))


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize(
    "container",
    [
        sp.csr_matrix, sp.csc_matrix, sp.csr_array, torch.as_tensor,
        lambda x: torch.as_tensor(x).to_sparse_csr(), lambda x: ad.AnnData(sp.csr_matrix(x)),
        lambda x: pd.DataFrame(x), lambda x: x.astype(np.int64),
    ],
)  # fmt: skip
def test_every_container_gives_the_same_fit(data, container, loss):
    x, y = data
    expected = quick(loss=loss).fit_transform(x, background=y)
    found = quick(loss=loss).fit_transform(container(x), background=container(y))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_sparse_input_is_never_densified(data, monkeypatch, loss):
    x, y = data
    target, background = sp.csr_matrix(x), sp.csr_matrix(y)

    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    model = quick(loss=loss).fit(target, background=background)
    assert model.transform(target).shape == (30, 3)


def test_user_data_are_not_changed(data):
    x, y = data
    target, background = sp.csr_matrix(x), y.copy()
    before = target.copy()
    quick(loss="poisson").fit(target, background=background)
    assert (target != before).nnz == 0
    np.testing.assert_array_equal(background, y)


def test_a_seed_gives_the_same_numbers_and_another_seed_others(data):
    x, y = data
    first, again, other = (
        quick(random_state=seed).fit_transform(x, background=y) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_starts_agree_between_precisions(data):
    x, y = data
    single, double = (
        quick(dtype=dtype, max_iter=3).fit_transform(x, background=y)
        for dtype in ("float32", "float64")
    )
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-4)


def test_n_init_keeps_the_best_true_objective(data):
    x, y = data
    singles = [
        quick(random_state=seed_of_start(5, i)).fit(x, background=y).objective_[-1]
        for i in range(3)
    ]
    best = quick(random_state=5, n_init=3).fit(x, background=y)
    assert best.objective_[-1] == pytest.approx(min(singles))


def test_transform_solves_nonnegative_least_squares(data):
    x, y = data
    model = quick(dtype="float64", max_iter=60).fit(x, background=y)
    found = model.transform(x)
    expected = np.array([scipy.optimize.nnls(model.components_.T, row)[0] for row in x])
    residual = [np.linalg.norm(x - usage @ model.components_) for usage in (found, expected)]
    assert residual[0] == pytest.approx(residual[1], rel=1e-6)


def test_transform_of_counts_reaches_a_stationary_point(data):
    x, y = data
    model = quick(loss="poisson", alpha=0.0, dtype="float64").fit(x, background=y)
    usage = model.transform(sp.csr_matrix(x))
    components = model.components_
    gradient = components.sum(1) - (x / np.maximum(usage @ components, 1e-12)) @ components.T
    scale = np.abs(components.sum(1)).max()
    assert np.abs(usage * gradient).max() < 0.05 * scale * usage.max()


def test_inverse_transform_is_the_model(data):
    x, y = data
    model = quick().fit(x, background=y)
    np.testing.assert_allclose(
        model.inverse_transform(model.usage_), model.usage_ @ model.components_
    )
    with pytest.raises(InputError, match=r"H: has shape \(30, 2\); expected \(samples, 3\)"):
        model.inverse_transform(model.usage_[:, :2])


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_explained_fractions_match_their_definition(data, loss):
    x, y = data
    model = quick(loss=loss, dtype="float64", alpha=0.1).fit(x, background=y)
    fitted = model.usage_ @ model.components_
    if loss == "squared_error":
        expected = 1 - ((x - fitted) ** 2).sum() / (x**2).sum()
    else:
        rank_one = np.outer(x.sum(1), x.sum(0)) / x.sum()
        divergence = [
            np.where(x > 0, x * np.log(np.maximum(x, 1) / m), 0).sum() - x.sum() + m.sum()
            for m in (fitted, rank_one)
        ]
        expected = 1 - divergence[0] / divergence[1]
    assert model.explained_target_ == pytest.approx(expected, rel=1e-9)


def test_saved_models_come_back_whole(data, tmp_path):
    x, y = data
    model = quick().fit(x, background=y)
    model.save(tmp_path / "model.npz")
    back = BCNMF.load(tmp_path / "model.npz")
    assert back.get_params() == model.get_params()
    for name in ("components_", "usage_", "background_usage_", "objective_"):
        np.testing.assert_array_equal(getattr(back, name), getattr(model, name))
    assert (back.n_iter_, back.alpha_, back.device_) == (20, model.alpha_, "cpu")
    np.testing.assert_array_equal(back.transform(x), model.transform(x))
    with pytest.raises(InputError, match="holds BCNMF; expected NMF"):
        NMF.load(tmp_path / "model.npz")


def test_damaged_and_missing_files_are_named(data, tmp_path):
    x, y = data
    path = tmp_path / "model.npz"
    with pytest.raises(InputError, match=r"model\.npz: no such file"):
        BCNMF.load(path)
    quick().fit(x, background=y).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"model\.npz: not a fit of bcnmf, or cut short"):
        BCNMF.load(path)


def test_scikit_learn_can_clone_and_configure():
    model = clone(BCNMF(n_components=4, alpha=2.0).set_params(max_iter=7))
    assert (model.n_components, model.alpha, model.max_iter) == (4, 2.0, 7)
    assert "alpha" not in NMF().get_params()
    assert not hasattr(NMF(), "alpha")


def test_stopping_rule_and_its_warning(data):
    x, _ = data
    model = NMF(3, solver="mu", max_iter=5000, tol=1e-4, device="cpu").fit(x)
    assert model.converged_
    assert model.n_iter_ < 5000
    assert model.n_iter_ % 10 == 0
    assert model.alpha_ == 0
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        NMF(3, solver="mu", max_iter=3, tol=1e-9, device="cpu").fit(x)


BAD_DATA = {
    "nan": (lambda x: np.where(x == x.max(), np.nan, x), "target: .* NaN or infinite"),
    "inf": (lambda x: np.where(x == x.max(), np.inf, x), "target: .* NaN or infinite"),
    "negative": (lambda x: x - 1, "target: .* negative values, the smallest -1"),
    "one dimension": (lambda x: x[0], r"target: has 1 dimensions, shape \(12,\)"),
    "no samples": (lambda x: x[:0], "target: is empty, 0 samples x 12 features"),
    "no features": (lambda x: x[:, :0], "target: is empty, 30 samples x 0 features"),
    "zeros": (lambda x: x * 0, "target: all values are zero"),
    "text": (lambda x: x.astype(str), "target: holds .* values; expected numbers"),
    "other features": (lambda x: x[:, :8], "background has 12 features, target has 8"),
}  # fmt: skip


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_are_refused_with_the_reason(data, case, sparse):
    x, y = data
    change, message = BAD_DATA[case]
    bad = change(x)
    if sparse and bad.ndim == 2 and bad.dtype.kind == "f":
        bad = sp.csr_matrix(bad)
    with pytest.raises(InputError, match=message):
        quick().fit(bad, background=y)


BAD_PARAMETERS = [
    ({"n_components": 13}, "n_components=13 is larger than the data.*choose at most 12"),
    ({"n_components": 0}, "n_components=0 is not allowed"),
    ({"n_components": 2.5}, "n_components=2.5 is not allowed"),
    ({"alpha": -1.0}, r"alpha=-1.0 is not allowed; expected a number in \[0.0, inf\]"),
    ({"alpha": np.nan}, "alpha=nan is not allowed"),
    ({"alpha": np.inf}, "alpha=inf is not allowed"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"damping": 1.5}, "damping=1.5"),
    ({"loss": "kl"}, "loss='kl' is not known; allowed: squared_error, poisson"),
    ({"solver": "hals"}, "solver='hals' is not known; allowed: safeguarded, mu, stochastic"),
    ({"contrast": "both"}, "contrast='both' is not known"),
    ({"init": "svd"}, "init='svd' is not known; allowed: random, nndsvd, or three arrays"),
    ({"dtype": "float16"}, "dtype='float16' is not known"),
    ({"device": "tpu"}, "device='tpu' is not known"),
    ({"batch_size": 0}, "batch_size=0 is not allowed; expected an integer of at least 1"),
    ({"loss": "poisson", "solver": "stochastic"}, "stochastic.*squared_error.*solver='mu'"),
    ({"loss": "poisson", "solver": "safeguarded"}, "unbounded below.*SharedTargetNMF.*solver='mu'"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters_are_refused_with_what_is_allowed(data, parameters, message):
    x, y = data
    with pytest.raises(InputError, match=message):
        quick(**parameters).fit(x, background=y)


def test_missing_background_and_bad_starts(data):
    x, y = data
    with pytest.raises(InputError, match=r"background is missing: alpha=0\.5 needs one"):
        quick().fit(x)
    with pytest.raises(InputError, match="init: 2 arrays given; expected three"):
        quick(init=(np.ones((3, 12)), np.ones((30, 3)))).fit(x, background=y)
    with pytest.raises(InputError, match=r"init: usage has shape \(29, 3\); expected \(30, 3\)"):
        quick(init=(np.ones((3, 12)), np.ones((29, 3)), np.ones((20, 3)))).fit(x, background=y)
    with pytest.raises(InputError, match="components has negative"):
        quick(init=(-np.ones((3, 12)), np.ones((30, 3)), np.ones((20, 3)))).fit(x, background=y)


def test_a_fit_that_diverges_says_so_and_is_none(data):
    x, y = data
    model = quick(alpha=1e38, contrast="absolute")
    with pytest.raises(InputError, match=r"the fit diverged: .* NaN or infinite .* lower alpha"):
        model.fit(x, background=y)
    with pytest.raises(InputError, match="this BCNMF is not fitted"):
        model.transform(x)


def test_use_before_fit_and_wrong_width(data):
    x, y = data
    with pytest.raises(InputError, match="this BCNMF is not fitted"):
        quick().transform(x)
    with pytest.raises(
        InputError, match="X has 5 features, but BCNMF is expecting 12 features as input"
    ):
        quick().fit(x, background=y).transform(x[:, :5])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_asking_for_an_absent_device_is_an_error_not_a_fallback(data):
    x, y = data
    with pytest.raises(InputError, match="finds no CUDA device"):
        quick(device="cuda").fit(x, background=y)
    assert quick(device="auto").fit(x, background=y).device_ in {"cpu", "mps"}


def test_zero_rows_and_columns_do_no_harm(data):
    x, y = data
    x, y = x.copy(), y.copy()
    x[3] = 0
    x[:, 2] = y[:, 2] = 0
    for loss in ("squared_error", "poisson"):
        model = quick(loss=loss, alpha=0.2).fit(sp.csr_matrix(x), background=y)
        assert np.isfinite(model.usage_).all()
        assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("solver", ["mu", "safeguarded"])
def test_batches_do_not_change_the_fit(solver):
    rng = np.random.default_rng(0)
    x, y = (sp.csr_matrix(rng.poisson(0.5, (rows, 30)).astype(float)) for rows in (50, 21))
    whole, batched = (
        BCNMF(
            3, alpha=0.5, solver=solver, max_iter=15, tol=0, dtype="float64", batch_size=size
        ).fit(x, background=y)
        for size in (None, 8)
    )  # fmt: skip
    np.testing.assert_allclose(batched.objective_, whole.objective_, rtol=1e-8)
    np.testing.assert_allclose(batched.transform(x), whole.transform(x), atol=1e-6)


def test_data_stay_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    x, y = (sp.csr_matrix(rng.poisson(0.5, (rows, 30)).astype(float)) for rows in (50, 21))
    for name, side in (("x", x), ("y", y)):
        ad.AnnData(side).write_h5ad(tmp_path / f"{name}.h5ad")
    backed = {name: ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r") for name in "xy"}
    settings = {"n_components": 3, "max_iter": 15, "tol": 0, "dtype": "float64"}
    whole = BCNMF(**settings).fit(x, background=y)
    streamed = BCNMF(**settings, batch_size=8).fit(backed["x"], background=backed["y"])
    np.testing.assert_allclose(streamed.objective_, whole.objective_, rtol=1e-8)


def test_torch_has_one_thread_between_compiled_passes_and_its_own_again_afterwards():
    sparse = as_matrix(sp.eye(4, format="csr"), "x", torch.float32, torch.device("cpu"))
    dense = as_matrix(np.eye(4), "x", torch.float32, torch.device("cpu"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for sides, inside in (((sparse, None), 1), ((sparse, sparse), 1), ((sparse, dense), 2)):
            with leave_threads_to_passes(*sides):
                assert torch.get_num_threads() == inside
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
