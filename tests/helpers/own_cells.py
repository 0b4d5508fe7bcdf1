"""Small cells of one's own: two treatments, donors, cell types, and a program of the drug."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd


def own_cells(path: Path, n: int = 160, n_genes: int = 60) -> None:
    """Write counts as an .h5ad file: 8 donors, each of them treated with drug and vehicle."""
    rng = np.random.default_rng(0)
    place = np.arange(n)
    treatment = np.where(place % 2, "drug", "vehicle")
    kinds = np.array(["B cell", "T cell"])[place // 2 % 2]
    rate = np.ones((n, n_genes))
    rate[treatment == "drug", :8] += 6
    rate[kinds == "B cell", 20:30] += 3
    obs = pd.DataFrame(
        {
            "treatment": treatment,
            "cell type": kinds,
            "donor": [f"d{number}" for number in place // 4 % 8],
            "quality": "good",
            "n_counts": rng.normal(3000, 10, n),
        },
        index=[f"cell{number}" for number in place],
    )
    var = pd.DataFrame(index=[f"gene{number}" for number in range(n_genes)])
    ad.AnnData(rng.poisson(rate).astype(np.float32), obs=obs, var=var).write_h5ad(path)
