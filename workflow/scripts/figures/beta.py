"""Scores against beta, with what the paper reports."""

import pandas as pd

from bcnmf_pipeline.figures.beta import plot_beta
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_beta(
        pd.concat([read_table(path) for path in snakemake.input.scores]),
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
