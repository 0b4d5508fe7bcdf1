"""Filtered count matrices of 10x Genomics, read out of their archive without unpacking it."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.matrix_market import STREAM_FAULTS, read_counts

_TABLES = ("genes.tsv", "barcodes.tsv")
_MATRIX = "matrix.mtx"
# Tables of genes and barcodes take a few MB; more is no such archive.
_LARGEST_TABLE = 256 * 2**20
# The published matrices take tens of MB as text.
_LARGEST_MATRIX = 16 * 2**30


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


def read_10x(path: str | os.PathLike, genome: str = "hg19") -> TenX:
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
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .tar.gz of 10x Genomics")
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = _members(archive, path, genome)
            genes, barcodes = (_lines(archive, members[name], path) for name in _TABLES)
            place = f"{path}, {members[_MATRIX].name}"
            if members[_MATRIX].size > _LARGEST_MATRIX:
                raise InputError(
                    f"{place}: unpacks to {members[_MATRIX].size} bytes, more than the "
                    f"{_LARGEST_MATRIX} that are expected at most; delete the file and fetch it "
                    "again"
                )
            with archive.extractfile(members[_MATRIX]) as stream:
                counts = read_counts(stream, place)
    except (tarfile.TarError, *STREAM_FAULTS) as error:
        raise InputError(
            f"{path}: not a .tar.gz, damaged or cut short ({error}); delete the file and fetch it "
            "again"
        ) from error
    table = _genes(genes, f"{path}, {members['genes.tsv'].name}")
    for axis, (what, found) in enumerate((("barcodes", len(barcodes)), ("genes", len(table)))):
        if counts.shape[axis] != found:
            raise InputError(
                f"{path}: the matrix has {counts.shape[axis]} {what}, {what}.tsv names {found}; "
                "delete the file and fetch it again"
            )
    return TenX(counts, barcodes, table)


def _members(archive: tarfile.TarFile, path: Path, genome: str) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    names = []
    for member in archive:
        names.append(member.name)
        parts = PurePosixPath(member.name).parts
        if member.isfile() and len(parts) >= 2 and parts[-2] == genome:
            if parts[-1] in found:
                raise InputError(f"{path}: holds {genome}/{parts[-1]} more than once")
            found[parts[-1]] = member
    missing = [name for name in (*_TABLES, _MATRIX) if name not in found]
    if missing:
        raise InputError(
            f"{path}: lacks {', '.join(f'{genome}/{name}' for name in missing)}; found: "
            f"{', '.join(names[:8]) or 'nothing'}; expected what 10x Genomics calls "
            "filtered_gene_bc_matrices"
        )
    return found


def _lines(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> list[str]:
    with archive.extractfile(member) as stream:
        content = stream.read(_LARGEST_TABLE + 1)
    if len(content) > _LARGEST_TABLE:
        raise InputError(f"{path}, {member.name}: unpacks to more than {_LARGEST_TABLE} bytes")
    try:
        return content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, {member.name}: is no text ({error})") from error


def _genes(lines: list[str], place: str) -> pd.DataFrame:
    rows = [line.split("\t") for line in lines]
    wrong = next((row for row in rows if len(row) < 2), None)
    if wrong is not None:
        raise InputError(
            f"{place}: a line {chr(9).join(wrong)!r}; expected an Ensembl id and a symbol, "
            "separated by a tab"
        )
    return pd.DataFrame({"gene_id": [r[0] for r in rows], "symbol": [r[1] for r in rows]})
