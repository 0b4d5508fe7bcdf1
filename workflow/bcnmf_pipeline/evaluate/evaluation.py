"""Score all fits of one replicate of a study: the tables that figures are drawn from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf.persistence import Fit
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.association import auroc_per_class, benjamini_hochberg, welch_test
from bcnmf_pipeline.evaluate.checks import (
    Truth,
    alpha_setting_of,
    check_fit,
    in_order,
    name_of,
    truth_of,
)
from bcnmf_pipeline.evaluate.metrics import (
    adjusted_rand,
    kmeans_labels,
    merged_clusters,
    silhouette,
    umap_embedding,
    unit_bootstrap_interval,
    unit_labels,
    unit_majority_ari,
    usage_share,
)
from bcnmf_pipeline.evaluate.truth import program_cosine, shared_leakage
from bcnmf_pipeline.record.tables import write_table

ALL_LOADINGS = 1000  # Up to this many features every loading is kept,
TOP_LOADINGS = 100  # beyond it the strongest of each topic.

_SUFFIXES = {
    "scores": ".tsv",
    "samples": ".parquet",
    "topics": ".tsv",
    "loadings": ".parquet",
    "features": ".tsv",
    "traces": ".tsv",
}
_IN_TABLES = ("study", "replicate", "method", "k", "alpha", "seed")
_SCORES = (
    "study", "replicate", "method", "k", "alpha", "contrast", "seed", "score", "label", "value",
    "n", "alpha_setting",
)  # fmt: skip


@dataclass
class EvaluationTables:
    """What is known about the fits of one (study, replicate).

    Attributes
    ----------
    scores : DataFrame
        One row a fit and score: study, replicate, method, k, alpha, contrast, seed, score, label
        (the column of the held-out label), value, n, alpha_setting ("auto1" and the like where a
        method chose alpha itself, else alpha as text).
    samples : DataFrame
        One row a fit and target sample: run key, sample, label, unit, umap_1, umap_2,
        cluster_usage, cluster_usage_share (missing for signed usages), cluster_umap,
        usage_1 ... usage_K.
    topics : DataFrame
        One row a fit and topic: run key, topic (from 1), statistic, p_value, p_adjusted (over the
        topics of the fit), auroc, favours, mean_usage, p_value_units, p_adjusted_units (the same
        test on unit means; missing without units).
    loadings : DataFrame
        Run key, topic, feature, loading, rank (1 = largest magnitude).
    features : DataFrame
        Every feature's own test in the target: study, replicate, feature, statistic, p_value,
        p_adjusted, favours, p_value_units, p_adjusted_units.
    traces : DataFrame
        Run key, evaluation (from 0), objective, name.
    """

    scores: pd.DataFrame
    samples: pd.DataFrame
    topics: pd.DataFrame
    loadings: pd.DataFrame
    features: pd.DataFrame
    traces: pd.DataFrame

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write one file a table: .parquet for samples and loadings, .tsv for the others."""
        for field in fields(self):
            path = Path(folder) / f"{field.name}{_SUFFIXES[field.name]}"
            write_table(getattr(self, field.name), path)


@dataclass(frozen=True)
class _Scored:
    """One fit's clusterings and embedding."""

    spaces: dict[str, np.ndarray]
    clusters: dict[str, np.ndarray]


def evaluate(
    fits: Sequence[Fit],
    target: AnnData,
    background: AnnData,
    study: Mapping[str, Any],
    replicate: int,
    *,
    umap_neighbors: int = 15,
    umap_min_dist: float = 0.1,
    bootstrap: int = 1000,
) -> EvaluationTables:
    """Score fits of one replicate against the held-out label.

    Clusters are k-means (random_state 42, n_init 10, as many as label classes) of the usages, of
    the usages divided by their row sum (non-negative methods only) and of a 2-D UMAP (random_state
    42) of the usages. Each is scored by the adjusted Rand index (`ari_*`) and each space by the
    silhouette of the true label (`silhouette_*`). Where the study has units of replication, also by
    the majority vote of each unit (`ari_*_units`) and by the 95% bootstrap interval of the
    sample-level index under resampling of whole units (`ari_*_units_low`, `ari_*_units_high`).
    Where the study asks for it, also after clusters with the same majority label were merged
    (`ari_*_merged`), which uses the labels. `auroc_best` is the AUROC of the best topic's usage for
    a class, averaged over classes. Where programs were simulated, `program_cosine` and
    `program_cosine_least` (mean and least over the target programs) and `shared_leakage` compare
    topics with them, see `truth`; of a model with shared and target topics, the latter alone.

    Parameters
    ----------
    fits : sequence of Fit
        All fits of the replicate; ``info`` names method, k, alpha and seed.
    target, background : AnnData
        The pair that was fitted; `target.obs` holds the label and the unit.
    study : mapping
        `study`, `label` and, optionally, `unit` (column of the unit of replication, or empty) and
        `extra_scores` ("merged", or empty).
    replicate : int
        Which replicate of the data.
    umap_neighbors, umap_min_dist : int, float
        Settings of UMAP.
    bootstrap : int
        Number of resamples of units.

    Returns
    -------
    EvaluationTables
        Sorted by run key, whatever the order of `fits`.

    Raises
    ------
    InputError
        A fit that was made from other samples or features or lacks its run key, two fits with one
        key, a missing column, missing labels, or fewer than two label classes.
    """
    truth = truth_of(target, study, replicate)
    ordered = in_order(fits)
    for fit in ordered:
        check_fit(fit, target, background)
    embed = partial(umap_embedding, n_neighbors=umap_neighbors, min_dist=umap_min_dist)
    scored = [_cluster(fit, truth, embed) for fit in ordered]
    pairs = list(zip(ordered, scored, strict=True))
    widest = max(fit.usage.shape[1] for fit in ordered)
    return EvaluationTables(
        scores=_joined(_scores(fit, result, truth, bootstrap) for fit, result in pairs),
        samples=_joined(_samples(fit, result, truth, widest) for fit, result in pairs),
        topics=_joined(_topics(fit, truth) for fit in ordered),
        loadings=_joined(_loadings(fit, target.var_names, truth) for fit in ordered),
        features=_features(target, truth),
        traces=_joined(_traces(fit, truth) for fit in ordered),
    )


def _cluster(fit: Fit, truth: Truth, embed: Callable[[np.ndarray], np.ndarray]) -> _Scored:
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
    clusters = {space: kmeans_labels(values, truth.n_classes) for space, values in spaces.items()}
    return _Scored(spaces, clusters)


def _scores(fit: Fit, scored: _Scored, truth: Truth, bootstrap: int) -> pd.DataFrame:
    n = len(truth.samples)
    rows: list[tuple[str, float, int]] = []
    for space, clusters in scored.clusters.items():
        rows.append((f"ari_{space}", adjusted_rand(truth.labels, clusters), n))
        rows.append((f"silhouette_{space}", silhouette(scored.spaces[space], truth.labels), n))
        if truth.merged:
            merged = merged_clusters(truth.labels, clusters)
            rows.append((f"ari_{space}_merged", adjusted_rand(truth.labels, merged), n))
        if truth.units is not None:
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
    rows.append(("auroc_best", _best_auroc(fit, truth), n))
    if truth.programs is not None and truth.shared is not None:
        cosines = program_cosine(fit.components, truth.programs)
        rows.append(("program_cosine", float(cosines.mean()), len(cosines)))
        rows.append(("program_cosine_least", float(cosines.min()), len(cosines)))
        leakage = shared_leakage(fit.components, fit.usage, truth.shared)
        rows.append(("shared_leakage", leakage, n))
    table = pd.DataFrame(rows, columns=["score", "value", "n"])
    table["contrast"] = fit.info.get("contrast") or ""
    table["label"] = truth.label_column
    table["alpha_setting"] = alpha_setting_of(fit)
    return _keyed(table, fit, truth)[list(_SCORES)]


def _best_auroc(fit: Fit, truth: Truth) -> float:
    """Return the mean over classes of the best topic's AUROC for the class.

    The sign of a signed topic means nothing, so its better side counts.
    """
    areas = auroc_per_class(fit.usage, truth.labels)[1]
    if np.min(fit.usage) < 0:
        areas = np.maximum(areas, 1 - areas)
    return float(areas.max(axis=1).mean())


def _samples(fit: Fit, scored: _Scored, truth: Truth, widest: int) -> pd.DataFrame:
    n, k = fit.usage.shape
    usage = np.full((n, widest), np.nan)
    usage[:, :k] = fit.usage
    missing = pd.array([pd.NA] * n, dtype="Int64")
    clusters = {
        f"cluster_{space}": pd.array(scored.clusters[space], dtype="Int64")
        if space in scored.clusters
        else missing
        for space in ("usage", "usage_share", "umap")
    }
    table = pd.DataFrame(
        {
            "sample": truth.samples,
            "label": truth.labels,
            "unit": "" if truth.units is None else truth.units,
            "umap_1": scored.spaces["umap"][:, 0],
            "umap_2": scored.spaces["umap"][:, 1],
            **clusters,
            **{f"usage_{topic + 1}": usage[:, topic] for topic in range(widest)},
        }
    )
    return _keyed(table, fit, truth)


def _topics(fit: Fit, truth: Truth) -> pd.DataFrame:
    usage = np.asarray(fit.usage, dtype=np.float64)
    test = welch_test(usage, truth.labels)
    classes, areas = auroc_per_class(usage, truth.labels)
    if len(classes) == 2:
        chosen = np.searchsorted(classes, test.favours)
        auroc = areas[chosen, np.arange(usage.shape[1])]
    else:
        auroc = areas.max(axis=0)
    table = pd.DataFrame(
        {
            "topic": np.arange(1, usage.shape[1] + 1),
            "statistic": test.statistic,
            "p_value": test.p_value,
            "p_adjusted": benjamini_hochberg(test.p_value),
            "auroc": auroc,
            "favours": test.favours,
            "mean_usage": usage.mean(axis=0),
            **_unit_test(usage, truth),
        }
    )
    return _keyed(table, fit, truth)


def _unit_test(values: Any, truth: Truth) -> dict[str, np.ndarray]:
    """Return p-values of Welch's test on the means of units, missing without units.

    Samples of one unit are not independent: on samples the test is too sure of itself.
    """
    columns = values.shape[1]
    p_value = np.full(columns, np.nan)
    if truth.units is not None:
        names, label_of_unit = unit_labels(truth.labels, truth.units)
        means = np.array(
            [np.asarray(values[truth.units == name].mean(axis=0)).ravel() for name in names]
        )
        p_value = welch_test(means, label_of_unit).p_value
    return {"p_value_units": p_value, "p_adjusted_units": benjamini_hochberg(p_value)}


def _loadings(fit: Fit, features: pd.Index, truth: Truth) -> pd.DataFrame:
    components = np.asarray(fit.components, dtype=np.float64)
    kept = components.shape[1] if components.shape[1] <= ALL_LOADINGS else TOP_LOADINGS
    # Stable: among equal magnitudes the order of the features decides.
    order = np.argsort(-np.abs(components), axis=1, kind="stable")[:, :kept]
    table = pd.DataFrame(
        {
            "topic": np.repeat(np.arange(1, len(components) + 1), kept),
            "feature": features.to_numpy(dtype=str)[order].ravel(),
            "loading": np.take_along_axis(components, order, axis=1).ravel(),
            "rank": np.tile(np.arange(1, kept + 1), len(components)),
        }
    )
    return _keyed(table, fit, truth)


def _features(target: AnnData, truth: Truth) -> pd.DataFrame:
    test = welch_test(target.X, truth.labels)
    return pd.DataFrame(
        {
            "study": truth.study,
            "replicate": truth.replicate,
            "feature": target.var_names.to_numpy(dtype=str),
            "statistic": test.statistic,
            "p_value": test.p_value,
            "p_adjusted": benjamini_hochberg(test.p_value),
            "favours": test.favours,
            **_unit_test(target.X, truth),
        }
    )


def _traces(fit: Fit, truth: Truth) -> pd.DataFrame:
    objective = np.asarray(fit.objective, dtype=np.float64).ravel()
    table = pd.DataFrame(
        {
            "evaluation": np.arange(len(objective)),
            "objective": objective,
            "name": str(fit.objective_name),
        }
    )
    return _keyed(table, fit, truth)


def _keyed(table: pd.DataFrame, fit: Fit, truth: Truth) -> pd.DataFrame:
    """Return the table with the run key in front; alpha is missing where a method has none."""
    alpha = fit.info["alpha"]
    key = {
        "study": truth.study,
        "replicate": truth.replicate,
        "method": str(fit.info["method"]),
        "k": int(fit.info["k"]),
        "alpha": np.nan if alpha is None else float(alpha),
        "seed": int(fit.info["seed"]),
    }
    keyed = table.assign(**key)
    return keyed[[*_IN_TABLES, *table.columns]]


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    tables = list(tables)
    # An empty table would turn integer columns of the others into floats or objects.
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True)
