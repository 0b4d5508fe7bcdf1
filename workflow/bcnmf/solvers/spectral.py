"""Starts from the leading directions of the contrast: NNDSVD of X'X - alpha Y'Y."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, lobpcg

from bcnmf.device import as_float64
from bcnmf.matrices.base import Matrix
from bcnmf.solvers.contrast import terms_of
from bcnmf.solvers.starts import Factors
from bcnmf.solvers.usage import exact_usage

# The product of the contrast's matrix with vectors (features, any).
Contrast = Callable[[np.ndarray], np.ndarray]

# Directions need not be exact to be good starts; each iteration is a pass over the data.
_ITERATIONS = 10
_TOLERANCE = 1e-3
# A loading or a usage of exactly zero would stay zero under multiplicative updates.
_LEAST_LOADING, _LEAST_USAGE = 1e-3, 1e-3


def spectral_factors(
    target: Matrix,
    background: Matrix | None,
    alpha: float,
    k: int,
    seed: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Factors:
    """Return components from the contrast's eigenvectors, and the best usages for them.

    Without signs the contrast is maximised by the leading eigenvectors of X'X - alpha Y'Y
    (docs/method.md); as in NNDSVD [1]_, each gives a component by that of its two signed parts
    which has the larger contrast.

    Parameters
    ----------
    target, background : Matrix
        X (n, features) and Y (m, features); Y may be None when alpha is 0.
    alpha : float
        The contrast, in absolute terms.
    k : int
        Number of components.
    seed : int
        Of the vectors that the iterations start from.
    dtype, device : torch.dtype, torch.device
        Of the factors.

    Returns
    -------
    tuple of torch.Tensor
        Components (K, features) with unit-norm rows, usage (n, K), background usage (m, K).

    References
    ----------
    .. [1] Boutsidis and Gallopoulos, "SVD based initialization: a head start for nonnegative matrix
       factorization", Pattern Recognition 41 (2008).
    """
    terms = [term for term in terms_of(target, background, alpha) if term.weight != 0]
    scale = sum(abs(term.weight) * term.data.squared_norm for term in terms)

    def contrast(vectors: np.ndarray) -> np.ndarray:
        rows = torch.as_tensor(np.ascontiguousarray(vectors.T), dtype=dtype, device=device)
        total = torch.zeros_like(rows)
        for term in terms:
            total += term.weight * term.data.transposed_times(term.data.times(rows))
        return as_float64(total).cpu().numpy().T / scale

    directions = _leading(contrast, target.shape[1], k, seed)
    parts = np.concatenate([np.maximum(directions, 0), np.maximum(-directions, 0)], axis=1)
    norms = np.linalg.norm(parts, axis=0)
    parts /= np.maximum(norms, np.finfo(float).tiny)
    # A direction of one sign has one part, whatever its contrast.
    values = np.where(norms > 0, np.einsum("fk,fk->k", parts, contrast(parts)), -np.inf)
    larger = np.where(values[:k] >= values[k:], np.arange(k), np.arange(k) + k)
    chosen = torch.as_tensor(parts[:, larger].T, dtype=dtype)
    noise = torch.rand(chosen.shape, generator=torch.Generator().manual_seed(seed))
    components = chosen + (_LEAST_LOADING * chosen.amax()) * noise.to(dtype)
    components = (components / components.norm(dim=1, keepdim=True)).contiguous().to(device)
    usage = _best_usage(target, components)
    if background is None:
        return components, usage, usage[:0].clone()
    return components, usage, _best_usage(background, components)


def _leading(contrast: Contrast, features: int, k: int, seed: int) -> np.ndarray:
    """Return the K leading eigenvectors (features, K), approximately; drawn ones if none leads."""
    block = np.random.default_rng(seed).random((features, k))
    if 5 * k >= features:  # too small for the iterations
        matrix = contrast(np.eye(features))
        return np.linalg.eigh((matrix + matrix.T) / 2)[1][:, ::-1][:, :k]
    operator = LinearOperator(
        (features, features), matvec=lambda v: contrast(v.reshape(-1, 1))[:, 0],
        matmat=contrast, dtype=np.float64,
    )  # fmt: skip
    with warnings.catch_warnings():
        # That the last digits are not there yet does not matter.
        warnings.simplefilter("ignore")
        _, found = lobpcg(operator, block, largest=True, maxiter=_ITERATIONS, tol=_TOLERANCE)
    # Where target and background are alike no direction leads, and the iterations break down.
    return np.asarray(found if np.isfinite(found).all() else block)


def _best_usage(data: Matrix, components: torch.Tensor) -> torch.Tensor:
    usage = exact_usage(data, components)
    return usage + _LEAST_USAGE * usage.mean().clamp(min=torch.finfo(usage.dtype).tiny)
