"""Non-negative least squares, compiled and vectorised."""

import numpy as np
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf.kernels.usage import nonnegative_least_squares


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(6, 12))
def test_usages_solve_nonnegative_least_squares(seed, k, features):
    rng = np.random.default_rng(seed)
    components, x = rng.random((k, features)), rng.random((5, features))
    found = nonnegative_least_squares(
        torch.as_tensor(x @ components.T),
        torch.as_tensor(components @ components.T),
        torch.zeros((5, k), dtype=torch.float64),
    ).numpy()
    expected = np.array([scipy.optimize.nnls(components.T, row)[0] for row in x])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_vectorised_sweeps_equal_the_compiled_ones():
    rng = np.random.default_rng(0)
    components, x = rng.random((4, 15)), rng.random((9, 15))
    product, gram = torch.as_tensor(x @ components.T), torch.as_tensor(components @ components.T)

    class Elsewhere(torch.Tensor):
        """A tensor that says it is not on the CPU, to take the other branch."""

        @property
        def device(self):
            return torch.device("meta")

    start = torch.zeros((9, 4), dtype=torch.float64)
    compiled = nonnegative_least_squares(product, gram, start.clone())
    vectorised = nonnegative_least_squares(product, gram, start.clone().as_subclass(Elsewhere))
    np.testing.assert_allclose(vectorised.numpy(), compiled.numpy(), atol=1e-6)
