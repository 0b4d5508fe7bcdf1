"""Fit the halves of one random split over the grid of settings."""

import anndata as ad

from bcnmf.io import write_table
from bcnmf.job import limit_threads, logged
from bcnmf.selection import fit_split

with logged(snakemake):
    limit_threads(snakemake.threads)
    grid = snakemake.params.selection
    fits = fit_split(
        ad.read_h5ad(snakemake.input.target).X,
        ad.read_h5ad(snakemake.input.background).X,
        int(snakemake.wildcards.split),
        n_components=grid["k"],
        alphas=grid["alpha"],
        max_iter=grid["max_iter"],
        **snakemake.params.compute,
    )
    write_table(fits, snakemake.output[0])
