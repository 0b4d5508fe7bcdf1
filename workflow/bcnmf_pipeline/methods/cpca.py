"""Contrastive PCA: directions that vary in the target and not in the background."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import SpectralClustering

from bcnmf.errors import InputError
from bcnmf_pipeline.methods.pca import (
    Values,
    centred_product,
    check_components,
    check_same_features,
    fixed_signs,
    signed_data,
)

# Two dense float64 matrices of this order take 1 GB; beyond it no covariance is formed.
MAX_DENSE_ORDER = 8000
# Below this order a plain eigendecomposition is faster than factorise-and-iterate.
MIN_SHIFT_INVERT_ORDER = 400
# Relative accuracy of eigenvalues while alphas are compared; affinities of subspaces then are
# accurate to about 1e-10.
_SWEEP_TOLERANCE = 1e-8
# Entries of a dense block of a sparse matrix (16 MB).
_BLOCK_ELEMENTS = 1 << 21


class CPCA(TransformerMixin, BaseEstimator):
    """Contrastive PCA.

    The components are the K eigenvectors of C_X - alpha C_Y with the largest eigenvalues, where
    C_X and C_Y are the covariances of target and background, each centred on its own mean and
    divided by its number of samples less one, as in the authors' package. Their package also
    standardises every feature by default and reduces more than 1000 features to 1000 principal
    components first; here the data are neither scaled nor reduced. Features that vary in neither
    data set get no loading.

    Sparse data stay sparse. Up to `MAX_DENSE_ORDER` for the smaller of the number of features and
    the number of samples of both data sets, the problem is solved densely in the space of features
    or in the row space of the data (the same eigenvectors); beyond, by Lanczos iterations that
    multiply by the data and never form a covariance.

    Parameters
    ----------
    n_components : int
        Number of components K, at most min(n - 1, features).
    alpha : float or {"auto1", "auto2", "auto3"}
        Contrast, at least 0 (0 is PCA). "autoI" is the I-th smallest non-zero value of
        `automatic_alphas`.
    random_state : int
        Seed of starting vectors and of the clustering of alphas.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        Orthonormal rows by decreasing eigenvalue; the loading of largest magnitude is positive.
    eigenvalues_ : ndarray of shape (K,)
        Variance in the target less alpha times variance in the background.
    usage_, background_usage_ : ndarray of shape (n, K) and (m, K)
        Signed scores, each side centred on its own mean.
    alpha_ : float
        The contrast that was used.
    objective_, n_iter_, converged_
        Empty, 0 and True: there are no iterations to follow.

    References
    ----------
    Abid, Zhang, Bagaria & Zou (2018), Exploring patterns enriched in a dataset with contrastive
    principal component analysis, Nature Communications 9:2134.
    """

    def __init__(
        self, n_components: int = 10, alpha: float | str = 1.0, random_state: int = 0
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X: Any, y: None = None, *, background: Any = None) -> CPCA:
        """Fit to target `X` (n, features) and `background` (m, features); return self."""
        self.fit_transform(X, background=background)
        return self

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit and return the scores of the target.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor or AnnData of shape (n, features)
            Target.
        y : None
            Ignored, for scikit-learn.
        background : as X, of shape (m, features)
            Background.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Parameters out of range, data that cannot be used, or Lanczos iterations that do not
            converge (large alpha on very many features and samples).
        """
        automatic = _automatic_rank(self.alpha)
        target, other = _sides(X, background)
        check_components(self.n_components, target)
        if automatic is None:
            self.alpha_ = float(self.alpha)
        else:
            chosen = automatic_alphas(
                target, other, self.n_components, random_state=self.random_state
            )
            self.alpha_ = chosen[automatic]
        values, components = contrastive_components(
            target, other, self.n_components, self.alpha_, self.random_state
        )
        self.eigenvalues_ = values
        self.components_ = fixed_signs(components)
        self.mean_, background_mean = _mean(target), _mean(other)
        self.n_features_in_ = target.shape[1]
        self.usage_ = centred_product(target, self.mean_, self.components_)
        self.background_usage_ = centred_product(other, background_mean, self.components_)
        self.objective_ = np.empty(0)
        self.n_iter_ = 0
        self.converged_ = True
        return self.usage_

    def transform(self, X: Any) -> np.ndarray:
        """Return the scores (samples, K) of samples, centred on the target's mean."""
        if not hasattr(self, "components_"):
            raise InputError("this CPCA is not fitted; call fit first")
        data = signed_data(X, "X", minimum=1)
        if data.shape[1] != self.n_features_in_:
            raise InputError(
                f"X: has {data.shape[1]} features; the model was fitted on {self.n_features_in_}"
            )
        return centred_product(data, self.mean_, self.components_)


def contrastive_components(
    X: Any, background: Any, n_components: int, alpha: float, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the top eigenvalues (K,) and eigenvectors (K, features) of C_X - alpha C_Y.

    See `CPCA` for the definition and for what is raised.
    """
    target, other = _sides(X, background)
    check_components(n_components, target)
    if min(target.shape[1], target.shape[0] + other.shape[0]) > MAX_DENSE_ORDER:
        return _lanczos(target, other, n_components, alpha, random_state)
    problem = _dense_problem(target, other)
    values, vectors = _top(problem, n_components, alpha)
    return values, problem.to_features(vectors).T


def automatic_alphas(
    X: Any,
    background: Any,
    n_components: int,
    n_alphas: int = 40,
    low: float = 0.1,
    high: float = 1000.0,
    n_select: int = 3,
    random_state: int = 0,
) -> list[float]:
    """Choose a few alphas that show different things (Abid et al. 2018, algorithm 2).

    For 0 and `n_alphas` log-spaced alphas the top-K subspaces of features are found; the affinity
    of two subspaces is the product of the cosines of their principal angles; spectral clustering
    makes `n_select` + 1 groups of alphas; each group is represented by its medoid, the alpha with
    the largest sum of affinities to its group (ties: the smallest). The group of alpha = 0 is
    represented by 0 itself. Grid and numbers are the defaults of the authors' package. That
    package takes the angles between the projected data and multiplies two cosines only, whatever
    K; here, as in the article, the angles are between the subspaces, all K of them.

    Parameters
    ----------
    X, background : ndarray, scipy sparse, torch.Tensor or AnnData
        Target (n, features) and background (m, features).
    n_components : int
        K.
    n_alphas : int
        Number of non-zero alphas tried.
    low, high : float
        Their range.
    n_select : int
        Number of non-zero alphas returned.
    random_state : int
        Seed of starting vectors and of the clustering.

    Returns
    -------
    list of float
        0 and `n_select` alphas, increasing.

    Raises
    ------
    InputError
        Parameters or data that cannot be used, a problem too large to solve for every alpha, or
        subspaces too much alike to form the groups.
    """
    target, other = _sides(X, background)
    check_components(n_components, target)
    if not (0 < low < high and 1 <= n_select <= n_alphas):
        raise InputError(
            f"low={low!r}, high={high!r}, n_select={n_select!r}, n_alphas={n_alphas!r} are not "
            "allowed; expected 0 < low < high and 1 <= n_select <= n_alphas"
        )
    order = min(target.shape[1], target.shape[0] + other.shape[0])
    if order > MAX_DENSE_ORDER:
        raise InputError(
            f"the automatic choice of alpha would need dense matrices of order {order} "
            f"({2 * order**2 * 8 / 1e9:.0f} GB) for {target.shape[1]} features and "
            f"{target.shape[0]} + {other.shape[0]} samples; the limit is {MAX_DENSE_ORDER}. "
            "Select fewer features (n_top_features in the studies sheet), or give alphas"
        )
    alphas = np.concatenate([[0.0], np.geomspace(low, high, n_alphas)])
    problem = _dense_problem(target, other)
    affinity = subspace_affinity(
        [vectors for _, vectors in _along(problem, n_components, alphas, random_state)]
    )
    groups = _cluster(affinity, n_select + 1, random_state)
    chosen = [0.0]
    for group in set(groups) - {groups[0]}:
        members = np.flatnonzero(groups == group)
        within = affinity[np.ix_(members, members)].sum(axis=0)
        chosen.append(float(alphas[members[within.argmax()]]))
    return sorted(chosen)


def subspace_affinity(bases: Sequence[np.ndarray]) -> np.ndarray:
    """Return products of the cosines of the principal angles between subspaces.

    Parameters
    ----------
    bases : sequence of ndarray of shape (dimensions, K)
        Orthonormal bases.

    Returns
    -------
    ndarray of shape (len(bases), len(bases))
        1 for equal subspaces, 0 where one has a direction orthogonal to all of the other.
    """
    stacked = np.stack(list(bases))
    # The cosines are the singular values of V'W; their product is |det V'W|.
    inner = np.einsum("adk,bdl->abkl", stacked, stacked, optimize=True)
    affinity = np.clip(np.abs(np.linalg.det(inner)), 0.0, 1.0)
    affinity = (affinity + affinity.T) / 2
    np.fill_diagonal(affinity, 1.0)
    return affinity


@dataclass
class _DenseProblem(ABC):
    """C_X and C_Y in an orthonormal basis of at most `MAX_DENSE_ORDER` dimensions.

    `to_features` maps vectors (dimensions, K) in that basis to vectors (features, K).
    """

    target: np.ndarray
    background: np.ndarray

    def at(self, alpha: float) -> np.ndarray:
        return self.target - alpha * self.background

    @abstractmethod
    def to_features(self, vectors: np.ndarray) -> np.ndarray: ...


@dataclass
class _FeatureSpace(_DenseProblem):
    """The covariances themselves, of the features that vary at all."""

    kept: np.ndarray

    def to_features(self, vectors: np.ndarray) -> np.ndarray:
        full = np.zeros((len(self.kept), vectors.shape[1]))
        full[self.kept] = vectors
        return full


@dataclass
class _RowSpace(_DenseProblem):
    """The covariances in the space that the samples span, smaller when features outnumber them.

    With Z the centred samples of both sides, Z Z' = L L' (pivoted Cholesky, rank r) and Z = L Q'
    for a Q with orthonormal columns: Q' C_X Q and Q' C_Y Q come from L alone, and Q w is a
    combination of r samples.
    """

    sides: tuple[Values, Values]
    triangle: np.ndarray
    pivots: np.ndarray

    def to_features(self, vectors: np.ndarray) -> np.ndarray:
        target, background = self.sides
        solved = scipy.linalg.solve_triangular(self.triangle, vectors, lower=True, trans="T")
        weights = np.zeros((target.shape[0] + background.shape[0], vectors.shape[1]))
        weights[self.pivots] = solved
        n = target.shape[0]
        return _centred_combination(target, weights[:n]) + _centred_combination(
            background, weights[n:]
        )


def _dense_problem(target: Values, background: Values) -> _DenseProblem:
    if target.shape[1] <= target.shape[0] + background.shape[0]:
        return _feature_space(target, background)
    return _row_space(target, background)


def _feature_space(target: Values, background: Values) -> _FeatureSpace:
    c_x, c_y = covariance(target), covariance(background)
    _check_variance(c_x.trace())
    kept = (np.diag(c_x) > 0) | (np.diag(c_y) > 0)
    if not kept.all():
        c_x, c_y = c_x[np.ix_(kept, kept)], c_y[np.ix_(kept, kept)]
    return _FeatureSpace(c_x, c_y, kept)


def _row_space(target: Values, background: Values) -> _RowSpace:
    n, m = target.shape[0], background.shape[0]
    gram = np.empty((n + m, n + m))
    gram[:n, :n] = _centred_gram(target, target)
    gram[n:, n:] = _centred_gram(background, background)
    gram[n:, :n] = _centred_gram(background, target)
    gram[:n, n:] = gram[n:, :n].T
    _check_variance(np.trace(gram[:n, :n]))
    # A pivot below this is the rounding of the largest eigenvalue, not a direction of the data.
    tolerance = (n + m) * np.finfo(float).eps * gram.trace()
    factor, pivots, rank, info = scipy.linalg.lapack.dpstrf(gram, lower=1, tol=tolerance)
    if info < 0:
        raise RuntimeError(f"LAPACK dpstrf refused argument {-info}")
    pivots = pivots - 1
    rows = np.empty((n + m, rank))
    rows[pivots] = np.tril(factor)[:, :rank]
    return _RowSpace(
        rows[:n].T @ rows[:n] / (n - 1),
        rows[n:].T @ rows[n:] / (m - 1),
        (target, background),
        np.tril(factor[:rank, :rank]),
        pivots[:rank],
    )


def covariance(data: Values) -> np.ndarray:
    """Return the covariance (features, features), from X'X and the mean where X is sparse."""
    n = data.shape[0]
    mean = _mean(data)
    if sp.issparse(data):
        scatter = _block_product(data, data) - n * np.outer(mean, mean)
        # A constant feature leaves rounding behind, which is not variance.
        squares = np.asarray(data.multiply(data).sum(axis=0)).ravel()
        constant = scatter.diagonal() <= 1e-12 * squares
        scatter[constant] = 0.0
        scatter[:, constant] = 0.0
    else:
        centred = data - mean
        centred[:, np.ptp(data, axis=0) == 0] = 0.0
        scatter = centred.T @ centred
    return scatter / (n - 1)


def _centred_gram(left: Values, right: Values) -> np.ndarray:
    """Return inner products of samples, each side centred on its own mean."""
    if sp.issparse(left) or sp.issparse(right):
        gram = _block_product(sp.csr_matrix(left.T), sp.csr_matrix(right.T))
    else:
        gram = left @ right.T
    gram = gram - gram.mean(axis=0)
    return gram - gram.mean(axis=1, keepdims=True)


def _block_product(left: sp.csr_matrix, right: sp.csr_matrix) -> np.ndarray:
    """Return L'R (dense) of sparse matrices, by small dense blocks of their rows.

    As fast as a sparse product at 10% of entries stored and nine times faster at 35%.
    """
    total = np.zeros((left.shape[1], right.shape[1]))
    step = max(1, _BLOCK_ELEMENTS // max(total.shape))
    for start in range(0, left.shape[0], step):
        block = left[start : start + step].toarray()
        other = block if right is left else right[start : start + step].toarray()
        total += block.T @ other
    return total


def _centred_combination(data: Values, weights: np.ndarray) -> np.ndarray:
    """Return (X - mean)' A, (features, K)."""
    return np.asarray(data.T @ weights) - np.outer(_mean(data), weights.sum(axis=0))


def _top(
    problem: _DenseProblem, k: int, alpha: float, upper: float | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues, decreasing, with their vectors (dimensions, k).

    Where an upper bound of the spectrum is known, the inverse of (bound - C) is iterated: its
    eigenvalues are far apart where those of C are close together, as they are at large alpha.
    """
    matrix = problem.at(alpha)
    order = len(matrix)
    if k > order:
        raise InputError(
            f"n_components={k}, but the centred data span only {order} dimensions; "
            f"choose at most {order}"
        )
    if upper is None or order < max(MIN_SHIFT_INVERT_ORDER, 4 * k):
        values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[order - k, order - 1])
    else:
        rounding = order * np.finfo(float).eps * np.abs(matrix.diagonal()).max()
        shift = upper + 1e-4 * abs(upper) + 10 * rounding
        matrix *= -1.0
        matrix[np.diag_indices(order)] += shift
        factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        inverse = LinearOperator(
            (order, order),
            matvec=lambda vector: scipy.linalg.cho_solve(factor, vector, check_finite=False),
            dtype=np.float64,
        )
        start = np.random.default_rng(seed).normal(size=order)
        inverted, vectors = eigsh(
            inverse, k=k, which="LA", v0=start, ncv=max(40, 3 * k), tol=_SWEEP_TOLERANCE
        )
        values = shift - 1.0 / inverted
    decreasing = np.argsort(-values, kind="stable")
    return values[decreasing], vectors[:, decreasing]


def _along(
    problem: _DenseProblem, k: int, alphas: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the top k eigenpairs for increasing alphas.

    C_Y has no negative eigenvalue, so the largest eigenvalue of C_X - alpha C_Y never rises with
    alpha: each alpha's is an upper bound for the next.
    """
    upper = None
    for alpha in alphas:
        values, vectors = _top(problem, k, float(alpha), upper, seed)
        upper = values[0]
        yield values, vectors


def _lanczos(
    target: Values, background: Values, k: int, alpha: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    n, features = target.shape
    m = background.shape[0]
    mean_x, mean_y = _mean(target)[None], _mean(background)[None]

    def multiply(vector: np.ndarray) -> np.ndarray:
        column = vector.reshape(-1, 1)
        along_x = np.asarray(target @ column) - mean_x @ column
        along_y = np.asarray(background @ column) - mean_y @ column
        result = _centred_combination(target, along_x) / (n - 1)
        return result - alpha * _centred_combination(background, along_y) / (m - 1)

    operator = LinearOperator((features, features), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).normal(size=features)
    try:
        values, vectors = eigsh(operator, k=k, which="LA", v0=start, ncv=max(60, 3 * k))
    except ArpackNoConvergence as error:
        raise InputError(
            f"contrastive PCA at alpha={alpha:g} on {features} features and {n} + {m} samples: "
            f"{len(error.eigenvalues)} of {k} components converged. Lower alpha, or select fewer "
            f"features: up to {MAX_DENSE_ORDER} are solved directly"
        ) from error
    decreasing = np.argsort(-values, kind="stable")
    return values[decreasing], vectors[:, decreasing].T


def _cluster(affinity: np.ndarray, n_groups: int, seed: int) -> np.ndarray:
    groups = SpectralClustering(
        n_clusters=n_groups, affinity="precomputed", assign_labels="kmeans", random_state=seed
    ).fit_predict(affinity)
    # Equal subspaces fall into groups by rounding.
    if affinity.min() > 1 - 1e-6 or len(set(groups)) < n_groups:
        raise InputError(
            f"the automatic choice of alpha finds no {n_groups} different groups of subspaces: the "
            "components hardly depend on alpha. Give alphas, or fewer components"
        )
    return groups


def _automatic_rank(alpha: object) -> int | None:
    """Return which automatic alpha is meant, None for a number."""
    if isinstance(alpha, str) and alpha in {"auto1", "auto2", "auto3"}:
        return int(alpha[-1])
    number = isinstance(alpha, Real) and not isinstance(alpha, bool)
    if not number or not 0 <= alpha < np.inf:
        raise InputError(
            f"alpha={alpha!r} is not allowed; expected a number of at least 0, or 'auto1', "
            "'auto2' or 'auto3'"
        )
    return None


def _sides(X: Any, background: Any) -> tuple[Values, Values]:
    if background is None:
        raise InputError("background is missing; contrastive PCA needs one: background=...")
    target, other = signed_data(X, "target"), signed_data(background, "background")
    check_same_features(target, other)
    return target, other


def _check_variance(total: float) -> None:
    if not total > 0:
        raise InputError("target: all samples are equal; there is no variance to explain")


def _mean(data: Values) -> np.ndarray:
    return np.asarray(data.mean(axis=0)).ravel()
