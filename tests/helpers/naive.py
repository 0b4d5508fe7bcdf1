"""The published updates written out in plain numpy, features x samples, as in the paper."""

import numpy as np


def kl(x, model):
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(x > 0, x * np.log(x / model), 0.0)
    return float((logs - x + model).sum())


def squared_error_step(X, Y, W, HX, HY, alpha, eps=1e-10):
    HX = HX * (W.T @ X) / (W.T @ W @ HX + eps)
    HY = HY * (W.T @ Y) / (W.T @ W @ HY + eps)
    W = W * (X @ HX.T + alpha * W @ HY @ HY.T) / (W @ HX @ HX.T + alpha * Y @ HY.T + eps)
    return W, HX, HY


def poisson_step(X, Y, W, HX, HY, alpha, damping, eps=1e-16):
    def update(D, H):
        ratio = (W.T @ (D / (W @ H + eps))) / (W.sum(0)[:, None] + eps)
        return H * ratio**damping

    HX, HY = update(X, HX), update(Y, HY)
    numerator = (X / (W @ HX + eps)) @ HX.T + alpha * HY.sum(1)
    denominator = HX.sum(1) + alpha * (Y / (W @ HY + eps)) @ HY.T
    return W * (numerator / (denominator + eps)) ** damping, HX, HY


def squared_error_objective(X, Y, W, HX, HY, alpha):
    return float(((X - W @ HX) ** 2).sum() - alpha * ((Y - W @ HY) ** 2).sum())


def poisson_objective(X, Y, W, HX, HY, alpha):
    return kl(X, W @ HX) - alpha * kl(Y, W @ HY)
