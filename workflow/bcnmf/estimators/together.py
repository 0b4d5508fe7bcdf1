"""Several models of the same data in one set of passes over them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from bcnmf.checkpoint import OptionalPath
from bcnmf.errors import InputError
from bcnmf.estimators.base import Factorisation
from bcnmf.estimators.reading import Given
from bcnmf.matrices import together
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.seeds import seed_of
from bcnmf.stopping import Stop, noted

Done = Callable[[int, Any], None]


def fit_together(
    estimators: Sequence[Any],
    X: Any,
    background: Any = None,
    *,
    sample_weight: Any = None,
    background_weight: Any = None,
    checkpoints: Sequence[OptionalPath] | None = None,
    done: Done | None = None,
) -> list[Any]:
    """Fit several models to the same target and background.

    The data are checked and read once. On an accelerator, and where data are read in batches, the
    models share the passes over the data too, as many at a time as fit into memory; else they are
    fitted one after another. Every model comes to what its `fit` comes to: to the very numbers on
    the CPU and where data are read in batches, in the memory of an accelerator up to rounding.

    Parameters
    ----------
    estimators : sequence of BCNMF, NMF, SharedTargetNMF, CombinedBasisNMF
        They are fitted themselves, as by `fit`; each with its own numbers of topics, alpha, seed,
        solver, precision and so on.
    X, background, sample_weight, background_weight
        See `BCNMF.fit_transform`.
    checkpoints : sequence of path, optional
        A file for the state of each model, see `BCNMF.fit_transform`. Ctrl-C and SIGTERM end all
        models, each after the iteration at hand.
    done : callable, optional
        Told number and model as soon as a model is fitted.

    Returns
    -------
    list
        The estimators.

    Raises
    ------
    InputError
        Anything that a model refuses; a note and `number` say which model. Parameters of all are
        looked at first. Where a model fails while it is fitted, the others are fitted before that
        is raised, with a note on each other one that failed.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, fit_together
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((40, 12)), rng.random((30, 12))
    >>> found = fit_together([BCNMF(2, alpha=alpha) for alpha in (0.5, 1.0)], X, background=Y)
    >>> [model.usage_.shape for model in found]
    [(40, 2), (40, 2)]
    """
    models = list(estimators)
    _check(models, checkpoints)
    paths: Sequence[OptionalPath] = checkpoints or [None] * len(models)
    given = [
        Given.of(X, background, sample_weight, background_weight, model._loss()) for model in models
    ]
    stop = Stop()
    groups: dict[Hashable, list[_Fit]] = defaultdict(list)
    opened: dict[int | None, dict[str, Any]] = {}
    for number, (model, of_model, path) in enumerate(zip(models, given, paths, strict=True)):
        with _named(number, model):
            model._check_names(of_model)
            model._place(partial(_opened, opened, model, of_model))
        groups[_reading(model, of_model)].append(_Fit(number, model, of_model, path, stop))
    opened.clear()
    failures: list[BaseException] = []
    for group in groups.values():
        _fit_group(group, failures, done)
    if failures:
        first, *others = failures
        for other in others:
            which = getattr(other, "__notes__", [])
            first.add_note("; ".join(["not fitted either", *which, str(other)]))
        raise first
    return models


def _opened(
    opened: dict[int | None, dict[str, Any]], model: Factorisation, given: Given
) -> dict[str, Any]:
    """Return the sides as a model takes them, opened once for all that take them so."""
    size = model._block_size()
    if size not in opened:
        opened[size] = model._values(given)
    return opened[size]


class _Fit(NamedTuple):
    number: int
    model: Any
    given: Given
    path: OptionalPath
    stop: Stop

    def run(self, target: Matrix, background: Matrix | None, label: str) -> BaseException | None:
        """Fit; return why that failed, or was stopped."""
        try:
            with _named(self.number, self.model):
                self.model._fit_to(target, background, self.given, self.path, self.stop, label)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            return error
        return None


def _fit_group(group: Sequence[_Fit], failures: list[BaseException], done: Done | None) -> None:
    """Fit models that read the data alike."""
    largest = max(group, key=lambda one: one.model._n_topics())
    values = largest.model._values(largest.given)
    sides = largest.model._matrices(values, largest.given.weightings)
    del values
    for one in group:
        with _named(one.number, one.model):
            one.model._take(sides, one.given)
    target, background = sides["target"], sides.get("background")

    def ended(number: int, failure: BaseException | None) -> None:
        one = group[number]
        if failure is not None:
            failures.append(failure)
            return
        one.model._finish(target, background, one.given)
        if done is not None:
            done(one.number, one.model)

    shared = together.shared(target, background)
    at_once = largest.model._at_once(len(group), *shared)
    if at_once == 1:
        to_read = {name: side.passes for name, side in sides.items()}
        for number, one in enumerate(group):
            for name, side in sides.items():
                side.passes = to_read[name]  # those of other models are not of this one
            failure = one.run(target, background, "")
            ended(number, failure)
            if isinstance(failure, KeyboardInterrupt | SystemExit):
                raise failure
        return
    works = [
        partial(one.run, *shared, f"model {number} of {len(group)}")
        for number, one in enumerate(group, start=1)
    ]
    with leave_threads_to_passes(target, background), _noted(group):
        together.run_together(works, at_once, ended)


@contextmanager
def _noted(group: Sequence[_Fit]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the fits after an iteration if all leave their state then."""
    if any(one.path is None for one in group):
        yield
        return
    stop = group[0].stop
    with noted(stop, "stopping after this iteration"):
        yield


@contextmanager
def _named(number: int, model: Any) -> Iterator[None]:
    """Say which model it is that an error is about."""
    try:
        yield
    except Exception as error:
        error.add_note(f"estimators[{number}]: {model}")
        if isinstance(error, InputError):
            error.number = number
        raise


def _reading(model: Factorisation, given: Given) -> Hashable:
    """Return what models have to have in common to be fitted to the same matrices."""
    weighed = model._loss() if given.weightings else None
    return (*model._precision_and_device(), model._block_size(), model._scaled(), weighed)


def _check(models: Sequence[Any], checkpoints: Sequence[OptionalPath] | None) -> None:
    if not models:
        raise InputError("estimators: there is none; give at least one")
    for number, model in enumerate(models):
        if not isinstance(model, Factorisation):
            raise InputError(
                f"estimators[{number}] is {model!r}; expected BCNMF, NMF, SharedTargetNMF or "
                "CombinedBasisNMF"
            )
        if any(model is other for other in models[:number]):
            raise InputError(
                f"estimators[{number}] is the same object as one before it, which would be fitted "
                "twice; give a copy (sklearn.base.clone)"
            )
        with _named(number, model):
            model._check_parameters()
        model.seed_ = seed_of(model.random_state)
    if checkpoints is None:
        return
    named = [os.path.abspath(path) for path in checkpoints if path is not None]
    if len(checkpoints) != len(models) or len(set(named)) < len(named):
        raise InputError(
            f"checkpoints: {len(checkpoints)} paths, {len(set(named))} of them different, for "
            f"{len(models)} estimators; give each one of its own"
        )
