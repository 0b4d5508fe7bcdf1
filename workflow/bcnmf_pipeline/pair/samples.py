"""Which samples and features a row of the studies sheet selects, and whether they will do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.pair.batches import batch_remarks, check_batch
from bcnmf_pipeline.plan.selected import column_of, select
from bcnmf_pipeline.plan.selection_syntax import ANY, Condition, parse_selection

# A label class or a background of fewer samples, or a class of fewer units, is worth a warning.
FEW_SAMPLES, FEW_UNITS = 10, 3
# UMAP, on which every fit is scored, takes no fewer.
LEAST_SAMPLES = 4
# A label of more classes names samples rather than groups.
MOST_CLASSES = 50
_SHOWN = 5
# What is written where there is no label.
_UNKNOWN = frozenset(
    {"nan", "NaN", "NA", "N/A", "n/a", "None", "<NA>", "null", "unknown", "Unknown", "unassigned"}
)


def choose(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples are target and which background; label, unit and batch checked."""
    target, background = (select_side(obs, row, name, where) for name in ("target", "background"))
    for name in ("label", "unit"):
        if row.get(name):
            column_of(obs, row[name], f"{where}, column {name}")
    check_target(obs[target], row, where)
    check_batch(obs[target], obs[background], row, where)
    return target, background


def select_side(obs: pd.DataFrame, row: Mapping[str, str], name: str, where: str) -> np.ndarray:
    """Return which samples are in the target or the background, by `name`."""
    place = f"{where}, column {name}"
    return select(obs, parse_selection(row[name], place), place)


def check_target(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
    """Refuse what the scores of the target could not be computed from, after all the fits."""
    check_size(obs, row, where)
    check_label(obs, row, where)
    check_unit(obs, row, where)


def check_size(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
    """Refuse a target of fewer samples than a map can be made of."""
    if len(obs) < LEAST_SAMPLES:
        raise InputError(
            f"{where}, column target: {len(obs)} samples are selected (those that are zero "
            f"throughout not counted); scores need at least {LEAST_SAMPLES}"
        )


def check_label(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
    """Refuse a label, where there is one, that some samples lack or that forms no groups."""
    name = row.get("label", "")
    if name not in obs:
        return
    classes = _complete(obs, name, f"{where}, column label").nunique()
    if classes > 1 and (classes > MOST_CLASSES or classes == len(obs)):
        kind = "numbers" if pd.api.types.is_numeric_dtype(obs[name]) else "classes"
        raise InputError(
            f"{where}, column label: {name!r} has {classes} different {kind} in {len(obs)} target "
            f"samples; a label names a few groups (at most {MOST_CLASSES}): cut numbers into "
            "groups, as by pandas.qcut, name another column, or leave the label empty"
        )


def check_unit(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
    """Refuse units, where there are any, that some samples lack."""
    if row.get("unit", "") in obs:
        _complete(obs, row["unit"], f"{where}, column unit")


def check_apart(
    target: np.ndarray, background: np.ndarray, row: Mapping[str, str], where: str
) -> None:
    """Refuse sides that are the same samples."""
    if (target == background).all():
        first = parse_selection(row["target"], where)[0]
        raise InputError(
            f"{where}, column background: the target and the background are the same "
            f"{int(target.sum())} samples, so nothing can be new to one; select others, such as "
            f"{replace(first, negated=not first.negated)}"
        )


def _complete(obs: pd.DataFrame, name: str, place: str) -> pd.Series:
    """Return a column as text, or refuse it where samples have no value."""
    missing = int(obs[name].isna().sum())
    if missing:
        known = sorted(obs[name].dropna().astype(str).unique())
        advice = "name another column"
        if known:
            condition = Condition(name, tuple(known) if len(known) <= _SHOWN else (ANY,))
            advice = f"select those that have one: add ;{condition} to column target"
        raise InputError(
            f"{place}: {missing} of {len(obs)} target samples have no value in {name!r}; {advice}"
        )
    return obs[name].astype(str)


def check_unique(names: pd.Index, what: str, table: str, where: str) -> None:
    """Refuse names of samples (`table` obs) or features (var) that stand more than once."""
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{where}, column dataset: {len(repeated)} names of {what} stand more than once, for "
            f"instance {str(repeated[0])!r}; make them unique, as by data.{table}_names_make_unique"
            "(), and save the file"
        )


def n_top_features_of(
    row: Mapping[str, str], n_features: int, image_shape: list[int] | None, where: str
) -> int | None:
    """Return how many features to keep; None for all."""
    text = row.get("n_top_features", "")
    if not text:
        return None
    place = f"{where}, column n_top_features"
    if int(text) > n_features:
        raise InputError(
            f"{place}: {text} are more than the {n_features} features of the data; give at most "
            f"{n_features}, or leave it empty"
        )
    if image_shape is not None:
        raise InputError(
            f"{place}: {text}, but the data are images of {image_shape[0]} x {image_shape[1]} "
            "pixels, of which none can be left out; leave it empty"
        )
    return int(text)


def image_shape_of(found: Any, n_features: int) -> list[int] | None:
    """Return rows and columns of images; None where `found` does not describe the features."""
    sizes = np.asarray([] if found is None else found)
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or int(np.prod(sizes)) != n_features:
        return None
    return [int(size) for size in sizes]


def overlap(target: np.ndarray, background: np.ndarray) -> list[str]:
    """Return a warning where samples are on both sides."""
    common = int((target & background).sum())
    if not common:
        return []
    return [
        f"{common} of {int(background.sum())} background samples are in the target too: the label "
        "may leak into the fit"
    ]


def remarks_of(target: pd.DataFrame, background: pd.DataFrame, row: Mapping[str, str]) -> list[str]:
    """Return what there is to say of classes, units or a background that scores can rest on."""
    found = []
    label, unit = row.get("label", ""), row.get("unit", "")
    if label:
        labels = target[label].astype(str)
        found += _classes(labels, label)
        found += _few(labels.value_counts(), FEW_SAMPLES, f"classes of {label}", "samples")
    if unit:
        groups = target[label].astype(str) if label else pd.Series("", index=target.index)
        units = target[unit].astype(str).groupby(groups.to_numpy()).nunique()
        if label:
            found += _few(units, FEW_UNITS, f"classes of {label}", f"units ({unit})")
        missing = int(background[unit].isna().sum())
        if missing:
            found.append(f"{missing} of {len(background)} background samples have no {unit}")
        alone = [
            name
            for name, side in (("target", target), ("background", background))
            if len(side[unit].dropna().unique()) == 1
        ]
        if alone:
            found.append(
                f"the {' and the '.join(alone)} hold{'s' * (len(alone) == 1)} one unit ({unit}) "
                "alone: what tells this unit from others cannot be told from what tells the sides "
                "apart"
            )
    found += batch_remarks(target, background, row)
    if len(background) < FEW_SAMPLES:
        found.append(f"the background has only {len(background)} samples")
    return found


def class_sizes(obs: pd.DataFrame, name: str) -> dict[str, int]:
    """Return how many samples each value of a column has, the largest first; none without one."""
    if not name:
        return {}
    sizes = obs[name].dropna().astype(str).value_counts()
    return {str(value): int(size) for value, size in sizes.items()}


def _classes(labels: pd.Series, label: str) -> list[str]:
    classes = list(labels.unique())
    if len(classes) == 1:
        return [
            f"all target samples have {classes[0]!r} in the label {label}: it tells nothing apart, "
            "and there are no scores against it"
        ]
    unknown = sorted(name for name in classes if name.strip() in _UNKNOWN)
    if not unknown:
        return []
    condition = Condition(label, tuple(unknown), negated=True)
    return [
        f"the label {label} has a class {', '.join(map(repr, unknown))}: if these samples have no "
        f"label, leave them out by ;{condition} in column target"
    ]


def _few(sizes: pd.Series, least: int, what: str, of: str) -> list[str]:
    small = sizes[sizes < least].sort_index()
    if small.empty:
        return []
    shown = ", ".join(f"{name}: {size}" for name, size in small.iloc[:_SHOWN].items())
    more = ", ..." if len(small) > _SHOWN else ""
    return [
        f"{len(small)} of {len(sizes)} {what} have fewer than {least} target {of} ({shown}{more}): "
        "scores rest on few"
    ]
