"""One run of the plan: a pair of data and a row of the methods sheet give a fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from bcnmf import outcome
from bcnmf.batches import effective_size
from bcnmf.errors import InputError, StaleCheckpoint
from bcnmf.persistence import Fit
from bcnmf_pipeline.methods.estimators import DETERMINISTIC, consensus_of, make_estimator
from bcnmf_pipeline.pair.batches import weights_of
from bcnmf_pipeline.plan.runs import Run

_OF_SHARED = ("shared_from", "second_round", "offsets")
_ITERATIVE = ("loss", "solver", "max_iter", "tol", "damping", "penalty")


def fit_run(
    target: AnnData,
    background: AnnData,
    run: Run,
    row: Mapping[str, str],
    compute: Mapping[str, str],
    selected_alphas: Mapping[str, float] | None = None,
    checkpoint: Path | None = None,
) -> Fit:
    """Fit one method with one K, alpha and seed to one pair.

    Parameters
    ----------
    target, background : AnnData
        The pair, same features.
    run : Run
        Which fit.
    row : mapping
        The methods sheet's row.
    compute : mapping
        `device` and `dtype`.
    selected_alphas : mapping, optional
        Values of contrastive PCA's automatic alphas ("auto1" ...).
    checkpoint : path, optional
        Where a long fit leaves its state, from which a job that was cancelled goes on; one of other
        data or settings is discarded.

    Returns
    -------
    Fit

    Raises
    ------
    InputError
        Values that the study does not have, or anything the estimator refuses; names the run.
    """
    where = f"study {run.study}, method {run.method}, K={run.k}, alpha={run.alpha}"
    x, y = (values_of(side, row["values"], where) for side in (target, background))
    weights = weights_for(target, background, row)
    estimator = make_estimator(
        row["algorithm"], **parameters(run, row, compute, selected_alphas or {})
    )
    started = time.perf_counter()
    fit: Fit
    try:
        if row.get("starts"):
            found = consensus_of(estimator, x, y, int(row["starts"]), run.seed, **weights)
            estimator, fit = found.model, found.to_fit()
            print(f"{where}, seed={run.seed}: {found.advice()}")
        else:
            usage = _fit_transform(estimator, x, y, row, checkpoint, weights)
            fit = (
                estimator.to_fit()
                if hasattr(estimator, "to_fit")
                else Fit(usage, estimator.background_usage_, estimator.components_)
            )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    seconds = time.perf_counter() - started
    fit.sample_names = target.obs_names.to_numpy(dtype=str)
    fit.background_names = background.obs_names.to_numpy(dtype=str)
    fit.feature_names = target.var_names.to_numpy(dtype=str)
    fit.info |= _describe(run, row, estimator)
    if weights:
        fit.info["weighted"] = {
            "batch": str(target.uns["study"]["batch"]),
            "unit": str(target.uns["study"].get("unit", "")),
            "effective_samples": {name: effective_size(values) for name, values in weights.items()},
        }
    outcome.check_fit(fit, where)
    if remark := outcome.remark_of(fit):
        print(f"{where}, seed={run.seed}: NOTE: {remark}")
    device, why = fit.info["device"], fit.info["device_reason"]
    print(f"{where}, seed={run.seed}: {seconds:.2f} s on {device}{f' ({why})' if why else ''}")
    return fit


def _fit_transform(
    estimator: Any,
    x: Any,
    y: Any,
    row: Mapping[str, str],
    checkpoint: Path | None,
    weights: Mapping[str, np.ndarray],
) -> Any:
    if checkpoint is None or row["algorithm"] in DETERMINISTIC:
        return estimator.fit_transform(x, background=y, **weights)
    try:
        return estimator.fit_transform(x, background=y, checkpoint=checkpoint, **weights)
    except StaleCheckpoint as stale:
        print(f"from the start: {stale}")
        checkpoint.unlink()
        return estimator.fit_transform(x, background=y, checkpoint=checkpoint, **weights)


def weights_for(
    target: AnnData, background: AnnData, row: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Return the weights of both sides by keywords of `fit`.

    There are none where the study names no batch, or a baseline (PCA) knows no weights.
    """
    names = ("sample_weight", "background_weight")
    found = zip(names, weights_of(target, background), strict=True)
    known = row["algorithm"] not in DETERMINISTIC
    return {name: values for name, values in found if values is not None and known}


def parameters(
    run: Run,
    row: Mapping[str, str],
    compute: Mapping[str, str],
    selected_alphas: Mapping[str, float],
) -> dict[str, Any]:
    """Return the estimator's parameters for a run."""
    shared = row["algorithm"] == "shared"
    chosen: dict[str, Any] = {"n_target" if shared else "n_components": run.k}
    chosen["random_state"] = run.seed
    if shared:
        chosen["n_shared"] = int(row["n_shared"])
        chosen |= {key: row[key] for key in _OF_SHARED if row.get(key)}
    if run.alpha != "none":
        chosen["alpha"] = selected_alphas.get(run.alpha) or float(run.alpha)
    if row["algorithm"] not in DETERMINISTIC:
        chosen |= dict(compute)
        numbers = {"max_iter": int, "tol": float, "damping": float, "penalty": float}
        chosen |= {key: numbers.get(key, str)(row[key]) for key in _ITERATIVE if row[key]}
    if row["algorithm"] in {"bcnmf", "combined"}:
        chosen["contrast"] = row["contrast"]
    return chosen


def values_of(side: AnnData, values: str, where: str) -> Any:
    """Return the matrix that a row of the methods sheet asks for: X, or a layer."""
    if values == "default":
        return side.X
    if values not in side.layers:
        raise InputError(
            f"{where}: the methods sheet asks for {values}, but the study's values are "
            f"{side.uns['study']['values']!r}; give a study whose values are counts, "
            "or set `values` to default"
        )
    return side.layers[values]


def _describe(run: Run, row: Mapping[str, str], estimator: Any) -> dict[str, Any]:
    alpha = None if run.alpha == "none" else getattr(estimator, "alpha", None)
    return {
        "study": run.study,
        "replicate": run.replicate,
        "method": run.method,
        "algorithm": row["algorithm"],
        "k": run.k,
        "alpha": alpha,
        "alpha_setting": run.alpha,
        "contrast": row["contrast"],
        "seed": run.seed,
        "n_iter": int(getattr(estimator, "n_iter_", 0) or 0),
        "device": getattr(estimator, "device_", "cpu"),
        "device_reason": getattr(estimator, "device_reason_", ""),
        "converged": bool(getattr(estimator, "converged_", True)),
        "explained_target": _number(getattr(estimator, "explained_target_", np.nan)),
        "explained_background": _number(getattr(estimator, "explained_background_", np.nan)),
    }


def _number(value: float) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
