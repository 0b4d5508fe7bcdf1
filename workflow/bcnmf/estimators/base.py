"""What all estimators share: checks, names, reading data, storing, warnings, files, scikit-learn.

A subclass says what its parameters may be, fits, and solves the usages of new samples.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from bcnmf import checks, memory, outcome
from bcnmf.checkpoint import OptionalPath, of_fit
from bcnmf.device import gram_float64, resolve_device
from bcnmf.errors import ImpossibleResult, InputError
from bcnmf.estimators.placed import Placed
from bcnmf.estimators.reading import Given, Reading
from bcnmf.estimators.solution import Solution, explained, unit_of_objective, unused
from bcnmf.estimators.stored import Stored
from bcnmf.estimators.target_score import TargetScore
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices import together
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.matrices.inputs import host_array
from bcnmf.progress import Progress, announce, doing
from bcnmf.seeds import RandomState, seed_of
from bcnmf.sklearn_errors import NotFittedError, warn_user
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.result import Monitor
from bcnmf.stopping import Stop

Init = str | Sequence[Any]


class Factorisation(
    Placed,
    Reading,
    TargetScore,
    Stored,
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Non-negative factors of a target, with a background."""

    # What parameters may be: words, whole numbers from a smallest one on, numbers in a range.
    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _integers: ClassVar[Mapping[str, int]] = {}
    _numbers: ClassVar[Mapping[str, tuple[float, float]]] = {}
    # Words for `init`, and which arrays it may be instead.
    _starts: ClassVar[tuple[str, ...]] = ("seeded", "random")
    _start_arrays: ClassVar[str]
    # What warnings call the topics, and what they advise.
    _topics: ClassVar[str] = "topics"
    _fewer: ClassVar[str] = "lower n_components"

    components_: np.ndarray
    usage_: np.ndarray
    background_usage_: np.ndarray
    objective_: np.ndarray
    kkt_residual_: float
    n_passes_: float

    def __init__(
        self,
        init: Init,
        max_iter: int,
        tol: float,
        n_init: int,
        batch_size: int | None,
        device: str,
        dtype: str,
        random_state: RandomState,
        verbose: int,
    ) -> None:
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        background: Any = None,
        checkpoint: OptionalPath = None,
        sample_weight: Any = None,
        background_weight: Any = None,
    ) -> Self:
        """Fit as `fit_transform` does; return self."""
        return self._fit(X, background, checkpoint, sample_weight, background_weight)

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        background: Any = None,
        checkpoint: OptionalPath = None,
        sample_weight: Any = None,
        background_weight: Any = None,
    ) -> np.ndarray:
        """Fit and return the usages of the target.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
            Target, non-negative.
        y : None
            Ignored, for scikit-learn.
        background : as X, of shape (m, features)
            Background; `NMF`, and `BCNMF` with alpha=0, need none.
        checkpoint : path, optional
            File (.npz) for the state of the fit, written every minute, and when Ctrl-C or SIGTERM
            ends the fit after the iteration at hand. A fit that finds one goes on from it, to the
            same numbers as if it had not been stopped, and deletes it when it is done. The state of
            other data, parameters or code is refused (`bcnmf.errors.StaleCheckpoint`).
        sample_weight, background_weight : array or Series of shape (n,), (m,), optional
            What the error of each sample counts, at least 0; `bcnmf.balanced_weights` makes them of
            batches. Two counts as the sample twice. Samples of weight 0 are left out of the fit and
            have the usages that solve them, as by `transform`.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Parameters out of range, no background where there has to be one, target and background
            with different features or names of features, not enough memory, or a checkpoint of
            another fit. Data that are empty, negative, not finite, no numbers, masked, missing or
            beyond the range of `dtype`; sparse data that point outside themselves. Weights of the
            wrong number, negative, not finite, all zero or of other samples.
        """
        return self._fit(X, background, checkpoint, sample_weight, background_weight).usage_

    def transform(self, X: Any) -> np.ndarray:
        """Return the usages (samples, K) of new samples that best explain them by `components_`."""
        data = self._new_samples(X)
        dtype, device = self._precision_and_device()
        topics = torch.as_tensor(self._all_topics(), dtype=dtype).to(device)
        usage = self._usages(self._usage_of(data, topics) * data.unit)["usage"]
        return np.asarray(usage.cpu().numpy())

    def inverse_transform(self, H: Any) -> np.ndarray:
        """Return the reconstruction H C (samples, features), dense."""
        self._check_fitted()
        usage = host_array(H, "H")
        if usage.shape[1] != len(self.components_):
            raise InputError(
                f"H: has shape {usage.shape}; expected (samples, {len(self.components_)})"
            )
        return np.asarray(usage @ self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        # Whatever the data are in, usages are in the precision of the factors.
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    @abstractmethod
    def _solve(self, target: Matrix, background: Any, restarts: Restarts) -> Solution:
        """Fit checked data, `background` being a Matrix, or None if that is allowed."""

    def _loss(self) -> str:
        """Return which divergence is minimised."""
        return "squared_error"

    def _all_topics(self) -> np.ndarray:
        """Return the topics that new samples may use."""
        return self.components_

    def _usage_of(self, data: Matrix, topics: torch.Tensor) -> torch.Tensor:
        """Return usages of all these topics by new samples: here those of least squares."""
        usage = topics.new_zeros((data.shape[0], len(topics)))
        return nonnegative_least_squares(data.times(topics), gram_float64(topics), usage)

    def _usages(self, usage: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return usages of all topics of the target by the names that they are stored under."""
        return {"usage": usage}

    def _derive(self) -> None:
        """Set attributes that follow from others, after a fit or from a file."""

    def _check_parameters(self) -> None:
        for name, allowed in self._choices.items():
            checks.check_choice(name, getattr(self, name), allowed)
        checks.check_choice("dtype", self.dtype, ("float32", "float64"))
        resolve_device(self.device)
        for name, low in ({"max_iter": 1, "n_init": 1} | dict(self._integers)).items():
            checks.check_integer(name, getattr(self, name), low)
        if self.batch_size is not None:
            checks.check_integer("batch_size", self.batch_size, 1)
        for name, (least, most) in ({"tol": (0.0, np.inf)} | dict(self._numbers)).items():
            checks.check_number(name, getattr(self, name), least, most)
        arrays = isinstance(self.init, list | tuple)
        if not (arrays or (isinstance(self.init, str) and self.init in self._starts)):
            raise InputError(
                f"init={self.init!r} is not known; allowed: {', '.join(self._starts)}, or "
                f"{self._start_arrays}"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "components_")

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit first")

    def _fit(
        self,
        X: Any,
        background: Any,
        checkpoint: OptionalPath = None,
        sample_weight: Any = None,
        background_weight: Any = None,
    ) -> Self:
        self._check_parameters()
        self.seed_ = seed_of(self.random_state)
        given = Given.of(X, background, sample_weight, background_weight, self._loss())
        target, other = self._read(given)
        if self.verbose:
            self._announce(*(side for side in (target, other) if side is not None))
        with doing("fitting"):
            self._fit_to(target, other, given, checkpoint)
        self._finish(target, other, given)
        return self

    def _fit_to(
        self,
        target: Matrix,
        background: Matrix | None,
        given: Given,
        checkpoint: OptionalPath = None,
        stop: Stop | None = None,
        label: str = "",
    ) -> None:
        """Fit checked sides, made of what was given; see `Checkpoint` for `stop`."""
        device, n = self._precision_and_device()[1], self._starts_to_run()
        saved = of_fit(self, checkpoint, given.sides, device, given.weightings, stop)
        if n > 1:
            target, background = together.shared(target, background)
        restarts = Restarts(
            partial(self._monitor, target.unit, label), saved, device,
            self._at_once(n, target, background),
        )  # fmt: skip
        with leave_threads_to_passes(target, background), saved.stopped_between_iterations():
            solution = self._solve(target, background, restarts)
        saved.remove()
        solution = solution.in_units_of_data(target.unit, self._loss())
        solution = self._of_all_samples(solution, given, target.unit)
        self._store(solution, target, background)
        sides = [side for side in (target, background) if side is not None]
        self.n_passes_ = max(map(together.passes, sides))

    def _announce(self, *sides: Matrix) -> None:
        """Say where the fit runs, why there, and what memory it takes."""
        dtype, device = self._precision_and_device()
        samples = sum(side.shape[0] for side in sides)
        buffers = max(side.buffer_bytes for side in sides)  # passes go over one at a time
        target, *background = sides
        shared = together.shared(target, background[0] if background else None)
        topics = self._n_topics() * self._at_once(self._starts_to_run(), *shared)
        needed = memory.beside_data(topics, samples, self.n_features_in_, dtype, buffers)
        why = "as asked for" if self._placement is None else self._placement.why
        announce(f"{device} ({why})", needed, memory.free(device))

    def _finish(self, target: Matrix, background: Matrix | None, given: Given) -> None:
        """Do what is left to do after a fit, by whoever called it."""
        self._warn(target, background)

    def _at_once(self, fits: int, *sides: Matrix | None) -> int:
        """Return how many fits run at a time, with passes over these data done together."""
        if not together.pays(*sides):
            return 1
        samples = sum(side.shape[0] for side in sides if side is not None)
        precision = self._precision_and_device()
        return memory.at_once(fits, self._n_topics(), samples, self.n_features_in_, *precision)

    def _of_all_samples(self, solution: Solution, given: Given, unit: float) -> Solution:
        """Return usages of the samples themselves, and of those too that were left out."""
        factors = dict(solution.factors)
        for side, weighting in given.weightings.items():
            topics, usage = solution.target if side == "target" else solution.background
            usage = usage.new_zeros((0, len(topics)))
            if len(weighting.left_out):
                left_out = self._matrix(given.sides[side], side, unit, weighting.others)
                usage = self._usage_of(left_out, topics) * unit
            parts = self._usages(usage) if side == "target" else {"background_usage": usage}
            for name, part in parts.items():
                factors[name] = weighting.complete(weighting.unweighted(factors[name]), part)
        return solution._replace(factors=factors)

    def _starts_to_run(self) -> int:
        return int(self.n_init) if isinstance(self.init, str) else 1

    def _monitor(self, unit: float, *labels: str) -> Monitor:
        of_objective, label = unit_of_objective(unit, self._loss()), ", ".join(filter(None, labels))
        shown = Progress(self.max_iter, label=label, unit=of_objective) if self.verbose else None
        return Monitor(shown)

    def _store(self, solution: Solution, target: Matrix, background: Matrix | None) -> None:
        result = solution.result
        for name, values in solution.factors.items():
            if not bool(torch.isfinite(values).all()):
                raise ImpossibleResult(
                    f"the fit diverged: {name} holds NaN or infinite values after {result.n_iter} "
                    f"iterations; use dtype='float64', or scale the data{self._tamer()}"
                )
        shares = {"explained_target_": explained(target, *solution.target, self._loss())}
        shares["explained_background_"] = (
            float("nan")
            if background is None
            else explained(background, *solution.background, self._loss())
        )
        objective = np.asarray(result.objective)
        arrays = {"components": solution.target[0].cpu().numpy(), "objective": objective}
        if found := outcome.impossible(arrays, shares, self.get_params(deep=False)):
            raise ImpossibleResult(f"the fit came to what cannot be: {found}{self._tamer()}")
        for name, values in solution.factors.items():
            setattr(self, f"{name}_", values.cpu().numpy())
        self.objective_ = objective
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        if hasattr(result, "kkt_residual"):
            self.kkt_residual_ = result.kkt_residual
        self.device_ = str(self._precision_and_device()[1])
        self.device_reason_ = "" if self._placement is None else self._placement.why
        self.explained_target_, self.explained_background_ = shares.values()
        self._derive()

    def _tamer(self) -> str:
        """Return what else keeps a fit from diverging."""
        return ""

    def _warn(self, target: Matrix, background: Matrix | None) -> None:
        """Say what the user should know about the fit."""
        messages = [self._not_converged()] if self.tol > 0 and not self.converged_ else []
        shares = self.explained_target_, self.explained_background_
        weight = getattr(self, "alpha_", 0.0)
        weight *= background.squared_norm / target.squared_norm if background else np.nan
        found = outcome.remark(*shares, self.get_params(deep=False), weight)
        for message in [*messages, *([found] if found else []), *self._idle_topics()]:
            warn_user(message)

    def _not_converged(self) -> str:
        residual = self.kkt_residual_
        if self.n_iter_ < self.max_iter:
            return (
                f"no step lowered the objective any more after {self.n_iter_} iterations, with a "
                f"projected gradient of {residual:.2g}; try dtype='float64' or n_init > 1"
            )
        shown = "" if np.isnan(residual) else f", projected gradient {residual:.2g}"
        return (
            f"the stopping rule was not met after max_iter={self.max_iter} iterations "
            f"(tol={self.tol:g}{shown}); raise max_iter or tol"
        )

    def _idle_topics(self) -> list[str]:
        """Return what to say about topics that no sample uses."""
        idle, k = unused(self.usage_), self.usage_.shape[1]
        text = f"the target uses {self._topics} {idle} of {k} nowhere; {self._fewer}"
        return [text] if idle else []
