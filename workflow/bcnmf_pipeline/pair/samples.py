"""Which samples and features a row of the studies sheet selects, and whether they will do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.selection_syntax import Condition, column_of, parse_selection, select

# A label class or a background of fewer samples, or a class of fewer units, is worth a warning.
FEW_SAMPLES, FEW_UNITS = 10, 3
# UMAP, on which every fit is scored, takes no fewer.
LEAST_SAMPLES = 4
_SHOWN = 5


def choose(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples are target and which background, the target's label and unit checked."""
    masks = []
    for name in ("target", "background"):
        place = f"{where}, column {name}"
        masks.append(select(obs, parse_selection(row[name], place), place))
    for name in ("label", "unit"):
        if row.get(name):
            column_of(obs, row[name], f"{where}, column {name}")
    check_target(obs[masks[0]], row, where)
    return masks[0], masks[1]


def check_target(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
    """Refuse what the scores of the target could not be computed from, after all the fits."""
    if len(obs) < LEAST_SAMPLES:
        raise InputError(
            f"{where}, column target: {len(obs)} samples are selected (those that are zero "
            f"throughout not counted); scores need at least {LEAST_SAMPLES}"
        )
    labels = _complete(obs, row["label"], f"{where}, column label")
    classes = labels.unique()
    if len(classes) < 2:
        raise InputError(
            f"{where}, column label: all {len(obs)} target samples have {classes[0]!r} in "
            f"{row['label']!r}; scores need at least two classes: name another column, or widen "
            "the target"
        )
    if not row.get("unit"):
        return
    units = _complete(obs, row["unit"], f"{where}, column unit")
    pairs = pd.DataFrame({"label": labels, "unit": units}).drop_duplicates()
    mixed = pairs["unit"][pairs["unit"].duplicated()].unique()
    if len(mixed):
        found = ", ".join(sorted(pairs["label"][pairs["unit"] == mixed[0]])[:_SHOWN])
        raise InputError(
            f"{where}, column unit: {len(mixed)} values of {row['unit']!r} hold target samples of "
            f"several classes of {row['label']!r} (in {mixed[0]!r}: {found}); scores per unit need "
            "one class a unit: name another column, or leave it empty"
        )


def _complete(obs: pd.DataFrame, name: str, place: str) -> pd.Series:
    """Return a column as text, or refuse it where samples have no value."""
    missing = int(obs[name].isna().sum())
    if missing:
        known = sorted(obs[name].dropna().astype(str).unique())
        advice = "name another column"
        if known:
            condition = Condition(name, tuple(known[:_SHOWN]))
            more = ",..." if len(known) > _SHOWN else ""
            advice = f"select those that have one: add ;{condition}{more} to column target"
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


def small_groups(obs: pd.DataFrame, row: Mapping[str, str], n_background: int) -> list[str]:
    """Return warnings of classes, units or a background that scores can hardly rest on."""
    labels = obs[row["label"]].astype(str)
    found = _few(labels.value_counts(), FEW_SAMPLES, f"classes of {row['label']}", "samples")
    if row.get("unit"):
        units = obs[row["unit"]].astype(str).groupby(labels).nunique()
        found += _few(units, FEW_UNITS, f"classes of {row['label']}", f"units ({row['unit']})")
    if n_background < FEW_SAMPLES:
        found.append(f"the background has only {n_background} samples")
    return found


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
