"""Shared topics from the background, then target topics on top of them.

The model is Y ~ H_Y W_s and X ~ H_s W_s + H_t W_t. Minimising D(X) + D(Y) over everything at once
from random factors fails where the shared programs are strong: the target topics, which X alone may
use, take them over. Hence stages, each a descent: W_s on Y alone; W_t on X with W_s fixed, from
usages H_s that were solved first; at the end all usages for the topics found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bcnmf.device import to_match
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.divergence import squared_error
from bcnmf.seeds import derive_seed, seed_of_start
from bcnmf.solvers.restarts import Restarts, packed, unpacked
from bcnmf.solvers.result import Monitor, Trace
from bcnmf.solvers.starts import diverse_samples, unexplained, uniform
from bcnmf.solvers.usage import flat_usage, solve_usage, solved_usage

if TYPE_CHECKING:
    from bcnmf.checkpoint import State

Start = torch.Tensor | None

# Entries below this are set to zero: they are nothing to the model, and subnormal ones are slow.
_NEGLIGIBLE = 1e-30
# What part of each sample the target topics are given at first: little, so that they do not take
# over what shared topics explain, but enough to grow from.
_FIRST_SHARE = 0.05
# Updates of the Poisson usages H_s from which target topics start; every iteration that follows
# refines them.
_ROUGH_UPDATES = 30


@dataclass(frozen=True)
class Settings:
    """How to descend.

    Attributes
    ----------
    loss : {"squared_error", "poisson"}
        D.
    max_iter : int
        Iterations of a stage at most.
    tol : float
        A stage ends when its objective fell by at most `tol` of itself over ten iterations; 0 runs
        all `max_iter`.
    n_init : int
        Starts of each stage, of which the one with the best objective is kept.
    seed : int
        Seed of the first start; those of the others derive from it.
    seeded : bool
        Start from diverse samples and residuals; else from uniform(0, 1).
    refine : int
        Iterations in which all topics move together, after the stages.
    """

    loss: str
    max_iter: int
    tol: float
    n_init: int = 1
    seed: int = 0
    seeded: bool = True
    refine: int = 0


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


@dataclass
class StagedResult:
    """Factors and how they were reached.

    Attributes
    ----------
    components : torch.Tensor of shape (n_shared + n_target, features)
        W_s, then W_t; rows have unit L2 norm.
    usage : torch.Tensor of shape (n, n_shared + n_target)
        H_s, then H_t.
    background_usage : torch.Tensor of shape (m, n_shared)
        H_Y.
    objective : list of float
        D(X) + D(Y), see `fit`.
    stages : list of int
        Number of values of `objective` in each stage.
    n_iter : int
        Updates of components, over all stages.
    converged : bool
        Whether both stages met their stopping rule.
    """

    components: torch.Tensor
    usage: torch.Tensor
    background_usage: torch.Tensor
    objective: list[float]
    stages: list[int]
    n_iter: int
    converged: bool


def fit(
    target: Matrix,
    background: Matrix,
    n_shared: int,
    n_target: int,
    how: Settings,
    template: torch.Tensor,
    null: float = 0.0,
    given: tuple[torch.Tensor, torch.Tensor] | None = None,
    restarts: Restarts | None = None,
) -> StagedResult:
    """Fit shared topics to the background and target topics to what they leave of the target.

    Parameters
    ----------
    target, background : Matrix
        X (n, features) and Y (m, features).
    n_shared, n_target : int
        Number of topics.
    how : Settings
        Loss, iterations and starts.
    template : torch.Tensor
        Its dtype and device are those of the factors.
    null : float
        The target's part of the objective before any topic was fitted to it.
    given : tuple of torch.Tensor, optional
        Starts of W_s and W_t, in place of `how.seeded`.
    restarts : Restarts, optional
        Who is told about the stages, and may know how far a fit got that was stopped.

    Returns
    -------
    StagedResult
        `objective` holds, stage by stage: `null` + D(Y | H_Y W_s) while W_s is fitted; D(Y) as that
        left it + D(X | H_s W_s + H_t W_t) while W_t is fitted; D(Y) + D(X) in joint iterations,
        if any; for Poisson, at last, one value with all usages solved (with squared error they are
        solved at every value).
    """
    shared_start, target_start = given or (None, None)
    restarts = restarts or Restarts()
    first = restarts.best_of(
        Descent,
        how.n_init if shared_start is None else 1,
        lambda number, monitor: _fit_shared(
            background, n_shared, how, template, shared_start, number, monitor
        ),
        "shared topics",
    )
    shared = first.components
    rough = _rough_usage(target, shared, how.loss)
    second = restarts.best_of(
        Descent,
        how.n_init,
        lambda number, monitor: _fit_target(
            target, shared, rough, n_target, how, target_start, number, monitor
        ),
        "target topics",
    )
    components, usages = second.components, [*second.usages, *first.usages]
    stages = [
        [null + loss for loss in first.objective],
        [first.objective[-1] + loss for loss in second.objective],
    ]
    datasets = [(target, n_shared + n_target), (background, n_shared)]
    if how.refine:
        joint = restarts.best_of(
            Descent,
            1,
            lambda _, monitor: descend(
                datasets, second.components, [*second.usages, *first.usages], how.loss, how.refine,
                0.0, monitor=monitor,
            ),
            "all topics",
        )  # fmt: skip
        components, usages = joint.components, joint.usages
        stages.append(joint.objective)
    iterations = sum(len(stage) - 1 for stage in stages)
    if how.loss == "poisson":
        solved = [
            solved_usage(data, components[:used], usage)
            for (data, used), usage in zip(datasets, usages, strict=True)
        ]
        usages = [usage for usage, _ in solved]
        stages.append([sum(loss for _, loss in solved)])
    norms = components.norm(dim=1).clamp(min=torch.finfo(components.dtype).tiny)
    return StagedResult(
        components / norms[:, None],
        usages[0] * norms,
        usages[1] * norms[:n_shared],
        [loss for stage in stages for loss in stage],
        [len(stage) for stage in stages],
        iterations,
        first.converged and second.converged,
    )


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
        See `Settings`.
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
        objective, evaluated = 0.0, []
        for (data, used), usage in zip(datasets, usages, strict=True):
            loss_of_data, usage_evaluated, *parts = step(data, components[:used], usage)
            objective += float(loss_of_data)
            evaluated.append(usage_evaluated)
            numerator[:used] += parts[0]
            denominator[:used] += parts[1]
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


def _fit_shared(
    background: Matrix,
    k: int,
    how: Settings,
    template: torch.Tensor,
    start: Start,
    number: int,
    monitor: Monitor,
) -> Descent:
    seed = seed_of_start(how.seed, number)
    if start is None and how.seeded:
        start = diverse_samples(background, k, how.loss, seed, template)
    elif start is None:
        start = uniform((k, background.shape[1]), derive_seed("shared topics", seed), template)
    usage = uniform((background.shape[0], k), derive_seed("background usage", seed), template)
    usage *= 2 * flat_usage(background, start)
    return descend([(background, k)], start, [usage], how.loss, how.max_iter, how.tol, 0, monitor)


def _fit_target(
    target: Matrix,
    shared: torch.Tensor,
    shared_usage: torch.Tensor,
    k: int,
    how: Settings,
    start: Start,
    number: int,
    monitor: Monitor,
) -> Descent:
    seed = seed_of_start(how.seed, number)
    weights = uniform((target.shape[0], k), derive_seed("target usage", seed), shared)
    if start is None and how.seeded:
        start = unexplained(target, shared, shared_usage, weights)
    elif start is None:
        start = uniform((k, target.shape[1]), derive_seed("target topics", seed), shared)
    usage = 2 * weights * flat_usage(target, start)
    usage = torch.cat([(1 - _FIRST_SHARE) * shared_usage, _FIRST_SHARE * usage], 1)
    components = torch.cat([shared, start])
    return descend(
        [(target, len(components))], components, [usage], how.loss, how.max_iter, how.tol,
        n_fixed=len(shared), monitor=monitor,
    )  # fmt: skip


def _rough_usage(data: Matrix, components: torch.Tensor, loss: str) -> torch.Tensor:
    """Return the usages from which target topics start; every later iteration refines them."""
    usage = flat_usage(data, components)
    if loss == "poisson":
        data.poisson_usage(components, usage, _ROUGH_UPDATES, 0.0)
    else:
        solve_usage(data, components, usage, loss)
    return usage


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
