"""Non-negative least squares, one sample at a time, compiled on first use and cached."""

from __future__ import annotations

import numpy as np

from bcnmf.kernels.compiled import compiled

_compiled = compiled()

# Coordinate descent finds the support fast, but crawls towards the solution where topics are nearly
# collinear. So the support is solved exactly after this many sweeps, then after twice as many, ...
_SWEEPS_BEFORE_POLISH = 2
_SMALLEST_PIVOT = 1e-12


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
    for i in range(n):
        for a in range(k):
            row[a] = usage[i, a]
            target[a] = product[i, a]
        solve_row(gram, target, row, gradient, support, factor, solution, max_sweeps, tol)
        for a in range(k):
            usage[i, a] = row[a]


@_compiled
def solve_row(
    gram: np.ndarray,
    target: np.ndarray,
    row: np.ndarray,
    gradient: np.ndarray,
    support: np.ndarray,
    factor: np.ndarray,
    solution: np.ndarray,
    max_sweeps: int,
    tol: float,
) -> None:
    """Solve one sample: `target` is its x C', `row` its start and solution, the rest is room."""
    _gradient(gram, target, row, gradient)
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
        if largest_change <= tol * largest:
            break
        if sweep < polish:
            continue
        polish = 2 * sweep
        if _solve_support(gram, target, row, support, factor, solution):
            _gradient(gram, target, row, gradient)
            if _stationary(gram, target, row, gradient):
                break


@_compiled
def _gradient(gram: np.ndarray, target: np.ndarray, row: np.ndarray, gradient: np.ndarray) -> None:
    for a in range(row.size):
        total = -target[a]
        for b in range(row.size):
            total += gram[a, b] * row[b]
        gradient[a] = total


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
) -> bool:
    """Solve the normal equations on the support by Cholesky; False leaves `row` as it was.

    Refused where the support's topics are collinear to rounding, or where the solution leaves the
    non-negative orthant.
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
                    return False
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
        if solution[i] < 0.0:
            return False
    for i in range(size):
        row[support[i]] = solution[i]
    return True
