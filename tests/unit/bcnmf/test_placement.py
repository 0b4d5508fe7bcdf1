"""Where fits run: nothing is chosen where there is no GPU; else the size of the fit says."""

import pickle

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, NMF, CombinedBasisNMF, SharedTargetNMF, consensus, fit_together, memory
from bcnmf.device import device_of_passes
from bcnmf.errors import InputError
from bcnmf.placement import Placement, Problem, place

SMALL = Problem(3_000_000, 10_000, 3000, 20, 500, "squared_error", "float32", True)
LARGE = SMALL._replace(stored=100_000_000)
CPU = torch.device("cpu")


@pytest.fixture
def cuda(monkeypatch):
    """Let torch say that there is one CUDA device, of 10 GB."""
    monkeypatch.delenv("BCNMF_GPU_FROM", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(memory, "free", lambda device: 10**10)


@pytest.fixture
def mps(monkeypatch):
    monkeypatch.delenv("BCNMF_GPU_FROM", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(memory, "free", lambda device: 10**10)


@pytest.fixture
def nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def placed(problem, device="auto", needed=1000):
    return place(device, lambda: problem, lambda where: needed)


@pytest.mark.usefixtures("nothing")
def test_without_a_gpu_the_size_is_not_even_asked_for(monkeypatch):
    monkeypatch.setenv("BCNMF_GPU_FROM", "nonsense")
    found = place("auto", pytest.fail, pytest.fail)
    assert found == Placement("auto", CPU, "torch finds no GPU")


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(("problem", "device"), [(SMALL, "cpu"), (LARGE, "cuda")])
def test_large_fits_go_to_the_gpu_and_small_ones_stay(problem, device):
    found = placed(problem)
    assert found.device == torch.device(device)
    assert f"{problem.stored:.3g} stored values x 20 topics x at most 500 iterations" in found.why
    assert f"{problem.work:.1e} multiplications" in found.why
    assert "a GPU is taken from 1.0e+11 on" in found.why


def test_work_counts_the_topics_with_each_other_and_what_a_loss_costs():
    assert SMALL.work == 20 * 500 * (3_000_000 + 20 * 13_000)
    assert SMALL._replace(loss="poisson").work == pytest.approx(2.5 * SMALL.work)
    # Few stored values, but many samples.
    assert SMALL._replace(stored=0, samples=10**6).work > SMALL.work


@pytest.mark.usefixtures("cuda")
def test_the_threshold_can_be_set(monkeypatch):
    for value, device in (("0", "cuda"), ("inf", "cpu"), ("1e9", "cuda"), ("1e15", "cpu")):
        monkeypatch.setenv("BCNMF_GPU_FROM", value)
        assert placed(SMALL).device.type == device
    for wrong in ("much", "nan", "-1"):
        monkeypatch.setenv("BCNMF_GPU_FROM", wrong)
        with pytest.raises(InputError, match=f"BCNMF_GPU_FROM is '{wrong}'; expected the number"):
            placed(SMALL)


@pytest.mark.usefixtures("cuda")
def test_what_does_not_fit_there_stays_on_the_cpu():
    found = placed(LARGE, needed=2 * 10**10)
    assert found.device == CPU
    assert found.why == "the fit needs about 20.0 GB on cuda, 10.0 GB are free"


@pytest.mark.usefixtures("cuda")
def test_a_device_that_is_named_is_taken_whatever_the_size():
    assert placed(SMALL, "cuda") == Placement("cuda", torch.device("cuda"), "as asked for")
    assert placed(LARGE, "cpu") == Placement("cpu", CPU, "as asked for")


@pytest.mark.usefixtures("cuda")
def test_of_several_that_one_is_taken_that_was_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert placed(LARGE, "auto:2").device == torch.device("cuda:2")
    assert placed(SMALL, "auto:2").device == device_of_passes("auto:2") == CPU
    with pytest.raises(InputError, match=r"'cuda:4', but there are 4 CUDA devices"):
        placed(LARGE, "auto:4")
    with pytest.raises(InputError, match=r"device='auto:x' is not known; allowed: auto"):
        placed(LARGE, "auto:x")


@pytest.mark.usefixtures("nothing")
def test_a_named_one_is_left_out_where_there_is_none():
    assert placed(LARGE, "auto:2") == Placement("auto:2", CPU, "torch finds no GPU")


@pytest.mark.usefixtures("mps")
def test_mps_gets_what_it_can_compute():
    dense = LARGE._replace(sparse=False)
    assert placed(dense).device == torch.device("mps")
    for problem, why in (
        (LARGE, "sparse data, with which torch does not compute on MPS"),
        (dense._replace(dtype="float64"), "dtype='float64', which does not exist on MPS"),
    ):
        assert placed(problem) == Placement("auto", CPU, why)


def pair(container=np.asarray):
    rng = np.random.default_rng(0)
    return (container(rng.poisson(1.0, (n, 20)).astype(np.float32)) for n in (40, 30))


QUICK = {"max_iter": 6, "tol": 0}
MODELS = {
    "contrast": lambda **more: BCNMF(3, alpha=0.5, **QUICK, **more),
    "plain": lambda **more: NMF(3, **QUICK, **more),
    "shared": lambda **more: SharedTargetNMF(3, 2, **QUICK, **more),
    "combined": lambda **more: CombinedBasisNMF(3, **QUICK, **more),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.usefixtures("cuda")
def test_fits_choose_and_say_why(kind):
    """Small ones: the same numbers on the CPU as where there is no choice."""
    x, y = pair()
    chosen = MODELS[kind](n_init=2).fit(x, background=y)
    told = MODELS[kind](n_init=2, device="cpu").fit(x, background=y)
    assert (chosen.device_, told.device_) == ("cpu", "cpu")
    assert "1.4e+03 stored values" in chosen.device_reason_
    assert "at most 12 iterations" in chosen.device_reason_
    assert told.device_reason_ == "as asked for"
    np.testing.assert_array_equal(chosen.usage_, told.usage_)
    np.testing.assert_array_equal(chosen.transform(x), told.transform(x))


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("batch_size", [None, 16])
def test_a_fit_that_is_large_enough_is_sent_there(monkeypatch, batch_size):
    """What would run there is shown as far as the device itself, which is not there."""
    monkeypatch.setenv("BCNMF_GPU_FROM", "0")
    x, y = pair(sp.csr_matrix)
    seen = []

    def where(self):
        seen.append(self._placement)
        raise KeyboardInterrupt

    monkeypatch.setattr(BCNMF, "_precision_and_device", where)
    with pytest.raises(KeyboardInterrupt):
        MODELS["contrast"](batch_size=batch_size).fit(x, background=y)
    assert seen[-1].device == torch.device("cuda")
    assert f"{x.nnz + y.nnz:.3g} stored values x 3 topics x at most 6" in seen[-1].why


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_files_are_measured_before_they_are_read(tmp_path, container):
    x, y = pair(container)
    ad.AnnData(x).write_h5ad(tmp_path / "x.h5ad")
    model = MODELS["contrast"](batch_size=16)
    model.fit(ad.read_h5ad(tmp_path / "x.h5ad", backed="r"), background=y)
    stored = x.nnz + y.nnz if sp.issparse(x) else x.size + y.size
    assert model.device_reason_.startswith(f"{stored:.3g} stored values x 3 topics")


@pytest.mark.usefixtures("nothing")
def test_a_fitted_model_stays_where_it_was_fitted_or_goes_where_it_can(tmp_path, monkeypatch):
    x, y = pair()
    model = MODELS["contrast"](device="auto").fit(x, background=y)
    assert model.device_reason_ == "torch finds no GPU"
    model.save(tmp_path / "model.npz")
    expected = model.transform(x)
    # Elsewhere there is one: still the device that the fit had.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for again in (BCNMF.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.transform(x), expected)
    # Of another machine, with a GPU that this one has not: no warning, it was left open.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    again.device_ = "cuda:3"
    np.testing.assert_array_equal(again.transform(x), expected)


@pytest.mark.usefixtures("cuda")
def test_a_fit_again_chooses_again_and_parameters_that_change_count(monkeypatch):
    x, y = pair()
    model = MODELS["contrast"]().fit(x, background=y)
    assert model._precision_and_device()[1] == CPU
    assert model.set_params(device="cuda")._precision_and_device()[1] == torch.device("cuda")
    monkeypatch.setenv("BCNMF_GPU_FROM", "inf")
    again = model.set_params(device="auto").fit(x, background=y)
    assert again.device_reason_.endswith("a GPU is taken from inf on")


@pytest.mark.usefixtures("cuda")
def test_the_consensus_of_starts_is_placed_as_they_are():
    x, y = pair()
    model = consensus(MODELS["contrast"](), x, y, 3).model
    assert model.device_ == "cpu"
    assert model.device_reason_.endswith("a GPU is taken from 1.0e+11 on")


@pytest.mark.usefixtures("cuda")
def test_each_of_several_fits_is_placed_as_it_is_alone(monkeypatch):
    """What runs beside a fit does not move it; the data are opened once."""
    opened = []
    original = BCNMF._values

    def values(self, given):
        opened.append(self)
        return original(self, given)

    monkeypatch.setattr(BCNMF, "_values", values)
    x, y = pair()
    models = [BCNMF(k, alpha=0.5, **QUICK) for k in (2, 3)]
    fit_together(models, x, background=y)
    assert len(opened) == 2  # to place them, and to fit them
    for model in models:
        alone = BCNMF(model.n_components, alpha=0.5, **QUICK).fit(x, background=y)
        assert (model.device_, model.device_reason_) == (alone.device_, alone.device_reason_)
        assert f"x {model.n_components} topics" in model.device_reason_


@pytest.mark.usefixtures("cuda")
def test_a_few_passes_stay_on_the_cpu_unless_told():
    assert device_of_passes("auto") == CPU
    assert device_of_passes("cuda") == torch.device("cuda")
