"""Bridge to AnnData: fit, project, and where the results go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf import selection
from bcnmf.checks import check_same_names, feature_names
from bcnmf.errors import InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.files import atomic_path
from bcnmf.selection import Selection

if TYPE_CHECKING:
    import anndata as ad


def fit(
    target: ad.AnnData,
    background: ad.AnnData | None = None,
    *,
    layer: str | None = None,
    key: str = "bcnmf",
    checkpoint: str | os.PathLike[str] | None = None,
    **parameters: Any,
) -> BCNMF:
    """Fit bcNMF and store the topics in `target`.

    Parameters
    ----------
    target, background : AnnData
        Same features in the same order; background may be None when alpha is 0.
    layer : str, optional
        Layer to fit instead of X.
    key : str
        Results go to ``obsm["X_<key>"]`` (usage), ``varm["<key>_components"]`` (loadings, features
        x K) and ``uns[key]`` (parameters, objective).
    checkpoint : path, optional
        See `BCNMF.fit_transform`.
    **parameters
        Of `BCNMF`.

    Returns
    -------
    BCNMF
        The fitted model.

    Raises
    ------
    InputError
        Different features, a missing layer, or anything `BCNMF` refuses.
    """
    model = BCNMF(**parameters)
    usage = model.fit_transform(
        _values(target, layer, "target"),
        background=None if background is None else _values(background, layer, "background"),
        checkpoint=checkpoint,
    )
    target.obsm[f"X_{key}"] = usage
    target.varm[f"{key}_components"] = np.ascontiguousarray(model.components_.T)
    parameters = model.to_fit().info["estimator"]["parameters"]
    target.uns[key] = {
        "parameters": {name: value for name, value in parameters.items() if value is not None},
        "alpha_absolute": model.alpha_,
        "objective": model.objective_,
        "n_iter": model.n_iter_,
        "converged": model.converged_,
        "device": model.device_,
    }
    return model


def select(
    target: ad.AnnData, background: ad.AnnData, *, layer: str | None = None, **options: Any
) -> Selection:
    """Recommend a number of topics and a contrast, see `bcnmf.selection.select`.

    Parameters
    ----------
    target, background : AnnData
        Same features in the same order.
    layer : str, optional
        Layer to fit instead of X.
    **options
        Of `bcnmf.selection.select`.
    """
    check_same_names(feature_names(background), feature_names(target), "background", "target")
    sides = [_values(target, layer, "target"), _values(background, layer, "background")]
    return selection.select(*sides, **options)


def project(
    data: ad.AnnData,
    model: str | os.PathLike[str],
    *,
    layer: str | None = None,
    key: str = "bcnmf",
) -> np.ndarray:
    """Store in ``data.obsm["X_<key>"]`` the usages of its samples under a saved model.

    Raises
    ------
    InputError
        The features are not those of the fit, in its order.
    """
    usage = BCNMF.load(model).transform(_values(data, layer, "data"))
    data.obsm[f"X_{key}"] = usage
    return usage


def write(data: ad.AnnData, path: str | os.PathLike[str]) -> None:
    """Write an .h5ad file whole or not at all."""
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


def _values(data: ad.AnnData, layer: str | None, name: str) -> ad.AnnData:
    """Return the data to fit as the X of an AnnData, which keeps the names of the features."""
    if layer is None:
        return data
    if data.isbacked:
        raise InputError(
            f"{name}: layer {layer!r} cannot be read in batches, only X can; write the layer as X "
            "of a file of its own, or fit without a batch size"
        )
    if layer not in data.layers:
        raise InputError(
            f"{name}: has no layer {layer!r}; found: {', '.join(data.layers) or 'none'}"
        )
    return type(data)(data.layers[layer], var=data.var[[]])
