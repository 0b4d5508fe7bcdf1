"""Poisson usages: those of a sample do not depend on which samples stand beside it."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.streamed import streamed
from bcnmf.solvers.usage import flat_usage

CPU = torch.device("cpu")


def drawn(seed, n, features, k):
    """Return counts, the first sample without any, and topics."""
    rng = np.random.default_rng(seed)
    topics = rng.gamma(0.3, 1.0, (k, features)) + 1e-3
    x = rng.poisson(rng.gamma(0.5, 2.0, (n, k)) @ topics).astype(float)
    x[0] = 0
    return x, torch.as_tensor(topics)


def solved(data, topics, updates=300, tol=1e-6):
    usage = flat_usage(data, topics)
    data.poisson_usage(topics, usage, updates, tol)
    return usage.numpy()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(2, 25), st.integers(2, 30), st.integers(1, 5),
    st.sampled_from([torch.float32, torch.float64]), st.integers(1, 9),
)  # fmt: skip
def test_a_sample_alone_in_any_block_and_container_has_the_same_usages(
    seed, n, features, k, dtype, batch_size
):
    x, topics = drawn(seed, n, features, k)
    topics = topics.to(dtype)
    together = solved(as_matrix(x, "x", dtype, CPU), topics)
    alone = [solved(as_matrix(x[i : i + 1], "x", dtype, CPU), topics) for i in range(n)]
    close = {"rtol": 0, "atol": 2e-5 * max(together.max(), 1e-30)}
    np.testing.assert_allclose(together, np.concatenate(alone), **close)
    for container in (np.asarray, sp.csr_matrix):
        blocks = streamed(container(x), "x", dtype, CPU, batch_size)
        np.testing.assert_allclose(solved(blocks, topics), together, **close)
    assert (together[0] == 0).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_a_sample_that_is_done_stands_still_and_the_others_go_on(container):
    x, topics = drawn(1, 12, 20, 3)
    x[1] = 5 * topics[0].numpy()  # done from the start
    data = as_matrix(container(x), "x", torch.float64, CPU)
    usage = flat_usage(data, topics)
    usage[1] = torch.tensor([5.0, 0.0, 0.0])
    start = usage.clone()
    data.poisson_usage(topics, usage, 200, 1e-6)
    np.testing.assert_allclose(usage[1], start[1], rtol=1e-12)
    assert (usage[2:] - start[2:]).abs().amax(1).min() > 0
    assert float(data.poisson_loss(topics, usage)) < float(data.poisson_loss(topics, start))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_a_fit_without_a_contrast_ends_with_its_usages_solved(container):
    x, _ = drawn(3, 60, 30, 4)
    x[0, 0] = 1
    y = x[:25] + 1
    how = {
        "loss": "poisson",
        "device": "cpu",
        "random_state": 0,
        "max_iter": 60,
        "dtype": "float64",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NMF(3, **how).fit(container(x), background=container(y))
        same = BCNMF(3, alpha=0, **how).fit(container(x), background=container(y))
        raw = NMF(3, solver="mu", damping=1.0, **how).fit(container(x), background=container(y))
    np.testing.assert_array_equal(model.usage_, same.usage_)
    assert len(model.objective_) == model.n_iter_ + 1
    assert model.objective_[-1] < raw.objective_[-1]
    np.testing.assert_array_equal(model.objective_[:-1], raw.objective_[:-1])
    topics = torch.as_tensor(model.components_)
    for data, usage in ((x, model.usage_), (y, model.background_usage_)):
        matrix = as_matrix(container(data), "x", torch.float64, CPU)
        lost = [
            float(matrix.poisson_loss(topics, torch.as_tensor(one)))
            for one in (usage, model.transform(container(data)))
        ]
        # A tenth of a nat a sample, at most; without the last solve it is several.
        assert abs(lost[0] - lost[1]) < 0.1 * len(data)
        if data is x:
            assert model.objective_[-1] == pytest.approx(lost[0], rel=1e-9)
