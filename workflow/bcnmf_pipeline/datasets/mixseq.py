"""Cancer cell lines under idasanutlin or DMSO, pooled and told apart by genotype (MIX-seq)."""

from __future__ import annotations

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.gencode import protein_coding
from bcnmf_pipeline.datasets.matrix_market import read_counts
from bcnmf_pipeline.datasets.single_cell import (
    cell_sizes,
    median_counts,
    opened,
    read_columns,
    table_pieces,
    unique_names,
)

# Arm -> folder of its files in its zip.
FOLDERS = {"idasanutlin": "Idasanutlin_24hr_expt1", "dmso": "DMSO_24hr_expt1"}
MEMBERS = ("matrix.mtx", "genes.tsv", "barcodes.tsv", "classifications.csv")
# Classes of `cell_quality`; the paper keeps them all.
QUALITIES = ("normal", "doublet", "empty_droplet", "low_quality")
# The published files.
N_CELLS, N_GENES, N_LINES = {"idasanutlin": 3097, "dmso": 2831}, 32738, 24
# Cells and lines of the treated arm by TP53, as the paper counts them.
N_BY_TP53 = {"wild-type": 671, "mutant": 2426}
N_LINES_BY_TP53 = {"wild-type": 7, "mutant": 17}
LARGEST_TABLE, LARGEST_MATRIX = 2**28, 2**33
_SOURCE = {
    "citation": (
        "McFarland et al. 2020, Multiplexed single-cell transcriptional response profiling to "
        "define cancer vulnerabilities and therapeutic mechanism of action, Nature Communications "
        "11:4296, doi:10.1038/s41467-020-17440-w; mutations: DepMap Public 19Q3, "
        "doi:10.6084/m9.figshare.9201770"
    ),
    "licence": "CC BY 4.0 (figshare)",
}
_CLASSIFICATIONS = {
    "barcode": ["barcode"], "line": ["singlet_ID"], "depmap_id": ["DepMap_ID"],
    "cell_quality": ["cell_quality"], "percent_mito": ["percent.mito"],
}  # fmt: skip
_MUTATIONS = {
    "gene": ["Hugo_Symbol"], "kind": ["Variant_Classification"], "depmap_id": ["DepMap_ID"],
}  # fmt: skip
_LINES = {"depmap_id": ["DepMap_ID"], "line": ["CCLE Name", "CCLE_Name"]}
_AGAIN = "delete the file and fetch it again, or take the one that config/datasets.tsv names"
_ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
_SHOWN = 8


@dataclass(frozen=True)
class _Arm:
    counts: sp.csr_matrix
    genes: pd.DataFrame
    cells: pd.DataFrame


def read_mixseq(
    zips: Mapping[str, str | os.PathLike],
    mutations: str | os.PathLike,
    cell_lines: str | os.PathLike,
    gencode: str | os.PathLike | None = None,
    *,
    largest: int = LARGEST_MATRIX,
) -> ad.AnnData:
    """Read both arms of the experiment, all cells as published.

    Parameters
    ----------
    zips : mapping
        "idasanutlin" and "dmso" -> zip that holds the folder of `FOLDERS` with `MEMBERS`. Members
        are read by name; nothing is written to the disk.
    mutations : path
        Mutation calls of DepMap 19Q3, .csv: `Hugo_Symbol`, `Variant_Classification`, `DepMap_ID`.
    cell_lines : path
        Table of cell lines of DepMap 19Q3, .csv: `DepMap_ID`, `CCLE Name`.
    gencode : path, optional
        GTF of GENCODE: genes that it does not call protein-coding, by Ensembl id without version,
        are left out. Not given, all genes are kept, as published.
    largest : int
        Bytes to which a matrix may unpack.

    Returns
    -------
    AnnData
        X: counts, float32 CSR, cells x genes.
        obs: `arm` (idasanutlin, dmso), `line` (singlet_ID, as LNCAPCLONEFGC_PROSTATE), `tissue`,
        `depmap_id`, `TP53` (wild-type, mutant), `TP53_calls` (called; absent where DepMap has no
        mutation of any gene for the line, which the paper counts as wild type), `cell_quality`,
        `percent_mito`, `n_counts`, `n_genes`.
        var: index symbols, made unique by the Ensembl id where they repeat; `gene_id`, `symbol`.
        uns: `source`, `warnings`, `qc` (one row an arm: `cells`, `lines`, one column a class of
        `cell_quality`, `genes`, `genes_kept`, `median_counts`).

    Raises
    ------
    InputError
        A file or member that is missing, damaged or too large, lacks a column, or does not fit the
        others; arms with different genes.

    Notes
    -----
    A line is TP53-mutant if DepMap lists a mutation of TP53 in it that is not silent. Calls are
    joined to lines by the name in the cell-line table, as in the source's own analysis; a line that
    the table does not name is joined by the DepMap id of the classifications.

    The source marks doublets, empty droplets and cells of low quality in `cell_quality`. All are
    kept here, as in the paper; select ``cell_quality=normal`` to leave them out.
    """
    arms = {name: _read_arm(Path(zips[name]), folder, largest) for name, folder in FOLDERS.items()}
    first = arms["idasanutlin"].genes
    if not arms["dmso"].genes["gene_id"].equals(first["gene_id"]):
        raise InputError(
            f"{zips['dmso']}: has other genes, or in another order, than {zips['idasanutlin']}; "
            "take both arms from the same release"
        )
    kept = _kept(first, gencode)
    counts = sp.vstack([arm.counts[:, kept] for arm in arms.values()], format="csr")
    cells, notes = _with_status(_cells(arms), Path(mutations), Path(cell_lines))
    genes = first[kept].reset_index(drop=True)
    names, repeated = unique_names(genes["symbol"], genes["gene_id"])
    if repeated:
        notes.append(f"{repeated} symbols stand for several genes: their Ensembl ids were added")
    return ad.AnnData(
        counts,
        obs=cells.assign(**cell_sizes(counts)),
        var=genes.set_axis(names, axis=0),
        uns={
            "source": _SOURCE | {"description": _description(cells, kept, gencode)},
            "warnings": np.array(notes, dtype=object),
            "qc": _quality(arms, kept),
        },
    )


def changed(data: ad.AnnData) -> list[str]:
    """Return what is not as in the files that the paper used."""
    found = []
    quality, treated = data.uns["qc"], data.obs[data.obs["arm"] == "idasanutlin"]
    for arm, cells in N_CELLS.items():
        if quality.loc[arm, "cells"] != cells:
            found.append(
                f"{arm}: {quality.loc[arm, 'cells']} cells, the published file has {cells}"
            )
    if quality["genes"].iloc[0] != N_GENES:
        found.append(f"{quality['genes'].iloc[0]} genes, the published files have {N_GENES}")
    lines = treated.drop_duplicates("line")["TP53"]
    if len(lines) != N_LINES:
        found.append(f"idasanutlin: {len(lines)} lines, the published file has {N_LINES}")
    for status, cells in N_BY_TP53.items():
        at = (int((treated["TP53"] == status).sum()), int((lines == status).sum()))
        if at != (cells, N_LINES_BY_TP53[status]):
            found.append(
                f"idasanutlin, TP53 {status}: {at[0]} cells of {at[1]} lines, the paper has "
                f"{cells} of {N_LINES_BY_TP53[status]}"
            )
    return found


def _read_arm(path: Path, folder: str, largest: int) -> _Arm:
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a zip with {folder}/{MEMBERS[0]}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path, folder)
            texts = {name: _content(archive, members[name], path) for name in MEMBERS[1:]}
            entry = members["matrix.mtx"]
            _check_size(entry, path, largest)
            with archive.open(entry) as stream:
                counts = read_counts(stream, f"{path}, {entry.filename}")
    except InputError:
        raise
    except _ZIP_FAULTS as error:
        raise InputError(f"{path}: a damaged zip ({error}); {_AGAIN}") from error
    places = {name: f"{path}, {members[name].filename}" for name in MEMBERS}
    genes = _genes(texts["genes.tsv"], places["genes.tsv"])
    codes = _text(texts["barcodes.tsv"], places["barcodes.tsv"]).split()
    for axis, (what, found) in enumerate((("barcodes", len(codes)), ("genes", len(genes)))):
        if counts.shape[axis] != found:
            raise InputError(
                f"{places['matrix.mtx']}: has {counts.shape[axis]} {what}, {what}.tsv names "
                f"{found}; {_AGAIN}"
            )
    return _Arm(counts, genes, _classified(texts, codes, places))


def _members(archive: zipfile.ZipFile, path: Path, folder: str) -> dict[str, zipfile.ZipInfo]:
    """Return the wanted members, which other folders may enclose."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        if parts[-2:-1] != (folder,) or parts[-1] not in MEMBERS or entry.is_dir():
            continue
        if parts[-1] in found:
            raise InputError(f"{path}: holds {folder}/{parts[-1]} more than once; {_AGAIN}")
        if entry.flag_bits & 0x1:
            raise InputError(f"{path}: {entry.filename} is encrypted; {_AGAIN}")
        found[parts[-1]] = entry
    missing = [f"{folder}/{name}" for name in MEMBERS if name not in found]
    if missing:
        names = archive.namelist()
        listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise InputError(
            f"{path}: lacks {', '.join(missing)}; found: {listed or 'nothing'}; is it the zip of "
            "the other arm? Else take the one that config/datasets.tsv names"
        )
    return found


def _check_size(entry: zipfile.ZipInfo, path: Path, largest: int) -> None:
    """Refuse what unpacks to too much; zipfile gives out no more than the size that is stated."""
    if entry.file_size > largest:
        raise InputError(
            f"{path}: {entry.filename} unpacks to {entry.file_size} bytes, more than the "
            f"{largest} that are expected at most; {_AGAIN}"
        )


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    _check_size(entry, path, LARGEST_TABLE)
    with archive.open(entry) as stream:
        return stream.read()


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: is no text ({error}); {_AGAIN}") from error


def _genes(content: bytes, place: str) -> pd.DataFrame:
    rows = [line.split("\t") for line in _text(content, place).splitlines()]
    wrong = next((row for row in rows if len(row) < 2), None)
    if wrong is not None:
        raise InputError(
            f"{place}: a line {wrong[0][:60]!r}; expected an Ensembl id and a symbol, with a tab "
            f"between; {_AGAIN}"
        )
    return pd.DataFrame({"gene_id": [r[0] for r in rows], "symbol": [r[1] for r in rows]})


def _classified(
    texts: Mapping[str, bytes], codes: list[str], places: Mapping[str, str]
) -> pd.DataFrame:
    """Return the classifications in the order of the barcodes."""
    place = places["classifications.csv"]
    table = read_columns(io.BytesIO(texts["classifications.csv"]), place, _CLASSIFICATIONS)
    for found, where in ((pd.Series(codes), places["barcodes.tsv"]), (table["barcode"], place)):
        if found.duplicated().any():
            raise InputError(
                f"{where}: barcode {found[found.duplicated()].iloc[0]!r} stands more than once; "
                f"{_AGAIN}"
            )
    table = table.set_index("barcode")
    absent, spare = set(codes) - set(table.index), set(table.index) - set(codes)
    if absent or spare:
        raise InputError(
            f"{place}: classifies {len(table)} barcodes, barcodes.tsv has {len(codes)}: "
            f"{len(absent)} are not classified and {len(spare)} not there, for instance "
            f"{min(absent or spare)!r}; take both from the same release"
        )
    table = table.loc[codes].reset_index()
    unknown = sorted(set(table["cell_quality"]) - set(QUALITIES))
    if unknown:
        raise InputError(
            f"{place}, column cell_quality: {unknown[0]!r}; allowed: {', '.join(QUALITIES)}"
        )
    if (table["line"] == "").any():
        raise InputError(f"{place}, column singlet_ID: a cell without a line; {_AGAIN}")
    table["percent_mito"] = pd.to_numeric(table["percent_mito"], errors="coerce")
    return table


def _kept(genes: pd.DataFrame, gencode: str | os.PathLike | None) -> np.ndarray:
    if gencode is None:
        return np.ones(len(genes), dtype=bool)
    coding = genes["gene_id"].str.split(".").str[0].isin(protein_coding(gencode)).to_numpy()
    if not coding.any():
        raise InputError(
            f"{gencode}: none of its protein-coding genes is among those of the arms, whose first "
            f"is {genes['gene_id'].iloc[0]!r}; expected human Ensembl ids"
        )
    return coding


def _cells(arms: Mapping[str, _Arm]) -> pd.DataFrame:
    cells = pd.concat([arm.cells.assign(arm=name) for name, arm in arms.items()])
    cells.index = pd.Index((cells["arm"] + "_" + cells["barcode"]).to_numpy(dtype=object))
    cells["tissue"] = cells["line"].str.partition("_")[2]
    return cells


def _with_status(
    cells: pd.DataFrame, mutations: Path, cell_lines: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Add the status of TP53 to the cells; return what is to be said about it, too."""
    with opened(cell_lines, "the cell-line table of DepMap 19Q3, .csv") as stream:
        table = read_columns(stream, str(cell_lines), _LINES)
    identifiers = table[table["line"] != ""].groupby("line")["depmap_id"].agg(set)
    called, mutated = _calls(mutations)
    status, notes = {}, []
    for line, stated in cells.groupby("line")["depmap_id"].agg(set).items():
        joined = identifiers.get(line, stated)
        if joined != stated:
            notes.append(
                f"{line}: the classifications have {', '.join(sorted(stated))}, DepMap "
                f"{', '.join(sorted(joined))}; the latter was taken"
            )
        known = "called" if joined & called else "absent"
        status[line] = ("mutant" if joined & mutated else "wild-type", known)
    absent = sorted(line for line, (_, known) in status.items() if known == "absent")
    if len(absent) == len(status):
        raise InputError(
            f"{mutations}: has no mutation of any of the {len(status)} lines, the first of which "
            f"is {absent[0]}; expected the mutation calls of DepMap 19Q3"
        )
    if absent:
        notes.append(
            f"DepMap has no mutation of any gene for {', '.join(absent)}: TP53 counts as wild type "
            "there, as in the paper; TP53_calls=called leaves them out"
        )
    columns = {"TP53": 0, "TP53_calls": 1}
    cells = cells.assign(
        **{name: [status[line][at] for line in cells["line"]] for name, at in columns.items()}
    )
    names = ["arm", "line", "tissue", "depmap_id", *columns, "cell_quality"]
    return cells[[*names, "percent_mito"]].astype(dict.fromkeys(names, "category")), notes


def _calls(path: Path) -> tuple[set[str], set[str]]:
    """Return the lines with any mutation, and those with one of TP53 that is not silent."""
    called: set[str] = set()
    mutated: set[str] = set()
    with opened(path, "the mutation calls of DepMap 19Q3, .csv") as stream:
        for piece in table_pieces(stream, str(path), _MUTATIONS):
            called |= set(piece["depmap_id"])
            matters = (piece["gene"] == "TP53") & (piece["kind"].str.lower() != "silent")
            mutated |= set(piece["depmap_id"][matters])
    if not mutated:
        raise InputError(
            f"{path}: names no mutation of TP53 in {len(called)} lines; expected the mutation "
            f"calls of DepMap 19Q3, column Hugo_Symbol with TP53; {_AGAIN}"
        )
    return called, mutated


def _quality(arms: Mapping[str, _Arm], kept: np.ndarray) -> pd.DataFrame:
    rows = {}
    for name, arm in arms.items():
        rows[name] = {"cells": len(arm.cells), "lines": arm.cells["line"].nunique()}
        classes = arm.cells["cell_quality"].value_counts()
        rows[name] |= {quality: int(classes.get(quality, 0)) for quality in QUALITIES}
        rows[name] |= {"genes": len(arm.genes), "genes_kept": int(kept.sum())}
        rows[name]["median_counts"] = median_counts(arm.counts)
    return pd.DataFrame.from_dict(rows, orient="index")


def _description(cells: pd.DataFrame, kept: np.ndarray, gencode: str | os.PathLike | None) -> str:
    sizes = cells["arm"].value_counts()
    genes = f"all {len(kept)} genes" if gencode is None else (
        f"{int(kept.sum())} protein-coding (GENCODE) of {len(kept)} genes"
    )  # fmt: skip
    return (
        f"pooled cancer cell lines after 24 h, experiment 1: {sizes['idasanutlin']} cells under "
        f"idasanutlin, {sizes['dmso']} under DMSO, of {cells['line'].nunique()} lines, all classes "
        f"of cell_quality; {genes}; TP53 by DepMap 19Q3, silent mutations count as wild type"
    )
