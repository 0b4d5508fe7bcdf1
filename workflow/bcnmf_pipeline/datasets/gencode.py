"""Protein-coding genes of GENCODE."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, STREAM_FAULTS, opened

_ID = re.compile(r'gene_id "([^"]+)"')
_TYPE = re.compile(r'gene_(?:type|biotype) "([^"]+)"')
_NAME = re.compile(r'gene_name "([^"]+)"')


def protein_coding(path: str | Path) -> dict[str, str]:
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
    with opened(path, "a GTF of GENCODE, .gtf.gz") as stream:
        try:
            lines = io.TextIOWrapper(stream, encoding="utf-8")
            genes = dict(filter(None, map(_gene, lines)))
        except (*STREAM_FAULTS, UnicodeDecodeError) as error:
            raise InputError(f"{path}: damaged or cut short ({error}); {AGAIN}") from error
    if not genes:
        raise InputError(
            f"{path}: names no gene of type protein_coding; expected a GTF of GENCODE with lines "
            'of feature gene, gene_id "...", gene_type "protein_coding"'
        )
    return genes


def coding_mask(
    gencode: str | Path, genes: pd.Series, source: object, by: Literal["id", "symbol"] = "id"
) -> np.ndarray:
    """Return which genes GENCODE calls protein-coding.

    Parameters
    ----------
    gencode : path
        See `protein_coding`.
    genes : Series of str
        Ensembl ids, with versions or without, or symbols.
    source : object
        Where they are from, for errors.
    by : {"id", "symbol"}

    Returns
    -------
    ndarray of bool, shape (n_genes,)

    Raises
    ------
    InputError
        GENCODE cannot be read, or knows none of them.
    """
    known = protein_coding(gencode)
    if by == "id":
        coding = genes.str.split(".").str[0].isin(known.keys()).to_numpy()
    else:
        coding = genes.isin(set(known.values())).to_numpy()
    if not coding.any():
        raise InputError(
            f"{gencode}: none of its protein-coding genes is among those of {source}, the first of "
            f"which is {genes.iloc[0]!r}; expected human "
            f"{'Ensembl ids' if by == 'id' else 'symbols'}"
        )
    return np.asarray(coding)


def _gene(line: str) -> tuple[str, str] | None:
    """Return id and symbol if the line is about a protein-coding gene."""
    if "\tgene\t" not in line:
        return None
    fields = line.split("\t")
    kind, identifier = _TYPE.search(line), _ID.search(line)
    if len(fields) != 9 or fields[2] != "gene" or not kind or not identifier:
        return None
    if kind[1] != "protein_coding":
        return None
    bare = identifier[1].split(".")[0]
    name = _NAME.search(line)
    return bare, name[1] if name else bare
