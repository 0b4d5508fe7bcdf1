"""The two divergences, by traces and at stored values only, accumulated in float64."""

from __future__ import annotations

import torch

from bcnmf.device import wide


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
    return squared_norm - 2.0 * fit + (usage_gram * wide(gram)).sum()


def poisson_at_stored(values: torch.Tensor, model: torch.Tensor, eps: float) -> torch.Tensor:
    """Return sum of x log(x / mu) - x over stored values; the sum of mu is added by the caller.

    A zero of X contributes only its mu to the generalised Kullback-Leibler divergence, which is why
    the stored values suffice.
    """
    stored = wide(values)
    return (torch.xlogy(stored, stored / (wide(model) + eps)) - stored).sum()
