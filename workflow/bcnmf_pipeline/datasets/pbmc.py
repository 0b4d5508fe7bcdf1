"""Blood cells that ship with scanpy: real cells whose answer is known."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.compiled_cache import optional_cache
from bcnmf.seeds import derive_seed

with optional_cache():
    import scanpy as sc

_SOURCE = {
    "description": (
        "700 peripheral blood mononuclear cells x 765 genes, a part of the 68,000 PBMCs of 10x "
        "Genomics, as scanpy ships it (pbmc68k_reduced): natural log of 1 + counts per 10,000"
    ),
    "citation": "Zheng et al. 2017, Nature Communications 8:14049, doi:10.1038/ncomms14049",
    "licence": "CC BY 4.0 (10x Genomics); copy of scanpy, BSD-3-Clause",
}
# bulk_labels: (cell_type, lineage), names that need no care in a selection.
_CELL_TYPES = {
    "CD14+ Monocyte": ("monocyte", "myeloid"),
    "Dendritic": ("dendritic", "myeloid"),
    "CD19+ B": ("B", "B"),
    "CD56+ NK": ("NK", "NK"),
    "CD34+": ("progenitor", "progenitor"),
    "CD4+/CD25 T Reg": ("regulatory T", "T"),
    "CD4+/CD45RA+/CD25- Naive T": ("naive helper T", "T"),
    "CD4+/CD45RO+ Memory": ("memory helper T", "T"),
    "CD8+ Cytotoxic T": ("cytotoxic T", "T"),
    "CD8+/CD45RA+ Naive Cytotoxic": ("naive cytotoxic T", "T"),
}


def pbmc68k_reduced() -> ad.AnnData:
    """Return the blood cells of scanpy with values that can be factorised.

    X of the shipped file is scaled and centred, hence negative in part. Its `raw` holds the values
    before: log1p (natural log) of counts per 10,000, where the 10,000 are over all genes and not
    only the 765 kept, rounded to three decimals; 33% are not zero and the largest is 6.489.
    No network is used.

    Returns
    -------
    AnnData
        X: float32 CSR, 700 x 765, log values.
        obs: as shipped (bulk_labels, n_genes, percent_mito, n_counts, S_score, G2M_score, phase,
        louvain), and `cell_type` and `lineage`, plain names for `bulk_labels`; `half`, "first" or
        "second": every cell type in two, at random; `kind`, "B cell" or "other".
        uns: `source`.

    References
    ----------
    .. [1] Zheng et al., "Massively parallel digital transcriptional profiling of single cells",
       Nature Communications 8:14049, 2017.
    """
    shipped = sc.datasets.pbmc68k_reduced()
    values = sp.csr_matrix(shipped.raw.X, dtype=np.float32)
    obs = shipped.obs.copy()
    names = obs["bulk_labels"].astype(str)
    for column, position in (("cell_type", 0), ("lineage", 1)):
        obs[column] = pd.Categorical([_CELL_TYPES[name][position] for name in names])
    obs["half"] = _halves(obs["cell_type"])
    obs["kind"] = pd.Categorical(np.where(obs["cell_type"] == "B", "B cell", "other"))
    var = pd.DataFrame(index=shipped.raw.var_names.astype(str))
    return ad.AnnData(values, obs=obs, var=var, uns={"source": dict(_SOURCE)})


def _halves(cell_type: pd.Series) -> pd.Categorical:
    """Return the half of each cell; the first has one more of a type whose number is odd."""
    order = np.random.default_rng(derive_seed("pbmc68k_reduced", "half")).random(len(cell_type))
    place = pd.Series(order, cell_type.index).groupby(cell_type, observed=True).rank()
    count = cell_type.groupby(cell_type, observed=True).transform("size").astype(int)
    return pd.Categorical(np.where(2 * place <= count + 1, "first", "second"))
