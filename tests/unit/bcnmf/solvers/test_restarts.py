"""Starts and stages of a fit, and their state as arrays."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, CombinedBasisNMF, SharedTargetNMF
from bcnmf.solvers.restarts import Restarts, packed, unpacked

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


@dataclass
class Inner:
    values: torch.Tensor
    size: float


@dataclass
class Result:
    several: list[torch.Tensor]
    parts: list[Inner]
    objective: list[float]
    count: int
    done: bool


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TENSORS = st.builds(
    lambda values, dtype: torch.tensor([values], dtype=dtype),
    st.lists(NUMBERS, max_size=3),
    st.sampled_from([torch.float32, torch.float64]),
)
RESULTS = st.builds(
    Result,
    st.lists(TENSORS, min_size=1, max_size=3),
    st.lists(st.builds(Inner, TENSORS, NUMBERS), min_size=1, max_size=3),
    st.lists(NUMBERS, max_size=4),
    st.integers(0, 2**40),
    st.booleans(),
)


def as_lists(result):
    tensors = [*result.several, *(part.values for part in result.parts)]
    rest = [result.objective, result.count, result.done, *(part.size for part in result.parts)]
    return [(tensor.dtype, tensor.tolist()) for tensor in tensors], rest


@given(RESULTS)
def test_a_result_comes_back_from_arrays_as_it_was(result):
    arrays = {name: np.asarray(value) for name, value in packed(result, "it").items()}
    assert as_lists(unpacked(arrays, "it", Result, torch.device("cpu"))) == as_lists(result)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_the_first_of_the_best_starts_is_kept(ends):
    done = []

    def run(number, monitor):
        done.append(number)
        return Result([], [], [float(ends[number])], number, True)

    best = Restarts().best_of(Result, len(ends), run)
    assert done == list(range(len(ends)))
    assert best.count == ends.index(min(ends))


def data():
    rng = np.random.default_rng(0)
    return tuple(rng.poisson(1.0, (rows, 12)).astype(np.float32) for rows in (30, 20))


QUICK = {"max_iter": 15, "tol": 0, "device": "cpu"}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda **given: NMF(3, **QUICK, **given),
        lambda **given: BCNMF(3, **QUICK, **given),
        lambda **given: BCNMF(3, solver="mu", **QUICK, **given),
        lambda **given: BCNMF(3, solver="stochastic", batch_size=10, **QUICK, **given),
        lambda **given: BCNMF(3, init="nndsvd", **QUICK, **given),
        lambda **given: CombinedBasisNMF(3, **QUICK, **given),
    ],
)
def test_more_starts_are_never_worse(make, seed):
    x, y = data()
    one, more = (make(random_state=seed, n_init=n).fit(x, background=y) for n in (1, 4))
    assert more.objective_[-1] <= one.objective_[-1]


def test_more_starts_are_never_worse_for_the_shared_topics():
    x, y = data()
    first = [
        SharedTargetNMF(3, 2, n_init=n, **QUICK).fit(x, background=y).objective_[QUICK["max_iter"]]
        for n in (1, 4)
    ]
    assert first[1] <= first[0]


@pytest.mark.parametrize("solver", ["safeguarded", "mu", "stochastic"])
def test_neighbouring_seeds_have_starts_of_their_own(solver, monkeypatch):
    x, y = data()
    seen = []
    original = BCNMF._start

    def spy(self, *arguments):
        start = original(self, *arguments)
        seen.append(start[0].numpy().tobytes())
        return start

    monkeypatch.setattr(BCNMF, "_start", spy)
    for seed in (1, 2, 3):
        BCNMF(
            3, solver=solver, n_init=8, random_state=seed, max_iter=1, tol=0, device="cpu"
        ).fit(x, background=y)  # fmt: skip
    assert len(seen) == len(set(seen)) == 24
