"""The two divergences, by traces and at stored values only, accumulated in float64."""

from __future__ import annotations

import torch

from bcnmf.matrix import Matrix


def wide(values: torch.Tensor) -> torch.Tensor:
    """Return `values` in float64 (on the CPU where the device has no float64)."""
    if values.device.type == "mps":
        values = values.cpu()
    return values.to(torch.float64)


def squared_error(
    data: Matrix,
    components: torch.Tensor,
    gram: torch.Tensor,
    cross: torch.Tensor,
    usage: torch.Tensor,
) -> torch.Tensor:
    """Return ||X - H C||^2 = ||X||^2 - 2 <H'X, C> + <H'H, C C'> without forming H C.

    Parameters
    ----------
    data : Matrix
        X (samples, features).
    components, usage : torch.Tensor
        C (K, features) and H (samples, K).
    gram, cross : torch.Tensor
        C C' (K, K) and H' X (K, features), which every update needs anyway.
    """
    wide_usage = wide(usage)
    fit = (wide(cross) * wide(components)).sum()
    model = ((wide_usage.T @ wide_usage) * wide(gram)).sum()
    return data.squared_norm - 2.0 * fit + model


def poisson_divergence(values: torch.Tensor, model: torch.Tensor, eps: float) -> torch.Tensor:
    """Return sum of x log(x / mu) - x over stored values; the sum of mu is added by the caller.

    A zero of X contributes only its mu to the generalised Kullback-Leibler divergence, which is why
    the stored values suffice.
    """
    wide_values = wide(values)
    logs = torch.xlogy(wide_values, wide_values / (wide(model) + eps))
    return (logs - wide_values).sum()
