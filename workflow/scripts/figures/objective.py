"""Objective traces."""

from bcnmf_pipeline.figures.objective import plot_objective
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_objective(
        read_table(snakemake.input.traces),
        methods=list(labels),
        labels=labels,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
