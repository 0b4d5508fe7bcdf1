"""Data in the formats that people have, as AnnData of samples x features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf.checks import import_extra
from bcnmf.errors import InputError
from bcnmf.files import read_h5ad, reading
from bcnmf.formats import companions_of, kind_of, stem_of, unpacked
from bcnmf.progress import doing
from bcnmf.text_tables import (
    import_reader,
    read_table,
    samples_file,
    samples_table,
    text_rows,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Index

_SHOWN = 5
# Formats in which AnnData stores itself: parts of them can be read alone.
STORED = ("h5ad", "zarr")
# Formats that say nothing of samples: a table may stand beside them.
UNANNOTATED = ("10x_h5", "10x_mtx", "table", "parquet")


def read(path: str | os.PathLike[str], backed: bool = False) -> AnnData:
    """Read a file or folder of data, whichever of the usual formats it has.

    Parameters
    ----------
    path : path
        An .h5ad, .h5mu (of one modality), .zarr, .loom, the .h5 or the folder of 10x Genomics, or a
        table (.csv, .tsv, .txt, packed or not, or .parquet) with samples in rows, their names in
        the first column and the features' in the header. What it is is told by its content.
    backed : bool
        Leave X on disk; of an .h5ad alone.

    Returns
    -------
    AnnData of shape (samples, features)
        Repeated names of features are made unique. What of this should be known is listed in
        ``uns["remarks"]``, an array of text.

    Raises
    ------
    InputError
        It is missing, damaged or of another kind: says what it is and how to convert it.
    MissingExtra
        A library that reads the format is not installed.

    Notes
    -----
    Files of 10x Genomics and tables hold no annotation of their samples. It is taken from a table
    beside them that is called as they are, ending in ``.obs.csv``, ``.obs.tsv`` or ``.obs.parquet``
    (``obs.csv`` inside a folder): names of samples in the first column, one row a sample in any
    order. Columns of text in a table of samples x features are annotation too. A table of
    features x samples is turned where the names in the table beside it are those of its columns.
    """
    path = Path(path).expanduser()
    kind = kind_of(path)
    if backed and kind != "h5ad":
        raise InputError(
            f"{path}: only an .h5ad can be left on disk; write it as one in Python: "
            f'bcnmf.readers.read("{path.name}").write_h5ad("{stem_of(path)}.h5ad")'
        )
    remarks: list[str] = []
    with doing(f"reading {path}"):
        data = _read(path, kind, backed, remarks)
    names, repeated = unique_names(data.var_names)
    if repeated:
        data.var_names = names
        remarks += repeated
    if remarks:
        data.uns["remarks"] = np.array(remarks, dtype=object)
    return data


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """Return all that a reading depends on: the path itself, files within and beside it.

    Raises
    ------
    InputError
        As `read`, where it can be told without reading.
    """
    path = Path(path).expanduser()
    kind = kind_of(path)
    files = [path]
    if kind == "10x_mtx":
        files += [one for one in companions_of(path) if one != path]
    if kind in UNANNOTATED:
        beside = samples_file(path)
        files += [beside] if beside else []
    return files


def unique_names(names: Index) -> tuple[Index, list[str]]:
    """Return names of features made unique, as scanpy does, and a remark where some were not."""
    repeated = names[names.duplicated()].unique()
    if repeated.empty:
        return names, []
    index = import_extra("anndata.utils").make_index_unique(names.astype(str))
    shown = ", ".join(map(repr, repeated[:_SHOWN]))
    return index, [
        f"{len(repeated)} names of features stand more than once ({shown}"
        f"{', ...' if len(repeated) > _SHOWN else ''}): -1, -2 and so on were appended"
    ]


@contextmanager
def stored(path: Path, kind: str) -> Iterator[Any]:
    """Open the group of h5py or zarr that holds X, obs and var of one of `STORED`."""
    if kind == "zarr":
        yield import_extra("zarr").open_group(path, mode="r")
        return
    with import_extra("h5py").File(path, "r") as file:
        yield file


def _only_modality(file: Any, path: Path) -> Any:
    names = list(file["mod"])
    if len(names) != 1:
        raise InputError(
            f"{path}: holds {len(names)} modalities ({', '.join(names) or 'none'}); write the one "
            f'to be used, in Python: mudata.read("{path.name}").mod["{(names or ["rna"])[0]}"]'
            f'.write_h5ad("{path.stem}.h5ad")'
        )
    return file["mod"][names[0]]


def _read(path: Path, kind: str, backed: bool, remarks: list[str]) -> AnnData:
    if kind == "h5ad":
        return read_h5ad(path, backed)
    readers: dict[str, Callable[[Path], AnnData]] = {
        "h5mu": _h5mu, "zarr": _zarr, "loom": _loom, "10x_h5": _tenx_h5, "10x_mtx": _tenx_mtx,
    }  # fmt: skip
    looks = f"looks like {kind.replace('_', ' ')}, but cannot be read"
    with reading(path, looks, "make it again, or convert it to .h5ad"):
        data = readers[kind](path) if kind in readers else read_table(path, kind, remarks)
        if kind.startswith("10x"):
            _genes_alone(data, remarks)
        return _annotated(data, path, remarks) if kind in UNANNOTATED else data


def _h5mu(path: Path) -> AnnData:
    read_elem = import_extra("anndata.io").read_elem
    with import_extra("h5py").File(path, "r") as file:
        data: AnnData = read_elem(_only_modality(file, path))
        common = read_elem(file["obs"]).reindex(data.obs_names)
    # Columns of all modalities stand outside; those of the one may be repeated there by its name.
    for name in common.columns.difference(data.obs.columns):
        if ":" not in name:
            data.obs[name] = common[name]
    return data


def _zarr(path: Path) -> AnnData:
    data: AnnData = import_extra("anndata").read_zarr(path)
    return data


def _loom(path: Path) -> AnnData:
    import_reader("loompy", path)
    data: AnnData = import_extra("anndata.io").read_loom(path, sparse=True)
    return data


def _tenx_h5(path: Path) -> AnnData:
    from bcnmf.compiled_cache import optional_cache

    with optional_cache():
        scanpy = import_reader("scanpy", path)
    data: AnnData = scanpy.read_10x_h5(path, gex_only=False)
    return data


def _tenx_mtx(path: Path) -> AnnData:
    """Read the three files, packed or not, of any version, with what GEO put before their names."""
    import scipy.io
    import scipy.sparse as sp

    anndata = import_extra("anndata")
    matrix, features, barcodes = companions_of(path)
    tables = [text_rows(file, sep="\t") for file in (features, barcodes)]
    damaged = reading(matrix, "not a readable Matrix Market file", "copy or download it again")
    with damaged, unpacked(matrix) as stream:
        values = sp.csr_matrix(scipy.io.mmread(stream).T)
    expected = tuple(len(table) for table in reversed(tables))
    if values.shape == expected[::-1]:  # samples x features, as some counters write it
        values = values.T.tocsr()
    if values.shape != expected:
        raise InputError(
            f"{matrix}: has {values.shape[1]} rows and {values.shape[0]} columns, but "
            f"{features.name} names {expected[1]} and {barcodes.name} {expected[0]}; take the "
            "three files from the same sample"
        )
    var = tables[0].rename(columns={0: "gene_ids", 2: "feature_types"})
    var.columns = var.columns.astype(str)
    names = var.pop("1") if "1" in var else var["gene_ids"]
    data: AnnData = anndata.AnnData(
        values.astype(np.float32),
        obs=tables[1].iloc[:, :0].set_index(tables[1][0].to_numpy(object)),
        var=var.set_axis(names.to_numpy(object)),
    )
    return data


def _genes_alone(data: AnnData, remarks: list[str]) -> None:
    """Leave out what 10x Genomics counts besides genes: antibodies, guides, peaks."""
    if "feature_types" not in data.var:
        return
    genes = (data.var["feature_types"] == "Gene Expression").to_numpy()
    if genes.any() and not genes.all():
        others = ", ".join(sorted(set(data.var["feature_types"][~genes])))
        remarks.append(f"{int((~genes).sum())} features that are no genes were left out ({others})")
        data._inplace_subset_var(genes)


def _annotated(data: AnnData, path: Path, remarks: list[str]) -> AnnData:
    """Add the columns of the table beside the data to its samples, by their names."""
    file, samples = samples_file(path), samples_table(path)
    if file is None or samples is None:
        return data
    repeated = samples.index[samples.index.duplicated()]
    known = data.obs_names.isin(samples.index)
    if len(repeated) or not known.any():
        fault = (
            f"{len(repeated)} names stand more than once, for instance {str(repeated[0])!r}"
            if len(repeated)
            else f"none of its names, such as {str(next(iter(samples.index), ''))!r}, is among "
            f"those of the samples, such as {str(data.obs_names[0])!r}"
        )
        raise InputError(
            f"{file}: {fault}; expected one row a sample of {path.name}, its name in the first "
            "column"
        )
    if not known.all():
        remarks.append(
            f"{int((~known).sum())} of {len(known)} samples of {path.name} have no row in "
            f"{file.name} and were left out"
        )
        data = data[known].copy()
    for name, column in samples.reindex(data.obs_names).items():
        data.obs[name] = column
    return data
