"""What a replicate's samples are, and whether its fits were made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf import outcome
from bcnmf.errors import InputError
from bcnmf.persistence import Fit
from bcnmf_pipeline.evaluate.truth import shared_genes, true_programs


@dataclass(frozen=True)
class Truth:
    """What the target's samples are, by the study's columns; `labels` are "" without a label."""

    study: str
    replicate: int
    label_column: str
    samples: np.ndarray
    labels: np.ndarray
    units: np.ndarray | None
    merged: bool
    programs: np.ndarray | None
    shared: np.ndarray | None

    @property
    def n_classes(self) -> int:
        """Number of label classes."""
        return len(np.unique(self.labels))

    @property
    def classes(self) -> np.ndarray | None:
        """Labels to score against: None where there are none, or all samples have the same."""
        return self.labels if self.n_classes > 1 else None


def truth_of(target: AnnData, study: Mapping[str, Any], replicate: int) -> Truth:
    """Return labels, units and simulated programs, as far as the study has them."""
    if not study.get("study"):
        raise InputError(f"study description: `study` is missing; found: {', '.join(study)}")
    label, unit = (str(study.get(role) or "") for role in ("label", "unit"))
    programs = true_programs(target.var)
    return Truth(
        study=str(study["study"]),
        replicate=int(replicate),
        label_column=label,
        samples=target.obs_names.to_numpy(dtype=str),
        labels=(
            _column(target, label, "label") if label else np.full(target.n_obs, "", dtype=object)
        ),
        units=_column(target, unit, "unit") if unit else None,
        merged=study.get("extra_scores") == "merged",
        programs=programs,
        shared=None if programs is None else shared_genes(target.var),
    )


def _column(target: AnnData, name: str, role: str) -> np.ndarray:
    if name not in target.obs:
        raise InputError(
            f"{role}={name!r}: the target has no such column in obs; "
            f"found: {', '.join(map(str, target.obs.columns)) or 'none'}"
        )
    values = target.obs[name]
    missing = values.isna() | (values.astype(str).str.strip() == "")
    if missing.any():
        raise InputError(
            f"{role}={name!r}: {int(missing.sum())} of {len(values)} target samples have no "
            "value; leave them out of the study's target selection"
        )
    return np.asarray(values.astype(str), dtype=object)


def in_order(fits: Sequence[Fit]) -> list[Fit]:
    """Return fits by run key; refuse none at all, and two of one key."""
    if not fits:
        raise InputError("there are no fits to evaluate")
    keyed = sorted(((_sort_key(fit), fit) for fit in fits), key=lambda pair: pair[0])
    for (key, _), (following, fit) in pairwise(keyed):
        if key == following:
            raise InputError(f"two fits have the same key: {name_of(fit)}; give each method a row")
    return [fit for _, fit in keyed]


def _sort_key(fit: Fit) -> tuple[str, int, float, str, int]:
    missing = [key for key in ("method", "k", "alpha", "seed") if key not in fit.info]
    if missing:
        raise InputError(
            f"a fit does not state its {', '.join(missing)}; found: {', '.join(sorted(fit.info))}. "
            "Delete it and fit again"
        )
    alpha = fit.info["alpha"]
    return (
        str(fit.info["method"]),
        int(fit.info["k"]),
        -1.0 if alpha is None else float(alpha),
        alpha_setting_of(fit),
        int(fit.info["seed"]),
    )


def name_of(fit: Fit) -> str:
    """Return the run key of a fit, for messages."""
    return ", ".join(f"{key}={fit.info.get(key)}" for key in ("method", "k", "alpha", "seed"))


def alpha_setting_of(fit: Fit) -> str:
    """Return alpha as it was asked for; across replicates automatic alphas differ in value."""
    alpha = fit.info["alpha"]
    setting = fit.info.get("alpha_setting")
    if alpha is None:
        return ""
    return format(alpha, "g") if setting is None else str(setting)


def check_fit(fit: Fit, target: AnnData, background: AnnData) -> None:
    """Refuse a fit that was made from other samples or features than the pair's."""
    _check_names(fit, "target samples", fit.sample_names, target.obs_names, len(fit.usage))
    _check_names(fit, "features", fit.feature_names, target.var_names, fit.components.shape[1])
    if len(fit.background_usage):
        _check_names(
            fit,
            "background samples",
            fit.background_names,
            background.obs_names,
            len(fit.background_usage),
        )
    if len(fit.components) != fit.usage.shape[1]:
        raise InputError(
            f"fit {name_of(fit)}: usage has {fit.usage.shape[1]} topics, "
            f"components {len(fit.components)}; delete it and fit again"
        )
    outcome.check_fit(fit, f"fit {name_of(fit)}")


def _check_names(fit: Fit, what: str, found: np.ndarray, expected: pd.Index, rows: int) -> None:
    names = expected.to_numpy(dtype=str)
    found = np.asarray(found, dtype=str)
    problem = ""
    if len(found) != len(names):
        problem = f"{len(found)} {what}, the data have {len(names)}"
    elif rows != len(names):
        problem = f"{len(names)} names of {what} for an array of {rows}"
    elif (found != names).any():
        first = int(np.flatnonzero(found != names)[0])
        pair = f"{str(found[first])!r}, not {str(names[first])!r}"
        problem = f"{what} differ, first at {first + 1}: {pair}"
    if problem:
        raise InputError(
            f"fit {name_of(fit)}: {problem}; it was made from other data: delete it and fit again"
        )
