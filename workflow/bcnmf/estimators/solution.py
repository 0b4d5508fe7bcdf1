"""What a fit came to: factors, how much of the data they explain, topics without use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch

from bcnmf.device import as_float64
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.divergence import squared_error

Model = tuple[torch.Tensor, torch.Tensor]
# A deviance that should be zero is some roundings of the total; logs are good to 1e-12 of them.
_ROUNDINGS, _LOGS = 100, 1e-10


class Result(Protocol):
    """What every solver returns besides factors; some have a `kkt_residual`."""

    objective: list[float]
    n_iter: int
    converged: bool


class Solution(NamedTuple):
    """What a solver found.

    Attributes
    ----------
    result : Result
        As the solver returned it.
    factors : dict of torch.Tensor
        What becomes attributes, by their names without the underscore.
    target, background : tuple of torch.Tensor
        Components (K, features) and usages (samples, K) of which each side's model is the product.
    """

    result: Result
    factors: Mapping[str, torch.Tensor]
    target: Model
    background: Model

    def in_units_of_data(self, unit: float, loss: str) -> Solution:
        """Return factors and objective for data that were divided by `unit`; models stay."""
        factors = {
            name: values * unit if name.endswith("usage") else values
            for name, values in self.factors.items()
        }
        of_objective = unit_of_objective(unit, loss)
        self.result.objective = [value * of_objective for value in self.result.objective]
        return self._replace(factors=factors)


def unit_of_objective(unit: float, loss: str) -> float:
    """Return what an objective is to be multiplied by if the data were divided by `unit`."""
    return unit**2 if loss == "squared_error" else unit


def explained(data: Matrix, components: torch.Tensor, usage: torch.Tensor, loss: str) -> float:
    """Return 1 - ||X - H C||^2 / ||X||^2, or for Poisson the fraction of the deviance.

    The deviance is that from the best rank-one model; NaN where this leaves nothing to explain that
    were more than rounding in the precision of the factors.
    """
    if loss == "squared_error":
        fit = (as_float64(data.transposed_times(usage)) * as_float64(components)).sum()
        gram = components @ components.T
        solved = as_float64(usage)
        residual = squared_error(data.squared_norm, fit, solved.T @ solved, gram)
        return 1.0 - float(residual) / data.squared_norm
    null = null_deviance(data, components)
    if null <= max(_ROUNDINGS * torch.finfo(components.dtype).eps, _LOGS) * data.total:
        return float("nan")
    return 1.0 - float(data.poisson_loss(components, usage)) / null


def null_deviance(data: Matrix, factors: torch.Tensor) -> float:
    """Return the divergence from sample total x feature share, the best rank-one model.

    It is computed in the precision and on the device of the factors.
    """
    ones = factors.new_ones((1, data.shape[1]))
    totals = data.times(ones)
    share = data.transposed_times(torch.ones_like(totals)) / data.total
    return float(data.poisson_loss(share, totals))


def unused(usage: np.ndarray) -> str:
    """Return the numbers, from 1 on, of topics that no sample uses."""
    return ", ".join(str(topic + 1) for topic in np.flatnonzero(usage.max(0) == 0))
