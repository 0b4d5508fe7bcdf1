"""Protein-coding genes of GENCODE."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.matrix_market import STREAM_FAULTS

_ID = re.compile(r'gene_id "([^"]+)"')
_TYPE = re.compile(r'gene_(?:type|biotype) "([^"]+)"')
_NAME = re.compile(r'gene_name "([^"]+)"')


def protein_coding(path: str | os.PathLike) -> dict[str, str]:
    """Return Ensembl id, without its version, -> symbol of the protein-coding genes of a GTF.

    Parameters
    ----------
    path : path
        Annotation of GENCODE or Ensembl, .gtf or .gtf.gz.

    Raises
    ------
    InputError
        The file is missing, damaged, or names no protein-coding gene.

    References
    ----------
    .. [1] Mudge et al., "GENCODE 2025", Nucleic Acids Research 53(D1), 2025.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a GTF of GENCODE, .gtf.gz")
    genes: dict[str, str] = {}
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rt") as lines:
            for line in lines:
                if "\tgene\t" in line and (found := _gene(line)):
                    genes[found[0]] = found[1]
    except (*STREAM_FAULTS, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: damaged or cut short ({error}); delete the file and fetch it again"
        ) from error
    if not genes:
        raise InputError(
            f"{path}: names no gene of type protein_coding; expected a GTF of GENCODE with lines "
            'of feature gene, gene_id "...", gene_type "protein_coding"'
        )
    return genes


def _gene(line: str) -> tuple[str, str] | None:
    """Return id and symbol if the line is about a protein-coding gene."""
    fields = line.split("\t")
    kind, identifier = _TYPE.search(line), _ID.search(line)
    if len(fields) != 9 or fields[2] != "gene" or not kind or not identifier:
        return None
    if kind[1] != "protein_coding":
        return None
    bare = identifier[1].split(".")[0]
    name = _NAME.search(line)
    return bare, name[1] if name else bare
