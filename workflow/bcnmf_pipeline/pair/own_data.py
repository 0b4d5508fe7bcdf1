"""A look into a user's own data before any job starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.files import reading
from bcnmf.formats import stem_of
from bcnmf.readers import UNANNOTATED
from bcnmf_pipeline.pair.batches import check_batch
from bcnmf_pipeline.pair.samples import (
    check_apart,
    check_label,
    check_size,
    check_unique,
    check_unit,
    class_sizes,
    image_shape_of,
    n_top_features_of,
    overlap,
    remarks_of,
    select_side,
)
from bcnmf_pipeline.pair.source import Heads, heads
from bcnmf_pipeline.pair.values import Found, all_zero, checked, kind_of_values, odd_values
from bcnmf_pipeline.plan.paths import check_path
from bcnmf_pipeline.plan.selected import column_of
from bcnmf_pipeline.plan.selection_syntax import parse_names, parse_selection

SIDES = ("target", "background")
# Columns of the sheet that may name several of the file.
_LISTS = ("colours", "batch")
# Of what no check has foreseen.
_REPORT = "if anndata.read_h5ad and the like can read it, report this with the file"


@dataclass
class Look:
    """What a row of the studies sheet selects in a user's own data.

    Attributes
    ----------
    path : Path
    kind : str
        Its format, see `bcnmf.formats.kind_of`.
    n_target, n_background, n_features : int
    values : str
        "counts", "log" or "raw": as declared, or by the values themselves.
    obs : DataFrame
        Samples of the file; of large formats the columns alone that the row names.
    features : Index
        Unique names.
    image_shape : list of int or None
        Rows and columns, where the features are pixels.
    target, background : ndarray of bool, shape (samples,)
    classes, units_target, units_background : dict
        Samples by class of the target's label and by unit; empty without such a column.
    label : str
        The column of the label; "" where there is none, or the target has one class alone.
    layers : tuple of str
        What the column `layer` may name.
    remarks : list of str
        What is left out, made unique or worth a second thought.
    """

    path: Path
    kind: str
    n_target: int
    n_background: int
    n_features: int
    values: str
    obs: pd.DataFrame
    features: pd.Index
    image_shape: list[int] | None
    target: np.ndarray
    background: np.ndarray
    classes: dict[str, int]
    units_target: dict[str, int]
    units_background: dict[str, int]
    label: str
    layers: tuple[str, ...]
    remarks: list[str]


def look(path: str | os.PathLike[str], row: Mapping[str, str], where: str) -> Look:
    """Look into a user's data before any job starts; of an .h5ad no more is read than is needed.

    Parameters
    ----------
    path : path
        What `bcnmf.readers.read` reads.
    row : mapping
        The studies sheet's row: `target`, `background` and, where they are not empty, `label`,
        `unit`, `batch`, `values` (empty or "auto": told by the values), `layer`, `each`, `colours`,
        `n_top_features`, `panels`, `figure`.
    where : str
        What to call the row in errors, for instance "config/studies.tsv, study mine".

    Raises
    ------
    InputError
        One line a fault, each with its remedy: data that are missing, of an unknown format or
        without a matrix; a layer, column or value that is not there; a selection that cannot be
        read; sides that are empty or the same; fewer than four target samples; samples without
        label or unit; a label with nearly as many classes as samples; repeated names of selected
        samples; values that are negative, missing or not what is declared, as far as a large sample
        of them shows; more highly variable features than features; images where there are none.
    """
    check_path(path, f"{where}, column dataset")
    with reading(f"{where}, column dataset: {path}", "cannot be looked into", _REPORT):
        return _Looker(_described(_heads(path, row, where), where), row, where).result()


def samples_of(path: str | os.PathLike[str], where: str) -> pd.DataFrame:
    """Return the table of samples of a user's data, all columns, without its matrix.

    Raises
    ------
    InputError
        The data cannot be read, or have no annotation of samples.
    """
    return _described(heads(path, None, "", where), where).obs


def _described(found: Heads, where: str) -> Heads:
    if found.obs.shape[1] == 0:
        raise InputError(
            f"{where}, column dataset: {found.path} has no annotation of its samples, by which "
            f"target and background are chosen; {_remedy(found)}"
        )
    return found


@dataclass
class _Looker:
    """Checks one by one, of which each may find a fault."""

    found: Heads
    row: Mapping[str, str]
    where: str
    faults: list[str] = field(default_factory=list)

    def check(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except InputError as error:
            self.faults.append(str(error))
            return None

    def result(self) -> Look:
        found, row, where = self.found, self.row, self.where
        obs, features = found.obs, found.var.index
        masks = [self.check(select_side, obs, row, side, where) for side in SIDES]
        image_shape = image_shape_of(found.image_shape, len(features))
        named = [(key, row[key]) for key in ("label", "unit") if row.get(key)]
        named += [(key, name) for key in _LISTS for name in parse_names(row.get(key, ""))]
        named += [("each", name) for name in _each(row)]
        for key, name in named:
            self.check(column_of, obs, name, f"{where}, column {key}")
        self.check(n_top_features_of, row, len(features), image_shape, where)
        if image_shape is None:
            self.check(_no_images, row, len(features), found.path, where)
        values: tuple[str, list[str]] = "", []
        for mask in masks:
            if mask is not None:
                self.check(check_unique, obs.index[mask], "selected samples", "obs", where)
        if masks[0] is not None:
            side = obs[masks[0]]
            for one in (check_size, check_label, check_unit):
                self.check(one, side, row, where)
        if masks[0] is not None and masks[1] is not None:
            self.check(check_apart, masks[0], masks[1], row, where)
            self.check(check_batch, obs[masks[0]], obs[masks[1]], row, where)
            values = self.check(self._values, masks, image_shape is not None)
        if self.faults:
            raise InputError("\n".join(dict.fromkeys(self.faults)))
        return self._look(masks, image_shape, *values)

    def _values(self, masks: list[np.ndarray], is_image: bool) -> tuple[str, list[str]]:
        """Return what the values are, and what is odd about them."""
        sides = [
            checked(
                self._rows(mask), f"{name} of {self.found.path}", self.where, self.found.elsewhere
            )
            for name, mask in zip(SIDES, masks, strict=True)
        ]
        for mask, name, values in zip(masks, SIDES, sides, strict=True):
            if values.shape[0] == mask.sum() and not values.max() > 0:
                raise all_zero(
                    f"{name} of {self.found.path}", values.shape[0], values.shape[1], self.where
                )
        declared, found = self.row.get("values", ""), [Found().add(values) for values in sides]
        kind = kind_of_values(found, declared, is_image, self.where, self.found.elsewhere)
        return kind, odd_values(found, kind, is_image)

    def _rows(self, mask: np.ndarray) -> Any:
        try:
            return self.found.values(mask)
        except InputError as error:
            raise InputError(f"{self.where}, column dataset: {error}") from error

    def _look(
        self, masks: list[np.ndarray], image_shape: list[int] | None, values: str, odd: list[str]
    ) -> Look:
        found, row = self.found, self.row
        sides = [found.obs[mask] for mask in masks]
        classes = class_sizes(sides[0], row.get("label", ""))
        return Look(
            path=found.path,
            kind=found.kind,
            n_target=len(sides[0]),
            n_background=len(sides[1]),
            n_features=len(found.var),
            values=values,
            obs=found.obs,
            features=found.var.index,
            image_shape=image_shape,
            target=masks[0],
            background=masks[1],
            classes=classes,
            units_target=class_sizes(sides[0], row.get("unit", "")),
            units_background=class_sizes(sides[1], row.get("unit", "")),
            label=row.get("label", "") if len(classes) > 1 else "",
            layers=found.layers,
            remarks=[
                *found.remarks,
                *odd,
                *overlap(masks[0], masks[1]),
                *remarks_of(sides[0], sides[1], row),
            ],
        )


def _heads(path: str | os.PathLike[str], row: Mapping[str, str], where: str) -> Heads:
    names = [row[key] for key in ("label", "unit") if row.get(key)]
    names += [name for key in _LISTS for name in parse_names(row.get(key, ""))]
    names += _each(row) + _selected_by(row)
    return heads(path, list(dict.fromkeys(names)), row.get("layer", ""), where)


def _selected_by(row: Mapping[str, str]) -> list[str]:
    """Return the columns that the sides are selected by."""
    names: list[str] = []
    for side in SIDES:
        # What cannot be read is told where the sides are selected.
        with suppress(InputError):
            names += [one.column for one in parse_selection(row[side], side)]
    return names


def _each(row: Mapping[str, str]) -> list[str]:
    """Return the column `each`, unless the row is one that it made: column=value is selected by."""
    text = row.get("each", "")
    made = any(text.startswith(f"{name}=") for name in _selected_by(row))
    return [text] if text and not made else []


def _remedy(found: Heads) -> str:
    if found.kind not in UNANNOTATED:
        return f"add columns to obs (data.obs) and write it again as .{found.kind}"
    name = f"{stem_of(found.path)}.obs.csv"
    return (
        f"put a table {str(found.path.with_name(name))!r} beside it: names of samples in the first "
        "column, what is known of them (treatment, donor, cell type) in others"
    )


def _no_images(row: Mapping[str, str], n_features: int, path: Path, where: str) -> None:
    for column, name in (("panels", "basis"), ("figure", "digits")):
        if name in row.get(column, "").split(","):
            raise InputError(
                f"{where}, column {column}: {name} draws components as images, but {path} has no "
                f"uns['image_shape'] (rows and columns, with {n_features} features as their "
                f"product); drop {name}, or set it"
            )
