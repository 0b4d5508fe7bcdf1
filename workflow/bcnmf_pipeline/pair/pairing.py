"""Target and background of a study: selected by the sheet, checked, in the values to be fitted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.pair.annotation import named_plainly, with_symbols, writable
from bcnmf_pipeline.pair.batches import batches_of
from bcnmf_pipeline.pair.blocks import by_rows
from bcnmf_pipeline.pair.samples import (
    check_target,
    check_unique,
    choose,
    class_sizes,
    image_shape_of,
    n_top_features_of,
    overlap,
    remarks_of,
)
from bcnmf_pipeline.pair.sides import Side
from bcnmf_pipeline.pair.source import NoLayer, elsewhere, of_layer
from bcnmf_pipeline.pair.values import all_zero, kind_of_values, log_per_10k, odd_values
from bcnmf_pipeline.pair.variable import top_features


def make_pair(
    data: AnnData, study: Mapping[str, str], where: str, scaled_over: str = "kept"
) -> tuple[AnnData, AnnData]:
    """Select target and background, check them, and bring them to the values that are fitted.

    For large data there is `write_pair`, which holds the counts or their logs, but not both.

    Samples that are zero throughout and features that are zero in both sides are left out, with a
    recorded warning (an image keeps all its pixels). Sparse data stay sparse.

    Parameters
    ----------
    data : AnnData
        Samples x features, in memory, or with its matrix on disk, as `load` has it: then no more
        of it is held than what is selected.
    study : mapping
        The studies sheet's row: `study`, `target`, `background` and, where they are not empty,
        `label`, `unit`, `batch`, `values` ("counts", "log" or "raw"; else told by the values),
        `n_top_features` and `layer`.
    where : str
        What to call the row in errors, for instance "config/studies.tsv, study mine".
    scaled_over : str
        Counts are scaled to 10,000 a sample over "all" features of the data, or over those that
        are "kept". All is what single-cell work does: a strong response takes up more of the kept
        ones.

    Returns
    -------
    target, background : AnnData
        Shapes (n_target, n_features) and (n_background, n_features), the same features in the order
        of `data`; X is float32, CSR where that of `data` is sparse. ``values=counts``: X is the
        natural log of 1 + counts per 10,000, ``layers["counts"]`` the counts. Else X holds the
        values as they are. uns: `study` (the row, with the values that were found), `pairing`
        (`n_background`, `n_background_units`, `scaled_over`, `warnings`), and `source` and
        `image_shape` of `data` where there are any.

    Raises
    ------
    InputError
        What `look` refuses in samples and names; no matrix; NaN, infinite or negative values;
        counts that are not whole numbers; log values that look like counts; a side that is zero
        throughout.

    Notes
    -----
    Highly variable features are those with the highest normalised dispersion of scanpy's flavour
    "seurat" on target and background stacked: of counts per 10,000 for ``values=counts``, of
    exp(x) - 1 for ``values=log`` (natural logs, as scanpy assumes), of the values themselves for
    ``values=raw``. Exactly as many are kept as asked for; of equal ones, those that come first.
    """
    target, background = _pair(data, study, where, scaled_over)
    return target.whole(), background.whole()


def write_pair(
    data: AnnData,
    study: Mapping[str, str],
    where: str,
    scaled_over: str,
    paths: Sequence[str | os.PathLike[str]],
) -> dict[str, Any]:
    """Write what `make_pair` returns to two .h5ad, and return its `pair_record`.

    Counts are overwritten by their logs once they are on the disk, so that both are never held.
    """
    made = _pair(data, study, where, scaled_over)
    for one, path in zip(made, paths, strict=True):
        with atomic_path(path) as temporary:
            one.write(temporary)
    return pair_record(made[0].data)


@dataclass
class _Made:
    """A side as it is written: of counts without X, the logs, which are to be made of them."""

    data: AnnData
    totals: np.ndarray | None

    def whole(self) -> AnnData:
        """Return the side with its logs beside the counts."""
        if "counts" in self.data.layers:
            self.data.X = log_per_10k(self.data.layers["counts"], self.totals)
        return self.data

    def write(self, path: Path) -> None:
        self.data.write_h5ad(path)
        if "counts" in self.data.layers:
            logs = log_per_10k(self.data.layers["counts"], self.totals, copy=False)
            with h5py.File(path, "r+") as file:
                write_elem(file, "X", logs)
            del self.data.layers["counts"]


def _pair(
    data: AnnData, study: Mapping[str, str], where: str, scaled_over: str
) -> tuple[_Made, _Made]:
    warnings = [str(text) for text in data.uns.get("remarks", ())]
    data, other = _in_layer(data, study.get("layer", ""), where)
    obs = named_plainly(data.obs)
    var, named = with_symbols(data.var)
    target, background = choose(obs, study, where)
    check_unique(obs.index[target | background], "selected samples", "obs", where)
    image_shape = image_shape_of(data.uns.get("image_shape"), data.n_vars)
    n_top = n_top_features_of(study, data.n_vars, image_shape, where)
    if data.X is None:
        raise InputError(f"{where}, column dataset: the data have no matrix X; {other or 'set it'}")
    matrix = by_rows(data.X)
    sides = (
        Side(matrix, "target", target, where, other),
        Side(matrix, "background", background, where, other),
    )
    found = [side.found for side in sides]
    values = kind_of_values(found, study["values"], image_shape is not None, where, other)
    study = {**study, "values": values}
    odd = odd_values(found, values, image_shape is not None)
    pair = _Pair(
        *sides,
        features=np.arange(data.n_vars),
        warnings=[*warnings, *named, *odd, *overlap(target, background)],
    )
    pair.leave_out_zero_samples(where)
    if image_shape is None:
        pair.leave_out_zero_features()
    if n_top is not None:
        pair.keep_top_features(n_top, values)
    for side in sides:
        side.take(pair.features, keep_totals=values == "counts" and scaled_over == "all")
    pair.leave_out_zero_samples(where)
    pair.look_for_absent_features()
    tables = [obs.iloc[side.rows] for side in pair.sides]
    check_target(tables[0], study, where)  # Once more, without the samples that were left out.
    pair.warnings += remarks_of(tables[0], tables[1], study)
    var = writable(var.iloc[pair.features])
    uns = _description(data, study, image_shape, pair)
    if study.get("unit"):
        uns["pairing"]["n_background_units"] = int(tables[1][study["unit"]].nunique())
    if values == "counts":
        uns["pairing"]["scaled_over"] = scaled_over
    made = [
        _as_anndata(side, _used(writable(table)), var, uns, values)
        for side, table in zip(pair.sides, tables, strict=True)
    ]
    return made[0], made[1]


def _in_layer(data: AnnData, layer: str, where: str) -> tuple[AnnData, str]:
    """Return data with the layer as X, and where else in them values stand."""
    try:
        data, layers, layer = of_layer(data, layer)
    except NoLayer as error:
        raise InputError(f"{where}, column layer: the data set {error}") from error
    return data, elsewhere(layer, layers)


def pair_record(target: AnnData) -> dict[str, Any]:
    """Return what figures and the report state about a pair.

    Parameters
    ----------
    target : AnnData
        The target that `make_pair` returned, or as it was read from its file.

    Returns
    -------
    dict
        For JSON: `study` (the sheet's row), `n_target`, `n_background`, `n_features`, `labels`
        (empty without a label) and, where the study has units, `units` (name -> target samples) and
        `n_background_units`, where it has batches, `batches` (name -> target samples),
        `scaled_over` ("all" or "kept" features; of counts), `warnings` (list of str) and, where
        there are any, `source` and `image_shape` (rows, columns).
    """
    study = {str(key): str(value) for key, value in target.uns["study"].items()}
    pairing = target.uns["pairing"]
    record: dict[str, Any] = {
        "study": study,
        "n_target": target.n_obs,
        "n_background": int(pairing["n_background"]),
        "n_features": target.n_vars,
        "labels": class_sizes(target.obs, study.get("label", "")),
        "warnings": [str(text) for text in pairing["warnings"]],
    }
    if study.get("unit"):
        record["units"] = class_sizes(target.obs, study["unit"])
        record["n_background_units"] = int(pairing["n_background_units"])
    if (batches := batches_of(target)) is not None:
        record["batches"] = class_sizes(pd.DataFrame({"batch": batches}), "batch")
    if "scaled_over" in pairing:
        record["scaled_over"] = str(pairing["scaled_over"])
    if "source" in target.uns:
        record["source"] = {str(key): str(text) for key, text in target.uns["source"].items()}
    if "image_shape" in target.uns:
        record["image_shape"] = [int(size) for size in target.uns["image_shape"]]
    return record


@dataclass
class _Pair:
    """Both sides while samples and features are left out, and what there is to say about it."""

    target: Side
    background: Side
    features: np.ndarray
    warnings: list[str] = field(default_factory=list)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.target, self.background

    def leave_out_zero_samples(self, where: str) -> None:
        for side in self.sides:
            kept = side.in_rows > 0
            missing = int((~kept).sum())
            if missing == len(kept):
                raise all_zero(side.name, missing, len(self.features), where)
            if missing:
                self.warnings.append(
                    f"{missing} of {len(kept)} {side.name} samples are zero in all "
                    f"{len(self.features)} features and were left out"
                )
                side.keep(kept)

    def leave_out_zero_features(self) -> None:
        kept = self.target.in_columns + self.background.in_columns > 0
        missing = int((~kept).sum())
        if missing:
            self.warnings.append(
                f"{missing} of {len(kept)} features are zero in all samples of target and "
                "background and were left out"
            )
            self.features = self.features[kept]

    def keep_top_features(self, n_top: int, values: str) -> None:
        if n_top >= len(self.features):
            self.warnings.append(
                f"n_top_features is {n_top}, but {len(self.features)} features are not zero "
                "throughout: all of them were kept"
            )
            return
        chosen, dispersions = top_features(self.sides, self.features, n_top, values)
        unranked = int(np.isneginf(dispersions[chosen]).sum())
        if unranked:
            self.warnings.append(
                f"{unranked} of the {n_top} highly variable features have no rank (they do not "
                "vary, or all of like mean vary alike): those that come first were taken"
            )
        self.features = self.features[np.sort(chosen)]

    def look_for_absent_features(self) -> None:
        """Warn where half of the features are in one side only: likely measured there only."""
        found = [side.in_columns > 0 for side in self.sides]
        for here, there in ((0, 1), (1, 0)):
            absent = int((found[there] & ~found[here]).sum())
            if 2 * absent >= len(self.features):
                self.warnings.append(
                    f"{absent} of {len(self.features)} features are zero in all "
                    f"{self.sides[here].name} samples but not in the {self.sides[there].name}: "
                    "were they measured in both?"
                )


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


def _used(obs: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the categories that none of its samples has."""
    for name in obs.select_dtypes("category"):
        obs[name] = obs[name].cat.remove_unused_categories()
    return obs


def _as_anndata(
    side: Side, obs: pd.DataFrame, var: pd.DataFrame, uns: dict[str, Any], kind: str
) -> _Made:
    if kind == "counts":
        made = AnnData(obs=obs, var=var, uns=uns.copy(), layers={"counts": side.values})
    else:
        made = AnnData(side.values, obs=obs, var=var, uns=uns.copy())
    return _Made(made, side.totals)
