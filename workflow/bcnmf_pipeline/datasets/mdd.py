"""Nuclei of the prefrontal cortex of donors with major depression and controls (Maitra 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, opened
from bcnmf_pipeline.datasets.donor_table import read_donors
from bcnmf_pipeline.datasets.donors import (
    N_CASE_NUCLEI,
    N_CONTROL_NUCLEI,
    ROLES,
    DonorRule,
    NamedDonors,
    choose_donors,
)
from bcnmf_pipeline.datasets.gencode import coding_mask
from bcnmf_pipeline.datasets.matrix_market import read_counts
from bcnmf_pipeline.datasets.single_cell import cell_sizes, read_columns, unique_names

# The published files, and protein-coding genes among theirs by the paper.
N_GENES, N_NUCLEI, N_CODING = 36588, 160711, 18716
CELL_TYPES = ("Ast", "Oli")
_SOURCE = {
    "citation": (
        "Maitra et al. 2023, Cell type specific transcriptomic differences in depression show "
        "similar patterns between males and females but implicate distinct cell types and genes, "
        "Nature Communications 14:2912, doi:10.1038/s41467-023-38530-5; GEO GSE213982; "
        "protein-coding genes: GENCODE 48"
    ),
    "licence": "GEO, no licence stated; the article: CC BY 4.0",
}


def read_mdd(
    matrix: str | Path,
    genes: str | Path,
    cells: str | Path,
    donors: str | Path,
    gencode: str | Path,
    choice: DonorRule | NamedDonors | None = None,
    cell_types: Sequence[str] = CELL_TYPES,
    progress: Callable[[int, int], None] | None = None,
) -> ad.AnnData:
    """Read the nuclei of some donors and cell types, in one stream over the matrix.

    Parameters
    ----------
    matrix : path
        GSE213982_combined_counts_matrix.mtx.gz, genes x nuclei.
    genes, cells : path
        ..._genes_rows.csv.gz and ..._cells_columns.csv.gz, column x: symbols, and
        donor.barcode.broad.cluster.
    donors : path
        GEO series matrix of GSE213982, or a table of donors; see `read_donors`.
    gencode : path
        GTF of GENCODE; genes whose symbol it does not call protein-coding are left out.
    choice : DonorRule or NamedDonors, optional
        Donors; by default the paper's rule, see `choose_donors`.
    cell_types : sequence of str
        Broad cell types.
    progress : callable, optional
        Called with entries read and entries in all.

    Returns
    -------
    AnnData
        X: counts, float32 CSR, nuclei x protein-coding genes.
        obs: `donor`, `diagnosis` (case, control), `sex`, `age`, `role` (target case, target
        control, other control), `in_target` (yes, no), `cell_type`, `cluster`, `n_counts`,
        `n_genes`. var: index symbols; `symbol`.
        uns: `source`, `warnings`, `qc` (one row a donor: `role`, `nuclei` in the file,
        `nuclei_kept`, `genes`, `protein_coding`, `median_counts`), `file_shape` (nuclei, genes).

    Raises
    ------
    InputError
        A file that is missing, damaged or not of that form, files that do not fit each other, or
        donors that cannot be chosen.

    Notes
    -----
    The published pairing is ``role=target case,target control`` against ``role=target control``:
    the background is part of the target, so that the label enters the fit. ``role=other control``
    is a background of donors that are not in the target.
    """
    symbols = _column_x(genes, "the names of the genes, .csv.gz with column x")
    nuclei = _nuclei(cells)
    people = read_donors(donors)
    wanted = _of_types(nuclei, cell_types, cells)
    sizes = nuclei["donor"][wanted].value_counts()
    roles, notes = choose_donors(people, sizes, choice or DonorRule(), str(donors))
    samples = wanted & nuclei["donor"].isin(roles.index).to_numpy()
    coding = coding_mask(gencode, symbols, genes, by="symbol")
    with opened(matrix, "the counts, .mtx.gz") as stream:
        counts = read_counts(stream, str(matrix), samples, coding, progress)
    names, repeated = unique_names(symbols[coding].reset_index(drop=True))
    if repeated:
        notes.append(f"{repeated} symbols stand for several genes: a number was added to them")
    obs = _about(nuclei[samples], people, roles)
    qc = _quality(nuclei, obs, roles, counts, (len(symbols), int(coding.sum())))
    return ad.AnnData(
        counts,
        obs=obs.assign(**cell_sizes(counts)),
        var=pd.DataFrame({"symbol": symbols[coding].to_numpy()}, index=names),
        uns={
            "source": _SOURCE | {"description": _description(qc, cell_types, choice, symbols)},
            "warnings": np.array(notes, dtype=object),
            "qc": qc,
            "file_shape": np.array([len(nuclei), len(symbols)]),
        },
    )


def changed(data: ad.AnnData) -> list[str]:
    """Return what is not as in the files and groups that the paper used."""
    found = []
    for what, here, there in (
        ("nuclei", int(data.uns["file_shape"][0]), N_NUCLEI),
        ("genes", int(data.uns["file_shape"][1]), N_GENES),
    ):
        if here != there:
            found.append(f"{here} {what}, the published file has {there}")
    roles = data.obs["role"].value_counts()
    for role, there in (("target case", N_CASE_NUCLEI), ("target control", N_CONTROL_NUCLEI)):
        if roles.get(role, 0) != there:
            found.append(
                f"{role}: {roles.get(role, 0)} nuclei, the paper has {there}; its donors are not "
                "published"
            )
    if data.n_vars != N_CODING:
        found.append(f"{data.n_vars} protein-coding genes, the paper has {N_CODING}")
    return found


def _column_x(path: str | Path, expected: str) -> pd.Series:
    with opened(path, expected) as stream:
        return read_columns(stream, str(path), {"x": ["x"]})["x"]


def _nuclei(path: str | Path) -> pd.DataFrame:
    """Return donor, barcode, cell type and cluster of each nucleus; the index is the full name."""
    names = _column_x(path, "the names of the nuclei, .csv.gz with column x")
    parts = names.str.split(".", n=3, expand=True).reindex(columns=range(4))
    wrong = parts.isna().any(axis=1) | (parts == "").any(axis=1)
    if len(names) == 0 or wrong.any():
        shown = repr(names[wrong].iloc[0]) if len(names) else "nothing"
        raise InputError(
            f"{path}, column x: {shown}; expected donor.barcode.broad.cluster, as "
            f"F1.AAACCCACACCTCTGT-1.Mic.Mic1; {AGAIN}"
        )
    if names.duplicated().any():
        raise InputError(
            f"{path}, column x: {names[names.duplicated()].iloc[0]!r} stands more than once; "
            f"{AGAIN}"
        )
    parts.columns = ["donor", "barcode", "cell_type", "cluster"]
    return parts.set_axis(pd.Index(names.to_numpy(dtype=object)), axis=0)


def _of_types(nuclei: pd.DataFrame, cell_types: Sequence[str], path: str | Path) -> np.ndarray:
    known = sorted(nuclei["cell_type"].unique())
    unknown = [name for name in cell_types if name not in known]
    if unknown or not cell_types:
        raise InputError(
            f"{path}: no nucleus of the cell type {', '.join(unknown) or '(none was asked for)'}; "
            f"those that there are: {', '.join(known[:20])}"
        )
    return np.asarray(nuclei["cell_type"].isin(list(cell_types)))


def _about(nuclei: pd.DataFrame, people: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    role = nuclei["donor"].map(roles)
    columns = {"donor": nuclei["donor"]}
    columns |= {name: nuclei["donor"].map(people[name]) for name in ("diagnosis", "sex", "age")}
    columns |= {"role": role, "in_target": np.where(role == ROLES[2], "no", "yes")}
    columns |= {"cell_type": nuclei["cell_type"], "cluster": nuclei["cluster"]}
    table = pd.DataFrame(columns, index=nuclei.index)
    names = [name for name in table if name != "age"]
    return table.astype(dict.fromkeys(names, "category"))


def _quality(
    nuclei: pd.DataFrame,
    obs: pd.DataFrame,
    roles: pd.Series,
    counts: sp.csr_matrix,
    genes: tuple[int, int],
) -> pd.DataFrame:
    here, kept = nuclei["donor"].value_counts(), obs["donor"].value_counts()
    totals = pd.Series(cell_sizes(counts)["n_counts"]).groupby(obs["donor"].to_numpy()).median()
    return pd.DataFrame(
        {
            "role": roles,
            "nuclei": [int(here[name]) for name in roles.index],
            "nuclei_kept": [int(kept[name]) for name in roles.index],
            "genes": genes[0],
            "protein_coding": genes[1],
            "median_counts": [float(totals[name]) for name in roles.index],
        },
        index=pd.Index(roles.index, name="donor"),
    )


def _description(
    qc: pd.DataFrame,
    cell_types: Sequence[str],
    choice: DonorRule | NamedDonors | None,
    symbols: pd.Series,
) -> str:
    listed = {role: ", ".join(qc.index[qc["role"] == role]) or "none" for role in ROLES}
    how = "as named in the configuration" if isinstance(choice, NamedDonors) else (
        "chosen here by sex and age, since those of the paper are not published"
    )  # fmt: skip
    base = symbols.str.rpartition(".")
    repeats = int((base[2].str.isdigit() & base[0].isin(set(symbols))).sum())
    return (
        f"nuclei of the dorsolateral prefrontal cortex, cell types {', '.join(cell_types)}; donors "
        f"{how}: cases {listed[ROLES[0]]}, controls {listed[ROLES[1]]}, other controls "
        f"{listed[ROLES[2]]}; {int(qc['protein_coding'].iloc[0])} protein-coding of {len(symbols)} "
        f"genes by symbol ({repeats} repeated symbols, marked .1 by the source, match none)"
    )
