"""Multiplicative updates of topics that one or several data sets share, some of which are held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bcnmf.device import to_match
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.divergence import squared_error
from bcnmf.solvers.restarts import packed, unpacked
from bcnmf.solvers.result import Monitor, Trace

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

# Entries below this are set to zero: they are nothing to the model, and subnormal ones are slow.
_NEGLIGIBLE = 1e-30


@dataclass
class Descent:
    """Where multiplicative updates ended.

    Attributes
    ----------
    components : torch.Tensor of shape (K, features)
        All topics, those that do not move among them.
    usages : list of torch.Tensor
        One for each data set.
    objective : list of float
        Sum of the divergences before the first and after every iteration; it never rises.
    converged : bool
        Whether the stopping rule was met before the iterations ran out.
    """

    components: torch.Tensor
    usages: list[torch.Tensor]
    objective: list[float]
    converged: bool


def descend(
    datasets: list[tuple[Matrix, int]],
    components: torch.Tensor,
    usages: list[torch.Tensor],
    loss: str,
    max_iter: int,
    tol: float,
    n_fixed: int = 0,
    monitor: Monitor | None = None,
) -> Descent:
    """Minimise the sum of D(data | usage, leading topics) over the usages and some topics.

    With usages updated (Poisson) or solved (squared error) in a pass over the data, topics move by
    C <- C * numerator / denominator, the parts of the gradient; by majorisation neither raises the
    objective [1]_. Where rounding does, the stage is over and the factors from before are kept.

    Parameters
    ----------
    datasets : list of (Matrix, int)
        Data, and how many of the leading topics they use.
    components : torch.Tensor of shape (K, features)
        Start.
    usages : list of torch.Tensor
        Starts, one for each; not changed.
    loss, max_iter, tol
        See `bcnmf.solvers.staged.Settings`.
    n_fixed : int
        How many of the leading topics do not move.
    monitor : Monitor, optional
        Who is told about the iterations.

    Returns
    -------
    Descent

    References
    ----------
    .. [1] Lee and Seung, "Algorithms for non-negative matrix factorization", NIPS 2000.
    """
    step = _poisson_step if loss == "poisson" else _squared_error_step
    monitor = monitor or Monitor()
    trace = Trace(tol, 0.0, monitor)
    usages = [usage.clone() for usage in usages]
    reached = Descent(components, usages, [], False)
    if monitor.resume(trace):
        reached, following = (
            unpacked(monitor.resumed, name, Descent, components.device)
            for name in ("reached", "following")
        )
        components, usages = following.components, following.usages
    while True:
        numerator, denominator = torch.zeros_like(components), torch.zeros_like(components)
        losses, evaluated = [], []
        for (data, used), usage in zip(datasets, usages, strict=True):
            loss_of_data, usage_evaluated, *parts = step(data, components[:used], usage)
            losses.append(loss_of_data)
            evaluated.append(usage_evaluated)
            numerator[:used] += parts[0]
            denominator[:used] += parts[1]
        # Here the host waits for the device, once an iteration.
        objective = sum(torch.stack(losses).tolist())
        if reached.objective and objective > reached.objective[-1]:
            reached.converged = True
            return reached
        reached.components, reached.usages = components, evaluated
        reached.objective.append(objective)
        trace.scale = abs(objective)
        trace.append(torch.tensor(objective, dtype=torch.float64))
        reached.converged = trace.settled()
        if reached.converged or len(reached.objective) > max_iter:
            return reached
        # A topic that no sample uses has no gradient and stays.
        ratio = torch.where(denominator > _NEGLIGIBLE, numerator / denominator, 1.0)
        moved = torch.threshold_(components[n_fixed:] * ratio[n_fixed:], _NEGLIGIBLE, 0.0)
        components = torch.cat([components[:n_fixed], moved])
        monitor.after_iteration(_state, reached, Descent(components, usages, [], False))


def _state(reached: Descent, following: Descent) -> State:
    """Return where a descent is: what it reached, and the factors to evaluate next."""
    counted = {"iteration": len(reached.objective), "objective": reached.objective}
    return counted | packed(reached, "reached") | packed(following, "following")


# The loss, the usages to which it belongs, and the numerator and denominator for the components.
Step = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _poisson_step(data: Matrix, components: torch.Tensor, usage: torch.Tensor) -> Step:
    """Evaluate, then update `usage`."""
    before = usage.clone()
    loss, numerator = data.poisson_pass(components, usage, 1.0)
    torch.threshold_(usage, _NEGLIGIBLE, 0.0)
    return loss, before, numerator, usage.sum(0)[:, None].expand_as(numerator)


def _squared_error_step(data: Matrix, components: torch.Tensor, usage: torch.Tensor) -> Step:
    """Solve `usage`, then evaluate."""
    gram = components @ components.T
    moments = data.exact_pass(components, gram, usage)
    loss = squared_error(data.squared_norm, moments.fit, moments.usage_gram, gram)
    denominator = to_match(moments.usage_gram, usage) @ components
    return loss, usage.clone(), moments.cross, denominator
