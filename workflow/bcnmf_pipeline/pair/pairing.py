"""Target and background of a study: selected by the sheet, checked, in the values to be fitted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from anndata.io import read_elem

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import check_non_negative, host_array
from bcnmf_pipeline.plan.selection_syntax import Condition, column_of, parse_selection, select

PER = 1e4  # Counts are fitted as log1p of counts per this many.
# A label class or a background of fewer samples, or a class of fewer units, is worth a warning.
FEW_SAMPLES, FEW_UNITS = 10, 3
# UMAP, on which every fit is scored, takes no fewer.
LEAST_SAMPLES = 4
# 2**50 counts: no logarithm of counts, to whatever base, is above.
LARGEST_LOG = 50.0
_SHOWN = 5
# Stored values are looked at in blocks of this size, so that checks need no memory of theirs.
_BLOCK = 2**22

Values = np.ndarray | sp.csr_matrix


def check_own_data(
    path: str | os.PathLike, row: Mapping[str, str], where: str
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
    target, background = _choose(obs, row, where)
    _check_unique(obs.index[target | background], "selected samples", "obs", where)
    _check_unique(features, "features", "var", where)
    _n_top_features(row, len(features), image_shape, where)
    for column, name in (("panels", "basis"), ("figure", "digits")):
        if name in row.get(column, "").split(",") and image_shape is None:
            raise InputError(
                f"{where}, column {column}: {name} draws components as images, but {path} has no "
                f"uns['image_shape'] (rows and columns, with {len(features)} features as their "
                f"product); drop {name}, or set it"
            )
    return int(target.sum()), int(background.sum()), len(features)


def make_pair(data: AnnData, study: Mapping[str, str], where: str) -> tuple[AnnData, AnnData]:
    """Select target and background, check them, and bring them to the values that are fitted.

    Samples that are zero throughout and features that are zero in both sides are left out, with a
    recorded warning (an image keeps all its pixels). Sparse data stay sparse.

    Parameters
    ----------
    data : AnnData
        Samples x features, in memory.
    study : mapping
        The studies sheet's row: `study`, `target`, `background`, `label`, `values` ("counts", "log"
        or "raw") and, where they are not empty, `unit` and `n_top_features`.
    where : str
        What to call the row in errors, for instance "config/studies.tsv, study mine".

    Returns
    -------
    target, background : AnnData
        Shapes (n_target, n_features) and (n_background, n_features), the same features in the order
        of `data`; X is float32, CSR where that of `data` is sparse. ``values=counts``: X is the
        natural log of 1 + counts per 10,000 of the features kept, ``layers["counts"]`` the counts.
        Else X holds the values as they are. uns: `study` (the row), `pairing` (`n_background`,
        `warnings`), and `source` and `image_shape` of `data` where there are any.

    Raises
    ------
    InputError
        What `check_own_data` refuses in samples and names; no matrix; NaN, infinite or negative
        values; counts that are not whole numbers; log values that look like counts; a side that is
        zero throughout.

    Notes
    -----
    Highly variable features are those with the highest normalised dispersion of scanpy's flavour
    "seurat" on target and background stacked: of counts per 10,000 for ``values=counts``, of
    exp(x) - 1 for ``values=log`` (natural logs, as scanpy assumes), of the values themselves for
    ``values=raw``. Exactly as many are kept as asked for; of equal ones, those that come first.
    """
    target, background = _choose(data.obs, study, where)
    _check_unique(data.obs_names[target | background], "selected samples", "obs", where)
    _check_unique(data.var_names, "features", "var", where)
    image_shape = _image_shape(data.uns.get("image_shape"), data.n_vars)
    n_top = _n_top_features(study, data.n_vars, image_shape, where)
    pair = _Pair(
        _side(data, "target", target, study["values"], where),
        _side(data, "background", background, study["values"], where),
        features=np.arange(data.n_vars),
        warnings=_overlap(target, background),
    )
    pair.leave_out_zero_samples(where)
    if image_shape is None:
        pair.leave_out_zero_features()
    if n_top is not None:
        pair.keep_top_features(n_top, study["values"])
        pair.leave_out_zero_samples(where)
    pair.look_for_absent_features()
    obs = data.obs.iloc[pair.target.rows]
    _check_target(obs, study, where)  # Once more, without the samples that were left out.
    pair.warnings += _small_groups(obs, study, len(pair.background.rows))
    made = [_as_anndata(data, side, pair.features, study["values"]) for side in pair.sides]
    for side in made:
        side.uns = _description(data, study, image_shape, pair)
    return made[0], made[1]


def pair_record(target: AnnData) -> dict[str, Any]:
    """Return what figures and the report state about a pair.

    Parameters
    ----------
    target : AnnData
        The target that `make_pair` returned, or as it was read from its file.

    Returns
    -------
    dict
        For JSON: `study` (the sheet's row), `n_target`, `n_background`, `n_features`, `labels` and,
        where the study has units, `units` (name -> target samples), `warnings` (list of str) and,
        where there are any, `source` and `image_shape` (rows, columns).
    """
    study = {str(key): str(value) for key, value in target.uns["study"].items()}
    pairing = target.uns["pairing"]
    record: dict[str, Any] = {
        "study": study,
        "n_target": target.n_obs,
        "n_background": int(pairing["n_background"]),
        "n_features": target.n_vars,
        "labels": _sizes(target.obs[study["label"]]),
        "warnings": [str(text) for text in pairing["warnings"]],
    }
    if study.get("unit"):
        record["units"] = _sizes(target.obs[study["unit"]])
    if "source" in target.uns:
        record["source"] = {str(key): str(text) for key, text in target.uns["source"].items()}
    if "image_shape" in target.uns:
        record["image_shape"] = [int(size) for size in target.uns["image_shape"]]
    return record


def log_per_10k(counts: Values, copy: bool = True) -> Values:
    """Return the natural log of 1 + counts per 10,000 of each sample, sparse if `counts` are.

    Parameters
    ----------
    counts : ndarray or CSR of float, shape (samples, features)
        No sample is zero throughout.
    copy : bool
        Leave `counts` as they are; else sparse ones are overwritten.
    """
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    scale = (PER / totals).astype(counts.dtype)
    if sp.issparse(counts):
        scaled = counts.copy() if copy else counts
        scaled.data *= np.repeat(scale, np.diff(counts.indptr))
        np.log1p(scaled.data, out=scaled.data)
        return scaled
    scaled = counts * scale[:, None]
    return np.log1p(scaled, out=scaled)


@dataclass
class _Side:
    """Target or background: which rows of the data, and their values."""

    name: str
    rows: np.ndarray
    values: Values


@dataclass
class _Pair:
    """Both sides while samples and features are left out, and what there is to say about it."""

    target: _Side
    background: _Side
    features: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def sides(self) -> tuple[_Side, _Side]:
        return self.target, self.background

    def leave_out_zero_samples(self, where: str) -> None:
        for side in self.sides:
            kept = _not_zero(side.values, axis=1)
            missing = int((~kept).sum())
            if missing == len(kept):
                raise InputError(
                    f"{where}: all {missing} samples of the {side.name} are zero in all "
                    f"{len(self.features)} features; check X of the data set, or select others"
                )
            if missing:
                self.warnings.append(
                    f"{missing} of {len(kept)} {side.name} samples are zero in all "
                    f"{len(self.features)} features and were left out"
                )
                side.rows, side.values = side.rows[kept], side.values[kept]

    def leave_out_zero_features(self) -> None:
        kept = np.logical_or(*(_not_zero(side.values, axis=0) for side in self.sides))
        missing = int((~kept).sum())
        if missing:
            self.warnings.append(
                f"{missing} of {len(kept)} features are zero in all samples of target and "
                "background and were left out"
            )
            self._keep_features(kept)

    def keep_top_features(self, n_top: int, values: str) -> None:
        if n_top >= len(self.features):
            self.warnings.append(
                f"n_top_features is {n_top}, but {len(self.features)} features are not zero "
                "throughout: all of them were kept"
            )
            return
        sides = [side.values for side in self.sides]
        chosen, dispersions = _top_features(sides, n_top, values)
        unranked = int(np.isneginf(dispersions[chosen]).sum())
        if unranked:
            self.warnings.append(
                f"{unranked} of the {n_top} highly variable features have no rank (they do not "
                "vary, or all of like mean vary alike): those that come first were taken"
            )
        kept = np.zeros(len(self.features), dtype=bool)
        kept[chosen] = True
        self._keep_features(kept)

    def look_for_absent_features(self) -> None:
        """Warn where half of the features are in one side only: likely measured there only."""
        found = [_not_zero(side.values, axis=0) for side in self.sides]
        for here, there in ((0, 1), (1, 0)):
            absent = int((found[there] & ~found[here]).sum())
            if 2 * absent >= len(self.features):
                self.warnings.append(
                    f"{absent} of {len(self.features)} features are zero in all "
                    f"{self.sides[here].name} samples but not in the {self.sides[there].name}: "
                    "were they measured in both?"
                )

    def _keep_features(self, kept: np.ndarray) -> None:
        self.features = self.features[kept]
        for side in self.sides:
            side.values = side.values[:, kept]


def _choose(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples are target and which background, the target's label and unit checked."""
    masks = []
    for name in ("target", "background"):
        place = f"{where}, column {name}"
        masks.append(select(obs, parse_selection(row[name], place), place))
    for name in ("label", "unit"):
        if row.get(name):
            column_of(obs, row[name], f"{where}, column {name}")
    _check_target(obs[masks[0]], row, where)
    return masks[0], masks[1]


def _check_target(obs: pd.DataFrame, row: Mapping[str, str], where: str) -> None:
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


def _check_unique(names: pd.Index, what: str, table: str, where: str) -> None:
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{where}, column dataset: {len(repeated)} names of {what} stand more than once, for "
            f"instance {str(repeated[0])!r}; make them unique, as by data.{table}_names_make_unique"
            "(), and save the file"
        )


def _n_top_features(
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


def _image_shape(found: Any, n_features: int) -> list[int] | None:
    """Return rows and columns of images; None where `found` does not describe the features."""
    sizes = np.asarray([] if found is None else found)
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or int(np.prod(sizes)) != n_features:
        return None
    return [int(size) for size in sizes]


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
    return obs, features, _image_shape(stored, len(features))


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


def _side(data: AnnData, name: str, mask: np.ndarray, kind: str, where: str) -> _Side:
    """Return the checked values of the selected rows, as float32, without stored zeros."""
    if data.X is None:
        raise InputError(
            f"{where}, column dataset: the data have no matrix X; {_elsewhere(data) or 'set it'}"
        )
    values = host_array(data.X[mask], f"{where}, {name}").astype(np.float32, copy=False)
    try:
        check_non_negative(values, f"{where}, {name}")
    except InputError as error:
        raise InputError(". ".join(filter(None, [str(error), _elsewhere(data)]))) from error
    if sp.issparse(values):
        values.eliminate_zeros()
    if kind == "counts":
        _check_counts(values, name, data, where)
    if kind == "log":
        _check_logs(values, name, where)
    return _Side(name, np.flatnonzero(mask), values)


def _check_counts(values: Values, name: str, data: AnnData, where: str) -> None:
    stored = _stored(values)
    fractional = _n_fractional(stored)
    if fractional:
        example = next(
            block[np.rint(block) != block][0] for block in _blocks(stored) if _n_fractional(block)
        )
        other = _elsewhere(data)
        raise InputError(
            f"{where}, column values: counts, but {fractional} of {stored.size} stored values of "
            f"the {name} are not whole numbers (the first: {example:.6g}; the largest: "
            f"{stored.max():.6g}). If they are log values, set `values` to log; if something else, "
            f"to raw; estimated counts can be rounded.{' ' + other if other else ''}"
        )


def _check_logs(values: Values, name: str, where: str) -> None:
    stored = _stored(values)
    largest = float(stored.max(initial=0.0))
    found = ""
    if largest > 0 and not _n_fractional(stored):
        found = f"all {stored.size} stored values of the {name} are whole numbers, up to"
    elif largest > LARGEST_LOG:
        found = f"no logarithm of counts is as large as the largest value of the {name},"
    if found:
        raise InputError(
            f"{where}, column values: log, but {found} {largest:.6g}: they look like counts. Set "
            "`values` to counts, or to raw to fit them as they are"
        )


def _elsewhere(data: AnnData) -> str:
    """Say where else in the file values may stand."""
    places = [f"data.layers[{name!r}]" for name in data.layers]
    if data.raw is not None:
        places.append("data.raw.to_adata().X")
    if not places:
        return ""
    return f"X is what is fitted; the file also holds {', '.join(places)}"


def _stored(values: Values) -> np.ndarray:
    return values.data if sp.issparse(values) else values.reshape(-1)


def _blocks(stored: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, stored.size, _BLOCK):
        yield stored[start : start + _BLOCK]


def _n_fractional(stored: np.ndarray) -> int:
    return sum(int((np.rint(block) != block).sum()) for block in _blocks(stored))


def _not_zero(values: Values, axis: int) -> np.ndarray:
    """Return which columns (axis 0) or rows (axis 1) hold anything; no zeros are stored."""
    if not sp.issparse(values):
        return values.max(axis=axis) > 0
    if axis == 1:
        return np.diff(values.indptr) > 0
    return np.bincount(values.indices, minlength=values.shape[1]) > 0


def _top_features(sides: list[Values], n_top: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n_top` most variable features of both sides together, and all dispersions."""
    # Imported here: it takes seconds, which a start of Snakemake should not wait for.
    import scanpy as sc

    stacked = sp.vstack(sides, format="csr") if sp.issparse(sides[0]) else np.vstack(sides)
    if kind == "counts":
        stacked = log_per_10k(stacked, copy=False)
    elif kind == "raw":
        stacked = np.log1p(stacked)  # scanpy takes the exponential first, which undoes this
    table = sc.pp.highly_variable_genes(AnnData(stacked), flavor="seurat", inplace=False)
    # Not by scanpy's n_top_genes, which keeps more at a tie and fails where nothing varies.
    dispersions = table["dispersions_norm"].fillna(-np.inf).to_numpy()
    return np.argsort(-dispersions, kind="stable")[:n_top], dispersions


def _overlap(target: np.ndarray, background: np.ndarray) -> list[str]:
    common = int((target & background).sum())
    if not common:
        return []
    return [
        f"{common} of {int(background.sum())} background samples are in the target too: the label "
        "may leak into the fit"
    ]


def _small_groups(obs: pd.DataFrame, row: Mapping[str, str], n_background: int) -> list[str]:
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


def _sizes(column: pd.Series) -> dict[str, int]:
    return {name: int(size) for name, size in column.astype(str).value_counts().items()}


def _description(
    data: AnnData, study: Mapping[str, str], image_shape: list[int] | None, pair: _Pair
) -> dict[str, Any]:
    """Return what fits, scores and `pair_record` read; empty arrays of text survive .h5ad."""
    uns: dict[str, Any] = {
        "study": {key: str(value) for key, value in study.items()},
        "pairing": {
            "n_background": len(pair.background.rows),
            "warnings": np.array(pair.warnings, dtype=object),
        },
    }
    source = data.uns.get("source")
    if isinstance(source, Mapping):
        uns["source"] = {str(key): str(text) for key, text in source.items()}
    if image_shape is not None:
        uns["image_shape"] = np.array(image_shape)
    return uns


def _as_anndata(data: AnnData, side: _Side, features: np.ndarray, kind: str) -> AnnData:
    obs = data.obs.iloc[side.rows].copy()
    for name in obs.select_dtypes("category"):
        obs[name] = obs[name].cat.remove_unused_categories()
    var = data.var.iloc[features].copy()
    if kind == "counts":
        values = log_per_10k(side.values)
        return AnnData(values, obs=obs, var=var, layers={"counts": side.values})
    return AnnData(side.values, obs=obs, var=var)
