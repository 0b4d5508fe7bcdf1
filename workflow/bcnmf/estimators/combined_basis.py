"""The combined-basis variant of the contrast; docs/variants.md has what is made of it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from bcnmf.errors import InputError
from bcnmf.estimators.base import Factorisation, Init
from bcnmf.estimators.solution import Solution, unused
from bcnmf.matrices.base import Matrix
from bcnmf.persistence import Fit
from bcnmf.seeds import RandomState, seed_of_start
from bcnmf.solvers import combined
from bcnmf.solvers.restarts import Restarts
from bcnmf.solvers.starts import given_arrays

# Parts of topics of unit norm that are nothing.
_EMPTY = 1e-3


class CombinedBasisNMF(Factorisation):
    """Topics with a shared and a target part: the combined-basis variant.

    Topic k of the target is C_s[k] + C_t[k], used with one usage; the background has the shared
    part alone::

        minimise    ||X - H_X (C_s + C_t)||^2 + background_weight ||Y - H_Y S||^2
                    + penalty ||S C_t'||_F^2,        C_s = diag(v) S, all factors >= 0

    S are the shared parts at unit norm. Writing the model with C_s throughout leaves scales free
    that make any penalty vanish at no cost to the fit: C_s and C_t may shrink while H_X and H_Y
    grow, or C_s alone may while H_Y grows and C_t takes its place in X. Here the rows of C_s + C_t
    and those of S have unit norm, which rules out both; see docs/variants.md.

    Parameters
    ----------
    n_components : int
        Number of topics K, of both kinds.
    penalty : float
        Weight of the overlap between shared and target parts, at least 0. With 0 nothing keeps
        them apart; a large one leaves nothing in C_t that any shared topic could have.
    background_weight : float
        Weight of the background's error, above 0.
    contrast : {"relative", "absolute"}
        "relative" multiplies the penalty by ||X||^2 and the background's weight by ||X||^2 /
        ||Y||^2. The errors are in squared units of the data and grow with the number of samples,
        while the overlap of unit-norm topics is a pure number between 0 and K^2; only with these
        factors do the same settings mean the same on every data set. "absolute" takes both as
        they are.
    init : {"seeded", "random"} or tuple of arrays
        "seeded" starts S from background samples that differ from one another, and C_t from what S
        leaves over of the target. "random" draws uniform(0, 1), from which shared topics that the
        background does not use often take what only the target has. Given: C_s, C_t, both
        (K, features).
    max_iter, tol, n_init, batch_size, device, dtype, random_state, verbose
        See `BCNMF`.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        C_s + C_t, the authors' W_s + W_t transposed, with unit-norm rows: `usage_ @ components_` is
        the model of X.
    shared_components_ : ndarray of shape (K, features)
        S, with unit-norm rows: `background_usage_ @ shared_components_` is the model of Y.
    shared_weight_ : ndarray of shape (K,)
        v, in [0, 1]: how much of S is in the topics of the target.
    target_components_ : ndarray of shape (K, features)
        C_t: `components_ - shared_weight_[:, None] * shared_components_`.
    usage_ : ndarray of shape (n, K)
        Usages of the target, the paper's H_X transposed; as returned by `fit_transform`.
    background_usage_ : ndarray of shape (m, K)
        Usages of the background, the paper's H_Y transposed.
    objective_ : ndarray of shape (`n_iter_` + 1,)
        The objective before the first and after every iteration, with exact usages; it never rises.
    n_iter_, converged_, kkt_residual_
        See `BCNMF`.
    penalty_, background_weight_ : float
        Both in absolute terms.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that the factors explain.
    n_passes_, device_, device_reason_, seed_, n_features_in_, feature_names_in_
        See `BCNMF`.

    Notes
    -----
    `target_score` is that of the target parts C_t beside the shared parts S.

    Nothing ties a shared topic that the background does not use to the background, and nothing
    keeps it from explaining what only the target has; a warning names such topics.

    References
    ----------
    Li, Yang & Li, Disentangling Shared and Target-Enriched Topics via Background-Contrastive
    Non-negative Matrix Factorization, arXiv 2602.22387, and its code.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf.estimators.combined_basis import CombinedBasisNMF
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((40, 12)), rng.random((30, 12))
    >>> CombinedBasisNMF(n_components=3, random_state=0).fit_transform(X, background=Y).shape
    (40, 3)
    """

    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"contrast": ("relative", "absolute")}
    _integers: ClassVar[Mapping[str, int]] = {"n_components": 1}
    _numbers: ClassVar[Mapping[str, tuple[float, float]]] = {
        "penalty": (0.0, np.inf), "background_weight": (0.0, np.inf),
    }  # fmt: skip
    _start_arrays = "two arrays (shared_components, target_components)"
    _topic_counts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "n_components": ("target", "background")
    }
    _arrays = (*Factorisation._arrays, "shared_components")
    _facts = (
        "n_iter", "converged", "kkt_residual", "penalty", "background_weight", "shared_weight",
        "explained_target", "explained_background", "device",
    )  # fmt: skip

    shared_components_: np.ndarray
    shared_weight_: np.ndarray
    target_components_: np.ndarray

    def __init__(
        self,
        n_components: int = 10,
        penalty: float = 0.1,
        background_weight: float = 1.0,
        contrast: str = "relative",
        init: Init = "seeded",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        batch_size: int | None = None,
        device: str = "auto",
        dtype: str = "float32",
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            init, max_iter, tol, n_init, batch_size, device, dtype, random_state, verbose
        )
        self.n_components = n_components
        self.penalty = penalty
        self.background_weight = background_weight
        self.contrast = contrast

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, ready for names to be added."""
        fit = super().to_fit()
        fit.shared_usage = self.usage_ * self.shared_weight_
        return fit

    def _objective_name(self) -> str:
        return "squared error, both sides, and overlap"

    def _target_topics(self) -> np.ndarray:
        return self.target_components_

    def _beside(self) -> np.ndarray:
        return self.shared_components_

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.background_weight == 0:
            raise InputError(
                "background_weight=0 is not allowed: shared topics would be arbitrary; "
                "give a positive number, or use NMF for a target alone"
            )

    def _solve(self, target: Matrix, background: Matrix, restarts: Restarts) -> Solution:
        problem = self._problem(target, background)
        self.penalty_ = problem.penalty * target.unit**2
        self.background_weight_ = problem.background_weight
        best = restarts.best_of(
            combined.CombinedResult,
            self._starts_to_run(),
            lambda number, monitor: combined.minimise(
                problem,
                self._bases(number, target, background),
                int(self.max_iter),
                float(self.tol),
                monitor,
            ),
        )
        topics, shared = best.bases.combined(), best.bases.shared
        factors = {
            "components": topics, "shared_components": shared, "shared_weight": best.bases.weight,
            "usage": best.usage, "background_usage": best.background_usage,
        }  # fmt: skip
        return Solution(best, factors, (topics, best.usage), (shared, best.background_usage))

    def _problem(self, target: Matrix, background: Matrix) -> combined.Problem:
        weight, penalty = float(self.background_weight), float(self.penalty)
        if self.contrast == "relative":
            weight *= target.squared_norm / background.squared_norm
            penalty *= target.squared_norm
        else:
            penalty /= target.unit**2
        return combined.Problem(target, background, weight, penalty)

    def _bases(self, number: int, target: Matrix, background: Matrix) -> combined.Bases:
        dtype, device = self._precision_and_device()
        empty = torch.empty(0, dtype=dtype, device=device)
        features, k = target.shape[1], int(self.n_components)
        if not isinstance(self.init, str):
            shapes = dict.fromkeys(("shared_components", "target_components"), (k, features))
            shared, parts = given_arrays(self.init, shapes, dtype, device)
            return combined.normalise(shared, shared.norm(dim=1), parts)
        seed = seed_of_start(self.seed_, number)
        if self.init == "random":
            return combined.random_start(features, k, seed, empty)
        return combined.seeded_start(target, background, k, seed, empty)

    def _derive(self) -> None:
        """Set the target's part of the topics: what the shared part leaves."""
        shared = self.shared_components_
        self.shared_weight_ = np.asarray(self.shared_weight_, dtype=shared.dtype)
        rest = self.components_ - self.shared_weight_[:, None] * shared
        self.target_components_ = np.maximum(rest, 0)

    def _idle_topics(self) -> list[str]:
        messages = super()._idle_topics()
        if idle := unused(self.background_usage_):
            messages.append(
                f"the background uses shared topics {idle} of {self.n_components} nowhere, so they "
                f"may hold what only the target has; {self._fewer}, or raise background_weight"
            )
        if np.linalg.norm(self.target_components_, axis=1).max() < _EMPTY:
            messages.append(
                "the target parts of all topics are empty, so target_score is about 0 everywhere: "
                f"nothing is the target's own beside penalty={self.penalty:g}; lower it, and see "
                "that target and background differ"
            )
        return messages
