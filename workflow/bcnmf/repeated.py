"""Programs that many starts of a fit agree on, and a model made of them.

Starts differ in nothing but the seed, so what only some of them find is chance. All of them are
fitted to one copy of the data: several at a time by threads, or, on an accelerator and where data
are read in batches, with passes over the data done together. Each comes to the very numbers to
which it comes alone (in the memory of an accelerator up to rounding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone

from bcnmf import checks, progress
from bcnmf.agreement import UNSTABLE, Agreement, agreement
from bcnmf.errors import InputError
from bcnmf.estimators.base import Factorisation
from bcnmf.estimators.contrast import NMF
from bcnmf.estimators.shared_target import SharedTargetNMF
from bcnmf.estimators.solution import Model, Solution, explained, unit_of_objective
from bcnmf.matrices import together
from bcnmf.matrices.base import Matrix
from bcnmf.persistence import Fit
from bcnmf.seeds import derive_seed, seed_of_start
from bcnmf.solvers.restarts import Best, Restarts


@dataclass(frozen=True)
class Consensus:
    """What many starts agree on.

    Attributes
    ----------
    model : BCNMF, NMF or SharedTargetNMF
        A fitted estimator whose `components_` are the programs, those that the target uses most
        first. Its usages are solved for them. `objective_` is the objective there, one value;
        `n_iter_` is that of the longest start, `converged_` whether most starts met their stopping
        rule. Of SharedTargetNMF the shared topics are those of the best start.
    stability_ : ndarray of shape (K,)
        Of each program, in [0, 1]: the share of starts that found it again, times their mean cosine
        with it; see `bcnmf.agreement.agreement`.
    support_ : ndarray of shape (K,)
        How many starts found it again.
    n_starts : int
        Of how many.
    n_dropped : int
        Topics of all starts that were left out as outliers.
    objectives_ : ndarray of shape (n_starts,)
        The last objective of each start.
    """

    model: Any
    stability_: np.ndarray
    support_: np.ndarray
    n_starts: int
    n_dropped: int
    objectives_: np.ndarray

    @property
    def components_(self) -> np.ndarray:
        """The programs, (K, features), rows of unit norm."""
        return np.asarray(self.model.components_)

    @property
    def usage_(self) -> np.ndarray:
        """Usages of the programs by the target, (n, K)."""
        return np.asarray(self.model.usage_)

    @property
    def background_usage_(self) -> np.ndarray:
        """Usages of the background, see the model's."""
        return np.asarray(self.model.background_usage_)

    @property
    def stable_(self) -> np.ndarray:
        """Whether each program (K,) is as stable as `bcnmf.agreement.UNSTABLE` asks for."""
        return np.asarray(self.stability_ >= UNSTABLE)

    def to_fit(self) -> Fit:
        """Return the model as a `Fit`, with the stability of its programs in `info`."""
        fit: Fit = self.model.to_fit()
        fit.info["consensus"] = {
            "n_starts": self.n_starts,
            "n_dropped": self.n_dropped,
            "stability": self.stability_.tolist(),
            "support": self.support_.tolist(),
        }
        return fit

    def advice(self) -> str:
        """Return in a sentence which programs are stable."""
        unstable = np.flatnonzero(~self.stable_)
        k = len(self.stability_)
        text = f"{k - len(unstable)} of {k} programs are stable over {self.n_starts} starts"
        if not len(unstable):
            return text
        names = ", ".join(
            f"{i + 1} (found again by {self.support_[i]})" for i in unstable
        )  # fmt: skip
        return f"{text}; unstable: {names}. Do not interpret these: lower the number of topics"


def consensus(
    estimator: Any,
    X: Any,
    background: Any = None,
    n_starts: int = 50,
    *,
    neighbours: float = 0.3,
    max_distance: float = 0.5,
    random_state: int = 0,
    threads: int | None = None,
    sample_weight: Any = None,
    background_weight: Any = None,
) -> Consensus:
    """Fit many starts, cluster their topics, and return the medians as a fitted model.

    Parameters
    ----------
    estimator : BCNMF, NMF or SharedTargetNMF
        How to fit; it is not changed itself. `n_init` and `random_state` of it do not count.
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Target.
    background : as X, of shape (m, features)
        Background.
    n_starts : int
        At least 2. Start i is the fit with ``random_state=seed_of_start(random_state, i)``
        (`bcnmf.seeds`), however many there are.
    neighbours, max_distance : float
        A topic whose mean distance to its nearest neighbours, as many as this share of the starts,
        is larger than `max_distance` is an outlier and enters no median; topics of unit norm are at
        most 1.41 apart.
    random_state : int
        Seed of starts and clustering.
    threads : int, optional
        Starts at a time; by default as many as torch has threads, and as fit into memory on an
        accelerator or where data are read in batches. It changes no number.
    sample_weight, background_weight : array or Series of shape (n,), (m,), optional
        What the error of each sample counts, see `BCNMF.fit_transform`.

    Returns
    -------
    Consensus

    Raises
    ------
    InputError
        An estimator or a start of which there is no consensus, or anything that it refuses.

    References
    ----------
    Kotliar et al. 2019, eLife 8:e43803.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, consensus
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((60, 12)), rng.random((60, 12))
    >>> found = consensus(BCNMF(2, tol=1e-3), X, background=Y, n_starts=5)
    >>> found.components_.shape, found.stability_.shape, found.model.target_score(X).shape
    ((2, 12), (2,), (60,))
    """
    _check(estimator, n_starts, neighbours, max_distance, random_state, threads)
    model = clone(estimator).set_params(n_init=1, random_state=random_state)
    sides = [X] if background is None else [X, background]
    shared = model._precision_and_device()[1].type != "cpu" or any(map(model._streams, sides))
    starts = _Starts(model, n_starts, neighbours, max_distance, threads, shared)
    with _solved_by(model, starts), _one_thread_a_pass(starts.threads):
        model.fit(
            X, background=background, sample_weight=sample_weight,
            background_weight=background_weight,
        )  # fmt: skip
    found = starts.found
    return Consensus(
        model, found.stability, found.support, n_starts, int(found.dropped.sum()),
        np.array(starts.objectives),
    )  # fmt: skip


def _check(
    estimator: Any,
    n_starts: int,
    neighbours: float,
    max_distance: float,
    random_state: int,
    threads: int | None,
) -> None:
    if not isinstance(estimator, NMF | SharedTargetNMF):
        why = (
            ", whose shared and target parts belong together, so that medians of each would not"
            if isinstance(estimator, Factorisation)
            else ""
        )
        raise InputError(
            f"{type(estimator).__name__}: there is no consensus of it{why}; give BCNMF, NMF or "
            "SharedTargetNMF"
        )
    if not isinstance(estimator.init, str) or estimator.init == "nndsvd":
        raise InputError(
            f"init={estimator.init if isinstance(estimator.init, str) else 'arrays'!r}: all starts "
            f"would be one; set init={estimator._starts[0]!r}"
        )
    checks.check_integer("n_starts", n_starts, 2)
    checks.check_number("neighbours", neighbours, 0.0, 1.0)
    checks.check_number("max_distance", max_distance, 0.0, 2.0)
    checks.check_integer("random_state", random_state, 0)
    if threads is not None:
        checks.check_integer("threads", threads, 1)


class _Start(NamedTuple):
    """A start's topics in float32, and how it ended."""

    topics: np.ndarray
    objective: float
    n_iter: int
    converged: bool


class _Starts:
    """Solves a fit by many starts.

    Attributes
    ----------
    found : Agreement
        After the fit, its programs ordered as those of the model.
    objectives : list of float
        The last objective of each start, in units of the data.
    threads : int
        Starts at a time, each in a thread, that do not share passes over the data.
    """

    found: Agreement
    objectives: list[float]

    def __init__(
        self,
        model: Any,
        n_starts: int,
        neighbours: float,
        max_distance: float,
        threads: int | None,
        shared: bool,
    ) -> None:
        self._model, self._n = model, n_starts
        self._most = min(n_starts, threads or n_starts)
        self.threads = 1 if shared else min(self._most, threads or torch.get_num_threads())
        self._outliers = neighbours, max_distance
        self._best = Best[tuple[Solution, dict[str, Any]]]()

    def solve(self, target: Matrix, background: Matrix | None, restarts: Restarts) -> Solution:
        """Return the programs of all starts, with their usages, in place of a start's topics."""
        starts = self._run(*together.shared(target, background))
        for start in starts:
            if start.topics.shape != starts[0].topics.shape:
                raise InputError(
                    f"starts came to {len(starts[0].topics)} and to {len(start.topics)} topics; "
                    "there is no consensus of different numbers of topics"
                )
        best, fitted = self._best.kept
        vars(self._model).update(fitted)
        found = agreement(
            np.stack([start.topics for start in starts]), *self._outliers,
            derive_seed("consensus", self._model.seed_),
        )  # fmt: skip
        solution, order = self._with_programs(found.programs, best, target, background)
        self.found = found.ordered(order)
        unit = unit_of_objective(target.unit, self._model._loss())
        self.objectives = [unit * start.objective for start in starts]
        solution.result.n_iter = max(start.n_iter for start in starts)
        solution.result.converged = 2 * sum(start.converged for start in starts) > self._n
        return solution

    def _run(self, target: Matrix, background: Matrix | None) -> list[_Start]:
        """Return the starts in their order."""
        with progress.counting("start", self._n) as step:
            return self._run_all(target, background, step)

    def _run_all(
        self, target: Matrix, background: Matrix | None, step: Callable[[], None]
    ) -> list[_Start]:
        works = [
            partial(self._start, number, target, background, step) for number in range(self._n)
        ]
        at_once = self._model._at_once(self._most, target, background)
        if at_once > 1:
            ended = dict[int, _Start]()
            together.run_together(works, at_once, ended.__setitem__)
            return [ended[number] for number in range(self._n)]
        if self.threads == 1:
            return [work() for work in works]
        with ThreadPoolExecutor(
            self.threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            try:
                return [one.result() for one in [pool.submit(work) for work in works]]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _start(
        self, number: int, target: Matrix, background: Matrix | None, step: Callable[[], None]
    ) -> _Start:
        one = clone(self._model)
        known = {name: value for name, value in vars(self._model).items() if name != "_solve"}
        vars(one).update(known)
        one.seed_ = seed_of_start(known["seed_"], number)
        solution = one._solve(target, background, Restarts(device=one._precision_and_device()[1]))
        fitted = {name: value for name, value in vars(one).items() if name not in known}
        result = solution.result
        self._best.offer(number, result.objective[-1], (solution, fitted))
        step()
        topics = solution.factors["components"].cpu().numpy()
        return _Start(topics, result.objective[-1], result.n_iter, result.converged)

    def _with_programs(
        self, programs: np.ndarray, best: Solution, target: Matrix, background: Matrix | None
    ) -> tuple[Solution, np.ndarray]:
        """Return the best start with programs for its target topics, and the order of these."""
        topics, _ = best.target
        k, loss = len(programs), self._model._loss()
        topics = topics.clone()
        split = len(topics) - k
        topics[split:] = torch.as_tensor(programs).to(topics)
        usage = self._model._usage_of(target, topics)
        order = usage[:, split:].square().sum(0).argsort(descending=True, stable=True)
        columns = torch.cat([torch.arange(split, device=order.device), split + order])
        topics, usage = topics[columns], usage[:, columns].contiguous()
        factors = dict(best.factors)
        factors |= {"components": topics[split:], **self._model._usages(usage)}
        other, weight = best.background, 1.0
        if isinstance(self._model, NMF):
            solved = usage[:0] if background is None else self._model._usage_of(background, topics)
            factors["background_usage"] = solved
            other, weight = (topics, solved), -self._model.alpha_
        else:
            self._model.stages_ = [1]
        objective = _divergence(target, (topics, usage), loss)
        if background is not None and weight:
            objective += weight * _divergence(background, other, loss)
        best.result.objective = [objective]
        if hasattr(best.result, "kkt_residual"):
            best.result.kkt_residual = float("nan")
        return Solution(best.result, factors, (topics, usage), other), order.cpu().numpy()


def _divergence(data: Matrix, model: Model, loss: str) -> float:
    if loss == "poisson":
        return float(data.poisson_loss(*model))
    return (1.0 - explained(data, *model, loss)) * data.squared_norm


@contextmanager
def _solved_by(model: Any, starts: _Starts) -> Iterator[None]:
    """Let a model be fitted by many starts: all else of a fit stays as it is."""
    model._solve = starts.solve
    try:
        yield
    finally:
        del model._solve


@contextmanager
def _one_thread_a_pass(starts_at_a_time: int) -> Iterator[None]:
    """Leave the processors to the starts where several run at a time."""
    before = torch.get_num_threads()
    try:
        if starts_at_a_time > 1:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
