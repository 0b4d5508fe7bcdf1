"""The two divergences, by traces and at stored values only, accumulated in float64."""

from __future__ import annotations

import torch

from bcnmf.device import as_float64

EPS_POISSON = 1e-16


def squared_error(
    squared_norm: float, fit: torch.Tensor, usage_gram: torch.Tensor, gram: torch.Tensor
) -> torch.Tensor:
    """Return ||X - H C||^2 = ||X||^2 - 2 <X, H C> + <H'H, C C'> without forming H C.

    Parameters
    ----------
    squared_norm : float
        ||X||^2.
    fit : torch.Tensor
        <X, H C>, which is also <H'X, C>.
    usage_gram, gram : torch.Tensor of shape (K, K)
        H'H and C C'.
    """
    return squared_norm - 2.0 * fit + (usage_gram * as_float64(gram)).sum()


def poisson_at_stored(values: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    """Return sum of x log(x / mu) - x over stored values; the sum of mu is added by the caller.

    A zero of X contributes only its mu to the generalised Kullback-Leibler divergence, which is why
    the stored values suffice.
    """
    stored = as_float64(values)
    return (torch.xlogy(stored, stored / (as_float64(model) + EPS_POISSON)) - stored).sum()
