"""Fit the halves of one random split with one number of topics and contrast."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.selection import split_of_study
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    limit_threads(snakemake.threads)
    setting = snakemake.wildcards
    with claimed(snakemake.params.compute["device"]) as device:
        fits = split_of_study(
            read_h5ad(snakemake.input.target),
            read_h5ad(snakemake.input.background),
            int(setting.split),
            n_components=[int(setting.k)],
            alphas=[float(setting.alpha)],
            max_iter=snakemake.params.max_iter,
            **{**snakemake.params.compute, "device": device},
        )
    write_table(fits, snakemake.output[0])
