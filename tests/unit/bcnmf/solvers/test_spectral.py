"""Starts from the leading directions of the contrast."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.solvers.spectral import spectral_factors
from bcnmf.solvers.starts import random_factors

CPU = torch.device("cpu")


def pair(features):
    rng = np.random.default_rng(0)
    programs = rng.random((3, features)) ** 8
    x = rng.random((80, 3)) @ programs + 0.05 * rng.random((80, features))
    y = rng.random((50, 1)) @ programs[:1] + 0.05 * rng.random((50, features))
    return x, y


@pytest.mark.parametrize("features", [12, 90])  # solved directly, and by iterations
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_components_are_the_signed_parts_of_the_leading_eigenvectors(features, container):
    x, y = pair(features)
    matrices = [as_matrix(container(side), "x", torch.float64, CPU) for side in (x, y)]
    found, usage, background_usage = spectral_factors(*matrices, 0.7, 2, 0, torch.float64, CPU)
    values, vectors = np.linalg.eigh(x.T @ x - 0.7 * y.T @ y)
    for component, vector in zip(found.numpy(), vectors[:, ::-1].T[:2], strict=True):
        parts = [np.maximum(sign * vector, 0) for sign in (1, -1)]
        lengths = [max(np.linalg.norm(part), 1e-12) for part in parts]
        assert max(part @ component / n for part, n in zip(parts, lengths, strict=True)) > 0.98
    assert values[-1] > 0
    assert (found > 0).all()
    assert (usage > 0).all()
    assert usage.shape == (80, 2)
    assert background_usage.shape == (50, 2)
    np.testing.assert_allclose(found.norm(dim=1), 1, rtol=1e-12)


def test_they_are_better_starts_than_random_ones():
    x, y = pair(90)
    drawn = random_factors(len(x), len(y), x.shape[1], 2, 0, torch.float64, torch.device("cpu"))
    first = {
        name: BCNMF(2, alpha=0.7, init=init, max_iter=1, tol=0, device="cpu")
        .fit(x, background=y)
        .objective_[0]
        for name, init in (("nndsvd", "nndsvd"), ("random", drawn))
    }
    assert first["nndsvd"] < first["random"]


@pytest.mark.parametrize("solver", ["safeguarded", "mu", "stochastic"])
def test_every_solver_takes_them(solver):
    x, y = pair(30)
    model = BCNMF(
        2, alpha=0.5, init="nndsvd", solver=solver, max_iter=40, device="cpu", n_init=2
    ).fit(x, background=y)  # fmt: skip
    assert np.isfinite(model.components_).all()


def test_without_a_background_it_is_nndsvd():
    x, _ = pair(30)
    model = BCNMF(3, alpha=0, init="nndsvd", device="cpu").fit(x)
    assert model.explained_target_ > 0.99
