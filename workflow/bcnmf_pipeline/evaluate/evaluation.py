"""Score all fits of one replicate of a study: the tables that figures are drawn from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from bcnmf.evidence.units import benjamini_hochberg, unit_test
from bcnmf.outcome import remark_of
from bcnmf.persistence import Fit
from bcnmf_pipeline.evaluate.association import (
    Association,
    auroc_per_class,
    welch_test,
)
from bcnmf_pipeline.evaluate.checks import Truth, alpha_setting_of, check_fit, in_order, truth_of
from bcnmf_pipeline.evaluate.metrics import umap_embedding
from bcnmf_pipeline.evaluate.pseudobulk import pseudobulk_test
from bcnmf_pipeline.evaluate.scores import Scored, scored, scores_of
from bcnmf_pipeline.evaluate.target_score import TargetScores
from bcnmf_pipeline.evaluate.truth import best_cosine
from bcnmf_pipeline.evaluate.units import means_test
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
    "n", "alpha_setting", "remark",
)  # fmt: skip


@dataclass
class EvaluationTables:
    """What is known about the fits of one (study, replicate).

    Attributes
    ----------
    scores : DataFrame
        One row a fit and score: study, replicate, method, k, alpha, contrast, seed, score, label
        (the column of the held-out label), value, n, alpha_setting ("auto1" and the like where a
        method chose alpha itself, else alpha as text), remark (what to know of the fit, see
        `bcnmf.outcome.remark`; mostly "").
    samples : DataFrame
        One row a fit and target sample: run key, sample, label ("" where the study has none),
        unit, umap_1, umap_2, cluster_usage, cluster_usage_share (missing for signed usages),
        cluster_umap (all three missing without classes), target_score (missing for signed
        methods), usage_1 ... usage_K.
    topics : DataFrame
        One row a fit and topic: run key, topic (from 1), statistic, p_value, p_adjusted (over the
        topics of the fit), auroc, favours (the class with the higher mean usage, of three or more
        that with the highest AUROC; `auroc` is for this class), mean_usage, p_value_units,
        p_adjusted_units (test of the means of units, see `bcnmf.unit_test`), stability (of
        a consensus of many starts, see `bcnmf.Consensus`; else mean cosine of the topic and its
        best match in the fits of other seeds). Without classes statistic,
        p-values and auroc are missing and favours is "".
    loadings : DataFrame
        Run key, topic, feature, loading, rank (1 = largest magnitude).
    features : DataFrame
        Every feature's own tests in the target: study, replicate, feature, statistic, favours,
        p_cells, q_cells (of samples as if they were independent), p_units, q_units (of units),
        test_units (which test of units, of how many; "" without any). q is adjusted over features.
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
    silhouette of the true label (`silhouette_*`). Where the study has two units of replication or
    more, also by the majority vote of each unit (`ari_*_units`) and by the 95% bootstrap interval
    of the sample-level index under resampling of whole units (`ari_*_units_low`, `..._high`).
    Where the study asks for it, also after clusters with the same majority label were merged
    (`ari_*_merged`), which uses the labels. `auroc_best` is the AUROC of the best topic's usage for
    a class, averaged over classes. Of non-negative methods the target score, see `target_score`,
    is scored as well: `auroc_target_score` for the class that it tells best from the others,
    `ari_target_score` of k-means on it. Where programs were simulated, `program_cosine` and
    `program_cosine_least` (mean and least over the target programs) and `shared_leakage` compare
    topics with them, see `truth`; of a model with shared and target topics, the latter alone.
    Without a label, or with one class, what needs classes is left out.

    Parameters
    ----------
    fits : sequence of Fit
        All fits of the replicate; ``info`` names method, k, alpha and seed.
    target, background : AnnData
        The pair that was fitted; `target.obs` holds the label and the unit.
    study : mapping
        `study` and, optionally, `label`, `unit` (columns of the held-out label and of the unit of
        replication, or empty) and `extra_scores` ("merged", or empty).
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
        key, a missing column, or missing labels.
    """
    truth = truth_of(target, study, replicate)
    ordered = in_order(fits)
    for fit in ordered:
        check_fit(fit, target, background)
    embed = partial(umap_embedding, n_neighbors=umap_neighbors, min_dist=umap_min_dist)
    score = TargetScores(target, background)
    pairs = [(fit, scored(fit, truth, embed, score.of(fit))) for fit in ordered]
    widest = max(fit.usage.shape[1] for fit in ordered)
    return EvaluationTables(
        scores=_joined(_scores(fit, result, truth, bootstrap) for fit, result in pairs),
        samples=_joined(_samples(fit, result, truth, widest) for fit, result in pairs),
        topics=_joined(_topics(fit, _of_other_seeds(fit, ordered), truth) for fit in ordered),
        loadings=_joined(_loadings(fit, target.var_names, truth) for fit in ordered),
        features=_features(target, truth),
        traces=_joined(_traces(fit, truth) for fit in ordered),
    )


def _scores(fit: Fit, found: Scored, truth: Truth, bootstrap: int) -> pd.DataFrame:
    table = scores_of(fit, found, truth, bootstrap)
    table["contrast"] = fit.info.get("contrast") or ""
    table["label"] = truth.label_column
    table["alpha_setting"] = alpha_setting_of(fit)
    table["remark"] = remark_of(fit)
    return _keyed(table, fit, truth)[list(_SCORES)]


def _samples(fit: Fit, found: Scored, truth: Truth, widest: int) -> pd.DataFrame:
    n, k = fit.usage.shape
    usage = np.full((n, widest), np.nan)
    usage[:, :k] = fit.usage
    missing = pd.array([pd.NA] * n, dtype="Int64")
    clusters = {
        f"cluster_{space}": pd.array(found.clusters[space], dtype="Int64")
        if space in found.clusters
        else missing
        for space in ("usage", "usage_share", "umap")
    }
    table = pd.DataFrame(
        {
            "sample": truth.samples,
            "label": truth.labels,
            "unit": "" if truth.units is None else truth.units,
            "umap_1": found.spaces["umap"][:, 0],
            "umap_2": found.spaces["umap"][:, 1],
            **clusters,
            "target_score": np.nan if found.target_score is None else found.target_score,
            **{f"usage_{topic + 1}": usage[:, topic] for topic in range(widest)},
        }
    )
    return _keyed(table, fit, truth)


def _topics(fit: Fit, others: Sequence[Fit], truth: Truth) -> pd.DataFrame:
    usage = np.asarray(fit.usage, dtype=np.float64)
    k = usage.shape[1]
    tested = _tested(usage, truth)
    auroc = np.full(k, np.nan)
    if truth.classes is not None:
        classes, areas = auroc_per_class(usage, truth.classes)
        if len(classes) > 2:
            tested["favours"] = classes[areas.argmax(axis=0)]
        auroc = areas[np.searchsorted(classes, tested["favours"]), np.arange(k)]
    p_units = np.full(k, np.nan)
    if truth.classes is not None and truth.units is not None:
        p_units = unit_test(usage, truth.classes, truth.units).p_value
    table = pd.DataFrame(
        {
            "topic": np.arange(1, k + 1),
            **{name: tested[name] for name in ("statistic", "p_value", "p_adjusted")},
            "auroc": auroc,
            "favours": tested["favours"],
            "mean_usage": usage.mean(axis=0),
            "p_value_units": p_units,
            "p_adjusted_units": benjamini_hochberg(p_units),
            "stability": _stability(fit, others),
        }
    )
    return _keyed(table, fit, truth)


def _tested(values: Any, truth: Truth) -> dict[str, np.ndarray]:
    """Return the test of every column against the classes, missing where there are none."""
    columns = values.shape[1]
    if truth.classes is None:
        missing = np.full(columns, np.nan)
        test = Association(missing, missing, np.full(columns, "", dtype=object))
    else:
        test = welch_test(values, truth.classes)
    return {
        "statistic": test.statistic,
        "p_value": test.p_value,
        "p_adjusted": benjamini_hochberg(test.p_value),
        "favours": test.favours,
    }


def _of_other_seeds(fit: Fit, fits: Sequence[Fit]) -> list[Fit]:
    def setting(one: Fit) -> tuple[object, ...]:
        return one.info["method"], one.info["k"], alpha_setting_of(one)

    return [one for one in fits if one is not fit and setting(one) == setting(fit)]


def _stability(fit: Fit, others: Sequence[Fit]) -> np.ndarray:
    """Return the stability of each topic over the starts of a consensus.

    Else the mean cosine of each topic and its best match in other fits; NaN without any.
    """
    if "consensus" in fit.info:
        return np.asarray(fit.info["consensus"]["stability"], dtype=float)
    if not others:
        return np.full(len(fit.components), np.nan)
    found = [best_cosine(fit.components, one.components) for one in others]
    return np.asarray(np.mean(found, axis=0))


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
    tested = _tested(target.X, truth)
    by_units = None
    if "counts" in target.layers:
        by_units = pseudobulk_test(target.layers["counts"], truth.classes, truth.units)
    p_units, test = by_units or means_test(target.X, truth.classes, truth.units)
    return pd.DataFrame(
        {
            "study": truth.study,
            "replicate": truth.replicate,
            "feature": target.var_names.to_numpy(dtype=str),
            "statistic": tested["statistic"],
            "favours": tested["favours"],
            "p_cells": tested["p_value"],
            "q_cells": tested["p_adjusted"],
            "p_units": p_units,
            "q_units": benjamini_hochberg(p_units),
            "test_units": test,
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
