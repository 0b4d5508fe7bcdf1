"""One run of the plan: a pair of data and a row of the methods sheet give a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from bcnmf import outcome
from bcnmf.batches import effective_size
from bcnmf.errors import InputError, StaleCheckpoint
from bcnmf.persistence import Fit
from bcnmf_pipeline.methods.estimators import (
    DETERMINISTIC,
    consensus_of,
    fit_together,
    make_estimator,
)
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
    where = _where(run)
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
    seconds = f"{time.perf_counter() - started:.2f} s"
    return _described(fit, estimator, run, row, (target, background), weights, seconds)


def together(row: Mapping[str, str]) -> bool:
    """Whether fits by this row of the methods sheet can be among those of `fit_runs`."""
    return row["algorithm"] not in DETERMINISTIC and not row.get("starts")


def fit_runs(
    target: AnnData,
    background: AnnData,
    runs: Sequence[Run],
    rows: Mapping[str, Mapping[str, str]],
    compute: Mapping[str, str],
    checkpoints: Sequence[Path],
    done: Callable[[Run, Fit], None],
) -> None:
    """Fit several runs to one pair, on an accelerator in one set of passes over it.

    Parameters
    ----------
    target, background, compute
        As for `fit_run`.
    runs : sequence of Run
        Which fits; all of them can be `together`, and take the same values.
    rows : mapping
        The methods sheet's rows, by their methods.
    checkpoints : sequence of Path
        Of each run, see `fit_run`.
    done : callable
        Told each fit as it ends.

    Raises
    ------
    InputError
        See `fit_run`; the other runs are fitted before.
    """
    paths = dict(zip(runs, checkpoints, strict=True))
    row = rows[runs[0].method]
    x, y = (values_of(side, row["values"], _where(runs[0])) for side in (target, background))
    weights = weights_for(target, background, row)
    started = time.perf_counter()
    while paths:
        left = list(paths)
        among = f", among {len(left)} fits" if len(left) > 1 else ""

        def ended(number: int, model: Any, left: Sequence[Run] = left, among: str = among) -> None:
            run, seconds = left[number], time.perf_counter() - started
            done(
                run,
                _described(
                    model.to_fit(), model, run, rows[run.method], (target, background), weights,
                    f"done after {seconds:.2f} s{among}",
                ),
            )  # fmt: skip
            del paths[run]

        models = [
            make_estimator(
                rows[run.method]["algorithm"], **parameters(run, rows[run.method], compute, {})
            )
            for run in left
        ]
        try:
            fit_together(models, x, y, checkpoints=list(paths.values()), done=ended, **weights)
        except InputError as error:
            if error.number is None:  # of a fit that was told to `done`
                raise
            run = left[error.number]
            if not isinstance(error, StaleCheckpoint):
                raise InputError(f"{_where(run)}: {error}") from error
            print(f"from the start: {error}")
            paths[run].unlink()


def _where(run: Run) -> str:
    return f"study {run.study}, method {run.method}, K={run.k}, alpha={run.alpha}"


def _described(
    fit: Fit,
    estimator: Any,
    run: Run,
    row: Mapping[str, str],
    sides: tuple[AnnData, AnnData],
    weights: Mapping[str, np.ndarray],
    seconds: str,
) -> Fit:
    """Return a fit with names and what made it; print how it went."""
    target, background = sides
    where = _where(run)
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
    print(f"{where}, seed={run.seed}: {seconds} on {device}{f' ({why})' if why else ''}")
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
