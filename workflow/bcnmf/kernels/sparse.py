"""One pass over the stored values of a CSR matrix: usages updated, and all that components need.

Each kernel goes through samples one by one. A sample's stored values are read twice in a row, the
second time from cache: once for X C', from which its usages follow, once to add its share to H' X.
So nothing of size samples x features is formed, and row blocks can be handled in any order, by
several threads (the interpreter lock is released) or as they come from a disk.

Arrays are C-contiguous. `tag` tells how K topics are held in vectors (`bcnmf.kernels.pack`);
`components` and `cross` are C' and X' H split accordingly: a tuple of arrays (features, part) whose
columns are, side by side, the K topics and then zeros up to `width`. Kernels are compiled on first
use and cached on disk.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from bcnmf.kernels.nnls import solve_row
from bcnmf.kernels.pack import add_scaled, dot, full, load, store

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_LN2, _HALF_LN2, _SQRT2 = math.log(2.0), math.log(2.0) / 2, math.sqrt(2.0)
_MANTISSA, _ONE = np.int64((1 << 52) - 1), np.int64(1023 << 52)


@_compiled
def multiplicative_pass(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    gram: np.ndarray,
    usage: np.ndarray,
    cross: Any,
    usage_gram: np.ndarray,
    eps: float,
) -> float:
    """Update h <- h * (x C') / (h C C' + eps) for each sample, in place.

    Parameters
    ----------
    tag : tuple
        See above.
    pointer, index, values : ndarray
        CSR of X (samples, features).
    components : tuple of ndarray of shape (features, part)
        C', split.
    gram : ndarray of shape (width, width)
        C C', padded with zeros.
    usage : ndarray of shape (samples, K)
        H, overwritten.
    cross : tuple of ndarray of shape (features, part)
        X' H, split, of the updated usages is added.
    usage_gram : ndarray of shape (K, K), float64
        H' H of the updated usages is added.
    eps : float
        In the precision of `components`.

    Returns
    -------
    float
        <X, H C> at the updated usages.
    """
    samples, k = usage.shape
    row = _buffer(tag, components)
    product = _buffer(tag, components)
    model = _buffer(tag, components)
    half_eps = components[0].dtype.type(0.5) * eps
    fit = 0.0
    for i in range(samples):
        low, high = pointer[i], pointer[i + 1]
        _times(tag, index, values, components, low, high, product)
        even = odd = full(tag, half_eps)
        for a in range(0, k - 1, 2):
            even = add_scaled(even, usage[i, a], load(tag, gram, a))
            odd = add_scaled(odd, usage[i, a + 1], load(tag, gram, a + 1))
        if k % 2 == 1:
            even = add_scaled(even, usage[i, k - 1], load(tag, gram, k - 1))
        store(add_scaled(even, components[0].dtype.type(1), odd), model, 0)
        for a in range(k):
            row[a] = usage[i, a] * product[a] / model[a]
            usage[i, a] = row[a]
        fit += _close(tag, index, values, cross, usage_gram, low, high, row, product, k)
    return fit


@_compiled
def exact_pass(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    gram: np.ndarray,
    usage: np.ndarray,
    cross: Any,
    usage_gram: np.ndarray,
    max_sweeps: int,
    tol: float,
) -> float:
    """Solve min ||x - h C||^2 over h >= 0 for each sample, from `usage` on, in place.

    Parameters are those of `multiplicative_pass`, but for `gram`, which is (K, K) in float64, and
    `max_sweeps` and `tol`, see `bcnmf.kernels.nnls.nnls_rows`.
    """
    samples, k = usage.shape
    row = _buffer(tag, components)
    product = _buffer(tag, components)
    target, solved = np.empty(k), np.empty(k)
    gradient, solution = np.empty(k), np.empty(k)
    support, factor = np.empty(k, dtype=np.int64), np.empty((k, k))
    fit = 0.0
    for i in range(samples):
        low, high = pointer[i], pointer[i + 1]
        _times(tag, index, values, components, low, high, product)
        for a in range(k):
            target[a] = product[a]
            solved[a] = usage[i, a]
        solve_row(gram, target, solved, gradient, support, factor, solution, max_sweeps, tol)
        for a in range(k):
            row[a] = solved[a]
            usage[i, a] = row[a]
        fit += _close(tag, index, values, cross, usage_gram, low, high, row, product, k)
    return fit


@_compiled
def times_pass(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    products: np.ndarray,
) -> None:
    """Write X C' to `products` (samples, K)."""
    product = _buffer(tag, components)
    for i in range(products.shape[0]):
        _times(tag, index, values, components, pointer[i], pointer[i + 1], product)
        for a in range(products.shape[1]):
            products[i, a] = product[a]


@_compiled
def transposed_pass(
    tag: Any,
    pointer: np.ndarray,
    index: np.ndarray,
    values: np.ndarray,
    usage: np.ndarray,
    cross: Any,
) -> None:
    """Add X' H to `cross` for usages (samples, K)."""
    row = _buffer(tag, cross)
    for i in range(usage.shape[0]):
        for a in range(usage.shape[1]):
            row[a] = usage[i, a]
        _add_outer(tag, index, values, cross, pointer[i], pointer[i + 1], row)


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
        See `multiplicative_pass`.
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
    row = _buffer(tag, components)
    ratio = _buffer(tag, components)
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
    row = _buffer(tag, components)
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
) -> None:
    """Minimise KL(x | h C) over h >= 0 for each sample by undamped updates, in place.

    A sample stops on its own when no usage moved by more than `tol` times the largest.
    """
    samples, k = usage.shape
    row = _buffer(tag, components)
    ratio = _buffer(tag, components)
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
                change = max(change, abs(updated - row[a]))
                largest = max(largest, updated)
                row[a] = updated
            if change <= tol * largest:
                break
        for a in range(k):
            usage[i, a] = row[a]


@_compiled
def _buffer(tag: Any, split: Any) -> np.ndarray:
    """Return zeros for one row, not split, in the precision of `split`."""
    width = 0
    for part in split:
        width += part.shape[1]
    return np.zeros(width, split[0].dtype)


@_compiled
def _times(
    tag: Any,
    index: np.ndarray,
    values: np.ndarray,
    components: Any,
    low: int,
    high: int,
    product: np.ndarray,
) -> None:
    # Four sums, so that an addition need not wait for the one before it.
    one = components[0].dtype.type(1)
    a = b = c = d = full(tag, components[0].dtype.type(0))
    fours = low + (high - low) // 4 * 4
    for s in range(low, fours, 4):
        a = add_scaled(a, values[s], load(tag, components, index[s]))
        b = add_scaled(b, values[s + 1], load(tag, components, index[s + 1]))
        c = add_scaled(c, values[s + 2], load(tag, components, index[s + 2]))
        d = add_scaled(d, values[s + 3], load(tag, components, index[s + 3]))
    for s in range(fours, high):
        a = add_scaled(a, values[s], load(tag, components, index[s]))
    store(add_scaled(add_scaled(a, one, b), one, add_scaled(c, one, d)), product, 0)


@_compiled
def _add_outer(
    tag: Any,
    index: np.ndarray,
    values: np.ndarray,
    cross: Any,
    low: int,
    high: int,
    row: np.ndarray,
) -> None:
    pack = load(tag, row, 0)
    for s in range(low, high):
        feature = index[s]
        store(add_scaled(load(tag, cross, feature), values[s], pack), cross, feature)


@_compiled
def _close(
    tag: Any,
    index: np.ndarray,
    values: np.ndarray,
    cross: Any,
    usage_gram: np.ndarray,
    low: int,
    high: int,
    row: np.ndarray,
    product: np.ndarray,
    k: int,
) -> float:
    """Add one sample's share of H' X and H' H; return its share of <X, H C>."""
    fit = 0.0
    for a in range(k):
        fit += float(row[a]) * float(product[a])
        for b in range(k):
            usage_gram[a, b] += float(row[a]) * float(row[b])
    _add_outer(tag, index, values, cross, low, high, row)
    return fit


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
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
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
