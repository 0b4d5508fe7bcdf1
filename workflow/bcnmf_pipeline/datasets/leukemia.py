"""Bone marrow of leukemia patients before and after transplant, and of healthy donors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf_pipeline.datasets.gencode import coding_mask
from bcnmf_pipeline.datasets.single_cell import cell_sizes, median_counts, unique_names
from bcnmf_pipeline.datasets.tenx import TenX, check_same_genes, read_10x

SAMPLES = ("pre", "post", "healthy")
# Cells of the published files, and genes of each.
N_CELLS = {
    "aml027_pre_transplant": 3933, "aml027_post_transplant": 3965,
    "frozen_bmmc_healthy_donor1": 1985,
}  # fmt: skip
N_GENES = 32738
_SOURCE = {
    "citation": (
        "Zheng et al. 2017, Massively parallel digital transcriptional profiling of single cells, "
        "Nature Communications 8:14049, doi:10.1038/ncomms14049; protein-coding genes: GENCODE 48"
    ),
    "licence": "CC BY 4.0 (10x Genomics data sets)",
}


def read_leukemia(paths: Mapping[str, str | Path], gencode: str | Path) -> ad.AnnData:
    """Read a patient before and after transplant, and a healthy donor.

    Parameters
    ----------
    paths : mapping
        "pre", "post" and "healthy" -> NAME_filtered_gene_bc_matrices.tar.gz.
    gencode : path
        GTF of GENCODE; genes that it does not call protein-coding, by Ensembl id without version,
        are left out.

    Returns
    -------
    AnnData
        X: counts, float32 CSR, cells x genes. obs: `sample` (pre, post, healthy), `stage` (pre,
        post; "none" in the donor), `donor` (the file), `n_counts`, `n_genes`. var: index symbols,
        made unique by the Ensembl id where they repeat; `gene_id`, `symbol`. uns: `source`,
        `qc` (one row a sample: `cells`, `genes`, `protein_coding`, `median_counts`).

    Raises
    ------
    InputError
        A file that cannot be read, or samples with different genes.

    Notes
    -----
    Genes that no selected cell expresses are left out by the pairing, highly variable ones chosen
    there, and values made: log1p of counts per 10,000 over the genes kept.
    """
    samples = {name: read_10x(paths[name]) for name in SAMPLES}
    first = samples[SAMPLES[0]].genes
    check_same_genes({str(paths[name]): sample.genes for name, sample in samples.items()})
    coding = coding_mask(gencode, first["gene_id"], paths["pre"])
    genes = first[coding].reset_index(drop=True)
    counts = sp.vstack([sample.counts[:, coding] for sample in samples.values()], format="csr")
    return ad.AnnData(
        counts,
        obs=_cells(samples, paths, counts),
        var=genes.set_axis(unique_names(genes["symbol"], genes["gene_id"])[0], axis=0),
        uns={
            "source": _SOURCE | {"description": _description(samples, paths, coding)},
            "qc": _quality(samples, coding),
        },
    )


def changed(paths: Mapping[str, str | Path], data: ad.AnnData) -> list[str]:
    """Return what is not as in the files that the paper used; none for other patients."""
    found = []
    for name in SAMPLES:
        file = _stem(paths[name])
        cells = int((data.obs["sample"] == name).sum())
        if cells != N_CELLS.get(file, cells):
            found.append(f"{file}: {cells} cells, the published file has {N_CELLS[file]}")
    genes = int(data.uns["qc"]["genes"].iloc[0])
    if genes != N_GENES:
        found.append(f"{genes} genes, the published files have {N_GENES}")
    return found


def _stem(path: str | Path) -> str:
    return Path(path).name.split("_filtered_")[0]


def _cells(
    samples: Mapping[str, TenX], paths: Mapping[str, str | Path], counts: sp.csr_matrix
) -> pd.DataFrame:
    sizes = [len(sample.barcodes) for sample in samples.values()]
    sample = np.repeat(list(samples), sizes)
    names = [f"{name}_{code}" for name, one in samples.items() for code in one.barcodes]
    return pd.DataFrame(
        {
            "sample": pd.Categorical(sample),
            "stage": pd.Categorical(np.where(sample == "healthy", "none", sample)),
            "donor": pd.Categorical(np.repeat([_stem(paths[name]) for name in samples], sizes)),
            **cell_sizes(counts),
        },
        index=names,
    )


def _quality(samples: Mapping[str, TenX], coding: np.ndarray) -> pd.DataFrame:
    rows = {
        name: {
            "cells": sample.counts.shape[0],
            "genes": sample.counts.shape[1],
            "protein_coding": int(coding.sum()),
            "median_counts": median_counts(sample.counts),
        }
        for name, sample in samples.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _description(
    samples: Mapping[str, TenX], paths: Mapping[str, str | Path], coding: np.ndarray
) -> str:
    parts = [f"{_stem(paths[name])} ({one.counts.shape[0]} cells)" for name, one in samples.items()]
    return (
        f"bone marrow mononuclear cells, {', '.join(parts)}; {int(coding.sum())} protein-coding of "
        f"{len(coding)} genes"
    )
