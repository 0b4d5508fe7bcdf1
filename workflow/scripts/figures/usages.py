"""The two topics of each method that differ most between the labels."""

from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.figures.usages import plot_usages
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_usages(
        read_table(snakemake.input.samples),
        read_table(snakemake.input.topics),
        methods=list(labels),
        labels=labels,
        label_name=snakemake.params.label_name,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
