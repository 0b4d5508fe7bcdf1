"""Cancer cell lines under idasanutlin or DMSO, pooled and told apart by genotype (MIX-seq)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import (
    AGAIN,
    existing,
    find_members,
    members_of,
    opened,
    opened_zip,
)
from bcnmf_pipeline.datasets.gencode import coding_mask
from bcnmf_pipeline.datasets.single_cell import (
    cell_sizes,
    median_counts,
    read_columns,
    table_pieces,
    unique_names,
)
from bcnmf_pipeline.datasets.tenx import (
    LARGEST_TABLE,
    TENX_FILES,
    check_same_genes,
    read_members,
)

# Arm -> folder of its files in its zip.
FOLDERS = {"idasanutlin": "Idasanutlin_24hr_expt1", "dmso": "DMSO_24hr_expt1"}
_CLASSES = "classifications.csv"
# Classes of `cell_quality`; the paper keeps them all.
QUALITIES = ("normal", "doublet", "empty_droplet", "low_quality")
# The published files.
N_CELLS, N_GENES, N_LINES = {"idasanutlin": 3097, "dmso": 2831}, 32738, 24
# Cells and lines of the treated arm by TP53, as the paper counts them.
N_BY_TP53 = {"wild-type": 671, "mutant": 2426}
N_LINES_BY_TP53 = {"wild-type": 7, "mutant": 17}
LARGEST_MATRIX = 2**33
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


class _Arm(NamedTuple):
    counts: sp.csr_matrix
    genes: pd.DataFrame
    cells: pd.DataFrame


def read_mixseq(
    zips: Mapping[str, str | Path],
    mutations: str | Path,
    cell_lines: str | Path,
    gencode: str | Path | None = None,
    *,
    largest: int = LARGEST_MATRIX,
) -> ad.AnnData:
    """Read both arms of the experiment, all cells as published.

    Parameters
    ----------
    zips : mapping
        "idasanutlin" and "dmso" -> zip that holds the folder of `FOLDERS` with matrix.mtx,
        genes.tsv, barcodes.tsv and classifications.csv; nothing is written to the disk.
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
    check_same_genes({str(zips[name]): arm.genes for name, arm in arms.items()})
    first = arms["idasanutlin"].genes
    kept = np.ones(len(first), dtype=bool)
    if gencode is not None:
        kept = coding_mask(gencode, first["gene_id"], "the arms")
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
    path = existing(path, f"a zip with {folder}/matrix.mtx")
    with opened_zip(path, path) as archive:
        members = find_members(
            members_of(archive, path), folder, (*TENX_FILES, _CLASSES), path,
            "is it the zip of the other arm? Else take the one that config/datasets.tsv names",
        )  # fmt: skip
        sample = read_members(members, largest)
        classes = members[_CLASSES].content(LARGEST_TABLE)
    places = {name: member.place for name, member in members.items()}
    return _Arm(sample.counts, sample.genes, _classified(classes, sample.barcodes, places))


def _classified(content: bytes, codes: list[str], places: Mapping[str, str]) -> pd.DataFrame:
    """Return the classifications in the order of the barcodes."""
    place = places[_CLASSES]
    table = read_columns(io.BytesIO(content), place, _CLASSIFICATIONS)
    for found, where in ((pd.Series(codes), places["barcodes.tsv"]), (table["barcode"], place)):
        if found.duplicated().any():
            raise InputError(
                f"{where}: barcode {found[found.duplicated()].iloc[0]!r} stands more than once; "
                f"{AGAIN}"
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
        raise InputError(f"{place}, column singlet_ID: a cell without a line; {AGAIN}")
    table["percent_mito"] = pd.to_numeric(table["percent_mito"], errors="coerce")
    return table


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
            f"calls of DepMap 19Q3, column Hugo_Symbol with TP53; {AGAIN}"
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


def _description(cells: pd.DataFrame, kept: np.ndarray, gencode: str | Path | None) -> str:
    sizes = cells["arm"].value_counts()
    genes = f"all {len(kept)} genes" if gencode is None else (
        f"{int(kept.sum())} protein-coding (GENCODE) of {len(kept)} genes"
    )  # fmt: skip
    return (
        f"pooled cancer cell lines after 24 h, experiment 1: {sizes['idasanutlin']} cells under "
        f"idasanutlin, {sizes['dmso']} under DMSO, of {cells['line'].nunique()} lines, all classes "
        f"of cell_quality; {genes}; TP53 by DepMap 19Q3, silent mutations count as wild type"
    )
