"""Non-negative least squares, one sample at a time, compiled on first use and cached."""

from __future__ import annotations

import numpy as np

from bcnmf.kernels.compiled import compiled

_compiled = compiled()

# Coordinate descent finds the support fast, but crawls towards the solution where topics are nearly
# collinear. So the support is solved exactly: that of the start at once, which is mostly right when
# components moved a little; then after this many sweeps, after twice as many, ...
_SWEEPS_BEFORE_POLISH = 2
_SMALLEST_PIVOT = 1e-12
# What `_solve_support` found: topics collinear to rounding, a solution, one with entries below 0.
_COLLINEAR, _SOLVED, _OUTSIDE = 0, 1, 2
# From here on, in 1 - cosine^2 of two topics, a sweep may change less than `tol` far from the end.
_CRAWLS_BELOW = 1e-4


@_compiled
def nnls_rows(
    product: np.ndarray, gram: np.ndarray, usage: np.ndarray, max_sweeps: int, tol: float
) -> None:
    """Solve min ||x - h C||^2 over h >= 0 for each row, in place.

    Cyclic coordinate descent with the gradient kept up to date, and an exact solve on the support
    every few sweeps; a row stops on its own, so easy samples do not pay for hard ones.

    Parameters
    ----------
    product : ndarray of shape (samples, K)
        X C'.
    gram : ndarray of shape (K, K), float64
        C C'.
    usage : ndarray of shape (samples, K)
        Start, overwritten by the solution.
    max_sweeps : int
        Sweeps over the topics of one sample at most.
    tol : float
        A row is done when a sweep changes no entry by more than `tol` times its largest one.
    """
    n, k = usage.shape
    target, row = np.empty(k), np.empty(k)
    gradient, solution = np.empty(k), np.empty(k)
    support, factor = np.empty(k, dtype=np.int64), np.empty((k, k))
    slow = crawls(gram)
    for i in range(n):
        for a in range(k):
            row[a] = usage[i, a]
            target[a] = product[i, a]
        solve_row(gram, target, row, gradient, support, factor, solution, slow, max_sweeps, tol)
        for a in range(k):
            usage[i, a] = row[a]


@_compiled
def crawls(gram: np.ndarray) -> bool:
    """Whether two topics are so alike that sweeps look done long before they are."""
    for a in range(len(gram)):
        for b in range(a):
            both = gram[a, a] * gram[b, b]
            if both > 0.0 and both - gram[a, b] ** 2 < _CRAWLS_BELOW * both:
                return True
    return False


@_compiled
def solve_row(
    gram: np.ndarray,
    target: np.ndarray,
    row: np.ndarray,
    gradient: np.ndarray,
    support: np.ndarray,
    factor: np.ndarray,
    solution: np.ndarray,
    slow: bool,
    max_sweeps: int,
    tol: float,
) -> None:
    """Solve one sample: `target` is its x C', `row` its start and solution; `slow`: see `crawls`.

    The rest is room.
    """
    found = _solve_support(gram, target, row, support, factor, solution)
    _gradient(gram, target, row, gradient)
    if found == _SOLVED and _stationary(gram, target, row, gradient):
        return
    polish = _SWEEPS_BEFORE_POLISH
    for sweep in range(1, max_sweeps + 1):
        largest_change = 0.0
        largest = 0.0
        for a in range(row.size):
            updated = 0.0
            if gram[a, a] > 0.0:
                updated = max(0.0, row[a] - gradient[a] / gram[a, a])
            change = updated - row[a]
            if change != 0.0:
                row[a] = updated
                for b in range(row.size):
                    gradient[b] += change * gram[a, b]
            largest_change = max(largest_change, abs(change))
            largest = max(largest, updated)
        done = largest_change <= tol * largest
        if done and not slow:
            break
        if sweep < polish and not done:
            continue
        polish = 2 * sweep
        found = _solve_support(gram, target, row, support, factor, solution)
        if found == _SOLVED:
            _gradient(gram, target, row, gradient)
            if _stationary(gram, target, row, gradient):
                break
        elif found == _OUTSIDE and slow:
            _step_to_boundary(row, solution)
            _gradient(gram, target, row, gradient)
        elif done:
            break


@_compiled
def _gradient(gram: np.ndarray, target: np.ndarray, row: np.ndarray, gradient: np.ndarray) -> None:
    # Column by column, which compiles to vector instructions, and zeros cost nothing.
    for a in range(row.size):
        gradient[a] = -target[a]
    for b in range(row.size):
        if row[b] > 0.0:
            for a in range(row.size):
                gradient[a] += row[b] * gram[b, a]


@_compiled
def _stationary(
    gram: np.ndarray, target: np.ndarray, row: np.ndarray, gradient: np.ndarray
) -> bool:
    """Whether no entry at zero wants to grow; entries of the support are exact already."""
    for a in range(row.size):
        scale = abs(target[a]) + gram[a, a]
        if row[a] == 0.0 and gradient[a] < -1e-12 * scale:
            return False
    return True


@_compiled
def _solve_support(
    gram: np.ndarray,
    target: np.ndarray,
    row: np.ndarray,
    support: np.ndarray,
    factor: np.ndarray,
    solution: np.ndarray,
) -> int:
    """Solve the normal equations on the support by Cholesky; `row` gets a non-negative solution.

    Else it is left as it was.
    """
    size = 0
    for a in range(row.size):
        if row[a] > 0.0:
            support[size] = a
            size += 1
    for i in range(size):
        for j in range(i + 1):
            total = gram[support[i], support[j]]
            for c in range(j):
                total -= factor[i, c] * factor[j, c]
            if i == j:
                if total <= _SMALLEST_PIVOT * gram[support[i], support[i]]:
                    return _COLLINEAR
                factor[i, i] = np.sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
    for i in range(size):
        total = target[support[i]]
        for c in range(i):
            total -= factor[i, c] * solution[c]
        solution[i] = total / factor[i, i]
    for i in range(size - 1, -1, -1):
        total = solution[i]
        for c in range(i + 1, size):
            total -= factor[c, i] * solution[c]
        solution[i] = total / factor[i, i]
    for i in range(size):
        if solution[i] < 0.0:
            return _OUTSIDE
    for i in range(size):
        row[support[i]] = solution[i]
    return _SOLVED


@_compiled
def _step_to_boundary(row: np.ndarray, solution: np.ndarray) -> None:
    """Go from `row` towards the solution on its support as far as no entry is negative.

    The entry that stops it is set to zero: it would take sweeps without number to get there.
    """
    step, first, i = 1.0, -1, 0
    for a in range(row.size):
        if row[a] > 0.0:
            if solution[i] < 0.0 and row[a] < step * (row[a] - solution[i]):
                step, first = row[a] / (row[a] - solution[i]), a
            i += 1
    i = 0
    for a in range(row.size):
        if row[a] > 0.0:
            row[a] = 0.0 if a == first else max(0.0, row[a] + step * (solution[i] - row[a]))
            i += 1
