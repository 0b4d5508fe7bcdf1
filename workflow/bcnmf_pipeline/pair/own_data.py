"""A look into a user's own file before any job starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import pandas as pd
from anndata import read_h5ad
from anndata.io import read_elem

from bcnmf.errors import InputError
from bcnmf_pipeline.pair.samples import check_unique, choose, image_shape_of, n_top_features_of
from bcnmf_pipeline.plan.selection_syntax import parse_selection


def check_own_data(
    path: str | os.PathLike[str], row: Mapping[str, str], where: str
) -> tuple[int, int, int]:
    """Look into a user's file before any job starts, without reading its matrix.

    Of the table of samples only the columns that the sheet's row names are read, so that this stays
    quick with millions of samples. What stands in the matrix is checked by `make_pair`.

    Parameters
    ----------
    path : path
        .h5ad file.
    row : mapping
        The studies sheet's row: `target`, `background`, `label` and, where they are not empty,
        `unit`, `n_top_features`, `panels`.
    where : str
        What to call the row in errors, for instance "config/studies.tsv, study mine".

    Returns
    -------
    n_target, n_background, n_features : int
        Selected samples of each side, and features of the file.

    Raises
    ------
    InputError
        A file that is missing, unreadable, or without a matrix; a selection that cannot be read or
        names a missing column or value; an empty group; fewer than four target samples or two label
        classes; samples without label or unit; a unit with several labels; repeated names of
        features or of selected samples; more highly variable features than features; the panel
        `basis` where the data are no images.
    """
    names = _named_columns(row, where)
    obs, features, image_shape = _read_heads(Path(path), names, where)
    target, background = choose(obs, row, where)
    check_unique(obs.index[target | background], "selected samples", "obs", where)
    check_unique(features, "features", "var", where)
    n_top_features_of(row, len(features), image_shape, where)
    for column, name in (("panels", "basis"), ("figure", "digits")):
        if name in row.get(column, "").split(",") and image_shape is None:
            raise InputError(
                f"{where}, column {column}: {name} draws components as images, but {path} has no "
                f"uns['image_shape'] (rows and columns, with {len(features)} features as their "
                f"product); drop {name}, or set it"
            )
    return int(target.sum()), int(background.sum()), len(features)


def _read_heads(
    path: Path, names: list[str], where: str
) -> tuple[pd.DataFrame, pd.Index, list[int] | None]:
    """Return the samples' table, the features' names and the shape of images of an .h5ad file."""
    place = f"{where}, column dataset: {path}"
    if not path.is_file():
        raise InputError(
            f"{place}: no such file; expected an .h5ad file, its path from the working directory "
            f"({Path.cwd()})"
        )
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in ("X", "obs", "var") if name not in file]
            heads = None if missing else _heads(file, names)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{place}: not a readable .h5ad file ({error}); write it again with AnnData.write_h5ad"
        ) from error
    if heads is None:
        raise InputError(
            f"{place}: holds no {', '.join(missing)}; expected an .h5ad file with a matrix X, "
            "samples x features, as AnnData.write_h5ad writes it"
        )
    return heads


def _heads(file: h5py.File, names: list[str]) -> tuple[pd.DataFrame, pd.Index, list[int] | None]:
    if isinstance(file["obs"], h5py.Dataset):  # a file of anndata before 0.7
        data = read_h5ad(file.filename, backed="r")
        obs, features = data.obs, data.var_names
        data.file.close()
    else:
        obs = _columns(file["obs"], names)
        features = read_elem(file["var"]).index
    stored = read_elem(file["uns/image_shape"]) if "uns/image_shape" in file else None
    return obs, features, image_shape_of(stored, len(features))


def _named_columns(row: Mapping[str, str], where: str) -> list[str]:
    names = [row[key] for key in ("label", "unit") if row.get(key)]
    for side in ("target", "background"):
        names += [one.column for one in parse_selection(row[side], f"{where}, column {side}")]
    return list(dict.fromkeys(names))


def _columns(group: h5py.Group, names: list[str]) -> pd.DataFrame:
    """Read some columns of a table; all of them where one is missing, for the error to list."""
    if not set(names) <= set(group.attrs["column-order"]):
        return read_elem(group)
    index = pd.Index(read_elem(group[group.attrs["_index"]]))
    return pd.DataFrame({name: read_elem(group[name]) for name in names}).set_axis(index)
