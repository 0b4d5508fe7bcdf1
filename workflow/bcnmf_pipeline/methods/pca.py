"""Principal components of the target alone: what there is to see without a background."""

from __future__ import annotations

from numbers import Integral
from typing import Any, TypeAlias, TypeVar

import numpy as np
import scipy.sparse as sp
from sklearn import decomposition
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.sparsefuncs import mean_variance_axis

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import host_array

Values: TypeAlias = Any  # ndarray or csr_matrix of float64; scipy has no types
_Self = TypeVar("_Self", bound="Projection")


class Projection(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """What PCA and contrastive PCA share: scores are projections of centred samples."""

    def fit(self: _Self, X: Any, y: None = None, *, background: Any = None) -> _Self:
        """Fit to target `X` (n, features) and `background` (m, features); return self."""
        self.fit_transform(X, background=background)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the scores (samples, K) of samples, centred on the target's mean."""
        if not hasattr(self, "components_"):
            raise InputError(f"this {type(self).__name__} is not fitted; call fit first")
        data = signed_data(X, "X", minimum=1)
        if data.shape[1] != self.n_features_in_:
            raise InputError(
                f"X: has {data.shape[1]} features; the model was fitted on {self.n_features_in_}"
            )
        return centred_product(data, self.mean_, self.components_)

    def _store(self, target: Values, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
        self.components_ = fixed_signs(components)
        self.mean_ = mean
        self.n_features_in_ = target.shape[1]
        self.usage_ = centred_product(target, mean, self.components_)
        self.objective_ = np.empty(0)
        self.n_iter_ = 0
        self.converged_ = True
        return self.usage_


class PCA(Projection):
    """Principal component analysis of the target; the background is only projected.

    The data are centred and not scaled. Sparse data stay sparse: the mean is subtracted inside the
    products of a Lanczos solver (ARPACK, to machine precision), never from the matrix.

    Parameters
    ----------
    n_components : int
        Number of components K, at most min(n - 1, features).
    random_state : int
        Seed of the solver's starting vector; results do not depend on it beyond rounding.

    Attributes
    ----------
    components_ : ndarray of shape (K, features)
        Orthonormal rows by decreasing variance. Signs are chosen so that the loading of largest
        magnitude is positive.
    usage_, background_usage_ : ndarray of shape (n, K) and (m, K)
        Signed scores, both centred on the target's mean; (0, K) without a background.
    explained_variance_ratio_ : ndarray of shape (K,)
        Share of the target's variance.
    mean_ : ndarray of shape (features,)
        Mean of the target.
    objective_, n_iter_, converged_
        Empty, 0 and True: there are no iterations to follow.
    """

    def __init__(self, n_components: int = 10, random_state: int = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def fit_transform(self, X: Any, y: None = None, *, background: Any = None) -> np.ndarray:
        """Fit to the target and return its scores.

        Parameters
        ----------
        X : ndarray, scipy sparse, torch.Tensor or AnnData of shape (n, features)
            Target.
        y : None
            Ignored, for scikit-learn.
        background : as X, of shape (m, features), optional
            Projected on the components; it does not touch them.

        Returns
        -------
        ndarray of shape (n, K)

        Raises
        ------
        InputError
            Too many components, too few samples, no variance, missing values, or target and
            background with different features.
        """
        target = signed_data(X, "target")
        other = None if background is None else signed_data(background, "background")
        check_same_features(target, other)
        check_components(self.n_components, target)
        _check_variance(target)
        model = decomposition.PCA(
            n_components=self.n_components,
            # ARPACK needs K < features; all K = features axes come from the covariance.
            svd_solver="arpack" if self.n_components < target.shape[1] else "covariance_eigh",
            random_state=self.random_state,
        )
        model.fit(target)
        self.explained_variance_ratio_ = model.explained_variance_ratio_
        usage = self._store(target, np.asarray(model.mean_).ravel(), model.components_)
        self.background_usage_ = (
            np.empty((0, self.n_components))
            if other is None
            else centred_product(other, self.mean_, self.components_)
        )
        return usage


def signed_data(data: Any, name: str, minimum: int = 2) -> Values:
    """Return data of either sign in float64, sparse if they were, after checking them.

    Parameters
    ----------
    data : ndarray, scipy sparse, torch.Tensor or AnnData
        Samples x features.
    name : str
        What to call the data in errors.
    minimum : int
        Samples needed at least.

    Raises
    ------
    InputError
        Too few samples, no features, or values that are missing or infinite.
    """
    values: Values = host_array(data, name).astype(np.float64)
    if values.shape[0] < minimum or values.shape[1] == 0:
        raise InputError(
            f"{name}: has {values.shape[0]} samples x {values.shape[1]} features; "
            f"expected at least {minimum} x 1"
        )
    stored = values.data if sp.issparse(values) else values
    bad = int(stored.size - np.isfinite(stored).sum())
    if bad:
        raise InputError(
            f"{name}: {bad} values are NaN or infinite; impute or drop them before the fit"
        )
    return values


def check_same_features(target: Values, background: Values | None) -> None:
    """Raise `InputError` unless both sides have the same number of features."""
    if background is not None and background.shape[1] != target.shape[1]:
        raise InputError(
            f"background has {background.shape[1]} features, target has {target.shape[1]}; "
            "both need the same features in the same order"
        )


def check_components(n_components: object, target: Values) -> None:
    """Raise `InputError` unless 1 <= n_components <= min(n - 1, features)."""
    limit = min(target.shape[0] - 1, target.shape[1])
    whole = isinstance(n_components, Integral) and not isinstance(n_components, bool)
    if not whole or not 1 <= int(n_components) <= limit:  # type: ignore[call-overload]
        raise InputError(
            f"n_components={n_components!r} is not allowed; expected an integer from 1 to {limit} "
            f"for a target of {target.shape[0]} samples x {target.shape[1]} features"
        )


def fixed_signs(components: np.ndarray) -> np.ndarray:
    """Return rows flipped such that their entry of largest magnitude is positive."""
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return np.asarray(components * signs[:, None])


def centred_product(data: Values, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Return (X - mean) C', (samples, K), without subtracting the mean from X."""
    return np.asarray(np.asarray(data @ components.T) - mean @ components.T)


def _check_variance(target: Values) -> None:
    if sp.issparse(target):
        mean, variance = mean_variance_axis(target, axis=0)
    else:
        mean, variance = target.mean(axis=0), target.var(axis=0)
    # Equal values differ from their mean by rounding, which is no variance.
    if variance.sum() <= 1e-26 * np.square(mean).sum():
        raise InputError("target: all samples are equal; there is no variance to explain")
