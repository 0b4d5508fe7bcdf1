"""Scores against beta, with what the paper reports."""

import pandas as pd

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.beta import plot_beta
from bcnmf.plotting.style import save

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_beta(
        pd.concat([read_table(path) for path in snakemake.input.scores]),
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
