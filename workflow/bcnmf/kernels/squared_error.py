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

from typing import Any

import numpy as np

from bcnmf.kernels.compiled import compiled
from bcnmf.kernels.nnls import crawls, solve_row
from bcnmf.kernels.pack import add_scaled, full, load, row_buffer, store

_compiled = compiled(error_model="numpy")


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
    row = row_buffer(tag, components)
    product = row_buffer(tag, components)
    model = row_buffer(tag, components)
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
    row = row_buffer(tag, components)
    product = row_buffer(tag, components)
    target, solved = np.empty(k), np.empty(k)
    gradient, solution = np.empty(k), np.empty(k)
    support, factor = np.empty(k, dtype=np.int64), np.empty((k, k))
    slow = crawls(gram)
    fit = 0.0
    for i in range(samples):
        low, high = pointer[i], pointer[i + 1]
        _times(tag, index, values, components, low, high, product)
        for a in range(k):
            target[a] = product[a]
            solved[a] = usage[i, a]
        solve_row(gram, target, solved, gradient, support, factor, solution, slow, max_sweeps, tol)
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
    product = row_buffer(tag, components)
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
    row = row_buffer(tag, cross)
    for i in range(usage.shape[0]):
        for a in range(usage.shape[1]):
            row[a] = usage[i, a]
        _add_outer(tag, index, values, cross, pointer[i], pointer[i + 1], row)


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
