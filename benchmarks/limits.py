"""What this machine could do at best: streaming, arithmetic, and the bare loop over sparse data.

The loops use the package's packs (`bcnmf.kernels.pack`), so that they are vectorised as well as its
kernels are, and do nothing but what no algorithm of this kind can avoid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch

import timing
from bcnmf.kernels.pack import add_scaled, dot, full, load, store
from bcnmf.matrices.in_memory import as_matrix
from contestants import CONTESTANTS, OURS
from problems import Problem
from timing import timed

_compiled = numba.njit(nogil=True, error_model="numpy")
# A stored value is a float32 and an int32 index, read once.
_BYTES_PER_VALUE = 8
# Multiply-adds of K numbers per stored value: X C' and H'X; for Poisson also the model, twice.
MULTIPLY_ADDS = {"squared_error": 2, "poisson": 4}


@numba.njit(nogil=True, fastmath=True)
def _stream(values: np.ndarray) -> float:
    total = np.float32(0.0)
    for i in range(values.size):  # vectorised, which iterating over the array is not
        total += values[i]
    return total


@_compiled
def _arithmetic(tag: Any, rows: np.ndarray, repeats: int) -> None:
    """Do `5 * repeats` multiply-adds of packs that stay in registers."""
    a, b, c, d, e = (
        load(tag, rows, 0), load(tag, rows, 1), load(tag, rows, 2), load(tag, rows, 3),
        load(tag, rows, 4),
    )  # fmt: skip
    shift, factor = load(tag, rows, 5), np.float32(0.5)
    for _ in range(repeats):
        a = add_scaled(shift, factor, a)
        b = add_scaled(shift, factor, b)
        c = add_scaled(shift, factor, c)
        d = add_scaled(shift, factor, d)
        e = add_scaled(shift, factor, e)
    store(a, rows, 0)
    store(b, rows, 1)
    store(c, rows, 2)
    store(d, rows, 3)
    store(e, rows, 4)


@_compiled
def _loop_squared_error(
    head: Any,
    tail: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: tuple[np.ndarray, np.ndarray],
    cross: tuple[np.ndarray, np.ndarray],
    usage: tuple[np.ndarray, np.ndarray],
) -> None:
    """Form X C' and add H'X, the product standing in for the usages."""
    for i in range(len(pointer) - 1):
        low, high = pointer[i], pointer[i + 1]
        a, b = full(head, np.float32(0)), full(tail, np.float32(0))
        for s in range(low, high):
            gene, value = index[s], values[s]
            a = add_scaled(a, value, load(head, components[0], gene))
            b = add_scaled(b, value, load(tail, components[1], gene))
        store(a, usage[0], i)
        store(b, usage[1], i)
        _scatter(head, tail, index, values, low, high, cross, a, b)


@_compiled
def _loop_poisson(
    head: Any,
    tail: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: tuple[np.ndarray, np.ndarray],
    cross: tuple[np.ndarray, np.ndarray],
    usage: tuple[np.ndarray, np.ndarray],
) -> None:
    """Do the same with every value multiplied by its model h'c (where a fit divides by it)."""
    for i in range(len(pointer) - 1):
        low, high = pointer[i], pointer[i + 1]
        a, b = full(head, np.float32(0)), full(tail, np.float32(0))
        row, rest = load(head, usage[0], i), load(tail, usage[1], i)
        for s in range(low, high):
            c, d = load(head, components[0], index[s]), load(tail, components[1], index[s])
            weight = values[s] * (dot(row, c) + dot(rest, d))
            a = add_scaled(a, weight, c)
            b = add_scaled(b, weight, d)
        store(a, usage[0], i)
        store(b, usage[1], i)
        for s in range(low, high):
            gene = index[s]
            model = dot(row, load(head, components[0], gene))
            weight = values[s] * (model + dot(rest, load(tail, components[1], gene)))
            store(add_scaled(load(head, cross[0], gene), weight, row), cross[0], gene)
            store(add_scaled(load(tail, cross[1], gene), weight, rest), cross[1], gene)


@_compiled
def _scatter(
    head: Any,
    tail: Any,
    index: np.ndarray,
    values: np.ndarray,
    low: int,
    high: int,
    cross: tuple[np.ndarray, np.ndarray],
    a: Any,
    b: Any,
) -> None:
    for s in range(low, high):
        gene, value = index[s], values[s]
        store(add_scaled(load(head, cross[0], gene), value, a), cross[0], gene)
        store(add_scaled(load(tail, cross[1], gene), value, b), cross[1], gene)


def bandwidth(megabytes: int = 512) -> float:
    """Return the GB/s of one thread that reads a large array once."""
    values = np.ones(megabytes * 2**20 // 4, np.float32)
    _stream(values[:1024])
    return values.nbytes / timed(lambda: _stream(values)).wall / 1e9


def multiply_add_rate(repeats: int = 20_000_000) -> float:
    """Return the 1e9 multiply-adds a second of one thread, single precision, in registers."""
    tag, rows = ((0,) * 16,), np.ones((6, 16), np.float32)
    _arithmetic(tag, rows, 10)
    return 5 * 16 * repeats / timed(lambda: _arithmetic(tag, rows, repeats)).wall / 1e9


class BareLoop:
    """The loop over the stored values that every iteration needs, and nothing else.

    Per stored value it fetches a row of C, adds its multiple to X C', and adds a multiple of H to a
    row of H'X; for Poisson it forms the model h'c before each. No division, no log, no update. Rows
    are in two parts, each as long as fits the registers well: one odd length is compiled badly.

    Parameters
    ----------
    problem : Problem
        Whose matrices to go through.
    lengths : tuple of two int
        Lengths of the two parts, together at least K.
    """

    def __init__(self, problem: Problem, lengths: tuple[int, int]) -> None:
        data = problem.data.stacked
        self._kernel = {
            "squared_error": _loop_squared_error, "poisson": _loop_poisson,
        }[problem.loss]  # fmt: skip
        self._tags = tuple(((0,) * length,) for length in lengths)
        self._csr = (data.indptr.astype(np.int64), data.indices, data.data)
        rng = np.random.default_rng(0)

        def parts(rows: int, scale: float) -> tuple[np.ndarray, ...]:
            drawn = (rng.random((rows, length), dtype=np.float32) for length in lengths)
            return tuple(_aligned(part * np.float32(scale)) for part in drawn)

        self._components = parts(data.shape[1], 1.0)
        self._cross = parts(data.shape[1], 0.0)
        self._start = parts(data.shape[0], 1e-3)
        self._usage = parts(data.shape[0], 0.0)
        self()

    def __call__(self) -> None:
        """Go through the data once."""
        for part in self._cross:
            part[:] = 0
        for part, start in zip(self._usage, self._start, strict=True):
            part[:] = start
        self._kernel(*self._tags, *self._csr, self._components, self._cross, self._usage)


def part_lengths(k: int) -> list[tuple[int, int]]:
    """Return ways of cutting a row of K in two that are worth trying.

    A power of two and a rest of a multiple of four; and two equal powers of two.
    """
    power = max(4, 1 << (k.bit_length() - 1))
    rest = max(4, -(-(k - power) // 4) * 4)
    half = max(4, 1 << (max(k - 1, 1).bit_length() - 1))
    first = (power // 2, power // 2) if k <= power and power > 4 else (power, rest)
    return sorted({first, (half, half)})


def _aligned(array: np.ndarray) -> np.ndarray:
    """Copy to an address divisible by 64, so that rows share as few cache lines as possible."""
    room = np.empty(array.nbytes + 64, np.uint8)
    first = -room.ctypes.data % 64
    aligned = room[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[:] = array
    return aligned


def stream_bound(gigabytes_per_second: float) -> float:
    """Return the ns per stored value that reading it from memory takes."""
    return _BYTES_PER_VALUE / gigabytes_per_second


def arithmetic_bound(loss: str, k: int, rate: float) -> float:
    """Return the ns per stored value that its multiply-adds take at full rate."""
    return MULTIPLY_ADDS[loss] * k / rate


def nanoseconds(problem: Problem, rounds: int, seconds: float) -> dict[str, float]:
    """Time the bare loop, the pass of the package and the estimator in turns.

    Returns nanoseconds per stored value and iteration, medians over `rounds` of `seconds` each.
    """
    loops = [BareLoop(problem, lengths) for lengths in part_lengths(problem.k)]
    one_pass = _pass(problem)
    run = CONTESTANTS[OURS].build(problem)
    span = timing.warm_up(run, 1, "cpu", seconds)
    calls: dict[object, Callable[[], float]] = {
        **{
            ("loop", place): lambda loop=loop: _repeated(loop, span)
            for place, loop in enumerate(loops)
        },
        "pass": lambda: _repeated(one_pass, span),
        "estimator": lambda: timing.per_iteration(run, 1, "cpu", span).wall,
    }
    times: dict[object, list[float]] = {name: [] for name in calls}
    for _, name in timing.in_turns(list(calls), rounds):
        with timing.threads(1):
            times[name].append(calls[name]())
    medians = {
        name: 1e9 * np.median(values) / problem.data.stored for name, values in times.items()
    }
    return {
        "bound: bare loop": min(medians["loop", place] for place in range(len(loops))),
        "pass over the data": medians["pass"],
        "iteration of the estimator": medians["estimator"],
    }


def _repeated(call: Callable[[], None], times: int) -> float:
    def repeat() -> None:
        for _ in range(times):
            call()

    return timed(repeat).wall / times


def _pass(problem: Problem) -> Callable[[], None]:
    """Return a call of the package's pass over both matrices, without what follows it."""
    device = torch.device("cpu")
    components, *usages = problem.draw_start()
    sides = [
        (as_matrix(data, name, torch.float32, device), usage)
        for data, usage, name in zip(problem.sides, usages, ("target", "background"), strict=True)
    ]
    gram = components @ components.T

    def once() -> None:
        for matrix, usage in sides:
            if problem.loss == "squared_error":
                matrix.multiplicative_pass(components, gram, usage, 1e-10)
            else:
                matrix.poisson_pass(components, usage, 0.5)

    return once
