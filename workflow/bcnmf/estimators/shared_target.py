"""Shared topics and target topics, each with usages of its own: well posed on counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from bcnmf.estimators.base import Factorisation, Init
from bcnmf.estimators.solution import Solution, null_deviance
from bcnmf.matrices.base import Matrix
from bcnmf.seeds import RandomState
from bcnmf.solvers import staged
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.starts import given_arrays
from bcnmf.solvers.usage import flat_usage, solve_usage


class SharedTargetNMF(Factorisation):
    """Topics that target and background share, and topics of the target alone.

    Every sample is a sum of shared topics W_s; samples of the target X may use target topics W_t
    besides::

        Y ~ H_Y W_s        X ~ H_s W_s + H_t W_t        all factors >= 0

    With loss="poisson" these are the means of Poisson counts. The objective, D(X) + D(Y) as sum of
    the divergences, is bounded below, unlike the Poisson contrast of `BCNMF`. It is minimised in
    stages, see `bcnmf.solvers.staged`: W_s on the background; W_t on the target with W_s fixed;
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
    batch_size, device, dtype, random_state, verbose
        See `BCNMF`.

    Attributes
    ----------
    components_ : ndarray of shape (n_target, features)
        Target topics, W_t transposed; rows have unit L2 norm.
    shared_components_ : ndarray of shape (n_shared, features)
        Shared topics, W_s transposed; rows have unit L2 norm.
    usage_ : ndarray of shape (n, n_target)
        Usages of the target topics, the target part of H_X transposed; as returned by
        `fit_transform`.
    shared_usage_ : ndarray of shape (n, n_shared)
        Usages of the shared topics by the target, the other part of H_X transposed.
    background_usage_ : ndarray of shape (m, n_shared)
        Usages of the shared topics by the background, the paper's H_Y transposed.
    objective_ : ndarray of shape (sum(stages_),)
        D(X) + D(Y) of the factors at each evaluation; it never rises within a stage. While W_s is
        fitted, before and after each iteration: D(Y | H_Y W_s), plus the target's divergence from
        no topics at all, ||X||^2, or, for Poisson, from the best rank-one model. While W_t is
        fitted: D(Y) as the first stage left it, plus D(X | H_s W_s + H_t W_t). In joint iterations:
        both. Poisson ends with one value more, for usages solved. The last value belongs to the
        fitted attributes.
    stages_ : list of int
        Number of values of `objective_` in each stage: W_s, W_t, joint (if `refine`), solved usages
        (if Poisson: by a hundred updates, to less than a nat a sample).
    n_iter_ : int
        Iterations, over all stages.
    converged_ : bool
        Whether the stages of W_s and W_t met their stopping rule.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that all their topics explain, or for Poisson of the deviance
        from the best rank-one model; see `BCNMF`.
    device_, seed_, n_features_in_, feature_names_in_
        See `BCNMF`.

    Notes
    -----
    `target_score` is taken beside the shared topics. Usages of unit-norm topics are in no natural
    unit. `target_share` gives them as shares of each
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

    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("poisson", "squared_error")}
    _integers: ClassVar[Mapping[str, int]] = {"n_shared": 1, "n_target": 1, "refine": 0}
    _start_arrays = "two arrays (shared_components, components)"
    _topic_counts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "n_target": ("target",), "n_shared": ("background",),
    }  # fmt: skip
    _arrays = (*Factorisation._arrays, "shared_components", "shared_usage")
    _facts = (
        "n_iter", "converged", "stages", "explained_target", "explained_background", "device",
    )  # fmt: skip
    _topics, _fewer = "target topics", "lower n_target"

    shared_components_: np.ndarray
    shared_usage_: np.ndarray

    def __init__(
        self,
        n_shared: int = 10,
        n_target: int = 2,
        loss: str = "poisson",
        max_iter: int = 500,
        tol: float = 1e-4,
        n_init: int = 1,
        init: Init = "seeded",
        refine: int = 0,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            init, max_iter, tol, n_init, batch_size, device, dtype, random_state, verbose
        )
        self.n_shared = n_shared
        self.n_target = n_target
        self.loss = loss
        self.refine = refine

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
        return np.asarray(parts / np.maximum(total, np.finfo(parts.dtype).tiny)[:, None])

    def _loss(self) -> str:
        return self.loss

    def _objective_name(self) -> str:
        loss = "squared error" if self.loss == "squared_error" else "KL divergence"
        return f"{loss}, both sides"

    def _solve(self, target: Matrix, background: Matrix, restarts: Restarts) -> Solution:
        dtype, device = self._precision_and_device()
        empty = torch.empty(0, dtype=dtype, device=device)
        settings = staged.Settings(
            loss=self.loss,
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            n_init=int(self.n_init),
            seed=self.seed_,
            seeded=self.init != "random" if isinstance(self.init, str) else True,
            refine=int(self.refine),
        )
        result = staged.fit(
            target, background, int(self.n_shared), int(self.n_target), settings, empty,
            self._nothing_explained(target, empty), self._given(target.shape[1], dtype, device),
            restarts,
        )  # fmt: skip
        self.stages_ = result.stages
        split = int(self.n_shared)
        factors = {
            "shared_components": result.components[:split],
            "components": result.components[split:],
            "shared_usage": result.usage[:, :split].contiguous(),
            "usage": result.usage[:, split:].contiguous(),
            "background_usage": result.background_usage,
        }
        return Solution(
            result,
            factors,
            (result.components, result.usage),
            (result.components[:split], result.background_usage),
        )

    def _nothing_explained(self, target: Matrix, empty: torch.Tensor) -> float:
        """Return the target's part of the objective before it has any topic."""
        if self.loss == "squared_error":
            return target.squared_norm
        return null_deviance(target, empty)

    def _given(
        self, features: int, dtype: torch.dtype, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if isinstance(self.init, str):
            return None
        shapes = {
            "shared_components": (self.n_shared, features),
            "components": (self.n_target, features),
        }
        shared, target = given_arrays(self.init, shapes, dtype, device)
        return shared, target

    def _all_topics(self) -> np.ndarray:
        return np.concatenate([self.shared_components_, self.components_])

    def _beside(self) -> np.ndarray:
        return self.shared_components_

    def _usage_of(self, data: Matrix, topics: torch.Tensor) -> torch.Tensor:
        usage = flat_usage(data, topics)
        solve_usage(data, topics, usage, self.loss)
        return usage

    def _usages(self, usage: torch.Tensor) -> dict[str, torch.Tensor]:
        split = int(self.n_shared)
        parts = {"shared_usage": usage[:, :split], "usage": usage[:, split:]}
        return {name: part.contiguous() for name, part in parts.items()}

    def _not_converged(self) -> str:
        return (
            f"the objective still moved after max_iter={self.max_iter} iterations of a stage "
            f"(tol={self.tol:g}); raise max_iter or tol"
        )
