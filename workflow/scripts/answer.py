"""How many target samples hold what the background does not, and tests of programs."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.answer import answer
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.fit.made import read_made_fit
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.job import limit_threads, logged

with logged(snakemake):
    limit_threads(snakemake.threads)
    params = snakemake.params
    with claimed(params.compute["device"]) as device:
        found = answer(
            read_h5ad(snakemake.input.target),
            read_h5ad(snakemake.input.background),
            [Run.of_file(file) for file in params.files],
            params.methods,
            {**params.compute, "device": device},
            params.columns,
            params.folds,
            [read_made_fit(file, snakemake.input.lists[0]) for file in params.files],
        )
    found.write(snakemake.output.samples, snakemake.output.shares, snakemake.output.programs)
