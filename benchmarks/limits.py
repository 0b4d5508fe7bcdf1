"""What this machine could do at best: streaming, arithmetic, and the bare loop over sparse data.

The loops use the package's packs (`bcnmf.kernels.pack`), so that they are vectorised as well as its
kernels are, and do nothing but what no algorithm of this kind can avoid.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from bcnmf.kernels.pack import add_scaled, dot, full, load, pack_width, store
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
def _gather_squared_error(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: np.ndarray,
    cross: np.ndarray,
    usage: np.ndarray,
) -> None:
    for i in range(len(pointer) - 1):
        total = full(tag, np.float32(0))
        for s in range(pointer[i], pointer[i + 1]):
            total = add_scaled(total, values[s], load(tag, components, index[s]))
        store(total, usage, i)
        for s in range(pointer[i], pointer[i + 1]):
            feature = index[s]
            store(add_scaled(load(tag, cross, feature), values[s], total), cross, feature)


@_compiled
def _gather_poisson(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: np.ndarray,
    cross: np.ndarray,
    usage: np.ndarray,
) -> None:
    for i in range(len(pointer) - 1):
        row, total = load(tag, usage, i), full(tag, np.float32(0))
        for s in range(pointer[i], pointer[i + 1]):
            part = load(tag, components, index[s])
            total = add_scaled(total, values[s] * dot(row, part), part)
        store(total, usage, i)
        for s in range(pointer[i], pointer[i + 1]):
            feature = index[s]
            weight = values[s] * dot(row, load(tag, components, feature))
            store(add_scaled(load(tag, cross, feature), weight, row), cross, feature)


def bandwidth(megabytes: int = 512) -> float:
    """Return the GB/s of one thread that reads a large array once."""
    values = np.ones(megabytes * 2**20 // 4, np.float32)
    _stream(values[:1024])
    return values.nbytes / timed(lambda: _stream(values)).wall / 1e9


def multiply_add_rate(repeats: int = 20_000_000) -> float:
    """Return the 1e9 multiply-adds a second of one thread, single precision, in registers."""
    tag, rows = (0,) * 16, np.ones((6, 16), np.float32)
    _arithmetic(tag, rows, 10)
    return 5 * 16 * repeats / timed(lambda: _arithmetic(tag, rows, repeats)).wall / 1e9


class BareLoop:
    """The loop over the stored values that every iteration needs, and nothing else.

    Per stored value it fetches a row of C, adds its multiple to X C', and adds a multiple of H to a
    row of H'X; for Poisson it forms the model h'c before each. No division, no log, no update.

    Parameters
    ----------
    problem : Problem
        Whose matrices to go through.
    width : int
        Length of a row of C, at least K, filled up with anything.
    """

    def __init__(self, problem: Problem, width: int) -> None:
        data = problem.data.stacked
        self._kernel = {
            "squared_error": _gather_squared_error, "poisson": _gather_poisson,
        }[problem.loss]  # fmt: skip
        self._tag = (0,) * width
        self._csr = (data.indptr.astype(np.int64), data.indices, data.data)
        rng = np.random.default_rng(0)
        self._components = _aligned(rng.random((data.shape[1], width), dtype=np.float32))
        self._cross = _aligned(np.zeros_like(self._components))
        self._start = rng.random((data.shape[0], width), dtype=np.float32) * np.float32(1e-3)
        self()

    def __call__(self) -> None:
        """Go through the data once."""
        self._cross[:] = 0
        self._kernel(self._tag, *self._csr, self._components, self._cross, self._start.copy())


def widths(k: int) -> list[int]:
    """Return row lengths worth trying: the package's, and the next power of two."""
    return sorted({pack_width(k), max(4, 1 << (k - 1).bit_length())})


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
