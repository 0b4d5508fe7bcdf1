"""What a user's file holds: read in part where that is possible, with names as people know them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.abc import CSCDataset
from anndata.io import read_elem, sparse_dataset

from bcnmf.errors import InputError
from bcnmf.files import reading
from bcnmf.formats import kind_of
from bcnmf.readers import STORED, files_of, read, stored
from bcnmf_pipeline.pair.annotation import named_plainly, with_symbols
from bcnmf_pipeline.plan.sheets import nearest

# Values are judged by those of so many samples of a side.
_LOOKED_AT = 250
_BLOCK, _BLOCKS = 1 << 17, 8


@dataclass
class Heads:
    """What a file holds beside its matrix.

    Attributes
    ----------
    path, kind
        Where it is, and its format (`bcnmf.formats.kind_of`).
    obs : DataFrame
        The columns that were asked for; all of them where one is missing.
    var : DataFrame
        Features of the layer, by unique names.
    image_shape
        ``uns["image_shape"]``, None where there is none.
    layers : tuple of str
        What `layer` may be: names of layers, and "raw".
    layer : str
        The layer that is meant; "" for X.
    remarks : list of str
    data : AnnData or None
        All of it, where no part could be read alone.
    """

    path: Path
    kind: str
    obs: pd.DataFrame
    var: pd.DataFrame
    image_shape: Any
    layers: tuple[str, ...]
    layer: str
    remarks: list[str] = field(default_factory=list)
    data: AnnData | None = None

    @property
    def elsewhere(self) -> str:
        """Say where else in the file values stand; "" where nowhere."""
        return elsewhere(self.layer, self.layers)

    def values(self, mask: np.ndarray) -> Any:
        """Return the values of some of the samples of a mask, evenly spread over the file."""
        rows = np.flatnonzero(mask)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, _LOOKED_AT).astype(int))]
        if self.data is not None:
            return self.data.X[rows]
        with _group(self.path, self.kind) as group:
            return _rows_of(_matrix(group, self.layer), rows, mask)


def heads(
    path: str | os.PathLike[str], names: Sequence[str] | None, layer: str, where: str
) -> Heads:
    """Read what a file holds beside its matrix; `names` are the columns of obs, None for all.

    Raises
    ------
    InputError
        The file cannot be read, or has no such layer.
    """
    path = Path(path).expanduser()
    try:
        stamps = tuple((str(one), one.stat().st_mtime_ns) for one in files_of(path))
        return _heads(path, stamps, None if names is None else tuple(names), layer)
    except NoLayer as error:
        raise InputError(f"{where}, column layer: {path}: {error}") from error
    except InputError as error:
        raise type(error)(f"{where}, column dataset: {error}") from error


class NoLayer(InputError):
    """The data have no layer of that name."""


def forget() -> None:
    """Give back the memory of data that were looked at."""
    _heads.cache_clear()


@lru_cache(maxsize=4)
def _heads(
    path: Path, stamps: tuple[tuple[str, int], ...], names: tuple[str, ...] | None, layer: str
) -> Heads:
    """Read once what the rows of a sheet ask for again and again; `stamps` tell of a change."""
    kind = kind_of(path)
    if kind not in STORED:
        return _heads_in_memory(read(path), path, kind, layer)
    with _group(path, kind) as group:
        if _is_old(group):
            return _heads_in_memory(read(path), path, kind, layer)
        layers = _layers(group)
        layer = layer_of(layer, layers)
        if not layer and "X" not in group:
            expected = (
                f"expected an .{kind} file with a matrix X, samples x features, as "
                f"AnnData.write_{kind} writes it"
            )
            other = f"name one of its layers in column layer: {', '.join(layers)}"
            raise InputError(f"{path}: holds no X; {other if layers else expected}")
        found = Heads(
            path, kind, _columns(group["obs"], names or None), _features(group, layer),
            read_elem(group["uns/image_shape"]) if "uns/image_shape" in group else None,
            layers, layer,
        )  # fmt: skip
        _check_shape(found, _matrix(group, layer))
    return _named(found)


@contextmanager
def load(path: str | os.PathLike[str], layer: str) -> Iterator[AnnData]:
    """Open what a pair is made of, and nothing else of a file: what `heads` and `values` looked at.

    Parameters
    ----------
    path : path
        What `bcnmf.readers.read` reads.
    layer : str
        The layer that is wanted; "" or "X" for X.

    Yields
    ------
    AnnData of shape (samples, features)
        With X, or that layer; without columns of obs that nothing can read, with a remark on them.
        The matrix stays on disk where that can be; else a warning says why it is read whole.

    Raises
    ------
    InputError
        As `heads`.
    """
    path = Path(path).expanduser()
    kind = kind_of(path)
    if kind not in STORED:
        _warn_whole(path, f"a file of this kind ({kind})")
        yield read(path)
        return
    with ExitStack() as opened:
        with _damage(path, kind):
            group = opened.enter_context(stored(path, kind))
            _check_tables(group, path)
            data = _opened(group, layer)
        if data is None:
            _warn_whole(path, "a file that an anndata before 0.7 wrote")
            data = read(path)
        elif isinstance(data.layers.get(layer, data.X), CSCDataset):
            _warn_whole(path, "a matrix that is stored by columns (CSC)")
        yield data


def _opened(group: Any, layer: str) -> AnnData | None:
    """Return the parts of a file with its matrix on disk; None where parts cannot be had."""
    if _is_old(group):
        return None
    layer = layer_of(layer, _layers(group))
    matrix = _matrix(group, layer)
    values = matrix if _is_dense(matrix) else sparse_dataset(matrix)
    obs, remarks = _readable_columns(group["obs"])
    kept = {name: f"uns/{name}" for name in ("image_shape", "source")}
    uns = {name: read_elem(group[place]) for name, place in kept.items() if place in group}
    if remarks:
        uns["remarks"] = np.array(remarks, dtype=object)
    return AnnData(
        None if layer else values, obs=obs, var=_features(group, layer), uns=uns,
        layers={layer: values} if layer else None,
    )  # fmt: skip


def _warn_whole(path: Path, what: str) -> None:
    warnings.warn(
        f"{path}: {what} is read into memory whole; write it as .h5ad with its matrix by rows "
        "(data.X = data.X.tocsr()) to pair it in little more memory than the pair takes",
        UserWarning,
        stacklevel=3,
    )


@contextmanager
def _group(path: Path, kind: str) -> Iterator[Any]:
    """Open one of the formats of AnnData."""
    with _damage(path, kind), stored(path, kind) as group:
        _check_tables(group, path)
        yield group


def _damage(path: Path, kind: str) -> AbstractContextManager[None]:
    """Take what the libraries of a format of AnnData cannot read for the file's fault."""
    remedy = f"copy it again if it is damaged, or write it again with AnnData.write_{kind}"
    return reading(path, f"not a readable .{kind} file", remedy)


def _check_tables(group: Any, path: Path) -> None:
    missing = [name for name in ("obs", "var") if name not in group]
    if missing:
        raise InputError(
            f"{path}: holds no {', '.join(missing)}; expected a file as AnnData writes it"
        )


def _is_old(group: Any) -> bool:
    """Whether parts do not say what they are, as before anndata 0.7: they are read whole."""
    parts = {name: group[name] for name in ("obs", "var", "X") if name in group}
    return any(
        name != "X" if _is_dense(one) else "encoding-type" not in one.attrs
        for name, one in parts.items()
    )


def _layers(group: Any) -> tuple[str, ...]:
    """Return what `layer` may be: names of layers, and "raw"."""
    layers = tuple(group["layers"]) if "layers" in group else ()
    return layers + (("raw",) if "raw" in group and "raw" not in layers else ())


def _features(group: Any, layer: str) -> pd.DataFrame:
    table: pd.DataFrame = read_elem(group["raw/var" if _in_raw(group, layer) else "var"])
    return table


def _is_dense(stored_as: Any) -> bool:
    return hasattr(stored_as, "dtype")


def _check_shape(found: Heads, matrix: Any) -> None:
    """Refuse a matrix that does not go with the names of its samples and features."""
    shape = matrix.shape if _is_dense(matrix) else matrix.attrs.get("shape")
    sizes = [int(size) for size in (() if shape is None else shape)]
    if sizes != [len(found.obs), len(found.var)]:
        size = f"is {' x '.join(map(str, sizes))}" if len(sizes) == 2 else "is no matrix"
        raise InputError(
            f"{found.path}: {found.layer or 'X'} {size}, but {len(found.obs)} samples and "
            f"{len(found.var)} features are named; write the file again with both in accord"
        )


def _heads_in_memory(data: AnnData, path: Path, kind: str, layer: str) -> Heads:
    data, layers, layer = of_layer(data, layer)
    remarks = [str(text) for text in data.uns.get("remarks", ())]
    shape = data.uns.get("image_shape")
    return _named(Heads(path, kind, data.obs, data.var, shape, layers, layer, remarks, data))


def _named(found: Heads) -> Heads:
    if not len(found.obs) or not len(found.var):
        raise InputError(
            f"{found.path}: holds {len(found.obs)} samples x {len(found.var)} features, so there "
            "is nothing to fit; write the file again, and look how they were lost"
        )
    found.obs = named_plainly(found.obs)
    found.var, remarks = with_symbols(found.var)
    found.remarks += remarks
    return found


def of_layer(data: AnnData, layer: str) -> tuple[AnnData, tuple[str, ...], str]:
    """Return data with a layer as X, which layers there are, and the one that is meant.

    Raises
    ------
    InputError
        There is no such layer.
    """
    layers = tuple(data.layers)
    layers += ("raw",) if data.raw is not None and "raw" not in layers else ()
    layer = layer_of(layer, layers)
    if not layer:
        return data, layers, layer
    if layer in data.layers:
        values, var = data.layers[layer], data.var
    else:
        values, var = data.raw.X, data.raw.var
    return AnnData(values, obs=data.obs, var=var, uns=data.uns), layers, layer


def elsewhere(layer: str, layers: Sequence[str]) -> str:
    """Say where else than in a layer ("" for X) values stand; "" where nowhere."""
    others = [repr(one) for one in layers if one != layer]
    if not others:
        return ""
    fitted = f"Layer {layer!r}" if layer else "X"
    return (
        f"{fitted} is what is fitted; the file also holds {', '.join(others)}: name one in column "
        "layer"
    )


def layer_of(layer: str, layers: Sequence[str]) -> str:
    """Return the layer that a cell of the sheet means; "" for X."""
    if layer in layers or layer in ("", "X"):
        return layer if layer in layers else ""
    raise NoLayer(
        f"has no layer {layer!r}{nearest(layer, list(layers))}; "
        + (f"layers: {', '.join(layers)}; empty for X" if layers else "leave it empty for X")
    )


def _in_raw(group: Any, layer: str) -> bool:
    return layer == "raw" and not ("layers" in group and "raw" in group["layers"])


def _matrix(group: Any, layer: str) -> Any:
    if _in_raw(group, layer):
        return group["raw/X"]
    return group[f"layers/{layer}"] if layer else group["X"]


def _rows_of(stored_as: Any, rows: np.ndarray, mask: np.ndarray) -> Any:
    """Return rows of a matrix on disk; of one that is stored by columns, some of its values."""
    if _is_dense(stored_as):
        return np.stack([stored_as[int(row)] for row in rows])
    matrix = sparse_dataset(stored_as)
    if matrix.format == "csr":
        return matrix[rows]
    data, indices = stored_as["data"], stored_as["indices"]
    starts = np.unique(np.linspace(0, max(0, data.shape[0] - _BLOCK), _BLOCKS).astype(int))
    parts = [slice(int(start), int(start) + _BLOCK) for start in starts]
    found = np.concatenate([data[part][mask[indices[part]]] for part in parts])
    return sp.csr_matrix(found[None, :])


def _columns(group: Any, names: Sequence[str] | None) -> pd.DataFrame:
    """Read some columns of a table; all of them where one is missing, for the error to list."""
    if names is None or _has_old_columns(group) or not set(names) <= set(_order(group)):
        table: pd.DataFrame = read_elem(group)
        return table
    index = pd.Index(read_elem(group[group.attrs["_index"]]))
    return pd.DataFrame({name: read_elem(group[name]) for name in names}).set_axis(index)


def _readable_columns(group: Any) -> tuple[pd.DataFrame, list[str]]:
    """Read all columns of a table that can be read, and remark on the others."""
    if _has_old_columns(group):
        return _columns(group, None), []
    index = pd.Index(read_elem(group[group.attrs["_index"]]))
    columns, remarks = {}, []
    for name in _order(group):
        try:
            with reading(f"obs column {str(name)!r}", "was left out", "no study asks for it"):
                columns[name] = pd.Series(read_elem(group[name]), index=index).array
        except InputError as error:
            remarks.append(str(error))
    return pd.DataFrame(columns, index=index), remarks


def _order(group: Any) -> list[str]:
    """Return the names of the columns of a table."""
    names = group.attrs["column-order"]
    return [one.decode() if isinstance(one, bytes) else str(one) for one in names]


def _has_old_columns(group: Any) -> bool:
    """Whether names of categories stand apart from their columns, as SeuratDisk writes them."""
    return bool(group.attrs["encoding-version"] == "0.1.0")
