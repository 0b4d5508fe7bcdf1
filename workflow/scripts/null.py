"""Fit again with target and background exchanged: is there anything at all?"""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.null import null_tables
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    limit_threads(snakemake.threads)
    params = snakemake.params
    with claimed(params.compute["device"]) as device:
        null, draws = null_tables(
            read_h5ad(snakemake.input.target),
            read_h5ad(snakemake.input.background),
            [Run.of_file(file) for file in params.files],
            params.methods,
            {**params.compute, "device": device},
            params.refits,
        )
    write_table(null, snakemake.output.null)
    write_table(draws, snakemake.output.draws)
