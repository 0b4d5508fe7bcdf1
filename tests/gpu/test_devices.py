"""The same numbers on an accelerator as on the CPU. Skipped where torch finds none."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, CombinedBasisNMF, SharedTargetNMF, memory
from bcnmf.checkpoint import Checkpoint
from bcnmf.kernels import accelerated
from bcnmf.matrices.csr_fused import FusedSparseMatrix
from bcnmf.matrices.in_memory import matrix_of

DEVICES = [
    name
    for name, found in {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }.items()
    if found
]

WITH_TRITON = "cuda" in DEVICES and accelerated.present(torch.device("cuda"))

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not DEVICES, reason="torch finds no CUDA or MPS device"),
]


def pair():
    rng = np.random.default_rng(0)
    return tuple(rng.poisson(0.3, (rows, 300)).astype(np.float32) for rows in (200, 150))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("loss", "solver"),
    [("squared_error", "mu"), ("poisson", "mu"), ("squared_error", "safeguarded")],
)
def test_the_device_does_not_change_the_fit(device, container, loss, solver):
    if device == "mps" and container is sp.csr_matrix:
        pytest.skip("torch has no sparse products on MPS, and the fit says so")
    x, y = (container(side) for side in pair())
    fits = [
        BCNMF(
            5, alpha=0.5, loss=loss, solver=solver, max_iter=20, tol=0, device=where
        ).fit(x, background=y)
        for where in ("cpu", device)
    ]  # fmt: skip
    assert fits[1].device_ == device
    np.testing.assert_allclose(fits[1].objective_, fits[0].objective_, rtol=1e-3)
    # float32 on two devices: updates drift apart slowly, from rounding alone.
    np.testing.assert_allclose(
        fits[1].usage_ @ fits[1].components_, fits[0].usage_ @ fits[0].components_, atol=5e-3
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_auto_takes_cuda():
    x, y = pair()
    model = BCNMF(3, solver="mu", max_iter=3, tol=0, device="auto").fit(x, background=y)
    assert model.device_ == "cuda"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "stochastic", "batch_size": 64},
        {"solver": "safeguarded", "batch_size": 64},
        {"solver": "safeguarded", "init": "nndsvd"},
        {"solver": "mu", "loss": "poisson", "batch_size": 64},
    ],
    ids=str,
)
def test_batches_and_starts_work_there_too(device, settings):
    x, y = pair()
    common = {"n_components": 5, "alpha": 0.5, "max_iter": 10, "tol": 0}
    fits = [
        BCNMF(**common, **settings, device=where).fit(x, background=y) for where in ("cpu", device)
    ]
    np.testing.assert_allclose(fits[1].objective_[-1], fits[0].objective_[-1], rtol=1e-2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
def test_shared_and_target_topics(device, loss):
    x, y = pair()
    fits = [
        SharedTargetNMF(3, 2, loss=loss, max_iter=20, tol=0, device=where).fit(x, background=y)
        for where in ("cpu", device)
    ]
    np.testing.assert_allclose(fits[1].objective_[-1], fits[0].objective_[-1], rtol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_combined_bases(device):
    x, y = pair()
    fits = [
        CombinedBasisNMF(4, max_iter=10, tol=0, device=where).fit(x, background=y)
        for where in ("cpu", device)
    ]
    np.testing.assert_allclose(fits[1].objective_[-1], fits[0].objective_[-1], rtol=1e-2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init": tuple(np.ones(shape, np.float32) for shape in ((4, 300), (200, 4), (150, 4)))},
    ],
    ids=["drawn", "given"],
)
def test_a_model_made_there_is_used_without(device, settings, tmp_path, monkeypatch):
    x, y = pair()
    if settings:
        settings = {"init": tuple(torch.as_tensor(one).to(device) for one in settings["init"])}
    model = BCNMF(4, max_iter=10, tol=0, device=device, **settings).fit(x, background=y)
    model.save(tmp_path / "model.npz")
    expected, pickled = model.transform(x), pickle.dumps(model)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for one in (BCNMF.load(tmp_path / "model.npz"), pickle.loads(pickled)):
        with pytest.warns(UserWarning, match="computes on cpu"):
            found = one.transform(x)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "make",
    [
        lambda device: BCNMF(4, max_iter=9, tol=0, n_init=2, device=device),
        lambda device: SharedTargetNMF(3, 2, max_iter=6, tol=0, n_init=2, refine=3, device=device),
        lambda device: CombinedBasisNMF(3, max_iter=9, tol=0, n_init=2, device=device),
    ],
)
def test_a_stopped_fit_goes_on_there(device, make, tmp_path, monkeypatch):
    x, y = pair()
    original, left = Checkpoint.after_iteration, [14]

    def interrupted(self, state):
        left[0] -= 1
        if left[0] == 0:
            self._stop = 2
        original(self, state)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after_iteration", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(device).fit(x, background=y, checkpoint=tmp_path / "state.npz")
    resumed = make(device).fit(x, background=y, checkpoint=tmp_path / "state.npz")
    whole = make(device).fit(x, background=y)
    np.testing.assert_allclose(resumed.objective_, whole.objective_, rtol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_the_estimate_of_memory_covers_what_is_taken(loss, container):
    rng = np.random.default_rng(0)
    sides = [
        container(rng.poisson(0.1, (rows, 3000)).astype(np.float32)) for rows in (20_000, 5000)
    ]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    BCNMF(20, loss=loss, solver="mu", max_iter=3, tol=0, device="cuda").fit(
        sides[0], background=sides[1]
    )
    taken = torch.cuda.max_memory_allocated()
    estimate = memory.required(sides, 20, torch.float32, torch.device("cuda"), loss)
    assert taken <= estimate <= 4 * taken


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    "settings", [{}, {"solver": "mu"}, {"solver": "mu", "loss": "poisson"}], ids=str
)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_the_same_seed_gives_the_same_numbers(container, settings):
    x, y = (container(side) for side in pair())
    fits = [
        BCNMF(7, alpha=0.5, max_iter=15, tol=0, random_state=3, device="cuda", **settings).fit(
            x, background=y
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)
    np.testing.assert_array_equal(fits[0].usage_, fits[1].usage_)


@pytest.mark.skipif(not WITH_TRITON, reason="needs Triton")
@pytest.mark.parametrize("k", [1, 5, 20, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_compute_what_the_cpu_does(k, dtype):
    rng, tol = np.random.default_rng(k), {torch.float32: 1e-4, torch.float64: 1e-7}[dtype]
    x = sp.random(9000, 300, 0.1, "csr", random_state=0)
    here, there = (matrix_of(x, dtype, torch.device(name)) for name in ("cpu", "cuda"))
    assert isinstance(there, FusedSparseMatrix)
    components, usage = (
        torch.as_tensor(rng.random(shape)).to(dtype) for shape in ((k, 300), (9000, k))
    )
    for name in ("multiplicative_pass", "exact_pass", "poisson_pass", "poisson_usage"):
        starts, found = (usage.clone(), usage.clone().cuda()), []
        for matrix, start in zip((here, there), starts, strict=True):
            topics = components.to(start.device)
            gram = topics.double() @ topics.double().T
            rest = {
                "multiplicative_pass": (topics, gram.to(dtype), start, 1e-10),
                "exact_pass": (topics, gram, start),
                "poisson_pass": (topics, start, 0.5),
                "poisson_usage": (topics, start, 20, 0.0),
            }[name]
            found.append(getattr(matrix, name)(*rest))
        close = {"rtol": tol, "atol": tol * float(starts[0].max())}
        torch.testing.assert_close(starts[1].cpu(), starts[0], **close)
        if name.endswith("pass"):
            expected, actual = (
                one if isinstance(one, tuple) else tuple(vars(one).values()) for one in found
            )
            for a, b in zip(actual, expected, strict=True):
                torch.testing.assert_close(a.cpu(), b, rtol=tol, atol=tol * float(b.abs().max()))


@pytest.mark.skipif(not WITH_TRITON, reason="needs Triton")
def test_passes_never_wait_for_the_device():
    x = matrix_of(
        sp.random(9000, 300, 0.1, "csr", random_state=0), torch.float32, torch.device("cuda")
    )
    components, usage = torch.rand(9, 300).cuda(), torch.rand(9000, 9).cuda()
    gram = components.double() @ components.double().T
    passes = [
        lambda: x.multiplicative_pass(components, gram, usage, 1e-10),
        lambda: x.exact_pass(components, gram, usage),
        lambda: x.poisson_pass(components, usage, 0.5),
    ]
    for one in passes:  # compiled at the first launch
        one()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for one in passes:
            one()
    finally:
        torch.cuda.set_sync_debug_mode("default")
