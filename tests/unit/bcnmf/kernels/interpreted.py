"""Kernels in Triton, interpreted on the CPU; `test_triton.py` runs this in a process of its own.

Every device is taken for a GPU here, so that fits with `device="cpu"` go the way of one.
"""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
import torch
from torch.overrides import TorchFunctionMode

from bcnmf import BCNMF, NMF, SharedTargetNMF
from bcnmf.kernels import accelerated
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices import csr_fused
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.csr_fused import FusedSparseMatrix

CPU = torch.device("cpu")
PRECISIONS = [(torch.float32, 3e-5), (torch.float64, 1e-11)]


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    monkeypatch.setattr(accelerated, "present", lambda device: True)
    # Several tiles, the last of them not full.
    monkeypatch.setattr(csr_fused, "_LEAST_ROWS", 8)
    monkeypatch.setattr(csr_fused, "_VALUES_OF_A_SEGMENT", 2)


def counts(seed=0, shape=(17, 11)):
    """Return counts with a sample and a feature without any, and one sample with all features."""
    x = np.random.default_rng(seed).poisson(0.4, shape).astype(float)
    x[3], x[:, 5] = 0, 0
    x[7] = 1 + x[7]
    return sp.csr_matrix(x)


def both_ways(x, dtype, k, seed=1):
    """Return the data as kernels and as compiled code see them, and factors; a topic is empty."""
    rng = np.random.default_rng(seed)
    components = rng.random((k, x.shape[1]))
    components[k // 2] *= k < 3
    factors = (components, rng.random((x.shape[0], k)))
    matrices = FusedSparseMatrix(x, dtype, CPU), CompiledSparseMatrix(x, dtype)
    return *matrices, *(torch.as_tensor(factor).to(dtype) for factor in factors)


def close(found, expected, tol):
    scale = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=tol * scale)


@pytest.mark.parametrize(("dtype", "tol"), PRECISIONS)
@pytest.mark.parametrize("k", [1, 3, 100])
def test_passes_are_those_of_the_cpu(dtype, tol, k):
    fused, compiled, components, usage = both_ways(counts(), dtype, k)
    assert fused._tiles == 3
    close(fused.times(components), compiled.times(components), tol)
    close(fused.transposed_times(usage), compiled.transposed_times(usage), tol)
    starts = usage.clone(), usage.clone()
    found, expected = (
        one.multiplicative_pass(components, components @ components.T, start, 1e-10)
        for one, start in zip((fused, compiled), starts, strict=True)
    )
    moments_are_close(found, expected, tol)
    close(*starts, tol)


def moments_are_close(found, expected, tol):
    for part in ("cross", "usage_gram", "fit"):
        close(getattr(found, part), getattr(expected, part), tol)
    assert found.usage_gram.dtype == found.fit.dtype == torch.float64


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 3e-5), (torch.float64, 1e-7)])
@pytest.mark.parametrize("k", [1, 4])
def test_exact_passes_are_those_of_the_cpu(dtype, tol, k):
    fused, compiled, components, usage = both_ways(counts(), dtype, k)
    exact, starts = components.double() @ components.double().T, (usage.clone(), usage.clone())
    found, expected = (
        one.exact_pass(components, exact, start)
        for one, start in zip((fused, compiled), starts, strict=True)
    )
    moments_are_close(found, expected, tol)
    close(*starts, tol)
    assert (starts[0][3] == 0).all()


@pytest.mark.parametrize(("dtype", "tol"), PRECISIONS)
@pytest.mark.parametrize("damping", [0.5, 0.7, 1.0])
def test_poisson_passes_are_those_of_the_cpu(dtype, tol, damping):
    fused, compiled, components, usage = both_ways(counts(), dtype, 3)
    starts = usage.clone(), usage.clone()
    (loss, numerator), (expected_loss, expected) = (
        one.poisson_pass(components, start, damping)
        for one, start in zip((fused, compiled), starts, strict=True)
    )
    close(loss, expected_loss, tol)
    close(numerator, expected, tol)
    close(*starts, tol)
    after = fused.poisson_loss(components, starts[0])
    close(after, compiled.poisson_loss(components, starts[1]), tol)
    assert after < loss


def test_stored_zeros_have_no_share_in_the_divergence():
    x = sp.csr_matrix(([2.0, 0.0, 1.0], [0, 1, 2], [0, 2, 3]), shape=(2, 3))
    fused, compiled, components, usage = both_ways(x, torch.float64, 2)
    close(
        fused.poisson_loss(components, usage), compiled.poisson_loss(components, usage), 1e-12
    )  # fmt: skip


def test_poisson_usages_are_those_of_the_cpu():
    fused, compiled, components, usage = both_ways(counts(shape=(9, 11)), torch.float64, 3)
    for updates, tol in ((8, 0.0), (20, 1e-1)):
        starts = usage.clone(), usage.clone()
        fused.poisson_usage(components, starts[0], updates, tol)
        compiled.poisson_usage(components, starts[1], updates, tol)
        close(*starts, 1e-11)


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-6), (torch.float64, 1e-9)])
@pytest.mark.parametrize("k", [1, 5, 17])
def test_usages_solve_nonnegative_least_squares(dtype, tol, k):
    rng = np.random.default_rng(k)
    components, x = rng.gamma(0.1, 1.0, (k, 60)), rng.random((7, 60))
    expected = np.array([scipy.optimize.nnls(components.T, row)[0] for row in x])
    product = torch.as_tensor(x @ components.T)
    usage = torch.zeros((7, k), dtype=dtype)
    gram = torch.as_tensor(components @ components.T)
    nonnegative_least_squares(product.to(dtype), gram, usage)
    lost = [((x - one @ components) ** 2).sum() for one in (usage.double().numpy(), expected)]
    assert lost[0] <= lost[1] * (1 + tol)
    if dtype == torch.float64:
        np.testing.assert_allclose(usage, expected, atol=1e-5 * expected.max())


def test_samples_stop_on_their_own_and_at_the_last_sweep():
    product = torch.tensor([[3.0, 1.0], [2.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    gram = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    alone, together = torch.ones((3, 2)).double(), torch.ones((3, 2)).double()
    for one in range(3):
        nonnegative_least_squares(product[one : one + 1], gram, alone[one : one + 1])
    nonnegative_least_squares(product, gram, together)
    assert torch.equal(alone, together)
    few = torch.ones((3, 2)).double()
    nonnegative_least_squares(product, gram, few, max_sweeps=1)
    assert not torch.equal(few, together)
    assert torch.equal(few[2], together[2])


def test_several_fits_get_from_one_launch_what_each_would_alone(launches):
    x, rng = counts(), np.random.default_rng(0)
    fused = FusedSparseMatrix(x, torch.float32, CPU)
    topics = [torch.as_tensor(rng.random((k, 11))).float() for k in (3, 5, 3)]
    usages = [torch.as_tensor(rng.random((17, k))).float() for k in (3, 5, 3)]
    together = fused.times_each(topics), fused.transposed_times_each(usages)
    assert len(launches) == 4  # two sizes, two products
    for every, alone in (
        (together[0], [fused.times(one) for one in topics]),
        (together[1], [fused.transposed_times(one) for one in usages]),
    ):
        assert all(torch.equal(*pair) for pair in zip(every, alone, strict=True))


@pytest.mark.parametrize("chosen", [[0, 1, 2], [3], [2, 5, 16]])
def test_rows_are_a_matrix_of_their_own(chosen):
    fused, _, components, usage = both_ways(counts(), torch.float64, 3)
    chosen = np.array(chosen)
    part, whole = fused.rows(chosen), CompiledSparseMatrix(counts()[chosen], torch.float64)
    assert part.shape == (len(chosen), 11)
    assert part.total == whole.total
    close(part.times(components), whole.times(components), 1e-12)
    close(part.transposed_times(usage[chosen]), whole.transposed_times(usage[chosen]), 1e-12)


def test_no_samples_and_no_values_are_nothing_to_do():
    for x in (sp.csr_matrix((0, 4)), sp.csr_matrix((5, 4))):
        fused, _, components, usage = both_ways(x, torch.float32, 2)
        assert fused.times(components).abs().sum() == 0
        assert fused.transposed_times(usage).abs().sum() == 0
        assert fused.total == fused.squared_norm == 0


def sides():
    rng = np.random.default_rng(4)
    topics = rng.gamma(0.3, 1.0, (3, 9))
    drawn = (rng.poisson(rng.gamma(0.5, 2.0, (n, 3)) @ topics) for n in (11, 7))
    return [sp.csr_matrix(one.astype(float) + np.eye(*one.shape)) for one in drawn]


# A given start: a random one would have many first updates.
START = tuple(np.random.default_rng(5).random(shape) for shape in ((2, 9), (11, 2), (7, 2)))
HOW = {"tol": 0, "device": "cpu", "random_state": 0, "max_iter": 4}
FITS = {
    "mu": lambda: BCNMF(2, solver="mu", **HOW),
    "poisson": lambda: BCNMF(2, alpha=0.3, loss="poisson", solver="mu", **HOW),
    "safeguarded": lambda: BCNMF(2, init=START, **HOW),
    "stochastic": lambda: BCNMF(2, solver="stochastic", batch_size=8, **HOW | {"max_iter": 2}),
    "poisson, solved": lambda: NMF(2, loss="poisson", **HOW | {"max_iter": 2}),
    "shared": lambda: SharedTargetNMF(1, 1, **HOW | {"max_iter": 2}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_matrix.toarray], ids=["csr", "dense"])
@pytest.mark.parametrize("name", FITS)
def test_fits_are_those_of_the_cpu(name, container, monkeypatch):
    if container is not sp.csr_matrix and name not in ("mu", "safeguarded"):
        pytest.skip("dense data differ from sparse ones in these solvers' passes alone")
    x, y = map(container, sides())
    found = FITS[name]().fit(x, background=y)
    monkeypatch.setattr(accelerated, "present", lambda device: False)
    expected = FITS[name]().fit(x, background=y)
    # Where a stage of `SharedTargetNMF` ends, rounding decides.
    part = slice(-1, None) if name == "shared" else slice(None)
    np.testing.assert_allclose(found.objective_[part], expected.objective_[part], rtol=1e-4)
    np.testing.assert_allclose(found.components_, expected.components_, atol=2e-3)


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched."""
    found, launch = [], accelerated.launch

    def counted(kernel, *arguments, **options):
        found.append(kernel.fn.__name__)
        launch(kernel, *arguments, **options)

    monkeypatch.setattr(accelerated, "launch", counted)
    return found


class Reads(TorchFunctionMode):
    """Counts what makes the host wait for a GPU; kernels are not looked into."""

    NAMES = frozenset(
        ("item", "tolist", "numpy", "cpu", "nonzero", "__float__", "__bool__", "__int__")
    )

    def __init__(self, monkeypatch):
        super().__init__()
        self.count, launch = 0, accelerated.launch

        def unseen(*arguments, **options):
            with torch._C.DisableTorchFunction():
                launch(*arguments, **options)

        monkeypatch.setattr(accelerated, "launch", unseen)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += getattr(function, "__name__", "") in self.NAMES
        return function(*args, **(kwargs or {}))


def in_more_iterations(make, counter):
    """Return how many more counts there are in six iterations than in four."""
    numbers = []
    for iterations in (4, 6):
        before = counter()
        make().set_params(max_iter=iterations).fit(sides()[0], background=sides()[1])
        numbers.append(counter() - before)
    return numbers[1] - numbers[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "each"), [("mu", 4), ("poisson", 4), ("safeguarded", 6)])
def test_an_iteration_is_few_launches(name, each, launches):
    """Usages and what the components need; exact usages have a product of their own first."""
    more = in_more_iterations(FITS[name], lambda: len(launches))
    assert more == 2 * each


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "each"), [("mu", 0), ("poisson", 0), ("safeguarded", 1)])
def test_how_often_an_iteration_waits_for_the_device(name, each, monkeypatch):
    with Reads(monkeypatch) as reads:
        more = in_more_iterations(FITS[name], lambda: reads.count)
    # Objectives that are left on the device are read once, at the end.
    left = name != "safeguarded"
    assert more == 2 * (each + left)
