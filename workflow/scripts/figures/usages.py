"""The two topics of each method that differ most between the labels."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.style import save
from bcnmf.plotting.usages import plot_usages

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
