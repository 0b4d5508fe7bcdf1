"""Starting factors: drawn, given, or chosen from the data.

Multiplicative updates from uniform random factors often end in a local optimum in which two topics
share the samples of one program and a third program has none. Hence starts from samples that differ
and from residuals, see `bcnmf.solvers.staged`; those of the whole contrast from its eigenvectors
are in `bcnmf.solvers.spectral`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.device import as_float64
from bcnmf.errors import InputError
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.in_memory import numpy_name
from bcnmf.matrices.inputs import host_array

Factors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_DRAWN_AT_ONCE = 1 << 16
# A sample of the rows is compared with itself, so its size bounds time and memory.
_MOST_ROWS = 512
_MOST_ELEMENTS = 1 << 23
# Single samples are noisy, and a loading of zero would stay zero: seeds are mixed with the mean.
_SHARE_OF_MEAN = 0.2
_LEAST_SHARE = 0.01
_TINY = 1e-30


def random_factors(
    n: int, m: int, features: int, k: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Factors:
    """Draw components (K, features), usage (n, K), background usage (m, K) from uniform(0, 1).

    Drawn in float64 on the CPU, in this order, so that a seed gives the same start in every
    precision and on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = ((k, features), (n, k), (m, k))
    components, usage, background_usage = (
        _drawn(shape, generator, dtype).to(device) for shape in shapes
    )
    return components, usage, background_usage


def _drawn(shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Draw from uniform(0, 1) in float64, a few rows at a time, not all."""
    drawn = torch.empty(shape, dtype=dtype)
    step = max(1, _DRAWN_AT_ONCE // max(1, shape[1]))
    for start in range(0, shape[0], step):
        part = drawn[start : start + step]
        part[:] = torch.rand(part.shape, generator=generator, dtype=torch.float64)
    return drawn


def uniform(shape: tuple[int, int], seed: int, template: torch.Tensor) -> torch.Tensor:
    """Draw from uniform(0, 1), the same numbers in every precision and on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return drawn.to(template.dtype).to(template.device)


def given_factors(
    init: Sequence[Any],
    n: int,
    m: int,
    features: int,
    k: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Factors:
    """Check and copy user-supplied (components, usage, background_usage).

    Raises
    ------
    InputError
        Wrong number of arrays, wrong shapes, or negative or non-finite entries.
    """
    shapes = {"components": (k, features), "usage": (n, k), "background_usage": (m, k)}
    components, usage, background_usage = given_arrays(init, shapes, dtype, device)
    return components, usage, background_usage


def given_arrays(
    init: Sequence[Any],
    shapes: Mapping[str, tuple[int, int]],
    dtype: torch.dtype,
    device: torch.device,
) -> list[torch.Tensor]:
    """Check and copy user-supplied factors, as many as `shapes` (name -> shape) has.

    Raises
    ------
    InputError
        Wrong number of arrays, wrong shapes, or negative or non-finite entries.
    """
    if len(init) != len(shapes):
        expected = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        count = {2: "two", 3: "three"}[len(shapes)]
        raise InputError(f"init: {len(init)} arrays given; expected {count}: {expected}")
    factors = []
    for (name, shape), given in zip(shapes.items(), init, strict=True):
        host = host_array(given, f"init: {name}")
        with np.errstate(over="ignore"):  # infinite entries are looked for below
            array = np.array(host.toarray() if sp.issparse(host) else host, numpy_name(dtype))
        if array.shape != shape:
            raise InputError(f"init: {name} has shape {array.shape}; expected {shape}")
        if not np.isfinite(array).all() or (array < 0).any():
            raise InputError(f"init: {name} has negative, NaN or infinite entries")
        factors.append(torch.as_tensor(array, dtype=dtype).to(device))
    return factors


def diverse_samples(
    data: Sequence[Matrix], k: int, loss: str, seed: int, template: torch.Tensor
) -> torch.Tensor:
    """Choose samples that differ from one another as starts of K topics.

    Greedy k-means++ under the divergence of the loss [1]_ [2]_: a sample is drawn with probability
    proportional to its divergence from the nearest seed so far, up to scale, and of several draws
    the one that leaves the least divergence is taken.

    Parameters
    ----------
    data : sequence of Matrix
        Sides to choose from, samples x features.
    k : int
        Number of topics.
    loss : {"squared_error", "poisson"}
        Which divergence.
    seed : int
        Seed of the draws.
    template : torch.Tensor
        Its dtype and device are those of the result.

    Returns
    -------
    torch.Tensor of shape (k, features)
        Rows that sum to one.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    .. [2] Nock, Luosto and Kivinen, "Mixed Bregman clustering with approximation guarantees",
       ECML PKDD 2008.
    """
    rng = np.random.default_rng(seed)
    features = data[0].shape[1]
    ones = torch.ones((1, features), dtype=template.dtype, device=template.device)
    totals = [side.times(ones) for side in data]
    sums = [
        as_float64(side.transposed_times(torch.ones_like(total))[0]).cpu()
        for side, total in zip(data, totals, strict=True)
    ]
    mean = torch.stack(sums).sum(0) / sum(side.total for side in data)
    filled = np.flatnonzero(torch.cat(totals)[:, 0].cpu().numpy() > 0)
    most = max(k, min(_MOST_ROWS, _MOST_ELEMENTS // features))
    chosen = np.sort(rng.permutation(filled)[:most])
    ends = np.cumsum([side.shape[0] for side in data])
    parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    rows = torch.cat(
        [
            as_float64(_rows(side, part - end + side.shape[0], template)).cpu()
            for side, part, end in zip(data, parts, ends, strict=True)
            if len(part)
        ]
    )
    profiles = rows / rows.sum(1, keepdim=True)
    candidates = torch.cat([mean[None], (1 - _SHARE_OF_MEAN) * profiles + _SHARE_OF_MEAN * mean])
    divergence = _divergences(rows, candidates, loss).numpy()
    seeds = _plus_plus(divergence[:, 1:], divergence[:, 0], k, rng)
    return candidates[1:][seeds].to(template.dtype).to(template.device)


def unexplained(
    data: Matrix, shared: torch.Tensor, shared_usage: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Start topics from what shared topics leave over of the samples.

    A topic is the positive part of a weighted sum of the rows of X - H_s W_s over all samples: the
    residual of one sample alone is mostly noise where shared topics are strong.

    Parameters
    ----------
    data : Matrix
        X, samples x features.
    shared, shared_usage : torch.Tensor of shape (n_shared, features), (samples, n_shared)
        W_s and H_s.
    weights : torch.Tensor of shape (samples, K)
        Random weights of the samples in each topic.

    Returns
    -------
    torch.Tensor of shape (K, features)
        Rows that sum to one.
    """
    observed = data.transposed_times(weights)
    excess = (observed - (weights.T @ shared_usage) @ shared).clamp(min=0)
    return _unit_sum(_unit_sum(excess) + _LEAST_SHARE * _unit_sum(observed))


def _rows(data: Matrix, chosen: np.ndarray, template: torch.Tensor) -> torch.Tensor:
    """Return some rows of the data, dense, as products with the unit matrix."""
    unit = torch.eye(len(chosen), dtype=template.dtype, device=template.device)
    return data.rows(chosen).transposed_times(unit)


def _divergences(rows: torch.Tensor, topics: torch.Tensor, loss: str) -> torch.Tensor:
    """Return the divergence of each row (samples, features) from each topic, best scaled."""
    if loss == "squared_error":
        fit = rows @ topics.T
        return (rows.square().sum(1)[:, None] - fit.square() / topics.square().sum(1)).clamp(min=0)
    # With topics that sum to one the best scale is the row's total.
    totals = rows.sum(1, keepdim=True)
    entropy = torch.xlogy(rows, rows / totals).sum(1, keepdim=True)
    return (entropy - rows @ topics.clamp(min=_TINY).log().T).clamp(min=0)


def _plus_plus(
    divergence: np.ndarray, nearest: np.ndarray, k: int, rng: np.random.Generator
) -> list[int]:
    """Choose K columns of `divergence` (samples, samples), which begins at `nearest` (samples,)."""
    draws = 2 + int(math.log2(k))
    seeds: list[int] = []
    for _ in range(k):
        total = nearest.sum()
        weights = nearest / total if total > 0 else np.full(len(nearest), 1 / len(nearest))
        drawn = rng.choice(len(nearest), size=draws, p=weights)
        left = np.minimum(nearest[:, None], divergence[:, drawn])
        best = int(left.sum(0).argmin())
        seeds.append(int(drawn[best]))
        nearest = left[:, best]
    return seeds


def _unit_sum(topics: torch.Tensor) -> torch.Tensor:
    return topics / topics.sum(1, keepdim=True).clamp(min=torch.finfo(topics.dtype).tiny)
