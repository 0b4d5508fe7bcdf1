"""Topics against the programs that data were simulated from, on cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.truth import (
    program_cosine,
    shared_genes,
    shared_leakage,
    true_programs,
)


def test_programs_are_assigned_one_to_one():
    programs = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    # The first component is best for both; the sum is largest if it serves the second.
    components = np.array([[3.0, 4, 0], [1, 0, 0]])
    np.testing.assert_allclose(program_cosine(components, programs), [1.0, 0.8])


def test_the_sign_of_a_component_does_not_count():
    np.testing.assert_allclose(program_cosine(np.array([[-2.0, 0]]), np.array([[1.0, 0]])), [1.0])


def test_a_program_without_a_component_has_nothing():
    programs = np.eye(3)
    np.testing.assert_allclose(program_cosine(np.array([[0, 2.0, 0]]), programs), [0, 1, 0])
    np.testing.assert_allclose(program_cosine(np.zeros((2, 3)), programs), 0)


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 4))
def test_order_and_scale_do_not_count(seed, k, n):
    rng = np.random.default_rng(seed)
    components, programs = rng.random((k, 6)), rng.random((n, 6))
    found = program_cosine(components, programs)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    scaled = rng.uniform(0.1, 9, (k, 1)) * components[rng.permutation(k)]
    np.testing.assert_allclose(program_cosine(scaled, programs).sum(), found.sum())


def test_leakage_weighs_topics_by_their_usage():
    components = np.array([[1.0, 0, 0], [0, 3.0, 4.0]])
    usage = np.array([[2.0, 0], [0, 1.0]])
    # Energies: 4 on the first feature, 9 and 16 on the others.
    assert shared_leakage(components, usage, np.array([True, False, False])) == 4 / 29
    assert shared_leakage(components, usage, np.array([False, True, True])) == 25 / 29
    assert np.isnan(shared_leakage(components, 0 * usage, np.array([True, True, True])))


def test_the_simulation_carries_its_truth():
    data = simulate_counts(
        2.0, n_genes=60, n_target=20, n_background=10, n_shared=2, shared_block=10, target_block=8
    )
    np.testing.assert_array_equal(true_programs(data.var), data.uns["target_programs"])
    assert shared_genes(data.var).tolist() == [True] * 20 + [False] * 40
    assert true_programs(pd.DataFrame(index=["a"])) is None
    # A column of own data that happens to be called like one of the simulation's.
    assert true_programs(pd.DataFrame({"program_target_1": [1.0]})) is None


@pytest.mark.parametrize("k", [2, 4])
def test_the_true_programs_score_best(k):
    data = simulate_counts(
        2.0, n_genes=60, n_target=20, n_background=10, n_shared=2, shared_block=10, target_block=8
    )
    programs = true_programs(data.var)
    components = np.vstack([programs, np.ones((k - 2, 60))])
    np.testing.assert_allclose(program_cosine(components, programs), 1)
    assert shared_leakage(programs, np.ones((5, 2)), shared_genes(data.var)) < 0.01
