"""Bridge to AnnData: fit, project, and where the results go."""

from __future__ import annotations

import os
from typing import Any

import anndata as ad
import numpy as np

from bcnmf import selection
from bcnmf.errors import InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.files import atomic_path
from bcnmf.persistence import Fit
from bcnmf.selection import Selection


def fit(
    target: ad.AnnData,
    background: ad.AnnData | None = None,
    *,
    layer: str | None = None,
    key: str = "bcnmf",
    checkpoint: str | os.PathLike | None = None,
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
    if background is not None:
        _check_same_features(background.var_names, target.var_names, "background", "target")
    model = BCNMF(**parameters)
    usage = model.fit_transform(
        _values(target, layer, "target"),
        background=None if background is None else _values(background, layer, "background"),
        checkpoint=checkpoint,
    )
    target.obsm[f"X_{key}"] = usage
    target.varm[f"{key}_components"] = np.ascontiguousarray(model.components_.T)
    target.uns[key] = {
        "parameters": {k: v for k, v in model.get_params().items() if v is not None},
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
    _check_same_features(background.var_names, target.var_names, "background", "target")
    sides = [_values(target, layer, "target"), _values(background, layer, "background")]
    return selection.select(*sides, **options)


def project(
    data: ad.AnnData,
    model: str | os.PathLike,
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
    names = Fit.read(model).feature_names
    if len(names):
        _check_same_features(data.var_names, names, "the data", "the model")
    usage = BCNMF.load(model).transform(_values(data, layer, "data"))
    data.obsm[f"X_{key}"] = usage
    return usage


def write(data: ad.AnnData, path: str | os.PathLike) -> None:
    """Write an .h5ad file whole or not at all."""
    with atomic_path(path) as temporary:
        data.write_h5ad(temporary)


def _values(data: ad.AnnData, layer: str | None, name: str) -> Any:
    if layer is None:
        return data if data.isbacked else data.X
    if data.isbacked:
        raise InputError(
            f"{name}: layer {layer!r} cannot be read in batches, only X can; write the layer as X "
            "of a file of its own, or fit without a batch size"
        )
    if layer not in data.layers:
        raise InputError(
            f"{name}: has no layer {layer!r}; found: {', '.join(data.layers) or 'none'}"
        )
    return data.layers[layer]


def _check_same_features(found: Any, expected: Any, name: str, other: str) -> None:
    found, expected = np.asarray(found, dtype=str), np.asarray(expected, dtype=str)
    if np.array_equal(found, expected):
        return
    missing = [feature for feature in expected if feature not in set(found)]
    detail = (
        f"{len(missing)} are missing, for instance {', '.join(missing[:3])}"
        if missing
        else "the same features stand in another order, or there are more"
    )
    raise InputError(
        f"{name} has {len(found)} features, {other} {len(expected)}: {detail}. "
        f"Subset and order them alike: data = data[:, names]"
    )
