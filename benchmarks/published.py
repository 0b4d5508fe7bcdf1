"""The published updates, dense: as the authors' loop evaluates them, and with its waste removed.

Matrices are genes x cells, as in the paper: X ~ W HX, Y ~ W HY. `literal` keeps what the authors'
loop does in every iteration: products with matrices of ones for sums, alpha multiplied into Y, and
the loss from a dense reconstruction (for the squared error D(X) + alpha D(Y), which is not the
objective). Without it the updates are the same numbers, with sums as sums and no loss.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bcnmf.solvers.starts import Factors

EPS_SQUARED_ERROR, EPS_POISSON = 1e-10, 1e-16
DAMPING = 0.5


def iterate(
    loss: str,
    X: torch.Tensor,
    Y: torch.Tensor,
    start: Factors,
    alpha: float,
    literal: bool,
    damping: float = DAMPING,
) -> Iterator[Factors]:
    """Yield (W, HX, HY) after each iteration, without end.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}
        Which updates.
    X, Y : torch.Tensor
        Genes x cells.
    start : tuple of torch.Tensor
        (components, usage, background usage), laid out as in `bcnmf`.
    alpha : float
        Contrast, absolute.
    literal : bool
        See above.
    damping : float
        Exponent of the Poisson ratios.
    """
    W, HX, HY = (factor.T.contiguous().to(X.device) for factor in start)
    while True:
        if loss == "squared_error":
            step = _squared_error_literal if literal else _squared_error
            W, HX, HY = step(X, Y, W, HX, HY, alpha)
            trace = _squared_error_loss if literal else None
        else:
            step = _poisson_literal if literal else _poisson
            W, HX, HY = step(X, Y, W, HX, HY, alpha, damping)
            trace = _poisson_loss if literal else None
        if trace is not None:
            float(trace(X, Y, W, HX, HY, alpha))
        yield W, HX, HY


def _squared_error_literal(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float,
) -> Factors:  # fmt: skip
    eps = EPS_SQUARED_ERROR
    HX = HX * (W.T @ X) / (W.T @ W @ HX + eps)
    HY = HY * (W.T @ Y) / (W.T @ W @ HY + eps)
    numerator = X @ HX.T + (alpha * W) @ (HY @ HY.T)
    denominator = W @ (HX @ HX.T) + (alpha * Y) @ HY.T
    return W * numerator / (denominator + eps), HX, HY


def _squared_error(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float,
) -> Factors:  # fmt: skip
    eps = EPS_SQUARED_ERROR
    gram = W.T @ W
    HX = HX * (W.T @ X) / (gram @ HX + eps)
    HY = HY * (W.T @ Y) / (gram @ HY + eps)
    numerator = X @ HX.T + alpha * (W @ (HY @ HY.T))
    denominator = W @ (HX @ HX.T) + alpha * (Y @ HY.T)
    return W * numerator / (denominator + eps), HX, HY


def _squared_error_loss(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float,
) -> torch.Tensor:  # fmt: skip
    target = torch.sum((W @ HX - X) ** 2) / X.numel()
    return target + alpha * torch.sum((W @ HY - Y) ** 2) / max(Y.numel(), 1)


def _poisson_literal(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float, damping: float,
) -> Factors:  # fmt: skip
    eps = EPS_POISSON
    HX = HX * ((W.T @ (X / (W @ HX + eps))) / (W.T @ torch.ones_like(X) + eps)) ** damping
    HY = HY * ((W.T @ (Y / (W @ HY + eps))) / (W.T @ torch.ones_like(Y) + eps)) ** damping
    numerator = (X / (W @ HX + eps)) @ HX.T + alpha * (torch.ones_like(Y) @ HY.T)
    denominator = torch.ones_like(X) @ HX.T + alpha * ((Y / (W @ HY + eps)) @ HY.T)
    return W * (numerator / (denominator + eps)) ** damping, HX, HY


def _poisson(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float, damping: float,
) -> Factors:  # fmt: skip
    eps = EPS_POISSON
    weights = W.sum(0)[:, None] + eps
    HX = HX * ((W.T @ (X / (W @ HX + eps))) / weights) ** damping
    HY = HY * ((W.T @ (Y / (W @ HY + eps))) / weights) ** damping
    numerator = (X / (W @ HX + eps)) @ HX.T + alpha * HY.sum(1)
    denominator = HX.sum(1) + alpha * ((Y / (W @ HY + eps)) @ HY.T)
    return W * (numerator / (denominator + eps)) ** damping, HX, HY


def _poisson_loss(
    X: torch.Tensor, Y: torch.Tensor, W: torch.Tensor, HX: torch.Tensor, HY: torch.Tensor,
    alpha: float,
) -> torch.Tensor:  # fmt: skip
    return _log_likelihood(X, W @ HX) - alpha * _log_likelihood(Y, W @ HY)


def _log_likelihood(data: torch.Tensor, model: torch.Tensor) -> torch.Tensor:
    model = torch.where(model > 0, model, torch.full_like(model, EPS_POISSON))
    return torch.sum(data * torch.log(model) - model) / max(data.numel(), 1)
