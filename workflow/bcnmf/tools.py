"""Bridge to AnnData: fit, project, and where the results go."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone

from bcnmf import crossfitting, selection
from bcnmf.batches import balanced_weights, named, one_sided
from bcnmf.calibration import CrossFit
from bcnmf.errors import InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.evidence import diagnosis, null
from bcnmf.evidence.findings import Diagnosis
from bcnmf.evidence.null import Null
from bcnmf.files import atomic_path
from bcnmf.matrices.inputs import host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.repeated import consensus
from bcnmf.seeds import seed_of
from bcnmf.selection import Selection
from bcnmf.sklearn_errors import ConvergenceWarning

if TYPE_CHECKING:
    import anndata as ad


# Folds are judged by samples that they have not seen, for which so many iterations do.
_FOLD_ITERATIONS = 150


def fit(
    target: ad.AnnData,
    background: ad.AnnData | None = None,
    *,
    layer: str | None = None,
    key: str = "bcnmf",
    checkpoint: str | os.PathLike[str] | None = None,
    batch: Sequence[str] | None = None,
    unit: str | None = None,
    starts: int = 1,
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
        Results go to ``obsm["X_<key>"]`` (usage), ``varm["<key>_loadings"]`` (features x K),
        ``obs["<key>_target_score"]`` (see `BCNMF.target_score`; not without a background) and
        ``uns[key]`` (parameters, objective).
    checkpoint : path, optional
        See `BCNMF.fit_transform`.
    batch : sequence of str, optional
        Columns of obs of both sides that say in which batch samples were measured: each counts
        alike in the fit (`bcnmf.balanced_weights`).
    unit : str, optional
        Column of obs of both sides; with `batch`, every unit of a batch counts alike.
    starts : int
        From 2 on the model is the consensus of so many starts (`bcnmf.consensus`), and ``uns[key]``
        holds ``consensus``: stability and support of its topics; without a checkpoint.
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
    values = _values(target, layer, "target")
    other = None if background is None else _values(background, layer, "background")
    weights: dict[str, Any] = _weights(target, background, batch, unit)
    if starts == 1:
        model.fit(values, background=other, checkpoint=checkpoint, **weights)
        stored = model.to_fit()
    elif checkpoint is not None:
        raise InputError("checkpoint: a consensus of starts has none; leave it out, or starts=1")
    else:
        found = consensus(
            model, values, other, starts, random_state=seed_of(model.random_state), **weights
        )
        model, stored = found.model, found.to_fit()
    target.obsm[f"X_{key}"] = model.usage_
    target.varm[f"{key}_loadings"] = np.ascontiguousarray(model.components_.T)
    if model.has_target_score:
        target.obs[f"{key}_target_score"] = model.target_score(values)
    parameters = stored.info["estimator"]["parameters"]
    target.uns[key] = {
        "parameters": {name: value for name, value in parameters.items() if value is not None},
        "alpha_absolute": model.alpha_,
        "objective": model.objective_,
        "n_iter": model.n_iter_,
        "converged": model.converged_,
        "device": model.device_,
    }
    if "consensus" in stored.info:
        target.uns[key]["consensus"] = {
            name: np.asarray(value) for name, value in stored.info["consensus"].items()
        }
    return model


def crossfit(
    target: ad.AnnData,
    background: ad.AnnData,
    model: BCNMF,
    *,
    layer: str | None = None,
    key: str = "bcnmf",
    folds: int = 3,
    unit: str | None = None,
    batch: Sequence[str] | None = None,
) -> tuple[CrossFit, CrossFit | None]:
    """Judge samples by fits that have not seen them, and store in `target` which hold something.

    Parameters
    ----------
    target, background : AnnData
        As they were fitted.
    model : BCNMF
        Whose parameters are used; of iterations 150 at most.
    layer : str, optional
        Layer instead of X.
    key : str
        Results go to ``obs["<key>_above"]`` and ``obs["<key>_crossfit_score"]``, and into
        ``uns[key]``: share, interval, chance, auroc, threshold, by_unit, and the same of the
        classifier under coverage.
    folds : int
        See `bcnmf.crossfit`.
    unit : str, optional
        Column of obs of both sides: what samples come from, for instance the donor.
    batch : sequence of str, optional
        See `fit`.

    Returns
    -------
    found, classified : CrossFit
        Of the topics, and of the classifier (`bcnmf.coverage`; None for data on disk).
    """
    sides = [_values(target, layer, "target"), _values(background, layer, "background")]
    units = [_units(target, unit, "target"), _units(background, unit, "background")]
    given = {} if isinstance(model.init, str) else {"init": "random"}
    iterations = min(model.max_iter, _FOLD_ITERATIONS)
    estimator = clone(model).set_params(max_iter=iterations, verbose=0, **given)
    options: dict[str, Any] = {"folds": folds, "random_state": model.seed_}
    options |= {"units": units[0], "background_units": units[1]}
    options |= _weights(target, background, batch, unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = crossfitting.crossfit(estimator, *sides, **options)
    in_memory = not any(is_on_disk(side) for side in sides)
    classified = crossfitting.coverage(*sides, **options) if in_memory else None
    target.obs[f"{key}_above"] = found.above
    target.obs[f"{key}_crossfit_score"] = found.score
    target.uns[key] = dict(target.uns.get(key, {})) | _shares(found)
    if classified is not None:
        target.uns[key]["coverage"] = _shares(classified)
    return found, classified


def diagnose(
    target: ad.AnnData,
    background: ad.AnnData,
    model: BCNMF,
    *,
    layer: str | None = None,
    unit: str | None = None,
    batch: Sequence[str] | None = None,
) -> Diagnosis:
    """Say what may be wrong with a model, fitted or not, and with its data; see `bcnmf.diagnose`.

    Parameters
    ----------
    target, background, layer, unit, batch
        See `crossfit`.
    model : BCNMF
        Fitted to these data, or else it is fitted.
    """
    sides = [_values(target, layer, "target"), _values(background, layer, "background")]
    told: dict[str, Any] = {
        "units": _units(target, unit, "target"),
        "background_units": _units(background, unit, "background"),
    }
    if batch:
        for side, name in ((target, "target"), (background, "background")):
            _batches(side, batch, name)  # is it there, and complete?
        told["batch"] = target.obs[list(batch)].astype(str).to_numpy()
        told["background_batch"] = background.obs[list(batch)].astype(str).to_numpy()
    weights = _weights(target, background, batch, unit)
    return diagnosis.diagnose(model, *sides, **(told | weights))


def batch_remark(target: ad.AnnData, background: ad.AnnData, batch: Sequence[str] | None) -> str:
    """Return what cannot be told where batches are on one side alone; empty if there are none."""
    if not batch:
        return ""
    found = one_sided(_batches(target, batch, "target"), _batches(background, batch, "background"))
    return f"{found.sentence}; {found.remedy}" if found.sentence else ""


def _weights(
    target: ad.AnnData, background: ad.AnnData | None, batch: Sequence[str] | None, unit: str | None
) -> dict[str, np.ndarray]:
    """Return weights that let batches count alike, by keywords of `fit`; none without batches."""
    sides = {"sample_weight": (target, "target"), "background_weight": (background, "background")}
    return {
        keyword: balanced_weights(_batches(side, batch, name), _units(side, unit, name))
        for keyword, (side, name) in sides.items()
        if batch and side is not None
    }


def _batches(data: ad.AnnData, batch: Sequence[str], name: str) -> np.ndarray:
    for column in batch:
        _units(data, column, name)  # is it there?
    return named(data.obs[list(batch)].astype(str), f"batch of the {name}")


def _shares(found: CrossFit) -> dict[str, Any]:
    """Return what a cross-fit came to as a file can hold it."""
    return {
        "share": found.share,
        "interval": np.array(found.interval),
        "chance": found.chance,
        "auroc": found.auroc,
        "threshold": found.threshold,
        "by_unit": found.by_unit,
    }


def _units(data: ad.AnnData, unit: str | None, name: str) -> np.ndarray | None:
    if unit is None:
        return None
    if unit not in data.obs:
        raise InputError(
            f"{name}: obs has no column {unit!r}; found: {', '.join(data.obs) or 'none'}"
        )
    return np.asarray(data.obs[unit].to_numpy(dtype=object))


def select(
    target: ad.AnnData,
    background: ad.AnnData,
    *,
    layer: str | None = None,
    unit: str | None = None,
    **options: Any,
) -> Selection:
    """Recommend a number of topics and a contrast, see `bcnmf.selection.select`.

    Parameters
    ----------
    target, background, layer, unit
        See `crossfit`.
    **options
        Of `bcnmf.selection.select`; `n_components` and `alphas` are required.

    Returns
    -------
    Selection
        `n_components` and `alpha` are what is recommended, None where nothing is; `summary` is a
        table of all settings; `advice()` says it in a sentence.
    """
    sides = [_values(target, layer, "target"), _values(background, layer, "background")]
    return selection.select(
        *sides, units=_units(target, unit, "target"),
        background_units=_units(background, unit, "background"), **options,
    )  # fmt: skip


def permutation_null(
    target: ad.AnnData,
    background: ad.AnnData,
    *,
    layer: str | None = None,
    unit: str | None = None,
    n_refits: int = 200,
    folds: int = 2,
    max_iter: int | None = None,
    random_state: int = 0,
    **parameters: Any,
) -> Null:
    """Test whether there is anything at all, see `bcnmf.permutation_null`.

    Parameters
    ----------
    target, background, layer, unit
        See `crossfit`.
    n_refits, folds, max_iter, random_state
        Of `bcnmf.permutation_null`.
    **parameters
        Of `BCNMF`.

    Returns
    -------
    Null
    """
    return null.permutation_null(
        BCNMF(**parameters), _values(target, layer, "target"),
        _values(background, layer, "background"), units=_units(target, unit, "target"),
        background_units=_units(background, unit, "background"), n_refits=n_refits, folds=folds,
        max_iter=max_iter, random_state=random_state,
    )  # fmt: skip


def looks_like_counts(data: ad.AnnData, layer: str | None = None) -> bool:
    """Return whether the first samples hold whole numbers alone, and larger ones than marks do."""
    first = host_array(_values(data, layer, "data")[:100], "data")
    values = first.data if sp.issparse(first) else first
    return bool(values.size and (values == np.floor(values)).all() and values.max() > 2)


def project(
    data: ad.AnnData,
    model: BCNMF | str | os.PathLike[str],
    *,
    layer: str | None = None,
    key: str = "bcnmf",
) -> np.ndarray:
    """Store in ``data.obsm["X_<key>"]`` the usages of its samples under a model, fitted or saved.

    If the model holds topics of its background, ``data.obs["<key>_target_score"]`` is stored too.

    Parameters
    ----------
    data : AnnData
        The features of the fit, in its order.
    model : BCNMF or path
        Fitted, or what `BCNMF.save` wrote.
    layer, key
        See `fit`.

    Returns
    -------
    ndarray of shape (n, K)
        The usages.

    Raises
    ------
    InputError
        The features are not those of the fit, in its order.
    """
    loaded = model if isinstance(model, BCNMF) else BCNMF.load(model)
    values = _values(data, layer, "data")
    usage = loaded.transform(values)
    data.obsm[f"X_{key}"] = usage
    if loaded.has_target_score:
        data.obs[f"{key}_target_score"] = loaded.target_score(values)
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
