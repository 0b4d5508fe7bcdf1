"""A single-cell study in one figure: leukemia, MIX-seq or depression."""

from bcnmf_pipeline.figures.single_cell import plot_single_cell
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    params = snakemake.params
    figure = plot_single_cell(
        **{name: read_table(path) for name, path in snakemake.input.items()},
        labels=params.labels,
        label_name=params.label_name,
        unit=params.unit,
        method=params.method,
        marked=params.marked,
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
