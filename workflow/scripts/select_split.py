"""Fit the halves of one random split over the grid of settings."""

from bcnmf.files import read_h5ad
from bcnmf.selection import fit_split
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    limit_threads(snakemake.threads)
    grid = snakemake.params.selection
    with claimed(snakemake.params.compute["device"]) as device:
        fits = fit_split(
            read_h5ad(snakemake.input.target).X,
            read_h5ad(snakemake.input.background).X,
            int(snakemake.wildcards.split),
            n_components=grid["k"],
            alphas=grid["alpha"],
            max_iter=grid["max_iter"],
            **{**snakemake.params.compute, "device": device},
        )
    write_table(fits, snakemake.output[0])
