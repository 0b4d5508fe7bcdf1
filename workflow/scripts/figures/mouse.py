"""The paper's mouse figure."""

from bcnmf_pipeline.figures.mouse import plot_mouse
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    labels = snakemake.params.labels
    figure = plot_mouse(
        read_table(snakemake.input.samples),
        read_table(snakemake.input.topics),
        read_table(snakemake.input.loadings),
        read_table(snakemake.input.features),
        labels=labels,
        label_name=snakemake.params.label_name,
        unit_name=snakemake.params.unit,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
