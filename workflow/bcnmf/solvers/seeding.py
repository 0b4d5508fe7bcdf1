"""Starts for topics that are fitted in stages: from samples that differ, and from residuals.

Multiplicative updates from uniform random factors often end in a local optimum in which two topics
share the samples of one program and a third program has none, see `bcnmf.solvers.staged`.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from bcnmf.device import wide
from bcnmf.matrices.base import Matrix

# A sample of the rows is compared with itself, so its size bounds time and memory.
_MOST_ROWS = 512
_MOST_ELEMENTS = 1 << 23
# Single samples are noisy, and a loading of zero would stay zero: seeds are mixed with the mean.
_SHARE_OF_MEAN = 0.2
_LEAST_SHARE = 0.01
_TINY = 1e-30


def diverse_samples(data: Matrix, k: int, loss: str, seed: int, like: torch.Tensor) -> torch.Tensor:
    """Choose samples that differ from one another as starts of K topics.

    Greedy k-means++ under the divergence of the loss [1]_ [2]_: a sample is drawn with probability
    proportional to its divergence from the nearest seed so far, up to scale, and of several draws
    the one that leaves the least divergence is taken.

    Parameters
    ----------
    data : Matrix
        Samples x features.
    k : int
        Number of topics.
    loss : {"squared_error", "poisson"}
        Which divergence.
    seed : int
        Seed of the draws.
    like : torch.Tensor
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
    ones = torch.ones((1, data.shape[1]), dtype=like.dtype, device=like.device)
    totals = data.times(ones)
    mean = wide(data.transposed_times(torch.ones_like(totals))[0]).cpu() / data.total
    filled = np.flatnonzero(totals[:, 0].cpu().numpy() > 0)
    most = max(k, min(_MOST_ROWS, _MOST_ELEMENTS // data.shape[1]))
    chosen = np.sort(rng.permutation(filled)[:most])
    rows = wide(_rows(data, chosen, like)).cpu()
    profiles = rows / rows.sum(1, keepdim=True)
    candidates = torch.cat([mean[None], (1 - _SHARE_OF_MEAN) * profiles + _SHARE_OF_MEAN * mean])
    divergence = _divergences(rows, candidates, loss).numpy()
    seeds = _plus_plus(divergence[:, 1:], divergence[:, 0], k, rng)
    return candidates[1:][seeds].to(like.dtype).to(like.device)


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


def uniform(shape: tuple[int, int], seed: int, like: torch.Tensor) -> torch.Tensor:
    """Draw from uniform(0, 1), the same numbers in every precision and on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return drawn.to(like.dtype).to(like.device)


def _rows(data: Matrix, chosen: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Return some rows of the data, dense, as products with the unit matrix."""
    unit = torch.eye(len(chosen), dtype=like.dtype, device=like.device)
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
