"""Adjusted Rand indices of one study."""

from bcnmf_pipeline.figures.scores import plot_scores
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_scores(
        read_table(snakemake.input.scores),
        methods=list(labels),
        labels=labels,
        unit=snakemake.params.unit or "unit",
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
