"""What is known of the target's samples besides the label."""

from bcnmf.annotations import annotations
from bcnmf.io import read_h5ad, write_table
from bcnmf.job import logged

with logged(snakemake):
    params = snakemake.params
    table = annotations(read_h5ad(snakemake.input.target), params.columns, params.where)
    write_table(table, snakemake.output[0])
