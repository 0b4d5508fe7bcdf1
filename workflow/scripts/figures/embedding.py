"""UMAP of the usages, method by method."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.embedding import plot_embedding
from bcnmf.plotting.style import save

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_embedding(
        read_table(snakemake.input.samples),
        methods=list(labels),
        labels=labels,
        label_name=snakemake.params.label_name,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
