"""Variants of the contrast: several feature blocks at once, and combined bases.

Both are models of Li, Yang & Li, arXiv 2602.22387; docs/variants.md has what is made of them here.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.checks import check_integer, check_number, check_same_features
from bcnmf.errors import ConvergenceWarning, InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.inputs import host_array
from bcnmf.persistence import Fit
from bcnmf.progress import Progress
from bcnmf.solvers import combined, safeguarded
from bcnmf.solvers.contrast import Term
from bcnmf.solvers.result import Monitor, SolverResult
from bcnmf.solvers.starts import Factors, given_arrays, given_factors, random_factors
from bcnmf.solvers.usage import exact_usage

_CHOICES = {"contrast": ("relative", "absolute"), "dtype": ("float32", "float64")}
_STARTS = ("seeded", "random")


class MultimodalBCNMF(BCNMF):
    """Background-contrastive NMF of several feature blocks of the same samples.

    Blocks, for instance RNA and ATAC, share the usages H_X (n, K) and H_Y (m, K); each has topics
    C_b (K, features_b) of its own::

        minimise over C, H_X >= 0
            sum_b w_b ||X_b - H_X C_b||^2  -  sum_b alpha_b w_b ||Y_b - H_Y C_b||^2
        where H_Y >= 0 itself minimises sum_b alpha_b w_b ||Y_b - H_Y C_b||^2

    H_Y minimises the very sum that is subtracted, which makes the objective bounded below and its
    gradient simple. With one block this is `BCNMF`.

    Parameters
    ----------
    n_components : int
        Number of topics K.
    alpha : float or sequence of float
        Contrast, at least 0, for all blocks or one per block. Where it is 0 the background's block
        does not touch the topics and may be None.
    contrast : {"relative", "absolute"}
        "relative" multiplies alpha_b by ||X_b||^2 / ||Y_b||^2.
    block_weights : {"balanced", "none"} or sequence of float
        w_b. "balanced" makes them proportional to 1 / ||X_b||^2, so that no block dominates by its
        units or by its number of features; "none" is 1; given ones are positive.
    init : "random" or tuple
        "random" draws uniform(0, 1), times the size of a typical value of the block. Given:
        (list of components (K, features_b), usage (n, K), background_usage (m, K)).
    max_iter, tol, n_init, device, dtype, random_state, verbose
        See `BCNMF`.

    Attributes
    ----------
    components_ : list of ndarray of shape (K, features_b)
        Topics in the units of the data: `usage_ @ components_[b]` is the model of X_b. The rows of
        sqrt(w_1) C_1, sqrt(w_2) C_2, ... side by side have unit L2 norm.
    usage_ : ndarray of shape (n, K)
        Usages of the target, as returned by `fit_transform`.
    background_usage_ : ndarray of shape (m, K)
        Usages of the background; (0, K) without one.
    objective_ : ndarray of shape (n_iter_ + 1,)
        The objective before the first and after every iteration, with exact usages.
    n_iter_, converged_, kkt_residual_
        See `BCNMF`.
    alpha_ : list of float
        alpha_b in absolute terms.
    block_weights_ : list of float
        w_b.
    explained_target_, explained_background_ : list of float
        For each block the fraction of its energy that the factors explain, 1 - ||X_b - H C_b||^2 /
        ||X_b||^2; NaN for blocks that are missing or zero.
    block_features_ : list of int
        Number of features of each block; `n_features_in_` is their sum.
    device_ : str
        Where the fit ran.

    References
    ----------
    Li, Yang & Li, Disentangling Shared and Target-Enriched Topics via Background-Contrastive
    Non-negative Matrix Factorization, arXiv 2602.22387.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf.estimators.combined_basis import MultimodalBCNMF
    >>> rng = np.random.default_rng(0)
    >>> X, Y = ([rng.random((rows, 12)), rng.random((rows, 7))] for rows in (40, 30))
    >>> model = MultimodalBCNMF(n_components=3, alpha=0.5, random_state=0)
    >>> model.fit_transform(X, background=Y).shape
    (40, 3)
    """

    # Settings of `BCNMF` that this model does not have.
    loss = "squared_error"
    solver = "safeguarded"
    batch_size = None

    def __init__(
        self,
        n_components: int = 10,
        alpha: float | Sequence[float] = 1.0,
        contrast: str = "relative",
        block_weights: str | Sequence[float] = "balanced",
        init: str | Sequence[Any] = "random",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        device: str = "auto",
        dtype: str = "float32",
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.contrast = contrast
        self.block_weights = block_weights
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit and return the usages of the target.

        Parameters
        ----------
        X : list of ndarray, scipy sparse, torch.Tensor or AnnData of shape (n, features_b)
            Blocks of the target, non-negative. If any is sparse, none is made dense.
        y : None
            Ignored, for scikit-learn.
        background : list, as X, of shape (m, features_b)
            Blocks of the background, in the same order; None for blocks without contrast, or
            altogether if no block has one.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Parameters out of range; blocks that are empty, negative or not finite, differ in
            number or features between target and background, or in samples within either.
        """
        self._check_parameters()
        target, other = self._check_blocks(X, background)
        self.block_weights_ = self._absolute_weights(target)
        self.alpha_ = self._absolute_alphas(target, other)
        sides = self._sides(target, other)
        # Without weight the background does not touch the components: its usages come at the end.
        contrasted = [side for side in sides if side.weight]
        starts = self._random_or_given(target, other)
        best = min(
            (self._descend(contrasted, start) for start in starts),
            key=lambda result: result.objective[-1],
        )
        if len(contrasted) < len(sides):
            seen = best.components * sides[1].scale
            best.background_usage = exact_usage(sides[1].data, seen)
        self._keep(best, target, other)
        return self.usage_

    def transform(self, X: Any) -> np.ndarray:
        """Return the usages (samples, K) of new samples, a list of blocks as in `fit_transform`."""
        self._check_fitted()
        data = _Blocks.check(X, "X", *self._precision_and_device())
        found, expected = data.features, self.block_features_
        if found != expected:
            raise InputError(
                f"X: has {len(found)} blocks with {_join(found)} features; the model was fitted on "
                f"{len(expected)} blocks with {_join(expected)}"
            )
        roots = np.sqrt(self.block_weights_)
        stacked = np.hstack([c * root for c, root in zip(self.components_, roots, strict=True)])
        components = torch.as_tensor(stacked, dtype=data.dtype).to(data.device)
        return exact_usage(data.side_by_side(roots), components).cpu().numpy()

    def inverse_transform(self, H: Any) -> list[np.ndarray]:
        """Return the reconstructions H C_b (samples, features_b), dense, one per block."""
        self._check_fitted()
        usage, k = np.asarray(H), len(self.components_[0])
        if usage.ndim != 2 or usage.shape[1] != k:
            raise InputError(f"H: has shape {usage.shape}; expected (samples, {k})")
        return [usage @ components for components in self.components_]

    @classmethod
    def load(cls, path: str | os.PathLike) -> MultimodalBCNMF:
        """Load a model written by `save`.

        Raises
        ------
        InputError
            The file is missing, damaged, or holds another class of model.
        """
        model = super().load(path)
        model.components_ = _split(model.components_, model.block_features_)
        for name in ("explained_target_", "explained_background_"):
            values = [float("nan") if value is None else value for value in getattr(model, name)]
            setattr(model, name, values)
        return model

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, with the components of all blocks side by side."""
        fit = super().to_fit()
        fit.components = np.hstack(self.components_)
        stored = fit.info["estimator"]
        for name in ("alpha", "block_weights"):
            if not isinstance(stored["parameters"][name], str | Real):
                stored["parameters"][name] = [float(value) for value in getattr(self, name)]
        for name in ("explained_target_", "explained_background_"):
            # JSON has no NaN.
            stored["fitted"][name] = [
                None if np.isnan(value) else value for value in getattr(self, name)
            ]
        return fit

    _fitted_scalars = (
        "n_iter_",
        "converged_",
        "kkt_residual_",
        "alpha_",
        "block_weights_",
        "block_features_",
        "explained_target_",
        "explained_background_",
        "device_",
    )

    def _objective_name(self) -> str:
        return "squared error, contrast" if any(self.alpha_) else "squared error"

    def _check_parameters(self) -> None:
        _check_common(self)
        for i, value in enumerate(_listed("alpha", self.alpha)):
            check_number(_place("alpha", self.alpha, i), value, 0.0, np.inf)
        if isinstance(self.block_weights, str):
            if self.block_weights not in ("balanced", "none"):
                raise InputError(
                    f"block_weights={self.block_weights!r} is not known; allowed: 'balanced', "
                    "'none', or one positive number per block"
                )
        else:
            for i, value in enumerate(_listed("block_weights", self.block_weights)):
                name = _place("block_weights", self.block_weights, i)
                check_number(name, value, 0.0, np.inf)
                if value == 0:
                    raise InputError(f"{name}=0 is not allowed; leave the block out instead")
        if isinstance(self.init, str) and self.init != "random":
            raise InputError(
                f"init={self.init!r} is not known; allowed: 'random', or (list of components, "
                "usage, background_usage)"
            )

    def _check_blocks(self, X: Any, background: Any) -> tuple[_Blocks, _Blocks | None]:
        place = self._precision_and_device()
        target = _Blocks.check(X, "target", *place)
        for i, norm in enumerate(target.norms):
            if norm == 0:
                raise InputError(
                    f"{_block('target', i)}: all values are zero; leave the block out of both sides"
                )
        alphas = _per_block("alpha", self.alpha, len(target.values))
        if background is None and any(alphas):
            raise InputError(
                f"background is missing: alpha={self.alpha} needs one; "
                "pass background=[...], or set alpha=0 for plain NMF"
            )
        other = None
        if background is not None:
            other = _Blocks.check(background, "background", *place, target.features)
            _check_contrasted(other, alphas)
        _check_size(self.n_components, "target", target.samples, sum(target.features))
        return target, other

    def _absolute_weights(self, target: _Blocks) -> list[float]:
        count = len(target.values)
        if self.block_weights == "none":
            return [1.0] * count
        if isinstance(self.block_weights, str):
            # The common factor leaves the total energy as it is, and a single block untouched.
            return [sum(target.norms) / count / norm for norm in target.norms]
        return _per_block("block_weights", self.block_weights, count)

    def _absolute_alphas(self, target: _Blocks, other: _Blocks | None) -> list[float]:
        alphas = _per_block("alpha", self.alpha, len(target.values))
        if self.contrast == "absolute" or other is None:
            return alphas
        return [
            alpha * own / norm if alpha else 0.0
            for alpha, own, norm in zip(alphas, target.norms, other.norms, strict=True)
        ]

    def _sides(self, target: _Blocks, other: _Blocks | None) -> list[Term]:
        """Return the problem as one of blocks side by side."""
        roots = np.sqrt(self.block_weights_)
        sides = [Term(target.side_by_side(roots), 1.0)]
        if other is None:
            return sides
        if any(self.alpha_):
            weight, scales = -1.0, np.sqrt(self.alpha_)
        else:
            weight, scales = 0.0, np.array([float(one is not None) for one in other.values])
        scale = torch.as_tensor(np.repeat(scales, other.features), dtype=other.dtype)
        stacked = other.side_by_side(roots * scales)
        return [*sides, Term(stacked, weight, scale.to(other.device))]

    def _random_or_given(self, target: _Blocks, other: _Blocks | None) -> list[Factors]:
        m = 0 if other is None else other.samples
        sizes = (target.samples, m, sum(target.features), self.n_components)
        place = target.dtype, target.device
        if not isinstance(self.init, str):
            scale = np.repeat(np.sqrt(self.block_weights_), target.features)
            starts = [given_factors(_stacked_start(self.init, target.features), *sizes, *place)]
        else:
            # A typical value of each block, as weighted.
            scale = np.sqrt(np.multiply(self.block_weights_, target.norms) / target.features)
            scale = np.repeat(scale / scale.max(), target.features)
            seeds = range(self.random_state, self.random_state + self.n_init)
            starts = [random_factors(*sizes, seed, *place) for seed in seeds]
        scale = torch.as_tensor(scale, dtype=target.dtype).to(target.device)
        return [(components * scale, *usages) for components, *usages in starts]

    def _descend(self, sides: list[Term], start: Factors) -> SolverResult:
        monitor = Monitor(Progress(self.max_iter)) if self.verbose else None
        # A start that was given is meant to be kept.
        return safeguarded.minimise(
            sides, start[0], start[1:], self.max_iter, self.tol, monitor,
            warm_up=isinstance(self.init, str),
        )  # fmt: skip

    def _keep(self, result: SolverResult, target: _Blocks, other: _Blocks | None) -> None:
        _check_finite(result.components, result.usage, result.background_usage)
        scale = 1 / np.sqrt(self.block_weights_)
        parts = result.components.split(target.features, dim=1)
        parts = [part * float(one) for part, one in zip(parts, scale, strict=True)]
        self.components_ = [part.cpu().numpy() for part in parts]
        self.usage_ = result.usage.cpu().numpy()
        self.background_usage_ = result.background_usage.cpu().numpy()
        _keep_course(self, result, result.usage.device)
        self.block_features_ = target.features
        self.n_features_in_ = sum(target.features)
        self.explained_target_ = self._explained_blocks(target, parts, result.usage)
        self.explained_background_ = (
            [float("nan")] * len(parts)
            if other is None
            else self._explained_blocks(other, parts, result.background_usage)
        )
        _warn(self, "lower alpha or n_components")

    def _explained_blocks(
        self, data: _Blocks, components: list[torch.Tensor], usage: torch.Tensor
    ) -> list[float]:
        shares = []
        for values, norm, part in zip(data.values, data.norms, components, strict=True):
            share = float("nan")
            if norm > 0:
                matrix = as_matrix(values, data.name, data.dtype, data.device)
                share = self._explained(matrix, part.contiguous(), usage)
            shares.append(share)
        return shares


class CombinedBasisNMF(BCNMF):
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
    max_iter, tol, n_init, device, dtype, random_state, verbose
        See `BCNMF`.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        C_s + C_t, with unit-norm rows: `usage_ @ components_` is the model of X.
    shared_components_ : ndarray of shape (K, features)
        S, with unit-norm rows: `background_usage_ @ shared_components_` is the model of Y.
    shared_weight_ : ndarray of shape (K,)
        v, in [0, 1]: how much of S is in the topics of the target.
    target_components_ : ndarray of shape (K, features)
        C_t = components_ - shared_weight_[:, None] * shared_components_.
    usage_ : ndarray of shape (n, K)
        Usages of the target, as returned by `fit_transform`.
    background_usage_ : ndarray of shape (m, K)
        Usages of the background.
    objective_ : ndarray of shape (n_iter_ + 1,)
        The objective before the first and after every iteration, with exact usages; it never rises.
    n_iter_, converged_, kkt_residual_
        See `BCNMF`.
    penalty_, background_weight_ : float
        Both in absolute terms.
    explained_target_, explained_background_ : float
        Fraction of the data's energy that the factors explain.
    device_ : str
        Where the fit ran.

    Notes
    -----
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

    # Settings of `BCNMF` that this model does not have.
    alpha = 0.0
    loss = "squared_error"
    solver = "safeguarded"
    batch_size = None

    def __init__(
        self,
        n_components: int = 10,
        penalty: float = 0.1,
        background_weight: float = 1.0,
        contrast: str = "relative",
        init: str | Sequence[Any] = "seeded",
        max_iter: int = 500,
        tol: float = 1e-5,
        n_init: int = 1,
        device: str = "auto",
        dtype: str = "float32",
        random_state: int = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.background_weight = background_weight
        self.contrast = contrast
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit and return the usages of the target.

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
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Parameters out of range, data that are empty, negative or not finite, no background, or
            target and background with different features.
        """
        self._check_parameters()
        target, other = self._pair(X, background)
        problem = self._problem(target, other)
        self.penalty_, self.background_weight_ = problem.penalty, problem.background_weight
        monitor = Monitor(Progress(self.max_iter)) if self.verbose else None
        best = min(
            (
                combined.minimise(problem, start, self.max_iter, self.tol, monitor)
                for start in self._bases(target, other)
            ),
            key=lambda result: result.objective[-1],
        )
        self._keep(best, target, other)
        return self.usage_

    @classmethod
    def load(cls, path: str | os.PathLike) -> CombinedBasisNMF:
        """Load a model written by `save`.

        Raises
        ------
        InputError
            The file is missing, damaged, or holds another class of model.
        """
        model = super().load(path)
        model._keep_parts(Fit.read(path).shared_components, model.shared_weight_)
        return model

    def to_fit(self) -> Fit:
        """Return the fitted model as a `Fit`, ready for names to be added."""
        fit = super().to_fit()
        stored = fit.info["estimator"]
        if not isinstance(self.init, str):  # given topics are data, not a setting to store
            stored["parameters"]["init"] = _STARTS[0]
        stored["fitted"]["shared_weight_"] = self.shared_weight_.tolist()
        fit.shared_components = self.shared_components_
        fit.shared_usage = self.usage_ * self.shared_weight_
        return fit

    _fitted_scalars = (
        "n_iter_",
        "converged_",
        "kkt_residual_",
        "penalty_",
        "background_weight_",
        "explained_target_",
        "explained_background_",
        "device_",
    )

    def _objective_name(self) -> str:
        return "squared error, both sides, and overlap"

    def _check_parameters(self) -> None:
        _check_common(self)
        for name in ("penalty", "background_weight"):
            check_number(name, getattr(self, name), 0.0, np.inf)
        if self.background_weight == 0:
            raise InputError(
                "background_weight=0 is not allowed: shared topics would be arbitrary; "
                "give a positive number, or use NMF for a target alone"
            )
        if isinstance(self.init, str) and self.init not in _STARTS:
            raise InputError(
                f"init={self.init!r} is not known; allowed: 'seeded', 'random', or two arrays "
                "(shared_components, target_components)"
            )

    def _check_shapes(self, target: Matrix, background: Matrix | None) -> None:
        if background is None:
            raise InputError(
                "background is missing: shared topics are fitted to it; pass background=..., "
                "or use NMF for a target alone"
            )
        check_same_features(target, background)
        for name, side in (("target", target), ("background", background)):
            _check_size(self.n_components, name, *side.shape)

    def _problem(self, target: Matrix, background: Matrix) -> combined.Problem:
        weight, penalty = float(self.background_weight), float(self.penalty)
        if self.contrast == "relative":
            weight *= target.squared_norm / background.squared_norm
            penalty *= target.squared_norm
        return combined.Problem(target, background, weight, penalty)

    def _bases(self, target: Matrix, background: Matrix) -> list[combined.Bases]:
        dtype, device = self._precision_and_device()
        like = torch.empty(0, dtype=dtype, device=device)
        features, k = target.shape[1], self.n_components
        if not isinstance(self.init, str):
            shapes = dict.fromkeys(("shared_components", "target_components"), (k, features))
            shared, parts = given_arrays(self.init, shapes, dtype, device)
            return [combined.normalise(shared, shared.norm(dim=1), parts)]
        seeds = range(self.random_state, self.random_state + self.n_init)
        if self.init == "random":
            return [combined.random_start(features, k, seed, like) for seed in seeds]
        return [combined.seeded_start(target, background, k, seed, like) for seed in seeds]

    def _keep(self, result: combined.CombinedResult, target: Matrix, background: Matrix) -> None:
        bases = result.bases
        components = bases.combined()
        _check_finite(components, bases.shared, result.usage, result.background_usage)
        self.components_ = components.cpu().numpy()
        self._keep_parts(bases.shared.cpu().numpy(), bases.weight.cpu().numpy())
        self.usage_ = result.usage.cpu().numpy()
        self.background_usage_ = result.background_usage.cpu().numpy()
        _keep_course(self, result, result.usage.device)
        self.n_features_in_ = target.shape[1]
        self.explained_target_ = self._explained(target, components, result.usage)
        self.explained_background_ = self._explained(
            background, bases.shared, result.background_usage
        )
        _warn(self, "lower n_components")

    def _keep_parts(self, shared: np.ndarray, weight: Any) -> None:
        """Keep the parts of `components_`; the target's part is the rest."""
        self.shared_components_ = shared
        self.shared_weight_ = np.asarray(weight, dtype=shared.dtype)
        rest = self.components_ - self.shared_weight_[:, None] * shared
        self.target_components_ = np.maximum(rest, 0)


@dataclass(frozen=True)
class _Blocks:
    """Feature blocks of the same samples, on the host.

    `values` has None, and `norms`, the squared norms, 0, for blocks that are missing.
    """

    name: str
    values: list[np.ndarray | sp.csr_matrix | None]
    features: list[int]
    norms: list[float]
    samples: int
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def check(
        cls,
        blocks: Any,
        name: str,
        dtype: torch.dtype,
        device: torch.device,
        features: list[int] | None = None,
    ) -> _Blocks:
        """Check a user's list of blocks, against the target's `features` for a background."""
        listed = isinstance(blocks, list | tuple)
        if not listed or not blocks:
            shape = f" of shape {blocks.shape}" if hasattr(blocks, "shape") else ""
            found = "an empty list" if listed else f"{type(blocks).__name__}{shape}"
            raise InputError(
                f"{name}: expected a list of blocks, one per modality; found {found}. "
                "Put a single block into a list"
            )
        if features is not None and len(blocks) != len(features):
            raise InputError(
                f"{name} has {len(blocks)} blocks, target has {len(features)}; "
                "both need the same blocks in the same order"
            )
        names = [_block(name, i) for i in range(len(blocks))]
        may_miss = features is not None
        values = [
            None if block is None and may_miss else host_array(block, one)
            for block, one in zip(blocks, names, strict=True)
        ]
        norms = [
            # On the host: blocks go to the device side by side.
            0.0 if one is None else as_matrix(one, label, dtype, torch.device("cpu")).squared_norm
            for one, label in zip(values, names, strict=True)
        ]
        shapes = [one.shape for one in values if one is not None]
        if len({rows for rows, _ in shapes}) != 1:
            found = ", ".join(str(rows) for rows, _ in shapes) or "no"
            raise InputError(
                f"{name}: the blocks have {found} samples; "
                "all blocks need the same samples in the same order"
            )
        widths = features or [width for _, width in shapes]
        for label, one, width in zip(names, values, widths, strict=True):
            if one is not None and one.shape[1] != width:
                raise InputError(
                    f"{label} has {one.shape[1]} features, that of the target has {width}; "
                    "both need the same features in the same order"
                )
        return cls(name, values, list(widths), norms, shapes[0][0], dtype, device)

    def side_by_side(self, factors: Sequence[float]) -> Matrix:
        """Return the blocks, each times its factor, as one matrix on the device."""
        sparse = any(sp.issparse(one) for one in self.values)
        kind = np.dtype(str(self.dtype).removeprefix("torch."))
        parts = []
        for one, width, factor in zip(self.values, self.features, factors, strict=True):
            if one is None or factor == 0:
                shape = (self.samples, width)
                parts.append(sp.csr_matrix(shape, dtype=kind) if sparse else np.zeros(shape, kind))
            elif sparse:
                parts.append(sp.csr_matrix(one, dtype=kind) * kind.type(factor))
            else:
                parts.append(np.asarray(one, dtype=kind) * kind.type(factor))
        stacked = sp.hstack(parts, format="csr") if sparse else np.hstack(parts)
        return as_matrix(stacked, self.name, self.dtype, self.device)


def _check_common(model: BCNMF) -> None:
    """Check the parameters that both variants have."""
    for name, allowed in _CHOICES.items():
        value = getattr(model, name)
        if value not in allowed:
            raise InputError(f"{name}={value!r} is not known; allowed: {', '.join(allowed)}")
    for name in ("n_components", "max_iter", "n_init"):
        check_integer(name, getattr(model, name), 1)
    check_integer("random_state", model.random_state, 0)
    check_number("tol", model.tol, 0.0, np.inf)


def _check_contrasted(background: _Blocks, alphas: list[float]) -> None:
    for i, (alpha, norm) in enumerate(zip(alphas, background.norms, strict=True)):
        if alpha > 0 and norm == 0:
            state = "is missing" if background.values[i] is None else "has only zeros"
            raise InputError(
                f"{_block('background', i)} {state}, but its alpha is {alpha:g}; "
                "set alpha=0 for this block, or leave the block out of both sides"
            )


def _check_size(k: int, name: str, samples: int, features: int) -> None:
    if k > min(samples, features):
        raise InputError(
            f"n_components={k} is larger than the data: the {name} has {samples} samples and "
            f"{features} features; choose at most {min(samples, features)}"
        )


def _check_finite(*factors: torch.Tensor) -> None:
    if not all(bool(torch.isfinite(values).all()) for values in factors):
        raise InputError(
            "the fit diverged: factors hold NaN or infinite values; use dtype='float64', "
            "or scale the data"
        )


def _keep_course(
    model: BCNMF, result: SolverResult | combined.CombinedResult, device: torch.device
) -> None:
    model.objective_ = np.asarray(result.objective)
    model.n_iter_ = result.n_iter
    model.converged_ = result.converged
    model.kkt_residual_ = result.kkt_residual
    model.device_ = str(device)


def _warn(model: BCNMF, advice: str) -> None:
    """Say what the user should know about a fit; called from where `fit_transform` keeps it."""
    messages = []
    if model.tol > 0 and not model.converged_:
        course = (
            f"the stopping rule was not met after max_iter={model.max_iter} iterations "
            f"(tol={model.tol:g}, projected gradient {model.kkt_residual_:.2g}); raise max_iter "
            "or tol"
            if model.n_iter_ == model.max_iter
            else f"no step lowered the objective any more after {model.n_iter_} iterations, with a "
            f"projected gradient of {model.kkt_residual_:.2g}; try dtype='float64' or n_init > 1"
        )
        messages.append(course)
    unused = _unused(model.usage_)
    if unused:
        messages.append(
            f"the target uses topics {unused} of {model.n_components} nowhere; {advice}"
        )
    if hasattr(model, "shared_components_") and (unused := _unused(model.background_usage_)):
        messages.append(
            f"the background uses shared topics {unused} of {model.n_components} nowhere, so they "
            f"may hold what only the target has; {advice}, or raise background_weight"
        )
    for message in messages:
        # Scikit-learn wraps `fit_transform`, which is one call more.
        warnings.warn(message, ConvergenceWarning, stacklevel=5)


def _unused(usage: np.ndarray) -> str:
    return ", ".join(str(topic + 1) for topic in np.flatnonzero(usage.max(0) == 0))


def _stacked_start(init: Sequence[Any], features: list[int]) -> tuple[Any, ...]:
    """Put the components of a user's start side by side."""
    if len(init) != 3 or not isinstance(init[0], list | tuple) or len(init[0]) != len(features):
        raise InputError(
            f"init: expected (components, usage, background_usage) with components a list of "
            f"{len(features)} arrays, (K, {'), (K, '.join(map(str, features))})"
        )
    blocks = [np.asarray(torch.as_tensor(block).cpu(), dtype=np.float64) for block in init[0]]
    for i, (block, width) in enumerate(zip(blocks, features, strict=True)):
        if block.ndim != 2 or block.shape[1] != width:
            raise InputError(
                f"init: components of block {i + 1} have shape {block.shape}; expected (K, {width})"
            )
    return np.hstack(blocks), *init[1:]


def _split(components: np.ndarray, features: list[int]) -> list[np.ndarray]:
    parts = np.split(components, np.cumsum(features)[:-1], axis=1)
    return [np.ascontiguousarray(part) for part in parts]


def _listed(name: str, values: Any) -> list[Any]:
    """Return one number, or numbers for each block, as a list."""
    if isinstance(values, Real):
        return [values]
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise InputError(
            f"{name}={values!r} is not allowed; expected a number, or one number per block"
        )
    return list(values)


def _per_block(name: str, values: Any, count: int) -> list[float]:
    listed = _listed(name, values)
    if isinstance(values, Real):
        listed *= count
    if len(listed) != count:
        raise InputError(
            f"{name}: {len(listed)} values for {count} blocks; give one number, or one per block"
        )
    return [float(value) for value in listed]


def _place(name: str, values: Any, i: int) -> str:
    return name if isinstance(values, Real) else f"{name}[{i}]"


def _block(name: str, i: int) -> str:
    return f"{name}, block {i + 1}"


def _join(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
