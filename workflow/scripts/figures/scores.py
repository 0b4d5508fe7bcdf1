"""Adjusted Rand indices of one study."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.scores import plot_scores
from bcnmf.plotting.style import save

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_scores(
        read_table(snakemake.input.scores),
        methods=list(labels),
        labels=labels,
        unit=snakemake.params.unit or "unit",
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
