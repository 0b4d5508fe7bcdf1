"""Shared topics and target topics, each with usages of its own: well posed on counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from bcnmf.errors import InputError
from bcnmf.estimators.base import Factorisation, Init
from bcnmf.estimators.solution import Solution, null_deviance
from bcnmf.matrices.base import Matrix
from bcnmf.seeds import RandomState
from bcnmf.sklearn_errors import warn_user
from bcnmf.solvers import staged
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.starts import given_arrays
from bcnmf.solvers.usage import flat_usage, solve_usage

# So many features are named in a warning.
_NAMED = 5


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
    shared_from : {"background", "both"}
        What W_s is fitted to. "both": target and background together, for a background of few
        samples and for rare programs. Topics that the target uses more than five times as much are
        not shared then, and are left to target topics. Programs of the target that are as strong as
        shared ones may be lost to shared topics.
    second_round : {"never", "auto", "always"}
        Whether target topics that the background lacks are held as shared topics are, so that
        `n_target` others show what the target has beside them. "auto": if they are a kind of sample
        (most of the fitted total of 1% of the target's samples, and of 20, with more than 50 times
        their share of the background), and if a second round with half of the background finds
        topics with at least 1.5 times their share of the other half. "always" holds all target
        topics of the first round. "never" warns where "auto" would look further: whether that kind
        of sample is what is sought or what hides it, the data do not say.
    offsets : {"none", "side"}
        "side": the target's shared topics are W_s times `offsets_`, one for each feature: the
        target may capture features more or less than the background. Poisson alone, with W_s from
        the background and no joint iterations. What it cannot tell from capture is a response in
        proportion to what shared topics have of a feature; those it takes for capture.
    batch_size, device, dtype, random_state, verbose
        See `BCNMF`.

    Attributes
    ----------
    components_ : ndarray of shape (n_target, features)
        Target topics, W_t transposed; rows have unit L2 norm.
    shared_components_ : ndarray of shape (n_shared + `n_absent_`, features)
        Shared topics, W_s transposed, and behind them those of a first round that the background
        lacks; rows have unit L2 norm. With `shared_from="both"` W_s may have fewer rows.
    n_absent_ : int
        Number of topics of a first round that are held, 0 where there was no second.
    usage_ : ndarray of shape (n, n_target)
        Usages of the target topics, the target part of H_X transposed; as returned by
        `fit_transform`.
    shared_usage_ : ndarray of shape (n, n_shared + `n_absent_`)
        Usages of the shared topics by the target, the other part of H_X transposed.
    background_usage_ : ndarray of shape (m, n_shared + `n_absent_`)
        Usages of the shared topics by the background, the paper's H_Y transposed; zeros for those
        that it lacks.
    offsets_ : ndarray of shape (features,)
        By how much more the target captures each feature; ones with `offsets="none"`.
    objective_ : ndarray of shape (sum(`stages_`),)
        D(X) + D(Y) of the factors at each evaluation; it never rises within a stage. While W_s is
        fitted, before and after each iteration: D(Y | H_Y W_s), plus the target's divergence from
        no topics at all, ||X||^2, or, for Poisson, from the best rank-one model; with
        `shared_from="both"`, from W_s. While W_t is fitted, in each round: D(Y) as the first stage
        left it, plus D(X | H_s W_s + H_t W_t). In joint iterations: both. Poisson ends with one
        value more, for usages solved. The last value belongs to the fitted attributes.
    stages_ : list of int
        Number of values of `objective_` in each stage: W_s, W_t, W_t of a second round (if it was
        kept), joint (if `refine`), solved usages (if Poisson: by a hundred updates, to less than a
        nat a sample).
    n_iter_ : int
        Iterations, over these stages.
    converged_ : bool
        Whether the stages of W_s and W_t met their stopping rule.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that all their topics explain, or for Poisson of the deviance
        from the best rank-one model; see `BCNMF`.
    n_passes_, device_, device_reason_, seed_, n_features_in_, feature_names_in_
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

    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("poisson", "squared_error"),
        "shared_from": ("background", "both"),
        "second_round": ("never", "auto", "always"),
        "offsets": ("none", "side"),
    }
    _integers: ClassVar[Mapping[str, int]] = {"n_shared": 1, "n_target": 1, "refine": 0}
    _start_arrays = "two arrays (shared_components, components)"
    _topic_counts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "n_target": ("target",), "n_shared": ("background",),
    }  # fmt: skip
    _arrays = (*Factorisation._arrays, "shared_components", "shared_usage", "offsets")
    _facts = (
        "n_iter", "converged", "stages", "explained_target", "explained_background", "device",
        "n_absent",
    )  # fmt: skip
    _topics, _fewer = "target topics", "lower n_target"

    shared_components_: np.ndarray
    shared_usage_: np.ndarray
    offsets_: np.ndarray
    n_absent_: int
    _n_lacking: int

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
        shared_from: str = "background",
        second_round: str = "never",
        offsets: str = "none",
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
        self.shared_from = shared_from
        self.second_round = second_round
        self.offsets = offsets

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
        total = parts.sum(1) + self.shared_usage_ @ self._shared_by_target().sum(1)
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
            shared_from=self.shared_from,
            second_round=self.second_round,
            offsets=self.offsets,
        )
        result = staged.fit(
            target, background, int(self.n_shared), int(self.n_target), settings, empty,
            self._nothing_explained(target, empty), self._given(target.shape[1], dtype, device),
            restarts,
        )  # fmt: skip
        self.stages_, self.n_absent_ = result.stages, result.n_absent
        self._n_lacking = result.n_lacking
        of_target = result.components.clone()
        of_target[: result.n_shared] *= result.offsets
        split = result.n_shared + result.n_absent
        # The background uses none of what it lacks.
        background_usage = torch.nn.functional.pad(result.background_usage, (0, result.n_absent))
        factors = {
            "shared_components": result.components[:split],
            "components": result.components[split:],
            "shared_usage": result.usage[:, :split].contiguous(),
            "usage": result.usage[:, split:].contiguous(),
            "background_usage": background_usage,
            "offsets": result.offsets,
        }
        return Solution(
            result,
            factors,
            (of_target, result.usage),
            (result.components[:split], background_usage),
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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.offsets == "none":
            return
        for name, allowed in (("loss", "poisson"), ("shared_from", "background"), ("refine", 0)):
            if (found := getattr(self, name)) != allowed:
                raise InputError(
                    f"offsets={self.offsets!r} with {name}={found!r}: offsets are factors of counts"
                    " beside topics of the background, learned before the target topics; allowed: "
                    f"{name}={allowed!r}, or offsets='none'"
                )

    def _derive(self) -> None:
        # Files of earlier versions have neither.
        self.n_absent_ = getattr(self, "n_absent_", 0)
        if not self.offsets_.size:
            self.offsets_ = np.ones_like(self.components_[0])

    def _shared_by_target(self) -> np.ndarray:
        """Return the shared topics as the target has them."""
        split = len(self.shared_components_) - self.n_absent_
        topics = self.shared_components_.copy()
        topics[:split] *= self.offsets_
        return topics

    def _all_topics(self) -> np.ndarray:
        return np.concatenate([self._shared_by_target(), self.components_])

    def _beside(self) -> np.ndarray:
        if self.offsets == "none":
            return self.shared_components_
        # Samples of either side are scored, and each has its own.
        return np.concatenate([self.shared_components_, self._shared_by_target()])

    def _usage_of(self, data: Matrix, topics: torch.Tensor) -> torch.Tensor:
        usage = flat_usage(data, topics)
        solve_usage(data, topics, usage, self.loss)
        return usage

    def _usages(self, usage: torch.Tensor) -> dict[str, torch.Tensor]:
        split = usage.shape[1] - int(self.n_target)
        parts = {"shared_usage": usage[:, :split], "usage": usage[:, split:]}
        return {name: part.contiguous() for name, part in parts.items()}

    def _warn(self, target: Matrix, background: Matrix | None) -> None:
        super()._warn(target, background)
        if self._n_lacking and self.second_round != "always":
            warn_user(f"the background lacks a kind of sample: {self._of_what_it_lacks()}")
        if self.offsets != "none":
            most = np.argsort(-np.abs(np.log(self.offsets_)))[:_NAMED]
            names = getattr(self, "feature_names_in_", np.arange(len(self.offsets_)))
            found = ", ".join(f"{names[gene]} x {self.offsets_[gene]:.2g}" for gene in most)
            warn_user(
                "offsets='side': how well the target captures a feature and a response in "
                "proportion to what the background has of it are the same thing to the model; "
                f"both are in offsets_, not in components_. The most: {found}"
            )

    def _of_what_it_lacks(self) -> str:
        """Return what became of target topics that the background lacks, and what to do."""
        of_first = (
            f"{self._n_lacking} of the target topics that were found first are most of the total "
            "of many samples, and the background has next to nothing of them"
        )
        if self.n_absent_:
            return (
                f"{of_first}. They are the last {self.n_absent_} of shared_components_; "
                "components_ are what the target has beside them. If they are what you look for, "
                "pass second_round='never'"
            )
        if self.second_round == "auto":
            return f"{of_first}. Nothing was found beside them, so they are the components_"
        return (
            f"{of_first}. If they are not what you look for, pass second_round='auto', which looks "
            "beside them, or add such samples to the background"
        )

    def _not_converged(self) -> str:
        return (
            f"the objective still moved after max_iter={self.max_iter} iterations of a stage "
            f"(tol={self.tol:g}); raise max_iter or tol"
        )
