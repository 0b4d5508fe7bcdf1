"""Shared topics from the background, then target topics on top of them.

The model is Y ~ H_Y W_s and X ~ H_s W_s + H_t W_t. Minimising D(X) + D(Y) over everything at once
from random factors fails where the shared programs are strong: the target topics, which X alone may
use, take them over. Hence stages, each a descent: W_s on Y alone; W_t on X with W_s fixed, from
usages H_s that were solved first; at the end all usages for the topics found.

What to do where the background does not fit is in `bcnmf.solvers.misfit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from bcnmf.matrices.base import Matrix
from bcnmf.seeds import derive_seed, seed_of_start
from bcnmf.solvers import misfit
from bcnmf.solvers.descent import Descent, descend
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.result import Monitor
from bcnmf.solvers.starts import diverse_samples, unexplained, uniform
from bcnmf.solvers.usage import flat_usage, solve_usage, solved_usage

Start = torch.Tensor | None

# What part of each sample the target topics are given at first: little, so that they do not take
# over what shared topics explain, but enough to grow from.
_FIRST_SHARE = 0.05
# Updates of the Poisson usages H_s from which target topics start; every iteration that follows
# refines them.
_ROUGH_UPDATES = 30
# A fit to half of the background, which only judges another, may stop so much earlier.
_ROUGHER = 10.0


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
    shared_from : {"background", "both"}
        What W_s is fitted to.
    second_round : {"auto", "never", "always"}
        Whether target topics that the background lacks are held, and others sought beside them.
    offsets : {"none", "side"}
        Whether the target may capture each gene more or less than the background does.
    """

    loss: str
    max_iter: int
    tol: float
    n_init: int = 1
    seed: int = 0
    seeded: bool = True
    refine: int = 0
    shared_from: str = "background"
    second_round: str = "never"
    offsets: str = "none"


@dataclass
class StagedResult:
    """Factors and how they were reached.

    Attributes
    ----------
    components : torch.Tensor of shape (K, features)
        W_s, topics of a first round that the background lacks, W_t; rows have unit L2 norm.
    usage : torch.Tensor of shape (n, K)
        Their usages by the target.
    background_usage : torch.Tensor of shape (m, n_shared)
        H_Y.
    n_shared, n_absent : int
        Number of topics W_s, and of those of a first round that are held.
    n_lacking : int
        Number of topics of the first round that the background lacks, held or not.
    offsets : torch.Tensor of shape (features,)
        The target's W_s is W_s times these.
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
    n_shared: int
    n_absent: int
    n_lacking: int
    offsets: torch.Tensor
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
        `objective` holds, stage by stage: `null` + D(Y | H_Y W_s) while W_s is fitted (if to both
        sides, D(X | H W_s) in place of `null`); D(Y) as that left it + D(X | H_s W_s + H_t W_t)
        while W_t is fitted, and again in a second round; D(Y) + D(X) in joint iterations, if any;
        for Poisson, at last, one value with all usages solved (with squared error they are solved
        at every value).
    """
    shared_start, target_start = given or (None, None)
    restarts = restarts or Restarts()
    both = how.shared_from == "both"
    first, left = _first_stage(
        target, background, n_shared, how, template, shared_start, restarts, "shared topics"
    )
    shared = left.components
    n_shared = len(shared)
    offsets = (
        misfit.offsets(target, shared) if how.offsets == "side" else torch.ones_like(shared[0])
    )
    second = _second_stage(
        target, shared * offsets, n_target, how, target_start, restarts, "target topics"
    )
    rounds = [second]
    absent = second.components[n_shared:]
    if how.second_round != "always":
        absent = absent[misfit.absent(second, background, shared, how.loss)]
    n_lacking = len(absent)
    if how.second_round == "never":
        absent = absent[:0]
    if len(absent):
        # As W_s, they are held; what the target has besides shows beside them.
        held = torch.cat([shared * offsets, absent])
        again = _second_stage(
            target, held, n_target, how, None, restarts, "target topics, second round"
        )
        if how.second_round == "always" or _stands_out(
            target, background, absent, offsets, n_shared, n_target, how, template, restarts
        ):
            rounds.append(again)
        else:
            absent = absent[:0]
    last = rounds[-1]
    components = torch.cat([shared, last.components[n_shared:]])
    usages = [*last.usages, *left.usages]
    stages = [
        [(0.0 if both else null) + loss for loss in first.objective],
        *([left.objective[-1] + loss for loss in one.objective] for one in rounds),
    ]
    datasets = [(target, len(components)), (background, n_shared)]
    if how.refine:
        joint = restarts.best_of(
            Descent,
            1,
            lambda _, monitor: descend(
                datasets, components, usages, how.loss, how.refine, 0.0, monitor=monitor
            ),
            "all topics",
        )
        components, usages = joint.components, joint.usages
        stages.append(joint.objective)
    iterations = sum(len(stage) - 1 for stage in stages)
    if how.loss == "poisson":
        of_target = torch.cat([components[:n_shared] * offsets, components[n_shared:]])
        topics = (of_target, components[:n_shared])
        solved = [
            solved_usage(data, used, usage)
            for (data, _), used, usage in zip(datasets, topics, usages, strict=True)
        ]
        usages = [usage for usage, _ in solved]
        stages.append([sum(loss for _, loss in solved)])
    norms = components.norm(dim=1).clamp(min=torch.finfo(components.dtype).tiny)
    return StagedResult(
        components / norms[:, None],
        usages[0] * norms,
        usages[1] * norms[:n_shared],
        n_shared,
        len(absent),
        n_lacking,
        offsets,
        [loss for stage in stages for loss in stage],
        [len(stage) for stage in stages],
        iterations,
        first.converged and last.converged,
    )


def _first_stage(
    target: Matrix,
    background: Matrix,
    k: int,
    how: Settings,
    template: torch.Tensor,
    start: Start,
    restarts: Restarts,
    name: str,
) -> tuple[Descent, Descent]:
    """Fit W_s; return where that ended, and W_s as it is kept with the background's usages."""
    sides = [background, target] if how.shared_from == "both" else [background]
    first = restarts.best_of(
        Descent,
        how.n_init if start is None else 1,
        lambda number, monitor: _fit_shared(sides, k, how, template, start, number, monitor),
        name,
    )
    if len(sides) == 1:
        return first, first
    shared = misfit.shared(first.components, *first.usages)
    of_background = first.usages[0][:, shared].contiguous()
    components = first.components[shared]
    datasets = [(background, len(components))]
    return first, descend(datasets, components, [of_background], how.loss, 0, 0.0)


def _second_stage(
    target: Matrix,
    held: torch.Tensor,
    k: int,
    how: Settings,
    start: Start,
    restarts: Restarts,
    name: str,
) -> Descent:
    """Fit K topics to what those that are held leave of the target."""
    rough = _rough_usage(target, held, how.loss)
    return restarts.best_of(
        Descent,
        how.n_init,
        lambda number, monitor: _fit_target(target, held, rough, k, how, start, number, monitor),
        name,
    )


def _stands_out(
    target: Matrix,
    background: Matrix,
    absent: torch.Tensor,
    offsets: torch.Tensor,
    n_shared: int,
    n_target: int,
    how: Settings,
    template: torch.Tensor,
    restarts: Restarts,
) -> bool:
    """Return whether a second round finds more than what any fit does that saw one side alone.

    Topics of it are judged by a half of the background that their own fit has not seen.
    """
    if background.shape[0] < misfit.ENOUGH_TO_JUDGE:
        return False
    seen, unseen = misfit.halves(background, how.seed)
    if min(seen.total, unseen.total) == 0:
        return False
    # A rough fit tells as well.
    how = replace(how, n_init=1, tol=_ROUGHER * how.tol)
    n_shared = min(n_shared, seen.shape[0])
    _, left = _first_stage(
        target, seen, n_shared, how, template, None, restarts, "shared topics, half the background"
    )
    held = torch.cat([left.components * offsets, absent])
    found = _second_stage(
        target, held, n_target, how, None, restarts, "target topics, half the background"
    )
    topics = torch.cat([left.components, found.components[len(left.components) :]])
    enriched = misfit.enrichment(found, unseen, topics, n_target, how.loss)
    return bool((enriched > misfit.STANDS_OUT).any())


def _fit_shared(
    sides: list[Matrix],
    k: int,
    how: Settings,
    template: torch.Tensor,
    start: Start,
    number: int,
    monitor: Monitor,
) -> Descent:
    seed = seed_of_start(how.seed, number)
    if start is None and how.seeded:
        start = diverse_samples(sides, k, how.loss, seed, template)
    elif start is None:
        start = uniform((k, sides[0].shape[1]), derive_seed("shared topics", seed), template)
    usages = []
    for side, name in zip(sides, ("background usage", "shared usage"), strict=False):
        usage = uniform((side.shape[0], k), derive_seed(name, seed), template)
        usages.append(usage.mul_(2 * flat_usage(side, start)))
    datasets = [(side, k) for side in sides]
    return descend(datasets, start, usages, how.loss, how.max_iter, how.tol, 0, monitor)


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
