"""What may be wrong with the fits that a study is answered by."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.diagnosis import diagnosis_table
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    limit_threads(snakemake.threads)
    params = snakemake.params
    with claimed(params.compute["device"]) as device:
        found = diagnosis_table(
            read_h5ad(snakemake.input.target),
            read_h5ad(snakemake.input.background),
            [Run.of_file(file) for file in params.files],
            snakemake.input.lists[0],
            params.methods,
            {**params.compute, "device": device},
        )
    write_table(found, snakemake.output[0])
