"""The samples of a study packed for the interactive map of the report."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.annotations import distinct
from bcnmf_pipeline.figures.representative import representative_runs
from bcnmf_pipeline.figures.tables import (
    Classes,
    component_noun,
    method_label,
    short_number,
    topic_columns,
)

MAX_SAMPLES = 10_000


def explorer_json(
    samples: pd.DataFrame,
    annotations: pd.DataFrame | None = None,
    genes: pd.DataFrame | None = None,
    *,
    study: str,
    labels: Mapping[str, str] | None = None,
    label_name: str = "label",
    unit: str = "",
    start: str = "",
) -> str:
    """Return what the map of one study shows, as JSON that can stand inside a page.

    Coordinates are 16-bit, usages and gene values 8-bit, base64: enough for a screen, and small.
    Of more than `MAX_SAMPLES` samples some are drawn at random; the seed comes from the study's
    name.

    Parameters
    ----------
    samples : DataFrame
        method, k, alpha, replicate, seed, sample, label, unit, umap_1, umap_2, usage_1 ... and,
        where there is one, target_score.
    annotations : DataFrame, optional
        sample, and further columns to colour by.
    genes : DataFrame, optional
        sample, and a column of values for each gene.
    study : str
        Its name.
    labels : mapping, optional
        Names of methods, in the order of the choice.
    label_name, unit : str
        What the label and the unit are; empty: there is none.
    start : str
        Method whose map is shown at first; by default the first one.
    """
    chosen = representative_runs(samples, list(labels) if labels else None)
    first = chosen[0].rows(samples, "samples").set_index("sample")
    kept = _drawn(first.index, study)
    own = {label_name: first["label"], unit: first["unit"]}
    classes = {name: values for name, values in own.items() if name}
    if annotations is not None:
        named = annotations.set_index("sample")
        classes |= {name: named[name] for name in named.columns if name not in classes}
    note = f"{len(kept)} samples"
    if len(kept) < len(first):
        note += f", drawn at random from {len(first)}"
    content = {
        "n": len(kept),
        "note": f"{note}. One fit of each method: the one that the figures show.",
        "start": next((i for i, one in enumerate(chosen) if one.method == start), 0),
        "samples": kept.tolist(),
        "classes": [_classes(name, values.reindex(kept)) for name, values in classes.items()],
        "maps": [
            _map(one.rows(samples, "samples").set_index("sample").reindex(kept), one, labels)
            for one in chosen
        ],
        "genes": [] if genes is None else _genes(genes.set_index("sample").reindex(kept)),
    }
    return _inside_a_page(content)


def _drawn(names: pd.Index, study: str) -> pd.Index:
    if len(names) <= MAX_SAMPLES:
        return names
    rng = np.random.default_rng(derive_seed("samples of the report", study))
    return names[np.sort(rng.choice(len(names), MAX_SAMPLES, replace=False))]


def _classes(name: str, values: pd.Series) -> dict[str, Any]:
    """Return names of classes, the most frequent first as in figures, and a code per sample."""
    classes = Classes(values)
    names = [*classes.marks, "other", "missing"]
    codes = []
    for value in values:
        key = classes.key(value)
        place = names.index(key) if key in classes.marks else len(names) - 2
        codes.append(len(names) - 1 if pd.isna(value) else place)
    used = set(codes)
    while names and len(names) - 1 not in used:
        names.pop()
    return {"name": name, "names": names, "codes": _base64(np.array(codes, dtype="<u2"))}


def _map(rows: pd.DataFrame, one: Any, labels: Mapping[str, str] | None) -> dict[str, Any]:
    columns = [column for column in topic_columns(rows) if rows[column].notna().all()]
    usage = rows[columns].to_numpy(dtype=np.float64)
    place = rows[["umap_1", "umap_2"]].to_numpy(dtype=np.float64)
    low, span = place.min(axis=0), np.ptp(place, axis=0).max() or 1.0
    middle = (span - np.ptp(place, axis=0)) / 2
    scaled = np.round(65535 * (place - low + middle) / span).astype("<u2")
    return {
        "name": f"{method_label(one.method, labels)}, {one.setting}",
        "noun": component_noun(bool((usage < 0).any())),
        "x": _base64(scaled[:, 0]),
        "y": _base64(scaled[:, 1]),
        "topics": [_base64(_bytes(values)) for values in usage.T],
        "low": [short_number(value) for value in usage.min(axis=0)],
        "high": [short_number(value) for value in usage.max(axis=0)],
        "scores": _scores(rows),
    }


def _scores(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the target score; signed methods have none."""
    if "target_score" not in rows or rows["target_score"].isna().any():
        return []
    return [_ramp("target score", rows["target_score"])]


def _genes(values: pd.DataFrame) -> list[dict[str, Any]]:
    return [_ramp(f"gene {name}", values[name]) for name in values.columns]


def _ramp(name: str, values: pd.Series) -> dict[str, Any]:
    """Return values that colours from low to high stand for."""
    return {
        "name": name,
        "values": _base64(_bytes(values.to_numpy(dtype=np.float64))),
        "low": short_number(values.min()),
        "high": short_number(values.max()),
    }


def _bytes(values: np.ndarray) -> np.ndarray:
    span = np.ptp(values)
    return np.round(255 * (values - values.min()) / span if span else 0 * values).astype("u1")


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _inside_a_page(content: Mapping[str, Any]) -> str:
    """Return JSON in which no name can end the script element that it stands in."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def top_values(
    features: Sequence[str], values: Any, wanted: Sequence[str], samples: Sequence[str]
) -> pd.DataFrame:
    """Return the values (samples x genes) of some features, for `explorer_json`.

    Parameters
    ----------
    features, samples : sequence of str
        Names of the columns and rows of `values`.
    values : ndarray or scipy sparse
        (samples, features); only the wanted columns are made dense.
    wanted : sequence of str
        Features to return, in this order.
    """
    places = pd.Index(features).get_indexer(list(wanted))
    columns = values[:, places]
    dense = columns.toarray() if hasattr(columns, "toarray") else np.asarray(columns)
    names = [distinct(str(name), "gene") for name in wanted]
    table = pd.DataFrame(dense.astype(np.float32), columns=names)
    table.insert(0, "sample", list(map(str, samples)))
    return table
