"""Objective traces."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.objective import plot_objective
from bcnmf.plotting.style import save

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_objective(
        read_table(snakemake.input.traces),
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
