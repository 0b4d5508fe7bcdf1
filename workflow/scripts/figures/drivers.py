"""What drives success: scores against the level of every driver."""

import pandas as pd

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.drivers import plot_drivers
from bcnmf.plotting.style import save

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
