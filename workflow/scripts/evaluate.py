"""Score all fits of one replicate of a study."""

from pathlib import Path

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.evaluation import evaluate
from bcnmf_pipeline.fit.made import read_made_fit
from bcnmf_pipeline.record.job import limit_threads, logged

with logged(snakemake):
    limit_threads(snakemake.threads)
    target = read_h5ad(snakemake.input.target)
    background = read_h5ad(snakemake.input.background)
    tables = evaluate(
        [read_made_fit(file, snakemake.input.lists[0]) for file in snakemake.params.fits],
        target,
        background,
        target.uns["study"],
        int(snakemake.wildcards.replicate),
        **snakemake.params.evaluation,
    )
    tables.write(Path(snakemake.output.scores).parent)
