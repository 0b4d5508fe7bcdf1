"""Directions from the steps before: they lead down, and know what those steps learnt."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf.solvers.quasi_newton import Memory

PRECISION = torch.float64, torch.device("cpu")


def drawn(seed, pairs, k=3, features=5):
    """Return a memory of a convex quadratic, its last pair, a gradient and what else matters."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(k * features, k * features, generator=generator, dtype=torch.float64)
    hessian = root @ root.T + torch.eye(k * features, dtype=torch.float64)
    memory, last = Memory(), None
    for _ in range(pairs):
        step = torch.randn(k, features, generator=generator, dtype=torch.float64)
        last = step, (hessian @ step.flatten()).reshape(k, features)
        memory.add(*last)
    gradient = torch.randn(k, features, generator=generator, dtype=torch.float64)
    free = torch.rand(k, features, generator=generator) > 0.3
    curvature = 0.1 + torch.rand(k, generator=generator, dtype=torch.float64)
    return memory, last, gradient, free, curvature


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), pairs=st.integers(0, 8))
def test_directions_lead_down_within_what_is_free(seed, pairs):
    memory, _, gradient, free, curvature = drawn(seed, pairs)
    direction, slope = memory.direction(gradient, free, curvature)
    assert not direction[~free].any()
    assert slope == pytest.approx(float((direction * gradient).sum()), rel=1e-9, abs=1e-12)
    assert slope < 0 or not (gradient * free).any()


def test_without_memory_it_is_the_gradient_over_the_curvature():
    memory, _, gradient, free, curvature = drawn(0, 0)
    direction, _ = memory.direction(gradient, free, curvature)
    torch.testing.assert_close(direction, -gradient * free / curvature[:, None])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), pairs=st.integers(1, 8))
def test_the_latest_change_is_undone_by_the_latest_step(seed, pairs):
    """The secant equation, which makes it a quasi-Newton method."""
    memory, (step, change), _, free, _ = drawn(seed, pairs)
    # In these units the curvature of the pair is no small share of what the lengths allow.
    curvature = torch.full((3,), float((change * change).sum() / (step * change).sum()))
    cosine = (step * change).sum() / (step.norm() * change.norm())
    direction, _ = memory.direction(change, torch.ones_like(free), curvature.double())
    if cosine > 0.05:
        torch.testing.assert_close(direction, -step, rtol=1e-6, atol=1e-6)


def test_a_pair_without_curvature_does_not_count():
    memory, (step, change), gradient, free, curvature = drawn(3, 1)
    plain, _ = Memory().direction(gradient, free, curvature)
    concave = Memory()
    concave.add(step, -change)
    torch.testing.assert_close(concave.direction(gradient, free, curvature)[0], plain)
    assert not torch.equal(memory.direction(gradient, free, curvature)[0], plain)


@pytest.mark.parametrize("pairs", [0, 2, 8])
def test_a_stored_memory_gives_the_same_directions(pairs):
    memory, _, gradient, free, curvature = drawn(4, pairs)
    other = Memory()
    other.add(gradient, gradient)
    other.restore({name: part.numpy() for name, part in memory.state().items()}, PRECISION)
    assert len(other) == len(memory)
    found, expected = (one.direction(gradient, free, curvature)[0] for one in (other, memory))
    assert torch.equal(found, expected)
