"""Stability and specificity over numbers of topics and contrasts."""

from bcnmf.io import read_table
from bcnmf.job import logged
from bcnmf.plotting.selection import plot_selection
from bcnmf.plotting.style import save

with logged(snakemake):
    save(
        plot_selection(read_table(snakemake.input.summary)),
        snakemake.output.pdf,
        snakemake.output.png,
    )
