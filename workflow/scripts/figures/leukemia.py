"""Leukemia before and after transplant, in one figure."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.single_cell import plot_single_cell
from bcnmf.plotting.style import save

with logged(snakemake):
    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    labels = snakemake.params.labels
    figure = plot_single_cell(
        **tables,
        labels=labels,
        label_name=snakemake.params.label_name,
        unit=snakemake.params.unit,
        method="bcnmf" if "bcnmf" in labels else list(labels)[-1],
    )
    save(figure, snakemake.output.pdf, snakemake.output.png)
