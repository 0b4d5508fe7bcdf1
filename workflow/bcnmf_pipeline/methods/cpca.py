"""Contrastive PCA: directions that vary in the target and not in the background."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.cluster import SpectralClustering

from bcnmf.errors import InputError
from bcnmf_pipeline.methods import eigenpairs
from bcnmf_pipeline.methods.eigenpairs import (
    column_mean,
    dense_problem,
    eigenpairs_along,
    lanczos,
    top_eigenpairs,
)
from bcnmf_pipeline.methods.pca import (
    Projection,
    Values,
    centred_product,
    check_components,
    check_same_features,
    signed_data,
)

eigenpairs.MAX_DENSE_ORDER = 8000  # Two matrices of this order take 1 GB; beyond it none is formed.
MIN_SWEEP_ORDER = 800  # Below, a decomposition for every alpha is as fast.
_BLOCK_ELEMENTS = 1 << 21  # Entries of a dense block of a sparse matrix (16 MB).

Pairs = tuple[
    np.ndarray, np.ndarray
]  # largest eigenvalues (K,), decreasing, and vectors (order, K)


class CPCA(Projection):
    """Contrastive PCA (Abid, Zhang, Bagaria & Zou 2018, Nature Communications 9:2134).

    The components are the K eigenvectors of C_X - alpha C_Y with the largest eigenvalues, where
    C_X and C_Y are the covariances of target and background, each centred on its own mean and
    divided by its number of samples less one, as in the authors' package. Their package also
    standardises every feature by default and reduces more than 1000 features to 1000 principal
    components first; here the data are neither scaled nor reduced. Sparse data stay sparse.

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
    """

    def __init__(
        self, n_components: int = 10, alpha: float | str = 1.0, random_state: int = 0
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.random_state = random_state

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit to target `X` (n, features) and `background` (m, features); return scores (n, K)."""
        named = self.alpha in ("auto1", "auto2", "auto3")
        number = isinstance(self.alpha, Real) and not isinstance(self.alpha, bool)
        if not named and not (number and 0 <= float(self.alpha) < np.inf):
            raise InputError(
                f"alpha={self.alpha!r} is not allowed; expected a number of at least 0, or "
                "'auto1', 'auto2' or 'auto3'"
            )
        x, y_ = _sides(X, background, self.n_components)
        self.alpha_ = (
            automatic_alphas(x, y_, self.n_components, random_state=self.random_state)[
                int(str(self.alpha)[-1])
            ]
            if named
            else float(self.alpha)
        )
        self.eigenvalues_, components = contrastive_components(
            x, y_, self.n_components, self.alpha_, self.random_state
        )
        usage = self._store(x, column_mean(x), components)
        self.background_usage_ = centred_product(y_, column_mean(y_), self.components_)
        return usage


def contrastive_components(
    X: Any, background: Any, n_components: int, alpha: float, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the top eigenvalues (K,) and eigenvectors (K, features) of C_X - alpha C_Y.

    Up to `MAX_DENSE_ORDER` features, or samples of both sides, they are found by a dense
    decomposition, beyond by Lanczos iterations, which never form a covariance and may not converge
    where alpha is large (`InputError`).
    """
    x, y = _sides(X, background, n_components)
    if min(x.shape[1], x.shape[0] + y.shape[0]) > eigenpairs.MAX_DENSE_ORDER:
        values, vectors = lanczos(x, y, n_components, alpha, random_state)
        return values, vectors.T
    problem = dense_problem(x, y)
    values, vectors = top_eigenpairs(problem, n_components, alpha)
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
    """Return 0 and a few alphas that show different things, increasing (Abid et al., algorithm 2).

    For 0 and `n_alphas` log-spaced alphas the top-K subspaces of features are found; the affinity
    of two subspaces is the product of the cosines of their principal angles; spectral clustering
    makes `n_select` + 1 groups of alphas; each group is represented by its medoid, the alpha with
    the largest sum of affinities to its group (ties: the smallest). The group of alpha = 0 is
    represented by 0 itself. Grid and numbers are the defaults of the authors' package. That
    package takes the angles between the projected data and multiplies two cosines only, whatever
    K; here, as in the article, the angles are between the subspaces, all K of them.

    Raises
    ------
    InputError
        Parameters or data that cannot be used, a problem too large to solve for every alpha, or
        subspaces too much alike to form the groups.
    """
    x, y = _sides(X, background, n_components)
    if not (0 < low < high and 1 <= n_select <= n_alphas):
        raise InputError(
            f"low={low!r}, high={high!r}, n_select={n_select!r}, n_alphas={n_alphas!r} are not "
            "allowed; expected 0 < low < high and 1 <= n_select <= n_alphas"
        )
    order = min(x.shape[1], x.shape[0] + y.shape[0])
    if order > eigenpairs.MAX_DENSE_ORDER:
        raise InputError(
            f"the automatic choice of alpha would need dense matrices of order {order} "
            f"({2 * order**2 * 8 / 1e9:.0f} GB) for {x.shape[1]} features and "
            f"{x.shape[0]} + {y.shape[0]} samples; the limit is {eigenpairs.MAX_DENSE_ORDER}. "
            "Select fewer features (n_top_features in the studies sheet), or give alphas"
        )
    alphas = np.concatenate([[0.0], np.geomspace(low, high, n_alphas)])
    along = eigenpairs_along(dense_problem(x, y), n_components, alphas, random_state)
    affinity = subspace_affinity([vectors for _, vectors in along])
    groups = SpectralClustering(
        n_clusters=n_select + 1, affinity="precomputed", random_state=random_state
    ).fit_predict(affinity)
    # Equal subspaces fall into groups by rounding.
    if affinity.min() > 1 - 1e-6 or len(set(groups)) < n_select + 1:
        raise InputError(
            f"the automatic choice of alpha finds no {n_select + 1} different groups of subspaces: "
            "the components hardly depend on alpha. Give alphas, or fewer components"
        )
    chosen = [0.0]
    for group in set(groups) - {groups[0]}:
        members = np.flatnonzero(groups == group)
        within = affinity[np.ix_(members, members)].sum(axis=0)
        chosen.append(float(alphas[members[within.argmax()]]))
    return sorted(chosen)


def subspace_affinity(bases: Sequence[np.ndarray]) -> np.ndarray:
    """Return products of the cosines of the principal angles between subspaces.

    Of orthonormal bases (dimensions, K): 1 for equal subspaces, 0 where one has a direction
    orthogonal to all of the other.
    """
    stacked = np.stack(list(bases))
    # The cosines are the singular values of V'W; their product is |det V'W|.
    inner = np.einsum("adk,bdl->abkl", stacked, stacked, optimize=True)
    affinity = np.clip(np.abs(np.linalg.det(inner)), 0.0, 1.0)
    affinity = (affinity + affinity.T) / 2
    np.fill_diagonal(affinity, 1.0)
    return np.asarray(affinity)


def _sides(X: Any, background: Any, n_components: int) -> tuple[Values, Values]:
    if background is None:
        raise InputError("background is missing; contrastive PCA needs one: background=...")
    target, other = signed_data(X, "target"), signed_data(background, "background")
    check_same_features(target, other)
    check_components(n_components, target)
    return target, other
