"""What `gpu.py` measures: each part yields its measurements by name, as functions to call."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch

import bcnmf
from bcnmf import BCNMF, NMF, CombinedBasisNMF, SharedTargetNMF
from bcnmf.kernels import accelerated
from bcnmf.matrices.base import Matrix, Moments
from bcnmf.matrices.in_memory import matrix_of
from bcnmf.seeds import derive_seed
from bcnmf.solvers.result import Monitor

Row = dict[str, Any]
Measurements = Iterator[tuple[str, Callable[[], Row]]]
GENES, K, DENSITY, PROGRAMS = 3000, 20, 0.1, 10
AGREES = 1e-4
# Iterations are timed for so long, or as many at most.
_SECONDS_TIMED, _MOST_ITERATIONS = 0.5, 300
_ROWS_AT_A_TIME = 20_000


class Bench(NamedTuple):
    """Where to measure, and how large."""

    device: torch.device
    quick: bool

    def cells(self, number: int) -> int:
        """Return a number of cells."""
        return number // 400 if self.quick else number

    def genes(self, number: int = GENES) -> int:
        """Return a number of genes."""
        return number // 25 if self.quick else number

    def draw(self, cells: int, genes: int, name: str) -> sp.csr_matrix:
        """Draw counts of programs block by block, never dense as a whole, on the device."""
        source = torch.Generator(self.device).manual_seed(derive_seed("gpu", name))
        some = partial(torch.rand, device=self.device, generator=source)
        # Genes are unequal, as those of cells are: some are stored nearly everywhere.
        programs = some((PROGRAMS, genes)) ** 4 * torch.exp(2 * some((1, genes)))
        programs *= _factor(some((2000, PROGRAMS)) ** 2 @ programs)
        parts: dict[str, list[torch.Tensor]] = {"stored": [], "indices": [], "data": []}
        for start in range(0, cells, _ROWS_AT_A_TIME):
            usage = some((min(_ROWS_AT_A_TIME, cells - start), PROGRAMS)) ** 2
            block = torch.poisson(usage @ programs, generator=source)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
                block = block.to_sparse_csr()
            parts["stored"].append(block.crow_indices().diff().cpu())
            parts["indices"].append(block.col_indices().int().cpu())
            parts["data"].append(block.values().cpu())
        stored, indices, data = (torch.cat(part).numpy() for part in parts.values())
        pointer = np.concatenate([[0], stored.cumsum()])
        return sp.csr_matrix((data, indices, pointer), (cells, genes))

    def on_device(self) -> AbstractContextManager[Any]:
        """Let the CPU be taken for a GPU while Triton interprets its kernels there."""
        if self.device.type != "cpu" or os.environ.get("TRITON_INTERPRET") != "1":
            return nullcontext()
        return mock.patch.object(accelerated, "present", return_value=True)

    def wait(self) -> float:
        """Return the time at which the device has done all that it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def reset_peak(self) -> None:
        """Measure memory from here on."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gb(self) -> float | None:
        """Return the most that torch had allocated on the device; nothing is known of the CPU."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device) / 1e9

    def bandwidth(self) -> float:
        """Return the bytes per second of a plain copy, both ways counted: the best of ten."""
        source = torch.ones(1 << (20 if self.quick else 28), device=self.device)
        target, best = torch.empty_like(source), float("inf")
        for _ in range(10):
            begun = self.wait()
            target.copy_(source)
            best = min(best, self.wait() - begun)
        return 2 * 4 * source.numel() / best


def _factor(rates: torch.Tensor) -> float:
    """Return by what to multiply rates so that a tenth of Poisson counts is not zero."""
    low, high = 1e-9, 1e9
    for _ in range(100):
        middle = (low * high) ** 0.5
        above = float((1 - torch.exp(-middle * rates)).mean()) > DENSITY
        low, high = (low, middle) if above else (middle, high)
    return low


def limits(bench: Bench) -> Measurements:
    """Copies of memory on the device, and to it."""

    def to_device() -> Row:
        source = torch.ones(1 << (20 if bench.quick else 27))
        begun = bench.wait()
        kept = source.to(bench.device, copy=True)
        return {"GB_per_s": 4 * kept.numel() / (bench.wait() - begun) / 1e9}

    yield "copy on the device", lambda: {"GB_per_s": bench.bandwidth() / 1e9}
    yield "copy from the host, pageable", to_device


def passes(bench: Bench) -> Measurements:
    """Each pass of a matrix that holds empty rows and features, K no power of two."""
    host = bench.draw(*((12, 20) if bench.quick else (4000, 700)), "passes").tolil()
    host[3], host[:, 5] = 0, 0
    values = sp.csr_matrix(host)
    for container in ("sparse", "dense"):
        for k in (1, 7) if bench.quick else (1, 2, 7, 20, 50, 100):
            held = values if container == "sparse" else values.toarray()
            yield f"{container}, K={k}", partial(_passes, bench, held, k)


def _passes(bench: Bench, values: Any, k: int) -> Row:
    rng = np.random.default_rng(derive_seed("gpu", "passes", k))
    drawn = rng.uniform(size=(k, values.shape[1])), rng.uniform(size=(values.shape[0], k))
    with bench.on_device():
        matrix = matrix_of(values, torch.float32, bench.device)
        ours = _results(matrix, torch.float32, bench.device, *drawn)
    host = torch.device("cpu")
    exact = _results(matrix_of(values, torch.float64, host), torch.float64, host, *drawn)
    apart = {name: max(map(_apart, ours[name], exact[name])) for name in exact}
    return {"by": type(matrix).__name__, **apart, "agrees": max(apart.values()) <= AGREES}


def _results(
    matrix: Matrix, dtype: torch.dtype, device: torch.device, topics: Any, usage: Any
) -> dict[str, list[torch.Tensor]]:
    """Return what each pass comes to."""
    topics, usage = (torch.as_tensor(one, dtype=dtype).to(device) for one in (topics, usage))
    gram = topics.double() @ topics.double().T
    updated, solved, poisson, settled = (usage.clone() for _ in range(4))
    update = matrix.multiplicative_pass(topics, gram.to(dtype), updated, 1e-10)
    exact = matrix.exact_pass(topics, gram, solved)
    loss, numerator = matrix.poisson_pass(topics, poisson, 0.5)
    matrix.poisson_usage(topics, settled, 20)
    return {
        "X C'": [matrix.times(topics)], "H'X": [matrix.transposed_times(usage)],
        "mu": [updated, update.cross, update.usage_gram, update.fit],
        # Usages of nearly equal topics may differ where their sum does not.
        "exact": [_squared_error(matrix, exact, gram)],
        "Poisson": [poisson, loss, numerator],
        "Poisson, usages alone": [matrix.poisson_loss(topics, settled)],
    }  # fmt: skip


def _squared_error(matrix: Matrix, moments: Moments, gram: torch.Tensor) -> torch.Tensor:
    return matrix.squared_norm - 2 * moments.fit + (moments.usage_gram * gram).sum()


def _apart(ours: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the largest difference, as a share of the largest number."""
    exact = exact.detach().double()
    largest = exact.abs().max().clamp(min=1e-30)
    return float((ours.detach().cpu().double() - exact).abs().max() / largest)


def fits(bench: Bench) -> Measurements:
    """Every estimator, solver and loss; both containers, and blocks."""
    shape = (60, 40, 50) if bench.quick else (1200, 800, 400)
    sparse = [bench.draw(n, shape[2], f"fits {n}") for n in shape[:2]]
    common = {"max_iter": 10 if bench.quick else 30, "tol": 0.0}
    for container, sides in {"sparse": sparse, "dense": [one.toarray() for one in sparse]}.items():
        for name, make in _models(common).items():
            yield f"{name}, {container}", partial(_fit, bench, make, sides)


def _models(common: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    contrast = partial(BCNMF, 7, alpha=0.5, **common)
    return {
        "mu, squared error": partial(contrast, solver="mu"),
        "mu, squared error, in blocks": partial(contrast, solver="mu", batch_size=256),
        "mu, Poisson": partial(contrast, solver="mu", loss="poisson"),
        "mu, Poisson, in blocks": partial(contrast, solver="mu", loss="poisson", batch_size=256),
        "safeguarded, squared error": partial(contrast, solver="safeguarded"),
        "safeguarded, Poisson, no contrast": partial(NMF, 7, loss="poisson", **common),
        "stochastic, squared error": partial(contrast, solver="stochastic"),
        "shared and target, squared error": partial(
            SharedTargetNMF, 6, 2, loss="squared_error", **common
        ),
        "shared and target, Poisson": partial(SharedTargetNMF, 6, 2, **common),
        "combined bases": partial(CombinedBasisNMF, 7, **common),
    }


def _fit(bench: Bench, make: Callable[..., Any], sides: list[Any]) -> Row:
    exact = make(device="cpu", dtype="float64").fit(sides[0], background=sides[1]).objective_[-1]
    with bench.on_device():
        model, again = (
            make(device=str(bench.device)).fit(sides[0], background=sides[1]) for _ in range(2)
        )
    apart = abs(model.objective_[-1] - exact) / abs(exact)
    return {
        "objective": exact, "apart": apart, "agrees": bool(apart <= AGREES),
        "same_again": bool((again.components_ == model.components_).all()),
    }  # fmt: skip


def peer(bench: Bench) -> Measurements:
    """Twenty iterations, from data on the device, and from data on the host, all counted."""
    cells, genes = bench.cells(40_000), bench.genes(5000)
    sparse = bench.draw(cells, genes, "peer")
    for container in ("sparse", "dense"):
        values = sparse if container == "sparse" else sparse.toarray()
        for solver in ("mu", "safeguarded"):
            model = partial(NMF, K, solver=solver, max_iter=20, tol=0.0, device=str(bench.device))
            yield f"{container}, {solver}", partial(_peer, bench, model, values)


def _peer(bench: Bench, make: Callable[..., Any], values: Any) -> Row:
    bench.reset_peak()
    spans = []
    for _ in range(3):  # the first compiles
        begun = bench.wait()
        make().fit(values)
        spans.append(bench.wait() - begun)
    each = _per_iteration(bench, make(), matrix_of(values, torch.float32, bench.device), None)
    return {
        "seconds_of_20_iterations": 20 * each[0], "seconds_of_fit": min(spans[1:]),
        "seconds_of_first_fit": spans[0], "peak_GB": bench.peak_gb(),
    }  # fmt: skip


def _large(bench: Bench, target: int, background: int) -> Measurements:
    drawn = bench.wait()
    sides = [bench.draw(bench.cells(n), bench.genes(), f"cells {n}") for n in (target, background)]
    drawn = bench.wait() - drawn
    held: list[Any] = []
    copied = bench.bandwidth()

    def prepare() -> Row:
        bench.reset_peak()
        begun = bench.wait()
        held.extend(matrix_of(side, torch.float32, bench.device) for side in sides)
        # What a matrix makes at its first use, a transpose say, is part of bringing it there.
        _iterate(_estimator(bench, "mu", "squared_error", 1), *held)
        return {
            "stored_values": sum(side.nnz for side in sides), "seconds_to_draw": drawn,
            "seconds_to_bring": bench.wait() - begun, "peak_GB": bench.peak_gb(),
        }  # fmt: skip

    def measure(solver: str, loss: str) -> Row:
        if not held:
            raise RuntimeError("the data are not on the device")
        bench.reset_peak()
        model = _estimator(bench, solver, loss, 1)
        each, n = _per_iteration(bench, model, *held)
        peak, least = bench.peak_gb(), _least_bytes(sides)
        return {
            "ms_per_iteration": 1e3 * each, "iterations_timed": n,
            "waits_per_iteration": _waits(bench, model, *held), "peak_GB": peak,
            "least_GB": least / 1e9, "GB_per_s": least / each / 1e9,
            "share_of_copy": least / each / copied,
        }  # fmt: skip

    def whole() -> Row:
        bench.reset_peak()
        begun = bench.wait()
        model = BCNMF(K, alpha=1.5, max_iter=50, tol=0.0, device=str(bench.device))
        model.fit(sides[0], background=sides[1])
        return {
            "seconds_of_fit": bench.wait() - begun, "iterations_timed": model.n_iter_,
            "peak_GB": bench.peak_gb(), "explained_target": model.explained_target_,
        }  # fmt: skip

    yield "data to the device, and one iteration", prepare
    for solver, loss in (
        ("mu", "squared_error"), ("mu", "poisson"), ("safeguarded", "squared_error"),
        ("stochastic", "squared_error"),
    ):  # fmt: skip
        yield f"{solver}, {loss}", partial(measure, solver, loss)
    held.clear()
    yield "default solver, 50 iterations, from the host, all counted", whole


def _least_bytes(sides: list[sp.csr_matrix]) -> float:
    """Return what an iteration has to move: stored values twice, usages read, written and read.

    For H'X a transpose holds the values once more, each with the number of its sample.
    """
    return sum(2 * 8 * side.nnz + 3 * 4 * K * side.shape[0] for side in sides)


def _estimator(bench: Bench, solver: str, loss: str, max_iter: int) -> Any:
    return BCNMF(
        K, alpha=0.5, contrast="absolute", solver=solver, loss=loss, max_iter=max_iter, tol=0.0,
        device=str(bench.device),
    )  # fmt: skip


def _iterate(model: Any, target: Any, background: Any, start: Any = None) -> int:
    """Run a solver alone, on matrices that stay; return how many iterations it took."""
    model.alpha_, model.seed_ = getattr(model, "alpha", 0.0), 0
    start = model._start(0, target, background) if start is None else start
    copies = tuple(factor.clone() for factor in start)
    given = type(model)(**model.get_params() | {"init": copies})  # no updates before the first
    given.alpha_ = model.alpha_
    return int(given._run(target, background, copies, Monitor(), 0).n_iter)


def _waits(bench: Bench, model: Any, target: Any, background: Any) -> float | None:
    """Return how often the host waits for the device in an iteration, as torch sees it."""
    if bench.device.type != "cuda":
        return None
    counts = []
    for iterations in (2, 12):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                _iterate(model.set_params(max_iter=iterations), target, background)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        counts.append(sum("synchronizing" in str(one.message) for one in caught))
    return (counts[1] - counts[0]) / 10


def _per_iteration(bench: Bench, model: Any, target: Any, background: Any) -> tuple[float, int]:
    """Return seconds per iteration, as the median of three differences of a long and a short run.

    So what a solver does once, before and after its iterations, is not counted.
    """
    model.alpha_, model.seed_ = getattr(model, "alpha", 0.0), 0
    start = model._start(0, target, background)

    def run(iterations: int) -> tuple[float, int]:
        begun = bench.wait()
        done = _iterate(model.set_params(max_iter=iterations), target, background, start)
        return bench.wait() - begun, done

    run(2)  # compiles
    (short, few), (trial, done) = run(2), run(12)
    each = max((trial - short) / max(1, done - few), 1e-6)
    seconds = _SECONDS_TIMED / 25 if bench.quick else _SECONDS_TIMED
    many = 2 + min(_MOST_ITERATIONS, max(10, round(seconds / each)))
    found = []
    for _ in range(1 if bench.quick else 3):
        (short, few), (long, done) = run(2), run(many)
        if done <= few:
            raise RuntimeError(f"the solver stopped after {done} iterations, too few to be timed")
        found.append((long - short) / (done - few))
    return float(np.median(found)), done - few


def many(bench: Bench) -> Measurements:
    """Five seeds one by one and in one set of passes; data in memory against data in blocks."""
    sides = [bench.draw(bench.cells(n), bench.genes(), f"cells {n}") for n in (80_000, 20_000)]
    size = {"max_iter": 50, "tol": 0.0, "device": str(bench.device), "solver": "mu", "alpha": 0.5}

    def seeds(together: bool, **more: Any) -> Row:
        models = [BCNMF(K, random_state=seed, **size, **more) for seed in range(5)]
        begun = bench.wait()
        if together:
            bcnmf.fit_together(models, sides[0], background=sides[1])
        else:
            for model in models:
                model.fit(sides[0], background=sides[1])
        return {
            "seconds": bench.wait() - begun, "peak_GB": bench.peak_gb(),
            "objectives": [float(model.objective_[-1]) for model in models],
        }  # fmt: skip

    blocks = {"batch_size": bench.cells(20_000)}
    yield "one by one", partial(seeds, False)
    yield "one by one, in blocks", partial(seeds, False, **blocks)
    if hasattr(bcnmf, "fit_together"):
        yield "together", partial(seeds, True)
        yield "together, in blocks", partial(seeds, True, **blocks)


PARTS: dict[str, Callable[[Bench], Measurements]] = {
    "limits": limits, "passes": passes, "fits": fits, "peer": peer, "many": many,
    "million": lambda bench: _large(bench, 800_000, 200_000),
    "hundred": lambda bench: _large(bench, 80_000, 20_000),
}  # fmt: skip
