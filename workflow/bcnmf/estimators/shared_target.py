"""Shared topics and target topics, each with usages of its own: well posed on counts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bcnmf.checks import check_integer, check_number, check_same_features
from bcnmf.errors import ConvergenceWarning, InputError
from bcnmf.estimators.contrast import BCNMF, _null_deviance
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import leave_threads_to_passes
from bcnmf.persistence import Fit
from bcnmf.progress import Progress
from bcnmf.solvers import staged
from bcnmf.solvers.result import Monitor
from bcnmf.solvers.starts import given_arrays
from bcnmf.solvers.usage import flat_usage, solve_usage

_CHOICES = {
    "loss": ("poisson", "squared_error"),
    "dtype": ("float32", "float64"),
}
_STARTS = ("seeded", "random")


class SharedTargetNMF(BCNMF):
    """Topics that target and background share, and topics of the target alone.

    Every sample is a sum of shared topics W_s; samples of the target X may use target topics W_t
    besides::

        Y ~ H_Y W_s        X ~ H_s W_s + H_t W_t        all factors >= 0

    With loss="poisson" these are the means of Poisson counts. The objective, D(X) + D(Y) as sum of
    the divergences, is bounded below, unlike the Poisson contrast of `BCNMF`. It is minimised in
    stages, see `bcnmf.solvers.staged`: W_s on the background; W_t on the target with W_s held;
    then, on request, all topics together.

    Parameters
    ----------
    n_shared, n_target : int
        Number of topics of each kind. Choose `n_shared` rather too large than too small: what
        shared topics cannot express of the target, target topics will.
    loss : {"poisson", "squared_error"}
        D: generalised Kullback-Leibler divergence, for counts; or squared error.
    max_iter : int
        Iterations of a stage at most.
    tol : float
        A stage ends when its objective fell by at most `tol` of itself over ten iterations; 0 runs
        all `max_iter`.
    n_init : int
        Starts of each stage, of which the one with the best objective is kept.
    init : {"seeded", "random"} or tuple of arrays
        "seeded" starts W_s from background samples that differ from one another, and W_t from what
        W_s leaves over of the target. "random" draws uniform(0, 1). Given: (shared_components
        (n_shared, features), components (n_target, features)).
    refine : int
        Joint iterations after the stages; none of them raises the objective. They fit both sides
        better, but let shared topics drift towards what only the target has.
    batch_size : int, optional
        Samples that are held at a time, see `bcnmf.matrices.streamed`. Data on disk are always
        read in batches, by default of about 256 MB.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps"; `device_` says what was used.
    dtype : {"float32", "float64"}
        Precision of the factors; objectives are always accumulated in float64.
    random_state : int
        Seed.
    verbose : int
        1 shows stage, iteration, objective and time on standard error.

    Attributes
    ----------
    components_ : ndarray of shape (n_target, features)
        Target topics W_t; rows have unit L2 norm.
    shared_components_ : ndarray of shape (n_shared, features)
        Shared topics W_s; rows have unit L2 norm.
    usage_ : ndarray of shape (n, n_target)
        Usages H_t of the target topics, as returned by `fit_transform`.
    shared_usage_ : ndarray of shape (n, n_shared)
        Usages H_s of the shared topics by the target.
    background_usage_ : ndarray of shape (m, n_shared)
        Usages H_Y of the shared topics by the background.
    objective_ : ndarray of shape (sum(stages_),)
        D(X) + D(Y) of the factors at each evaluation; it never rises within a stage. While W_s is
        fitted, before and after each iteration: D(Y | H_Y W_s), plus the target's divergence from
        no topics at all, ||X||^2, or, for Poisson, from the best rank-one model. While W_t is
        fitted: D(Y) as the first stage left it, plus D(X | H_s W_s + H_t W_t). In joint iterations:
        both. Poisson ends with one value more, for usages solved. The last value belongs to the
        fitted attributes.
    stages_ : list of int
        Number of values of `objective_` in each stage: W_s, W_t, joint (if `refine`), solved usages
        (if Poisson).
    n_iter_ : int
        Iterations, over all stages.
    converged_ : bool
        Whether the stages of W_s and W_t met their stopping rule.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that all their topics explain, or for Poisson of the deviance
        from the best rank-one model; see `BCNMF`.
    device_ : str
        Where the fit ran.

    Notes
    -----
    Usages of unit-norm topics are in no natural unit. `target_share` gives them as shares of each
    sample, which is what to cluster, after a square root for counts.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf.estimators.shared_target import SharedTargetNMF
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.poisson(2.0, (40, 12)), rng.poisson(2.0, (30, 12))
    >>> model = SharedTargetNMF(n_shared=3, n_target=2, random_state=0)
    >>> model.fit_transform(X, background=Y).shape
    (40, 2)
    """

    # Settings of `BCNMF` that this model does not have.
    alpha = 0.0
    solver = "staged"

    def __init__(
        self,
        n_shared: int = 10,
        n_target: int = 2,
        loss: str = "poisson",
        max_iter: int = 500,
        tol: float = 1e-4,
        n_init: int = 1,
        init: str | Sequence[Any] = "seeded",
        refine: int = 0,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.n_shared = n_shared
        self.n_target = n_target
        self.loss = loss
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.init = init
        self.refine = refine
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit and return the usages of the target topics.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor or AnnData of shape (n, features)
            Target, non-negative.
        y : None
            Ignored, for scikit-learn.
        background : as X, of shape (m, features)
            Background; required.

        Returns
        -------
        ndarray of shape (n, n_target)

        Raises
        ------
        InputError
            Parameters out of range, data that are empty, negative or not finite, no background, or
            target and background with different features.
        """
        self._check_parameters()
        dtype, device = self._precision_and_device()
        target, other = self._pair(X, background)
        like = torch.empty(0, dtype=dtype, device=device)
        with leave_threads_to_passes(target, other):
            result = staged.fit(
                target,
                other,
                self.n_shared,
                self.n_target,
                self._settings(),
                like,
                null=self._null(target, like),
                given=self._given(target.shape[1], like),
            )
        self._store(result, target, other, device)
        return self.usage_

    def transform(self, X: Any) -> np.ndarray:
        """Return the usages (samples, n_target) of the target topics by new samples.

        They are solved together with the usages of the shared topics.
        """
        return self._transform(X)[:, self.n_shared :]

    def target_share(self) -> np.ndarray:
        """Return what share of each target sample's fitted total comes from each target topic.

        Unlike the usages, shares do not depend on how deep a sample was measured or on the norm of
        the topics, and unlike usages divided by their sum they stay small where a sample uses no
        target topic much.

        Returns
        -------
        ndarray of shape (n, n_target)
            In [0, 1]; a row sums to at most one.
        """
        self._check_fitted()
        parts = self.usage_ * self.components_.sum(1)
        total = parts.sum(1) + self.shared_usage_ @ self.shared_components_.sum(1)
        return parts / np.maximum(total, np.finfo(parts.dtype).tiny)[:, None]

    @classmethod
    def load(cls, path: str | os.PathLike) -> SharedTargetNMF:
        """Load a model written by `save`, or the fit file of a pipeline job.

        Raises
        ------
        InputError
            The file is missing, damaged, or holds another class of model.
        """
        model = super().load(path)
        fit = Fit.read(path)
        model.shared_components_ = fit.shared_components
        model.shared_usage_ = fit.shared_usage
        return model

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, ready for names to be added."""
        fit = super().to_fit()
        if not isinstance(self.init, str):  # given topics are data, not a setting to store
            fit.info["estimator"]["parameters"]["init"] = _STARTS[0]
        fit.shared_components = self.shared_components_
        fit.shared_usage = self.shared_usage_
        return fit

    _fitted_scalars = (
        "n_iter_",
        "converged_",
        "stages_",
        "explained_target_",
        "explained_background_",
        "device_",
    )

    def _objective_name(self) -> str:
        loss = "squared error" if self.loss == "squared_error" else "KL divergence"
        return f"{loss}, both sides"

    def _check_parameters(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"{name}={value!r} is not known; allowed: {', '.join(allowed)}")
        for name in ("n_shared", "n_target", "max_iter", "n_init"):
            check_integer(name, getattr(self, name), 1)
        for name in ("refine", "random_state"):
            check_integer(name, getattr(self, name), 0)
        check_number("tol", self.tol, 0.0, np.inf)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, 1)
        if isinstance(self.init, str) and self.init not in _STARTS:
            raise InputError(
                f"init={self.init!r} is not known; allowed: 'seeded', 'random', or two arrays "
                "(shared_components, components)"
            )

    def _n_topics(self) -> int:
        return self.n_shared + self.n_target

    def _check_shapes(self, target: Matrix, background: Matrix | None) -> None:
        if background is None:
            raise InputError(
                "background is missing: shared topics are fitted to it; pass background=..., "
                "or use NMF for a target alone"
            )
        features = target.shape[1]
        check_same_features(target, background)
        for name, k, side, samples in (
            ("n_target", self.n_target, "target", target.shape[0]),
            ("n_shared", self.n_shared, "background", background.shape[0]),
        ):
            if k > min(samples, features):
                raise InputError(
                    f"{name}={k} is larger than the data: the {side} has {samples} samples and "
                    f"{features} features; choose at most {min(samples, features)}"
                )

    def _settings(self) -> staged.Settings:
        return staged.Settings(
            loss=self.loss,
            max_iter=self.max_iter,
            tol=self.tol,
            n_init=self.n_init,
            seed=self.random_state,
            seeded=self.init != "random" if isinstance(self.init, str) else True,
            refine=self.refine,
            watch=self._watch if self.verbose else None,
        )

    def _watch(self, stage: str) -> Monitor:
        return Monitor(Progress(self.max_iter, label=stage))

    def _null(self, target: Matrix, like: torch.Tensor) -> float:
        if self.loss == "squared_error":
            return target.squared_norm
        return _null_deviance(target, like)

    def _given(self, features: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        if isinstance(self.init, str):
            return None
        shapes = {
            "shared_components": (self.n_shared, features),
            "components": (self.n_target, features),
        }
        shared, target = given_arrays(self.init, shapes, like.dtype, like.device)
        return shared, target

    def _transform(self, X: Any) -> np.ndarray:
        data = self._new_samples(X)
        dtype, device = self._precision_and_device()
        topics = np.concatenate([self.shared_components_, self.components_])
        components = torch.as_tensor(topics, dtype=dtype).to(device)
        usage = flat_usage(data, components)
        solve_usage(data, components, usage, self.loss)
        return usage.cpu().numpy()

    def _store(
        self,
        result: staged.StagedResult,
        target: Matrix,
        background: Matrix,
        device: torch.device,
    ) -> None:
        factors = result.components, result.usage, result.background_usage
        if not all(bool(torch.isfinite(values).all()) for values in factors):
            raise InputError(
                f"the fit diverged: factors hold NaN or infinite values after {result.n_iter} "
                "iterations; use dtype='float64', or scale the data"
            )
        split = self.n_shared
        self.shared_components_, self.components_ = np.split(factors[0].cpu().numpy(), [split])
        self.shared_usage_, self.usage_ = (
            np.ascontiguousarray(part)
            for part in np.split(factors[1].cpu().numpy(), [split], axis=1)
        )
        self.background_usage_ = factors[2].cpu().numpy()
        self.objective_ = np.asarray(result.objective)
        self.stages_ = result.stages
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.n_features_in_ = target.shape[1]
        self.device_ = str(device)
        self.explained_target_ = self._explained(target, result.components, result.usage)
        self.explained_background_ = self._explained(
            background, result.components[:split], result.background_usage
        )
        self._warn()

    def _warn(self) -> None:
        if self.tol > 0 and not self.converged_:
            warnings.warn(
                f"the objective still moved after max_iter={self.max_iter} iterations of a stage "
                f"(tol={self.tol:g}); raise max_iter or tol",
                ConvergenceWarning,
                stacklevel=4,
            )
        unused = [str(topic + 1) for topic in np.flatnonzero(self.usage_.max(0) == 0)]
        if unused:
            warnings.warn(
                f"the target uses target topics {', '.join(unused)} of {self.n_target} nowhere; "
                "lower n_target",
                ConvergenceWarning,
                stacklevel=4,
            )
