"""A small data set of one's own, and its row of the studies sheet."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf_pipeline.pair.pairing import pair_record

WHERE = "config/studies.tsv, study mine"
ROW = {
    "study": "mine", "dataset": "mine.h5ad", "target": "arm=drug", "background": "arm=vehicle",
    "label": "kind", "unit": "donor", "values": "counts", "n_top_features": "",
}  # fmt: skip
N, FEATURES = 120, 30
FORMATS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}


def counts_of(n=N, features=FEATURES, seed=0):
    counts = np.random.default_rng(seed).poisson(2.0, (n, features)).astype(np.float32)
    counts[:, 0] += 1  # no sample is zero throughout
    return counts


def table_of(n=N):
    """Return samples that alternate between the arms, in 6 donors an arm, 3 a kind."""
    number = np.arange(n)
    donor = number // 2 % 6
    return pd.DataFrame(
        {
            "arm": np.where(number % 2 == 0, "drug", "vehicle"),
            "kind": pd.Categorical(np.where(donor < 3, "a", "b")),
            "donor": [f"d{i}" for i in donor],
        },
        index=[f"cell{i}" for i in number],
    )


def own(matrix=None, **columns):
    matrix = counts_of() if matrix is None else matrix
    var = pd.DataFrame(index=[f"gene{i}" for i in range(matrix.shape[1])])
    return ad.AnnData(matrix, obs=table_of(matrix.shape[0]).assign(**columns), var=var)


def warnings_of(target):
    return pair_record(target)["warnings"]
