"""Stability and specificity over numbers of topics and contrasts."""

from bcnmf_pipeline.figures.selection import plot_selection
from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table

with logged(snakemake):
    save(
        plot_selection(read_table(snakemake.input.summary)),
        snakemake.output.pdf,
        snakemake.output.png,
    )
