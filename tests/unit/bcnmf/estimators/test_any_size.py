"""Numbers of any size: the same topics, and everything users see in their own units."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, InputError, SharedTargetNMF, memory
from bcnmf.estimators.combined_basis import CombinedBasisNMF

pytestmark = [
    pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
COMMON = {"device": "cpu", "max_iter": 12}


def sides(dtype="float32"):
    rng = np.random.default_rng(0)
    x, y = (rng.poisson(2.0, (rows, 24)).astype(dtype) for rows in (40, 30))
    x[:20, :6] += 9
    x[20:, 6:12] += 9
    return x, y


# As many topics as there are programs: a further one would be any.
MODELS = {
    "safeguarded": lambda **more: BCNMF(2, alpha=1.5, **COMMON, **more),
    "absolute": lambda **more: BCNMF(2, alpha=0.8, contrast="absolute", **COMMON, **more),
    "nndsvd": lambda **more: BCNMF(2, alpha=1.0, init="nndsvd", **COMMON, **more),
    "stochastic": lambda **more: BCNMF(2, solver="stochastic", **COMMON, **more),
    "mu": lambda **more: BCNMF(2, solver="mu", **COMMON, **more),
    "mu, Poisson": lambda **more: BCNMF(2, 0.3, loss="poisson", solver="mu", **COMMON, **more),
    "NMF": lambda **more: NMF(2, **COMMON, **more),
    "NMF, mu": lambda **more: NMF(2, solver="mu", **COMMON, **more),
    "NMF, Poisson": lambda **more: NMF(2, loss="poisson", **COMMON, **more),
    "shared": lambda **more: SharedTargetNMF(2, 2, **COMMON, **more),
    "shared, squared error": lambda **more: SharedTargetNMF(
        2, 2, loss="squared_error", **COMMON, **more
    ),
    "combined": lambda **more: CombinedBasisNMF(2, **COMMON, **more),
}
STORAGES = {
    "dense": (np.asarray, {}),
    "CSR": (sp.csr_matrix, {}),
    "frame": (pd.DataFrame, {}),
    "AnnData": (lambda values: ad.AnnData(sp.csr_matrix(values)), {}),
    "streamed": (np.asarray, {"batch_size": 16}),
    "streamed CSR": (sp.csr_matrix, {"batch_size": 16}),
}


def fitted(name, scale, storage="dense", dtype="float32", **more):
    hold, how = STORAGES[storage]
    x, y = (hold((side * scale).astype(dtype)) for side in sides("float64"))
    return MODELS[name](dtype=dtype, **how, **more).fit(x, background=y), x


def seen(name, scale, storage="dense", dtype="float32"):
    """Return all that users see of a fit, in the units of `scale`."""
    model, x = fitted(name, scale, storage, dtype)
    linear = "Poisson" in name or name == "shared"
    usages = {key: value for key, value in vars(model).items() if key.endswith("usage_")}
    found = {key: value / scale for key, value in usages.items()}
    found["transform"] = model.transform(x) / scale
    found["objective"] = model.objective_[-1:] / (scale if linear else scale**2)
    found["target score"] = model.target_score(x) / (1 if linear else scale**0.5)
    found["inverse"] = model.inverse_transform(model.usage_) / scale
    found["penalty"] = np.array(getattr(model, "penalty_", 0.0)) / scale**2
    shares = (model.explained_target_, model.explained_background_, model.n_iter_)
    return found | {"components": model.components_, "shares": np.array(shares)}


@pytest.mark.parametrize("name", MODELS)
@given(
    storage=st.sampled_from(sorted(STORAGES)),
    exponents=st.tuples(*[st.sampled_from([*range(-50, -6), *range(6, 32)])] * 2),
    dtype=st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=4, deadline=None)
def test_powers_of_two_change_no_digit(name, storage, exponents, dtype):
    if name == "stochastic" and "streamed" in storage:
        storage = "CSR"  # there batch_size means another thing
    one, other = (seen(name, 4.0**e, storage, dtype) for e in exponents)
    assert one.keys() == other.keys()
    for key, values in one.items():
        # In the smallest units allowed, usages that are nothing have fewer digits.
        least = 1e-12 * np.abs(values).max()
        np.testing.assert_allclose(values, other[key], rtol=1e-6, atol=least, err_msg=key)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "mu, Poisson"])
@given(ten=st.sampled_from([-30, -20, -8, -6, 6, 12, 19]))
@settings(max_examples=2, deadline=None)
def test_powers_of_ten_give_the_same_topics(name, dtype, ten):
    # Ordinary numbers are fitted as they are. Damped Poisson updates from uniform(0, 1) take
    # another way at another size, and their contrast has no minimum.
    one, other = seen(name, 1.0, dtype=dtype), seen(name, 10.0**ten, dtype=dtype)
    for key, values in one.items():
        if key != "shares":
            largest = np.abs(values).max()
            np.testing.assert_allclose(
                other[key], values, rtol=1e-2, atol=1e-2 * largest, err_msg=key
            )
    np.testing.assert_allclose(other["shares"][:2], one["shares"][:2], atol=1e-3)


@pytest.mark.parametrize("solver", ["safeguarded", "mu", "stochastic"])
def test_given_usages_are_in_the_units_of_the_data(solver):
    rng = np.random.default_rng(1)
    start = rng.random((3, 24)), rng.random((40, 3)), rng.random((30, 3))
    x, y = sides()
    objectives = [
        BCNMF(3, solver=solver, init=(start[0], *(one * scale for one in start[1:])), **COMMON)
        .fit(x * np.float32(scale), background=y * np.float32(scale))
        .objective_
        / scale**2
        for scale in (2.0**-20, 2.0**-40)
    ]
    np.testing.assert_array_equal(*objectives)


def test_an_absolute_penalty_and_weight_are_in_the_units_of_the_data():
    (x, y), models = sides(), []
    for scale in (1.0, 2.0**-40):
        model = CombinedBasisNMF(
            3, penalty=50 * scale**2, background_weight=2.0, contrast="absolute", **COMMON
        )
        model.fit(x * np.float32(scale), background=y * np.float32(scale))
        assert model.penalty_ == pytest.approx(50 * scale**2)
        assert model.background_weight_ == 2
        models.append(model)
    assert models[1].objective_[-1] / 2.0**-80 == pytest.approx(models[0].objective_[-1], rel=1e-3)


def test_an_absolute_contrast_is_a_pure_number():
    assert fitted("absolute", 2.0**-40)[0].alpha_ == 0.8
    relative = [fitted("safeguarded", scale)[0].alpha_ for scale in (1.0, 2.0**-40, 1e12)]
    assert relative == pytest.approx([relative[0]] * 3, rel=1e-6)


def test_progress_and_files_are_in_the_units_of_the_data(tmp_path, capsys):
    model, x = fitted("safeguarded", 2.0**-40, verbose=1)
    said, first, *_ = capsys.readouterr().err.splitlines()
    assert said.startswith("computing on cpu")
    assert f"objective {model.objective_[0]:.8g}" in first
    model.save(tmp_path / "m.npz")
    loaded = BCNMF.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(loaded.usage_, model.usage_)
    np.testing.assert_array_equal(loaded.objective_, model.objective_)
    np.testing.assert_array_equal(loaded.transform(x), model.transform(x))


def test_new_samples_may_be_of_any_size():
    model, x = fitted("safeguarded", 1.0)
    for scale in (2.0**-80, 2.0**50):
        np.testing.assert_allclose(
            model.transform(x * np.float32(scale)) / scale, model.transform(x), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("batch_size", [None, 16])
def test_sizes_and_ranges_that_cannot_be_are_refused(batch_size):
    x, y = sides("float64")
    model = BCNMF(3, batch_size=batch_size, **COMMON)
    with pytest.raises(InputError, match=r"values are about 1e-3.*multiply target and background"):
        model.fit(x * 1e-36, background=y * 1e-36)
    with pytest.raises(InputError, match=r"bring both into the same unit"):
        model.fit(x, background=y * 1e-14)
    x[0, 0] = 1e-60
    with pytest.raises(InputError, match=r"target: holds values from 1e-60 to .*dtype='float64'"):
        model.fit(x, background=y)
    model.set_params(dtype="float64").fit(x, background=y)


def test_the_copy_is_counted_where_one_is_made(monkeypatch):
    x, y = sides()
    without = memory.required([x, y], 3, torch.float32, torch.device("cpu"), "squared_error")
    monkeypatch.setattr(memory, "free", lambda device: without)
    BCNMF(3, **COMMON).fit(x, background=y)
    tiny = x * np.float32(1e-9), y * np.float32(1e-9)
    with pytest.raises(InputError, match="the fit needs about"):
        BCNMF(3, **COMMON).fit(tiny[0], background=tiny[1])
    BCNMF(3, solver="mu", contrast="absolute", **COMMON).fit(x, background=y)


def test_a_fit_leaves_the_processors_arithmetic_as_it_was():
    smallest = {"numpy": np.array([5e-324]), "torch": torch.tensor([5e-324], dtype=torch.float64)}
    for name in ("mu", "shared", "NMF, Poisson"):
        fitted(name, 1.0, "CSR")
        for values in smallest.values():
            assert (values * 1.0 != 0).all()
        assert np.float32(1e-45) * np.float32(1) != 0
