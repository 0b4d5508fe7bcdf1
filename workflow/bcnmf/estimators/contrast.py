"""Estimators: background-contrastive NMF, and plain NMF as its special case."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin

from bcnmf import memory
from bcnmf.checkpoint import Checkpoint
from bcnmf.checks import check_integer, check_number, check_same_features
from bcnmf.device import as_float64, gram_float64, resolve_device, resolve_dtype
from bcnmf.errors import ConvergenceWarning, InputError
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.matrices.divergence import squared_error
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.inputs import host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.matrices.streamed import streamed
from bcnmf.persistence import Fit
from bcnmf.progress import Progress
from bcnmf.solvers import multiplicative as mu
from bcnmf.solvers import safeguarded, stochastic
from bcnmf.solvers.result import FACTORS, Monitor, SolverResult, as_tensor, packed, unpacked
from bcnmf.solvers.spectral import spectral_factors
from bcnmf.solvers.starts import Factors, given_factors, random_factors

_CHOICES = {
    "contrast": ("relative", "absolute"),
    "loss": ("squared_error", "poisson"),
    "solver": ("safeguarded", "mu", "stochastic"),
    "dtype": ("float32", "float64"),
}
_STARTS = ("random", "nndsvd")
# A checkpoint goes on with other values of these.
_MAY_CHANGE = ("max_iter", "tol", "verbose")


class BCNMF(TransformerMixin, BaseEstimator):
    """Background-contrastive non-negative matrix factorisation.

    Finds K topics C >= 0 that explain the target X and do not explain the background Y::

        minimise over C, H_X >= 0    D(X | H_X C) - alpha D(Y | H_Y C)
        where H_Y >= 0 itself minimises D(Y | H_Y C)

    Parameters
    ----------
    n_components : int
        Number of topics K.
    alpha : float
        Contrast, at least 0; 0 is plain NMF.
    contrast : {"relative", "absolute"}
        "absolute" takes alpha as the paper writes it. "relative" multiplies it by
        ||X||^2 / ||Y||^2 (squared error) or sum(X) / sum(Y) (Poisson), so that alpha means the
        same whatever the units and the numbers of samples.
    loss : {"squared_error", "poisson"}
        D: squared error, or generalised Kullback-Leibler divergence for counts.
    solver : {"safeguarded", "mu"}
        "mu" is the published algorithm to the letter: factors are returned as the iterations leave
        them, neither normalised nor re-solved. "safeguarded" minimises the same objective with
        every accepted step a descent, unit-norm components and exact usages; it refuses the
        Poisson loss with alpha > 0, which is unbounded below. "stochastic" is for data so large
        that few passes can be afforded: squared error only, components move after every batch of
        samples, by steps that get smaller, and usages are exact at the end.
    init : "random", "nndsvd" or tuple of arrays
        "random" draws uniform(0, 1); the safeguarded solver then reaches a contrast above 1
        gradually, in twenty passes before the first iteration, since a strong one would drive all
        topics into one. "nndsvd" starts from the leading directions of the contrast. Given:
        (components (K, features), usage (n, K), background_usage (m, K)).
    max_iter : int
        Iterations at most; with solver="stochastic" passes over the data.
    tol : float
        Stopping tolerance; 0 runs all `max_iter` iterations.
    n_init : int
        Starts, of which the one with the best true objective is kept. With init="nndsvd" the first
        is that, the others are random.
    batch_size : int, optional
        Samples that are held at a time, see `bcnmf.matrices.streamed`: the numbers are those of
        data in memory, up to rounding. Data on disk (backed AnnData, HDF5) are always read in
        batches, by default of about 256 MB. With solver="stochastic" the samples after which
        components move, by default a hundredth of all, or 256.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps"; `device_` says what was used.
    dtype : {"float32", "float64"}
        Precision of the factors; objectives are always accumulated in float64.
    random_state : int
        Seed. The same seed gives the same start in every precision and on every device.
    damping : float
        Exponent of the multiplicative ratios, Poisson with solver="mu" only.
    verbose : int
        1 shows iteration, objective and time on standard error.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        Loadings; rows have unit L2 norm (solver="safeguarded").
    usage_ : ndarray of shape (n, K)
        Usages of the target, as returned by `fit_transform`.
    background_usage_ : ndarray of shape (m, K)
        Usages of the background; (0, K) without one.
    objective_ : ndarray of shape (n_iter_ + 1,)
        The true objective before the first and after every iteration. The safeguarded solver's
        usages are optimal at every entry. With solver="stochastic": after every pass what its
        batches showed, each before the components moved on; only the last entry is exact.
    n_iter_, converged_, kkt_residual_
        Iterations done, whether the stopping rule was met, and the relative size of the projected
        gradient at the end (NaN for solver="mu").
    alpha_ : float
        The contrast in absolute terms.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that the factors explain, 1 - ||X - HC||^2 / ||X||^2; for
        Poisson the fraction of the deviance from the best rank-one model (sample total x feature
        share).
    device_ : str
        Where the fit ran.

    References
    ----------
    Li, Yang & Li, Disentangling Shared and Target-Enriched Topics via Background-Contrastive
    Non-negative Matrix Factorization, arXiv 2602.22387.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((40, 12)), rng.random((30, 12))
    >>> BCNMF(n_components=3, alpha=0.5, random_state=0).fit_transform(X, background=Y).shape
    (40, 3)
    """

    def __init__(
        self,
        n_components: int = 10,
        alpha: float = 1.0,
        contrast: str = "relative",
        loss: str = "squared_error",
        solver: str = "safeguarded",
        init: str | Sequence[Any] = "random",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: int = 0,
        damping: float = 0.5,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.contrast = contrast
        self.loss = loss
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.damping = damping
        self.verbose = verbose

    def fit(self, X: Any, y: None = None, *, background: Any = None, **options: Any) -> BCNMF:
        """Fit to target `X` (n, features) and `background` (m, features); return self.

        Parameters, with the `options`, are those of `fit_transform`.
        """
        self.fit_transform(X, background=background, **options)
        return self

    def fit_transform(
        self,
        X: Any,
        y: None = None,
        *,
        background: Any = None,
        checkpoint: str | os.PathLike | None = None,
    ) -> np.ndarray:
        """Fit and return the usages of the target.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor or AnnData of shape (n, features)
            Target, non-negative.
        y : None
            Ignored, for scikit-learn.
        background : as X, of shape (m, features)
            Background; may be omitted when alpha is 0.
        checkpoint : path, optional
            File (.npz) for the state of the fit, written every minute, and when Ctrl-C or SIGTERM
            ends the fit after the iteration at hand. A fit that finds one goes on from it, to the
            same numbers as if it had not been stopped, and deletes it when it is done.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Parameters out of range, data that are empty, negative or not finite, target and
            background with different features, not enough memory, or a checkpoint of another fit.
        """
        self._check_parameters()
        device = self._precision_and_device()[1]
        target, other = self._pair(X, background)
        self.alpha_ = self._absolute_alpha(target, other)
        identity = {} if checkpoint is None else self._identity(target, other)
        saved = Checkpoint(checkpoint, identity)
        with saved.stopped_between_iterations(), leave_threads_to_passes(target, other):
            best = self._best(target, other, saved)
        self._store(best, target, other, device)
        saved.remove()
        return self.usage_

    def transform(self, X: Any) -> np.ndarray:
        """Return the usages (samples, K) of new samples that best explain them by `components_`."""
        data = self._new_samples(X)
        dtype, device = self._precision_and_device()
        components = torch.as_tensor(self.components_, dtype=dtype).to(device)
        if self.loss == "squared_error":
            usage = torch.zeros((data.shape[0], len(components)), dtype=dtype, device=device)
            nonnegative_least_squares(data.times(components), gram_float64(components), usage)
        else:
            # A flat start in which each sample's expected total is its own total.
            weights = components.sum()
            totals = data.times(torch.ones_like(components[:1]))
            usage = (totals / weights.clamp(min=1e-30)).repeat(1, len(components))
            data.poisson_usage(components, usage)
        return usage.cpu().numpy()

    def inverse_transform(self, H: Any) -> np.ndarray:
        """Return the reconstruction H C (samples, features), dense."""
        self._check_fitted()
        usage = np.asarray(H)
        if usage.ndim != 2 or usage.shape[1] != len(self.components_):
            raise InputError(
                f"H: has shape {usage.shape}; expected (samples, {len(self.components_)})"
            )
        return usage @ self.components_

    def save(self, path: str | os.PathLike) -> None:
        """Save the fitted model as .npz (no pickles); see `load`."""
        self.to_fit().write(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> BCNMF:
        """Load a model written by `save`, or the fit file of a pipeline job.

        Raises
        ------
        InputError
            The file is missing, damaged, or holds another class of model.
        """
        fit = Fit.read(path)
        stored = fit.info.get("estimator", {})
        if stored.get("class") != cls.__name__:
            raise InputError(
                f"{path}: holds {stored.get('class', 'no bcnmf model')}; expected {cls.__name__}"
            )
        model = cls(**stored["parameters"])
        model.components_ = fit.components
        model.usage_ = fit.usage
        model.background_usage_ = fit.background_usage
        model.objective_ = fit.objective
        model.n_features_in_ = fit.components.shape[1]
        for name, value in stored["fitted"].items():
            setattr(model, name, float("nan") if value is None else value)
        return model

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, ready for names to be added."""
        self._check_fitted()
        parameters = self.get_params()
        if not isinstance(self.init, str):
            parameters["init"] = "random"  # given factors are data, not a setting to store
        fitted = {name: getattr(self, name) for name in self._fitted_scalars}
        fitted = {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in fitted.items()
        }
        return Fit(
            usage=self.usage_,
            background_usage=self.background_usage_,
            components=self.components_,
            objective=self.objective_,
            objective_name=self._objective_name(),
            info={
                "estimator": {
                    "class": type(self).__name__,
                    "parameters": parameters,
                    "fitted": fitted,
                }
            },
        )

    _fitted_scalars = (
        "n_iter_",
        "converged_",
        "kkt_residual_",
        "alpha_",
        "explained_target_",
        "explained_background_",
        "device_",
    )

    def _objective_name(self) -> str:
        loss = "squared error" if self.loss == "squared_error" else "KL divergence"
        return loss if self.alpha == 0 else f"{loss}, contrast"

    def _check_parameters(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name, allowed[0])
            if value not in allowed:
                raise InputError(f"{name}={value!r} is not known; allowed: {', '.join(allowed)}")
        check_integer("n_components", self.n_components, 1)
        check_integer("max_iter", self.max_iter, 1)
        check_integer("n_init", self.n_init, 1)
        check_integer("random_state", self.random_state, 0)
        check_number("tol", self.tol, 0.0, np.inf)
        check_number("alpha", self.alpha, 0.0, np.inf)
        check_number("damping", self.damping, 1e-6, 1.0)
        if isinstance(self.init, str) and self.init not in _STARTS:
            raise InputError(
                f"init={self.init!r} is not known; allowed: {', '.join(_STARTS)}, or three arrays "
                "(components, usage, background_usage)"
            )
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, 1)
        if self.solver == "stochastic" and self.loss == "poisson":
            raise InputError(
                "solver='stochastic' is for loss='squared_error'; for counts use solver='mu' with "
                "batch_size=..., which reads them batch by batch"
            )
        if self.solver == "safeguarded" and self.loss == "poisson" and self.alpha > 0:
            raise InputError(
                "loss='poisson' with alpha > 0 is unbounded below, so solver='safeguarded' cannot "
                "minimise it; use SharedTargetNMF, which is well posed on counts, or "
                "loss='squared_error' on log values, or alpha=0, or solver='mu' for the published "
                "damped updates"
            )

    def _precision_and_device(self) -> tuple[torch.dtype, torch.device]:
        device = resolve_device(self.device)
        return resolve_dtype(self.dtype, device), device

    def _pair(self, X: Any, background: Any) -> tuple[Matrix, Matrix | None]:
        """Return checked target and background."""
        sides = {"target": self._held(X, "target")}
        if background is not None:
            sides["background"] = self._held(background, "background")
        held = [side for side in sides.values() if not self._streams(side)]
        if held:
            memory.check(held, self._n_topics(), *self._precision_and_device(), self.loss)
        target, other = (
            self._matrix(sides[name], name) if name in sides else None
            for name in ("target", "background")
        )
        self._check_shapes(target, other)
        for name, side in (("target", target), ("background", other)):
            if side is not None and side.total == 0:
                raise InputError(f"{name}: all values are zero; there is nothing to factorise")
        return target, other

    def _n_topics(self) -> int:
        return self.n_components

    def _streams(self, data: Any) -> bool:
        return is_on_disk(data) or (self.batch_size is not None and self.solver != "stochastic")

    def _held(self, data: Any, name: str) -> Any:
        """Return data as an array or CSR, unless they stay on disk or are read in batches."""
        return data if self._streams(data) else host_array(data, name)

    def _matrix(self, data: Any, name: str) -> Matrix:
        place = self._precision_and_device()
        if self._streams(data):
            rows = None if self.solver == "stochastic" else self.batch_size
            return streamed(data, name, *place, rows)
        return as_matrix(data, name, *place)

    def _new_samples(self, X: Any) -> Matrix:
        """Return checked samples with the features of the fit."""
        self._check_fitted()
        data = self._matrix(X, "X")
        if data.shape[1] != self.n_features_in_:
            raise InputError(
                f"X: has {data.shape[1]} features; the model was fitted on {self.n_features_in_}"
            )
        return data

    def _check_shapes(self, target: Matrix, background: Matrix | None) -> None:
        n, features = target.shape
        if background is None and self.alpha > 0:
            raise InputError(
                f"background is missing: alpha={self.alpha} needs one; "
                "pass background=..., or set alpha=0 for plain NMF"
            )
        if background is not None:
            check_same_features(target, background)
        if self.n_components > min(n, features):
            raise InputError(
                f"n_components={self.n_components} is larger than the data: the target has {n} "
                f"samples and {features} features; choose at most {min(n, features)}"
            )

    def _absolute_alpha(self, target: Matrix, background: Matrix | None) -> float:
        alpha = float(self.alpha)
        if alpha == 0 or self.contrast == "absolute":
            return alpha
        if self.loss == "squared_error":
            return alpha * target.squared_norm / background.squared_norm
        return alpha * target.total / background.total

    def _identity(self, target: Matrix, background: Matrix | None) -> dict[str, Any]:
        """Return what tells this fit from others, for checkpoints."""
        parameters = self.get_params()
        identity = {name: parameters[name] for name in parameters if name not in _MAY_CHANGE}
        if not isinstance(self.init, str):
            identity["init"] = [float(torch.as_tensor(one).sum()) for one in self.init]
        for name, side in (("target", target), ("background", background)):
            if side is not None:
                identity |= {
                    f"{name} shape": side.shape, f"{name} total": side.total,
                    f"{name} sum of squares": side.squared_norm,
                }  # fmt: skip
        return identity

    def _best(self, target: Matrix, background: Matrix | None, saved: Checkpoint) -> SolverResult:
        """Run all starts, or those that a checkpoint leaves, and return the best result."""
        state, place = saved.read(), self._precision_and_device()
        best = unpacked(state, "best", place) if "best/components" in state else None
        for number in range(int(state.get("start", 0)), self._n_starts()):
            saved.context = {"start": number} | ({} if best is None else packed(best, "best"))
            start = (
                tuple(as_tensor(state[name], place) for name in FACTORS)
                if "iteration" in state
                else self._start(number, target, background)
            )
            progress = Progress(self.max_iter) if self.verbose else None
            result = self._run(target, background, start, Monitor(progress, saved, state))
            state = {}
            if best is None or result.objective[-1] < best.objective[-1]:
                best = result
        return best

    def _n_starts(self) -> int:
        return self.n_init if isinstance(self.init, str) else 1

    def _start(self, number: int, target: Matrix, background: Matrix | None) -> Factors:
        dtype, device = self._precision_and_device()
        m = 0 if background is None else background.shape[0]
        sizes = (target.shape[0], m, target.shape[1], self.n_components)
        if not isinstance(self.init, str):
            return given_factors(self.init, *sizes, dtype, device)
        seed = self.random_state + number
        if self.init == "nndsvd" and number == 0:
            return spectral_factors(
                target, background, self.alpha_, self.n_components, seed, dtype, device
            )
        return random_factors(*sizes, seed, dtype, device)

    def _run(
        self, target: Matrix, background: Matrix | None, start: Factors, monitor: Monitor
    ) -> SolverResult:
        common = (target, background, start, self.alpha_, self.max_iter, self.tol, monitor)
        if self.loss == "poisson":
            damping = self.damping if self.solver == "mu" else 1.0
            result = mu.fit_poisson(*common, damping=damping)
            return result if self.solver == "mu" else safeguarded.unit_norm(result)
        if self.solver == "mu":
            return mu.fit_squared_error(*common)
        # A start that was given, or knows the contrast, is meant to be kept.
        warm_up = isinstance(self.init, str) and self.init == "random"
        if self.solver == "stochastic":
            return stochastic.fit_squared_error(
                *common, self.batch_size, self.random_state, warm_up
            )
        return safeguarded.fit_squared_error(*common, warm_up=warm_up)

    def _store(
        self,
        result: SolverResult,
        target: Matrix,
        background: Matrix | None,
        device: torch.device,
    ) -> None:
        for name in ("components", "usage", "background_usage"):
            values = getattr(result, name)
            if not bool(torch.isfinite(values).all()):
                raise InputError(
                    f"the fit diverged: {name} holds NaN or infinite values after "
                    f"{result.n_iter} iterations at alpha={self.alpha_:g} (absolute); lower alpha, "
                    "use dtype='float64', or solver='safeguarded'"
                )
            setattr(self, f"{name}_", values.cpu().numpy())
        self.objective_ = np.asarray(result.objective)
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.kkt_residual_ = result.kkt_residual
        self.n_features_in_ = target.shape[1]
        self.device_ = str(device)
        self.explained_target_ = self._explained(target, result.components, result.usage)
        self.explained_background_ = (
            float("nan")
            if background is None
            else self._explained(background, result.components, result.background_usage)
        )
        self._warn()

    def _warn(self) -> None:
        if self.tol > 0 and not self.converged_:
            reason = (
                f"the stopping rule was not met after max_iter={self.max_iter} iterations "
                f"(tol={self.tol:g}{self._kkt_text()}); raise max_iter or tol"
                if self.n_iter_ == self.max_iter
                else f"no step lowered the objective any more after {self.n_iter_} iterations, "
                f"with a projected gradient of {self.kkt_residual_:.2g}; try dtype='float64' "
                "or n_init > 1"
            )
            warnings.warn(reason, ConvergenceWarning, stacklevel=5)
        unused = [str(topic + 1) for topic in np.flatnonzero(self.usage_.max(0) == 0)]
        if unused:
            warnings.warn(
                f"the target uses topics {', '.join(unused)} of {self.n_components} nowhere; "
                "lower alpha or n_components",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _kkt_text(self) -> str:
        residual = getattr(self, "kkt_residual_", np.nan)
        return "" if np.isnan(residual) else f", projected gradient {residual:.2g}"

    def _explained(self, data: Matrix, components: torch.Tensor, usage: torch.Tensor) -> float:
        if self.loss == "squared_error":
            fit = (as_float64(data.transposed_times(usage)) * as_float64(components)).sum()
            gram = components @ components.T
            solved = as_float64(usage)
            residual = squared_error(data.squared_norm, fit, solved.T @ solved, gram)
            return 1.0 - float(residual) / data.squared_norm
        null = _null_deviance(data, components)
        if null <= 1e-12 * data.total:  # the data are of rank one: nothing is left to explain
            return float("nan")
        return 1.0 - float(data.poisson_loss(components, usage)) / null

    def _check_fitted(self) -> None:
        if not hasattr(self, "components_"):
            raise InputError(f"this {type(self).__name__} is not fitted; call fit first")


class NMF(BCNMF):
    """Non-negative matrix factorisation of the target alone: `BCNMF` with alpha = 0.

    Parameters and attributes are those of `BCNMF` without `alpha` and `contrast`. A background, if
    given, does not touch the components; its usages are reported.
    """

    alpha = 0.0
    contrast = "absolute"

    def __init__(
        self,
        n_components: int = 10,
        loss: str = "squared_error",
        solver: str = "safeguarded",
        init: str | Sequence[Any] = "random",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: int = 0,
        damping: float = 0.5,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.damping = damping
        self.verbose = verbose


def _null_deviance(data: Matrix, like: torch.Tensor) -> float:
    """Return the divergence from sample total x feature share, the best rank-one model."""
    ones = torch.ones((1, data.shape[1]), dtype=like.dtype, device=like.device)
    totals = data.times(ones)
    share = data.transposed_times(torch.ones_like(totals)) / data.total
    return float(data.poisson_loss(share, totals))
