"""UMAP of the usages, method by method."""

from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_embedding(
        read_table(snakemake.input.samples),
        methods=list(labels),
        labels=labels,
        label_name=snakemake.params.label_name,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
