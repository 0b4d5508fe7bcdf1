"""Fitted models in files and pickles, and what is made of them elsewhere."""

import json
import pickle
from inspect import signature

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from bcnmf import BCNMF, NMF, CombinedBasisNMF, InputError, SharedTargetNMF
from bcnmf.persistence import Fit

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

MODELS = [NMF, BCNMF, SharedTargetNMF, CombinedBasisNMF]
# A number of numpy for every parameter that is a number.
NUMBERS = {
    "n_components": np.int8(3), "n_shared": np.int16(3), "n_target": np.uint8(2),
    "n_background": np.int8(4), "refine": np.int8(1), "max_iter": np.int8(6),
    "n_init": np.int8(2), "random_state": np.uint32(7), "verbose": np.bool_(False),
    "batch_size": np.int8(11), "alpha": np.float32(0.7), "tol": np.float16(0),
    "damping": np.float32(0.5), "penalty": np.float64(0.1), "background_weight": np.int64(1),
}  # fmt: skip


def data(features=12):
    rng = np.random.default_rng(0)
    return tuple(rng.poisson(1.0, (rows, features)).astype(np.float32) for rows in (30, 20))


def quick(cls, **settings):
    return cls(**({"max_iter": 5, "tol": 0, "device": "cpu"} | settings))


@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("streamed", [True, False])
def test_numbers_of_numpy_are_parameters_like_others(cls, streamed, tmp_path):
    # Sizes of small integers overflow as soon as they are multiplied.
    x, y = data(features=2000)
    known = signature(cls).parameters
    numbers = {name: value for name, value in NUMBERS.items() if name in known}
    left = {name for name, one in known.items() if isinstance(one.default, int | float)}
    assert left <= set(numbers)
    if not streamed:
        del numbers["batch_size"]
    model = clone(quick(cls, **numbers, dtype=np.str_("float64")))
    model.fit(x, background=y, checkpoint=tmp_path / "state.npz").save(tmp_path / "model.npz")
    plain = {name: value.item() for name, value in numbers.items()}
    same = quick(cls, **plain, dtype="float64").fit(x, background=y)
    np.testing.assert_array_equal(model.components_, same.components_)
    loaded = cls.load(tmp_path / "model.npz")
    assert loaded.get_params() == same.get_params() == model.get_params()
    assert all(type(value).__module__ == "builtins" for value in loaded.get_params().values())
    np.testing.assert_array_equal(loaded.transform(x), model.transform(x))


def elsewhere(model, path, device):
    """Save a model as if it came from a machine with such a device."""
    model.save(path)
    fit = Fit.read(path)
    fit.info["estimator"]["parameters"]["device"] = device
    fit.info["estimator"]["fitted"]["device_"] = device
    fit.write(path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("cls", MODELS)
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_model_of_another_machine_can_be_used(cls, device, tmp_path):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("there is such a device here")
    x, y = data()
    model = quick(cls).fit(x, background=y)
    elsewhere(model, tmp_path / "model.npz", device)
    loaded = cls.load(tmp_path / "model.npz")
    assert (loaded.device, loaded.device_) == (device, device)
    joblib.dump(loaded, tmp_path / "model.joblib")
    for one in (
        loaded, pickle.loads(pickle.dumps(loaded)), joblib.load(tmp_path / "model.joblib"),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=f"fitted with device='{device}'.*on cpu") as caught:
            found = one.transform(x)
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(found, model.transform(x))
        with pytest.warns(UserWarning, match="on cpu"):
            np.testing.assert_array_equal(one.target_score(x), model.target_score(x))
        assert one.set_params(device="auto").transform(x).shape == found.shape


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_to_fit_anew_the_device_has_to_be_there(tmp_path):
    x, y = data()
    elsewhere(quick(BCNMF).fit(x, background=y), tmp_path / "model.npz", "cuda")
    with pytest.raises(InputError, match=r"device='cuda', but torch .* use device='auto'"):
        BCNMF.load(tmp_path / "model.npz").fit(x, background=y)
    unknown = quick(BCNMF).fit(x, background=y).set_params(device="gpu")
    with pytest.raises(InputError, match="device='gpu' is not known"):
        unknown.transform(x)


def test_starts_that_were_given_go_into_a_pickle():
    x, y = data()
    rng = np.random.default_rng(1)
    init = tuple(torch.as_tensor(rng.random(shape)) for shape in ((3, 12), (30, 3), (20, 3)))
    model = quick(BCNMF, n_components=3, init=init).fit(x, background=y)
    again = pickle.loads(pickle.dumps(model)).fit(x, background=y)
    np.testing.assert_array_equal(again.components_, model.components_)


def test_parameters_in_a_file_are_json(tmp_path):
    x, y = data()
    quick(BCNMF, n_components=np.int64(3)).fit(x, background=y).save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as stored:
        info = json.loads(str(stored["info"]))
    assert info["estimator"]["parameters"]["n_components"] == 3
