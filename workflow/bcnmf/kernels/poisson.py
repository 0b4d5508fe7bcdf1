"""Passes over a CSR matrix for the Poisson loss: usages updated or solved, and sums of logs.

As in `bcnmf.kernels.squared_error`, which says what the arguments are, a kernel goes through
samples one by one and forms nothing of size samples x features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bcnmf.kernels.compiled import compiled
from bcnmf.kernels.pack import add_scaled, dot, full, load, row_buffer, store

_compiled = compiled(error_model="numpy")
_LN2, _HALF_LN2, _SQRT2 = math.log(2.0), math.log(2.0) / 2, math.sqrt(2.0)
_MANTISSA, _ONE = np.int64((1 << 52) - 1), np.int64(1023 << 52)


@_compiled
def poisson_pass(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    weights: np.ndarray,
    usage: np.ndarray,
    numerator: Any,
    damping: float,
    eps: float,
) -> float:
    """Update h <- h * ((x / hC) C' / sum of C)^damping for each sample, in place.

    Parameters
    ----------
    tag, pointer, index, values, components : tuple, ndarray
        See `bcnmf.kernels.squared_error.multiplicative_pass`.
    weights : ndarray of shape (K,)
        Sum of each component.
    usage : ndarray of shape (samples, K)
        H, overwritten.
    numerator : tuple of ndarray of shape (features, part)
        (X / H C)' H, split, of the updated usages is added.
    damping, eps : float
        Exponent of the ratio; what is added to every denominator, in the precision of
        `components`.

    Returns
    -------
    float
        Sum of x log(h C) over the stored values, at the usages before the update.
    """
    samples, k = usage.shape
    row = row_buffer(tag, components)
    ratio = row_buffer(tag, components)
    means = np.empty(_longest(pointer), components[0].dtype)
    work = _log_buffers(means)
    logs = 0.0
    for i in range(samples):
        low, high = pointer[i], pointer[i + 1]
        for a in range(k):
            row[a] = usage[i, a]
        _poisson_ratio(tag, index, values, components, low, high, row, ratio, means, eps)
        logs += _sum_of_logs(values[low:high], means, work)
        for a in range(k):
            row[a] *= (ratio[a] / (weights[a] + eps)) ** damping
            usage[i, a] = row[a]
        pack = load(tag, row, 0)
        for s in range(low, high):
            feature = index[s]
            mean = dot(pack, load(tag, components, feature)) + eps
            old = load(tag, numerator, feature)
            store(add_scaled(old, values[s] / mean, pack), numerator, feature)
    return logs


@_compiled
def poisson_logs(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    usage: np.ndarray,
    eps: float,
) -> float:
    """Return the sum of x log(h C + eps) over the stored values."""
    row = row_buffer(tag, components)
    means = np.empty(_longest(pointer), components[0].dtype)
    work = _log_buffers(means)
    logs = 0.0
    for i in range(usage.shape[0]):
        low, high = pointer[i], pointer[i + 1]
        for a in range(usage.shape[1]):
            row[a] = usage[i, a]
        pack = load(tag, row, 0)
        for s in range(low, high):
            means[s - low] = dot(pack, load(tag, components, index[s])) + eps
        logs += _sum_of_logs(values[low:high], means, work)
    return logs


@_compiled
def poisson_solve(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    weights: np.ndarray,
    usage: np.ndarray,
    max_iter: int,
    tol: float,
    eps: float,
    least: float,
) -> None:
    """Minimise KL(x | h C) over h >= 0 for each sample by undamped updates, in place.

    A sample stops on its own when no usage moved by more than `tol` times the largest. Usages below
    `least` become zero: see `bcnmf.device.flush`.
    """
    samples, k = usage.shape
    row = row_buffer(tag, components)
    ratio = row_buffer(tag, components)
    means = np.empty(_longest(pointer), components[0].dtype)
    for i in range(samples):
        low, high = pointer[i], pointer[i + 1]
        for a in range(k):
            row[a] = usage[i, a]
        for _ in range(max_iter):
            _poisson_ratio(tag, index, values, components, low, high, row, ratio, means, eps)
            change, largest = 0.0, 0.0
            for a in range(k):
                updated = row[a] * ratio[a] / (weights[a] + eps)
                if updated < least:
                    updated = 0.0
                change = max(change, abs(updated - row[a]))
                largest = max(largest, updated)
                row[a] = updated
            if change <= tol * largest:
                break
        for a in range(k):
            usage[i, a] = row[a]


@_compiled
def _poisson_ratio(
    tag: Any,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    low: int,
    high: int,
    row: np.ndarray,
    ratio: np.ndarray,
    means: np.ndarray,
    eps: float,
) -> None:
    """Write (x / hC) C' to `ratio` and the stored values' h C + eps to `means`."""
    pack = load(tag, row, 0)
    total = full(tag, components[0].dtype.type(0))
    for s in range(low, high):
        part = load(tag, components, index[s])
        mean = dot(pack, part) + eps
        means[s - low] = mean
        total = add_scaled(total, values[s] / mean, part)
    store(total, ratio, 0)


@_compiled
def _longest(pointer: np.ndarray) -> int:
    longest = 0
    for i in range(len(pointer) - 1):
        longest = max(longest, pointer[i + 1] - pointer[i])
    return longest


@_compiled
def _log_buffers(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(len(means), np.float64), np.empty(len(means), np.float64)


# Sums may be reordered, without which they are not vectorised.
@compiled(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _sum_of_logs(
    values: np.ndarray, means: np.ndarray, buffers: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return the sum of values * log(means), for normal positive means.

    The library's log is not vectorised and would take a third of a pass. Here, with mean =
    2^e f and r = (f - sqrt 2) / (f + sqrt 2), the log is e ln 2 + ln(2) / 2 + 2 atanh(r), whose
    series to r^13 is good to 1e-12.
    """
    number, mantissa = buffers
    for s in range(len(values)):
        number[s] = means[s]
    bits, fraction = number.view(np.int64), mantissa.view(np.int64)
    for s in range(len(values)):
        fraction[s] = (bits[s] & _MANTISSA) | _ONE
    total = 0.0
    for s in range(len(values)):
        exponent = float(np.int32(bits[s] >> 52) - np.int32(1023))
        r = (mantissa[s] - _SQRT2) / (mantissa[s] + _SQRT2)
        t = r * r
        series = 1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t * (1 / 11 + t / 13))))
        total += values[s] * (exponent * _LN2 + _HALF_LN2 + 2.0 * r * (1.0 + t * series))
    return total
