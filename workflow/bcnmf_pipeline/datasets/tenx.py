"""Count matrices of 10x Genomics: matrix.mtx with genes.tsv and barcodes.tsv."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import (
    AGAIN,
    STREAM_FAULTS,
    Member,
    existing,
    find_members,
    members_of,
)
from bcnmf_pipeline.datasets.matrix_market import read_counts

TENX_FILES = ("matrix.mtx", "genes.tsv", "barcodes.tsv")
# Tables of genes and barcodes take a few MB; more is no such archive.
LARGEST_TABLE = 2**28
# The published matrices take tens of MB as text.
_LARGEST_MATRIX = 2**34


class TenX(NamedTuple):
    """Counts of a sample.

    Attributes
    ----------
    counts : scipy.sparse.csr_matrix of float32, shape (cells, genes)
    barcodes : list of str
    genes : DataFrame
        `gene_id` (Ensembl) and `symbol`, in the order of the columns.
    """

    counts: sp.csr_matrix
    barcodes: list[str]
    genes: pd.DataFrame


def read_10x(path: str | Path, genome: str = "hg19") -> TenX:
    """Read NAME_filtered_gene_bc_matrices.tar.gz.

    Parameters
    ----------
    path : path
        With members ``<folder>/<genome>/matrix.mtx``, ``genes.tsv``, ``barcodes.tsv``. What they
        are is told by the end of their names; links and other files are passed over, and nothing is
        written to the disk.
    genome : str
        Name of the folder.

    Raises
    ------
    InputError
        The archive is missing or damaged, lacks a member or has it twice, or its parts disagree.
    """
    path = existing(path, "a .tar.gz of 10x Genomics")
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = find_members(
                members_of(archive, path), genome, TENX_FILES, path,
                "expected what 10x Genomics calls filtered_gene_bc_matrices",
            )  # fmt: skip
            return read_members(members, _LARGEST_MATRIX)
    except (tarfile.TarError, *STREAM_FAULTS) as error:
        raise InputError(
            f"{path}: not a .tar.gz, damaged or cut short ({error}); {AGAIN}"
        ) from error


def read_members(members: Mapping[str, Member], largest: int) -> TenX:
    """Read a sample from its three files, the matrix of which unpacks to `largest` bytes at most.

    Raises
    ------
    InputError
        One cannot be read, or they disagree.
    """
    genes = _genes(members["genes.tsv"])
    barcodes = members["barcodes.tsv"].text(LARGEST_TABLE).split()
    matrix = members["matrix.mtx"]
    with matrix.stream(largest) as stream:
        counts = read_counts(stream, matrix.place)
    for axis, (what, found) in enumerate((("barcodes", len(barcodes)), ("genes", len(genes)))):
        if counts.shape[axis] != found:
            raise InputError(
                f"{matrix.place}: the matrix has {counts.shape[axis]} {what}, {what}.tsv names "
                f"{found}; {AGAIN}"
            )
    return TenX(counts, barcodes, genes)


def check_same_genes(genes: Mapping[str, pd.DataFrame]) -> None:
    """Refuse samples, by the names of their files, that do not have the same genes in order."""
    (first, expected), *others = genes.items()
    for name, found in others:
        if not found["gene_id"].equals(expected["gene_id"]):
            raise InputError(
                f"{name}: has other genes, or in another order, than {first}; take all samples "
                "from the same release"
            )


def _genes(member: Member) -> pd.DataFrame:
    rows = [line.split("\t") for line in member.text(LARGEST_TABLE).splitlines()]
    wrong = next((row for row in rows if len(row) < 2), None)
    if wrong is not None:
        raise InputError(
            f"{member.place}: a line {wrong[0][:60]!r}; expected an Ensembl id and a symbol, with "
            f"a tab between; {AGAIN}"
        )
    return pd.DataFrame({"gene_id": [r[0] for r in rows], "symbol": [r[1] for r in rows]})
