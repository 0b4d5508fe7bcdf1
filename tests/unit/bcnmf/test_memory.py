"""Memory is estimated from shapes, before any of it is taken."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, InputError, SharedTargetNMF, memory

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def sides(dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.poisson(0.5, (rows, 40)).astype(dtype) for rows in (60, 30)]


def test_data_in_the_precision_of_the_factors_are_not_copied():
    same = memory.required(sides(), 5, torch.float32, CPU, "squared_error")
    other = memory.required(sides(np.float64), 5, torch.float32, CPU, "squared_error")
    assert other - same == pytest.approx(1.1 * 4 * 90 * 40, abs=2)


def test_an_accelerator_holds_sparse_data_twice_and_maps_for_counts():
    sparse = [sp.csr_matrix(side) for side in sides()]
    stored = sum(side.nnz for side in sparse)
    needed = {
        (device.type, loss): memory.required(sparse, 5, torch.float32, device, loss)
        for device in (CPU, CUDA)
        for loss in ("squared_error", "poisson")
    }
    assert needed["cuda", "squared_error"] - needed["cpu", "squared_error"] >= 2 * 8 * stored
    assert needed["cuda", "poisson"] - needed["cuda", "squared_error"] >= 40 * stored


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_that_cannot_fit_is_refused_before_it_starts(monkeypatch, dtype):
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    x, y = sides()
    with pytest.raises(InputError, match=r"needs about .* GB on cpu, where 0\.0 GB are free") as at:
        BCNMF(3, device="cpu", dtype=dtype).fit(x, background=y)
    assert "batch_size=" in str(at.value)
    assert ("dtype='float32' takes half" in str(at.value)) == (dtype == "float64")
    with pytest.raises(InputError, match="needs about"):
        SharedTargetNMF(3, 2, device="cpu").fit(x, background=y)


def test_data_read_in_batches_are_not_counted(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    x, y = sides()
    model = BCNMF(3, device="cpu", batch_size=7, max_iter=3, tol=0).fit(x, background=y)
    assert model.usage_.shape == (60, 3)


def test_free_memory_is_that_of_the_machine():
    assert memory.free(CPU) > 10**7
