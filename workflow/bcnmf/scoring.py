"""How much of a sample target topics hold when topics of the background may explain it too.

A topic's plain usage takes over what target and background share, as far as the topic resembles it.
Solved beside topics of the background, it keeps what these cannot explain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.checks import check_choice, check_integer, check_same_names, feature_names
from bcnmf.device import device_of_passes, gram_float64, resolve_dtype
from bcnmf.errors import InputError
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.inputs import check_non_negative, host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.matrices.streamed import streamed
from bcnmf.seeds import derive_seed
from bcnmf.solvers import multiplicative, safeguarded
from bcnmf.solvers.result import Precision, SolverResult
from bcnmf.solvers.starts import Factors, random_factors
from bcnmf.solvers.usage import flat_usage, solve_usage

N_BACKGROUND = 10
LOSSES = ("squared_error", "poisson")
_MAX_ITER, _TOL = 500, 1e-5
# Topics of a large background are those of so many values of it (dense), drawn at random.
_MOST_VALUES, _FEWEST_SAMPLES = 1 << 26, 1000


def background_topics(
    Y: Any,
    n_background: int = N_BACKGROUND,
    *,
    loss: str = "squared_error",
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
    random_state: int = 0,
) -> np.ndarray:
    """Return topics of a background by plain NMF.

    Parameters
    ----------
    Y : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (m, features)
        Background, non-negative; in memory or on disk. Of a large one a random part is taken, about
        60 million values.
    n_background : int
        Number of topics; at most half of the samples and half of the features are fitted.
    loss : {"squared_error", "poisson"}
        That of the model whose topics stand beside them.
    device, dtype, batch_size
        See `BCNMF`.
    random_state : int
        Seed of the start.

    Returns
    -------
    ndarray of shape (n_background or fewer, features)
        Loadings, rows of unit norm.
    """
    check_integer("n_background", n_background, 1)
    check_choice("loss", loss, LOSSES)
    precision = _precision(device, dtype)
    data = _matrix(Y, "background", precision, batch_size)
    return topics_of(data, n_background, loss, random_state, precision)


def target_score_of(
    X: Any,
    components: np.ndarray,
    background_components: np.ndarray,
    *,
    loss: str = "squared_error",
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the target score of samples, and the usages that it is made of.

    Parameters
    ----------
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Samples, non-negative; in memory or on disk.
    components : ndarray of shape (K, features)
        Target topics; their norms do not matter.
    background_components : ndarray of shape (n_background, features)
        Topics of the background, for instance from `background_topics`.
    loss : {"squared_error", "poisson"}
        Divergence that the usages of both kinds minimise.
    device, dtype, batch_size
        See `BCNMF`.

    Returns
    -------
    score : ndarray of shape (n,)
        Square root of the sum of the usages.
    usage : ndarray of shape (n, K)
        Usages of the target topics at unit norm; for Poisson their shares of the sample's fitted
        total, so that it does not matter how deep a sample was measured.
    """
    check_choice("loss", loss, LOSSES)
    precision = _precision(device, dtype)
    data = _matrix(X, "X", precision, batch_size)
    features = data.shape[1]
    usage = usage_beside(
        data,
        _topics(components, "components", X, features),
        _topics(background_components, "background_components", X, features),
        loss,
        precision,
    )
    return score_of(usage), usage


def _topics(given: Any, name: str, X: Any, features: int) -> np.ndarray:
    """Return topics that were given as an array, after checks."""
    check_same_names(feature_names(given), feature_names(X), name, "X")
    if np.ndim(given) != 2 or np.shape(given)[1] != features:
        raise InputError(
            f"{name}: has shape {np.shape(given)}; expected (topics, {features}), the features of X"
        )
    values = host_array(given, name)
    check_non_negative(values, name)
    return np.asarray(values.toarray() if sp.issparse(values) else values)


def score_of(usage: np.ndarray) -> np.ndarray:
    """Return the square root of the sum of usages (n, K): (n,)."""
    return np.asarray(np.sqrt(usage.sum(1)))


def topics_of(data: Matrix, count: int, loss: str, seed: int, precision: Precision) -> np.ndarray:
    """Return at most `count` topics (count, features) of checked data."""
    seed = derive_seed("background topics", seed)
    data = _part(data, seed)
    n, features = data.shape
    k = max(1, min(int(count), n // 2, features // 2))
    start = random_factors(n, 0, features, k, seed, *precision)
    with leave_threads_to_passes(data):
        found = _nmf(data, start, loss)
    return np.asarray(found.components.cpu().numpy())


def _nmf(data: Matrix, start: Factors, loss: str) -> SolverResult:
    if loss == "squared_error":
        return safeguarded.fit_squared_error(data, None, start, 0.0, _MAX_ITER, _TOL)
    found = multiplicative.fit_poisson(data, None, start, 0.0, _MAX_ITER, _TOL, damping=1.0)
    return safeguarded.unit_norm(found)


def usage_beside(
    data: Matrix,
    components: np.ndarray,
    background_components: np.ndarray,
    loss: str,
    precision: Precision,
) -> np.ndarray:
    """Return the usages (n, K) of target topics in checked data; see `target_score_of`."""
    split = len(background_components)
    both = np.concatenate([background_components, components])
    topics = torch.as_tensor(both, dtype=precision[0]).to(precision[1])
    if loss == "squared_error":
        # Background topics come first: where topics coincide, nearly all of the usage is theirs.
        usage = topics.new_zeros((data.shape[0], len(topics)))
        nonnegative_least_squares(data.times(topics), gram_float64(topics), usage)
        return np.asarray((data.unit * usage * topics.norm(dim=1))[:, split:].cpu().numpy())
    usage = flat_usage(data, topics)
    solve_usage(data, topics, usage, loss)
    parts = usage * topics.sum(1)
    total = parts.sum(1, keepdim=True).clamp(min=torch.finfo(parts.dtype).tiny)
    return np.asarray((parts / total)[:, split:].cpu().numpy())


def _precision(device: str, dtype: str) -> Precision:
    found = device_of_passes(device)
    return resolve_dtype(dtype, found), found


def _matrix(data: Any, name: str, precision: Precision, batch_size: int | None) -> Matrix:
    if is_on_disk(data) or batch_size is not None:
        return streamed(data, name, *precision, batch_size)
    return as_matrix(data, name, *precision)


def _part(data: Matrix, seed: int) -> Matrix:
    """Return the data, or of many samples random ones, as many together as are cheap to read."""
    n, features = data.shape
    most = max(_FEWEST_SAMPLES, _MOST_VALUES // features)
    if n <= most:
        return data
    run = data.run_length
    starts = np.random.default_rng(seed).permutation(-(-n // run))[: -(-most // run)]
    rows = (np.sort(starts)[:, None] * run + np.arange(run)).ravel()
    return data.rows(rows[rows < n])
