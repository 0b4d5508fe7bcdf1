"""How well the usages of one fit find a held-out label: clusterings, embeddings, target score."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bcnmf.persistence import Fit
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.association import auroc_per_class
from bcnmf_pipeline.evaluate.checks import Truth, name_of
from bcnmf_pipeline.evaluate.metrics import (
    adjusted_rand,
    kmeans_labels,
    merged_clusters,
    silhouette,
    unit_bootstrap_interval,
    unit_majority_ari,
    usage_share,
)
from bcnmf_pipeline.evaluate.truth import program_cosine, shared_leakage


@dataclass(frozen=True)
class Scored:
    """One fit's usages as they are clustered, their clusters, and its target score.

    Attributes
    ----------
    spaces : dict of ndarray
        usage, usage_share (non-negative methods alone) and umap.
    clusters : dict of ndarray
        Cluster of every sample in each space; none where there are no classes.
    target_score : ndarray of shape (samples,), or None
        None for signed methods.
    """

    spaces: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]
    target_score: np.ndarray | None


def scored(
    fit: Fit,
    truth: Truth,
    embed: Callable[[np.ndarray], np.ndarray],
    target_score: np.ndarray | None,
) -> Scored:
    """Return a fit's usages in all spaces and, where there are classes, as many clusters."""
    usage = np.asarray(fit.usage, dtype=np.float64)
    spaces = {"usage": usage}
    if usage.min() >= 0:
        empty = int((usage.sum(axis=1) == 0).sum())
        if empty:
            warnings.warn(
                f"fit {name_of(fit)}: {empty} of {len(usage)} samples use no topic; "
                "their shares are left at zero",
                stacklevel=2,
            )
        spaces["usage_share"] = usage_share(usage)
    spaces["umap"] = embed(usage)
    clusters = {}
    if truth.classes is not None:
        clusters = {name: kmeans_labels(values, truth.n_classes) for name, values in spaces.items()}
    return Scored(spaces, clusters, target_score)


def scores_of(fit: Fit, found: Scored, truth: Truth, bootstrap: int) -> pd.DataFrame:
    """Return score, value and n: what `evaluation.evaluate` says of a fit."""
    n = len(truth.samples)
    rows: list[tuple[str, float, int]] = []
    for space, clusters in found.clusters.items():
        rows.append((f"ari_{space}", adjusted_rand(truth.labels, clusters), n))
        rows.append((f"silhouette_{space}", silhouette(found.spaces[space], truth.labels), n))
        if truth.merged:
            merged = merged_clusters(truth.labels, clusters)
            rows.append((f"ari_{space}_merged", adjusted_rand(truth.labels, merged), n))
        if truth.units is not None and len(np.unique(truth.units)) > 1:
            value, n_units = unit_majority_ari(truth.labels, clusters, truth.units)
            low, high = unit_bootstrap_interval(
                truth.labels,
                clusters,
                truth.units,
                n_boot=bootstrap,
                # The same resamples for all fits of a replicate, so that fits compare in pairs.
                seed=derive_seed("unit bootstrap", truth.study, truth.replicate),
            )
            rows.append((f"ari_{space}_units", value, n_units))
            rows.append((f"ari_{space}_units_low", low, n_units))
            rows.append((f"ari_{space}_units_high", high, n_units))
    if truth.classes is not None:
        rows.append(("auroc_best", _best_auroc(fit, truth.classes), n))
        if found.target_score is not None:
            column = found.target_score[:, None]
            areas = auroc_per_class(column, truth.classes)[1]
            clusters = kmeans_labels(column, truth.n_classes)
            rows.append(("auroc_target_score", float(areas.max()), n))
            rows.append(("ari_target_score", adjusted_rand(truth.labels, clusters), n))
    if truth.programs is not None and truth.shared is not None:
        cosines = program_cosine(fit.components, truth.programs)
        rows.append(("program_cosine", float(cosines.mean()), len(cosines)))
        rows.append(("program_cosine_least", float(cosines.min()), len(cosines)))
        leakage = shared_leakage(fit.components, fit.usage, truth.shared)
        rows.append(("shared_leakage", leakage, n))
    return pd.DataFrame(rows, columns=["score", "value", "n"]).astype({"value": float, "n": int})


def _best_auroc(fit: Fit, classes: np.ndarray) -> float:
    """Return the mean over classes of the best topic's AUROC for the class.

    The sign of a signed topic means nothing, so its better side counts.
    """
    areas = auroc_per_class(fit.usage, classes)[1]
    if np.min(fit.usage) < 0:
        areas = np.maximum(areas, 1 - areas)
    return float(areas.max(axis=1).mean())
