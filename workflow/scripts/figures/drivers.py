"""What drives success: scores against the level of every driver."""

import pandas as pd

from bcnmf_pipeline.figures.drivers import plot_drivers
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_drivers(
        pd.concat([read_table(path) for path in snakemake.input.scores]),
        snakemake.params.variants,
        methods=list(labels),
        labels=labels,
        score=snakemake.params.score,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
