"""Estimators: background-contrastive NMF, and plain NMF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from bcnmf.errors import InputError
from bcnmf.estimators.background_topics import WithBackgroundTopics
from bcnmf.estimators.base import Init
from bcnmf.estimators.solution import Solution
from bcnmf.matrices.base import Matrix
from bcnmf.scoring import N_BACKGROUND
from bcnmf.seeds import RandomState, seed_of_start
from bcnmf.solvers import multiplicative as mu
from bcnmf.solvers import safeguarded, stochastic
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.result import FACTORS, Monitor, SolverResult, as_tensor
from bcnmf.solvers.spectral import spectral_factors
from bcnmf.solvers.starts import Factors, given_factors, random_factors
from bcnmf.solvers.usage import with_solved_usage


class NMF(WithBackgroundTopics):
    """Non-negative matrix factorisation of the target alone.

    Parameters and attributes are those of `BCNMF` without `alpha` and `contrast`. A background, if
    given, does not touch the components; its usages are reported.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import NMF
    >>> X = np.random.default_rng(0).random((40, 12))
    >>> NMF(n_components=3, random_state=0).fit_transform(X).shape
    (40, 3)
    """

    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("squared_error", "poisson"),
        "solver": ("safeguarded", "mu", "stochastic"),
    }
    _integers: ClassVar[Mapping[str, int]] = {"n_components": 1, "n_background": 1}
    _numbers: ClassVar[Mapping[str, tuple[float, float]]] = {"damping": (1e-6, 1.0)}
    _starts = ("random", "nndsvd")
    _start_arrays = "three arrays (components, usage, background_usage)"
    _topic_counts: ClassVar[Mapping[str, tuple[str, ...]]] = {"n_components": ("target",)}
    _facts = (
        "n_iter", "converged", "kkt_residual", "alpha", "explained_target",
        "explained_background", "device",
    )  # fmt: skip

    def __init__(
        self,
        n_components: int = 10,
        loss: str = "squared_error",
        solver: str = "safeguarded",
        init: Init = "random",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: RandomState = 0,
        damping: float = 0.5,
        verbose: int = 0,
        n_background: int = N_BACKGROUND,
    ) -> None:
        super().__init__(
            init, max_iter, tol, n_init, batch_size, device, dtype, random_state, verbose
        )
        self.n_components = n_components
        self.loss = loss
        self.solver = solver
        self.damping = damping
        self.n_background = n_background

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.solver == "stochastic" and self.loss == "poisson":
            raise InputError(
                "solver='stochastic' is for loss='squared_error'; for counts use solver='mu' with "
                "batch_size=..., which reads them batch by batch"
            )

    def _loss(self) -> str:
        return self.loss

    def _objective_name(self) -> str:
        return "squared error" if self.loss == "squared_error" else "KL divergence"

    def _block_size(self) -> int | None:
        # The stochastic solver takes batches by itself.
        return None if self.solver == "stochastic" else super()._block_size()

    def _without_background(self) -> str | None:
        return None

    def _check_sides(self, sides: Mapping[str, Matrix]) -> None:
        super()._check_sides(sides)
        if self.solver == "mu":
            dtype = self._precision_and_device()[0]
            mu.check_sizes(sides, int(self.n_components), self.loss, dtype)

    def _absolute_alpha(self, target: Matrix, background: Matrix | None) -> float:
        """Return the contrast as the solvers take it."""
        return 0.0

    def _usage_of(self, data: Matrix, topics: torch.Tensor) -> torch.Tensor:
        if self.loss == "squared_error":
            return super()._usage_of(data, topics)
        # A flat start in which each sample's expected total is its own total.
        totals = data.times(torch.ones_like(topics[:1]))
        usage = (totals / topics.sum().clamp(min=1e-30)).repeat(1, len(topics))
        data.poisson_usage(topics, usage)
        return usage

    def _solve(self, target: Matrix, background: Matrix | None, restarts: Restarts) -> Solution:
        self.alpha_ = self._absolute_alpha(target, background)

        def run(number: int, monitor: Monitor) -> SolverResult:
            if monitor.resumed:
                stored = (monitor.resumed[name] for name in FACTORS)
                one, two, three = (as_tensor(part, self._precision_and_device()) for part in stored)
                start = one, two, three
            else:
                start = self._start(number, target, background)
            return self._run(target, background, start, monitor, seed_of_start(self.seed_, number))

        best = restarts.best_of(SolverResult, self._starts_to_run(), run)
        factors = {name: getattr(best, name) for name in FACTORS}
        models = ((best.components, usage) for usage in (best.usage, best.background_usage))
        return Solution(best, factors, *models)

    def _start(self, number: int, target: Matrix, background: Matrix | None) -> Factors:
        dtype, device = self._precision_and_device()
        sides, features, k = (target, background), target.shape[1], int(self.n_components)
        if not isinstance(self.init, str):
            n, m = (0 if side is None else side.n_given for side in sides)
            components, *usages = given_factors(self.init, n, m, features, k, dtype, device)
            return components, *_of_weight(sides, [usage / target.unit for usage in usages])
        seed = seed_of_start(self.seed_, number)
        if self.init == "nndsvd" and number == 0:
            return spectral_factors(target, background, self.alpha_, k, seed, dtype, device)
        n, m = (0 if side is None else side.shape[0] for side in sides)
        components, *usages = random_factors(n, m, features, k, seed, dtype, device)
        return components, *_of_weight(sides, usages)

    def _run(
        self,
        target: Matrix,
        background: Matrix | None,
        start: Factors,
        monitor: Monitor,
        seed: int,
    ) -> SolverResult:
        limits = int(self.max_iter), float(self.tol)
        common = (target, background, start, self.alpha_, *limits, monitor)
        if self.loss == "poisson":
            damping = float(self.damping) if self.solver == "mu" else 1.0
            result = mu.fit_poisson(*common, damping=damping)
            if self.solver == "mu":
                return result
            return with_solved_usage(target, background, safeguarded.unit_norm(result))
        if self.solver == "mu":
            return mu.fit_squared_error(*common)
        # A start that was given, or knows the contrast, is to be used as it is.
        warm_up = isinstance(self.init, str) and self.init == "random"
        if self.solver == "stochastic":
            return stochastic.fit_squared_error(*common, super()._block_size(), seed, warm_up)
        return safeguarded.fit_squared_error(*common, warm_up=warm_up)


def _of_weight(
    sides: tuple[Matrix | None, Matrix | None], usages: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return usages of the samples themselves as those of the samples by their weights."""
    one, other = (
        usage if side is None or side.weighting is None else side.weighting.weighted(usage)
        for side, usage in zip(sides, usages, strict=True)
    )
    return one, other


class BCNMF(NMF):
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
    solver : {"safeguarded", "mu", "stochastic"}
        "mu" is the published algorithm to the letter: factors are returned as the iterations leave
        them, neither normalised nor re-solved. With contrast="absolute" data are in their own units
        too: those too small for the published eps are refused. "safeguarded" minimises the same
        objective with every step a descent, unit-norm components and exact usages. It refuses the
        Poisson loss with alpha > 0, which is unbounded below; with alpha=0 it takes the undamped
        updates of "mu", and a hundred more of the usages at the end. "stochastic" is for data so
        large that few passes can be afforded: squared error only, components move after every batch
        of samples, by steps that get smaller, and usages are exact at the end.
    init : "random", "nndsvd" or tuple of arrays
        "random" draws uniform(0, 1); the safeguarded solver then takes up to a hundred updates of
        "mu" before the first iteration, the first twenty at a contrast that grows if it is above 2,
        since a strong one would drive all topics into one. "nndsvd" starts from the leading
        directions of the contrast. Given: (components (K, features), usage (n, K),
        background_usage (m, K)).
    max_iter : int
        Iterations at most; with solver="stochastic" passes over the data.
    tol : float
        Stopping tolerance; 0 runs all `max_iter` iterations.
    n_init : int
        Starts, of which the one with the lowest last `objective_` is kept. With init="nndsvd" the
        first is that, the others are random. A given start is the only one. Where data are read in
        batches or are on an accelerator, starts share the passes over them, as many at a time as
        fit into memory (one by one with a checkpoint, which holds the state of one).
    batch_size : int, optional
        Samples in memory at a time, see `bcnmf.matrices.streamed`: the numbers are those of
        data in memory, up to rounding. Data on disk (backed AnnData, HDF5) are always read in
        batches, by default of about 256 MB. With solver="stochastic" the samples after which
        components move, by default a hundredth of all, or 256.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps". "auto" takes a GPU if there is one and the fit is
        large, "auto:N" of several that one; `device_` says what was used.
    dtype : {"float32", "float64"}
        Precision of the factors; objectives are always accumulated in float64.
    random_state : int, None, RandomState or Generator
        Seed. The same integer gives the same start in every precision and on every device; the
        others draw one, see `seed_`.
    damping : float
        Exponent of the multiplicative ratios, Poisson with solver="mu" only.
    verbose : int
        1 shows iteration, objective and time on standard error.
    n_background : int
        Topics of the background beside which samples score (fewer if small); no part of the fit.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        Loadings, the paper's W transposed; rows have unit L2 norm (not with solver="mu").
    usage_ : ndarray of shape (n, K)
        Usages of the target, the paper's H_X transposed; as returned by `fit_transform`.
    background_usage_ : ndarray of shape (m, K)
        Usages of the background, the paper's H_Y transposed; (0, K) without one.
    background_components_ : ndarray of shape (n_background, features)
        Topics of the background by plain NMF, fitted when `target_score` or `save` first asks for
        them: till then leave it as it is.
    objective_ : ndarray of shape (`n_iter_` + 1,)
        D(X | H_X C) - alpha D(Y | H_Y C) before the first and after every iteration. It is what is
        minimised only where usages are optimal: with solver="safeguarded" at every entry. With "mu"
        they are one step behind, so it may lie on either side of that, even below its bound; solve
        them by `transform` to compare fits. With Poisson and alpha=0 they are solved at the last
        entry, to less than a nat a sample. With "stochastic": after every pass what its batches
        showed, each before the components moved on; only the last entry is exact.
    n_iter_, converged_, kkt_residual_
        Iterations done, whether the stopping rule was met, and the relative size of the projected
        gradient at the end (NaN for solver="mu" and for Poisson). What is converged to is a local
        minimum; other starts may end lower, see `n_init`.
    alpha_ : float
        The contrast in absolute terms.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that the factors explain, 1 - ||X - HC||^2 / ||X||^2; for
        Poisson the fraction of the deviance from the best rank-one model (sample total x feature
        share), NaN where that leaves none. At most 1. Below 0: "Results that cannot be, and results
        that say nothing" in docs/method.md.
    n_passes_ : float
        How often the fit read the data, since it was last taken up from a checkpoint.
    device_, device_reason_ : str
        Where the fit ran, and why there.
    seed_ : int
        What `random_state` came to.
    n_features_in_, feature_names_in_
        Number of features, and their names where the target has names (DataFrame, AnnData). A
        background or new samples that name their features have to name the same ones in order.

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

    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **NMF._choices, "contrast": ("relative", "absolute"),
    }  # fmt: skip
    _numbers: ClassVar[Mapping[str, tuple[float, float]]] = {
        **NMF._numbers, "alpha": (0.0, np.inf),
    }  # fmt: skip
    _fewer = "lower alpha or n_components"

    def __init__(
        self,
        n_components: int = 10,
        alpha: float = 1.5,
        contrast: str = "relative",
        loss: str = "squared_error",
        solver: str = "safeguarded",
        init: Init = "random",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: RandomState = 0,
        damping: float = 0.5,
        verbose: int = 0,
        n_background: int = N_BACKGROUND,
    ) -> None:
        super().__init__(
            n_components, loss, solver, init, max_iter, tol, n_init, batch_size, device, dtype,
            random_state, damping, verbose, n_background,
        )  # fmt: skip
        self.alpha = alpha
        self.contrast = contrast

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.solver == "safeguarded" and self.loss == "poisson" and self.alpha > 0:
            raise InputError(
                "loss='poisson' with alpha > 0 is unbounded below, so solver='safeguarded' cannot "
                "minimise it; use SharedTargetNMF, which is well posed on counts, or "
                "loss='squared_error' on log values, or alpha=0, or solver='mu' for the published "
                "damped updates"
            )

    def _objective_name(self) -> str:
        name = super()._objective_name()
        return name if self.alpha == 0 else f"{name}, contrast"

    def _without_background(self) -> str | None:
        if self.alpha == 0:
            return None
        return (
            f"background is missing: alpha={self.alpha} needs one; "
            "pass background=..., or set alpha=0 for plain NMF"
        )

    def _scaled(self) -> bool:
        # To the letter, what the published updates add to denominators is in the data's own units.
        return not (self.solver == "mu" and self.contrast == "absolute")

    def _absolute_alpha(self, target: Matrix, background: Matrix | None) -> float:
        alpha = float(self.alpha)
        if alpha == 0 or self.contrast == "absolute" or background is None:
            return alpha
        if self.loss == "squared_error":
            return alpha * target.squared_norm / background.squared_norm
        return alpha * target.total / background.total

    def _tamer(self) -> str:
        return (
            f", lower alpha (here {self.alpha_:g} in absolute terms) or take solver='safeguarded'"
        )
