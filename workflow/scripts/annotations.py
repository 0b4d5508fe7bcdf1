"""What is known of the target's samples besides the label."""

import anndata as ad

from bcnmf.annotations import annotations
from bcnmf.io import write_table
from bcnmf.job import logged

with logged(snakemake):
    params = snakemake.params
    table = annotations(ad.read_h5ad(snakemake.input.target), params.columns, params.where)
    write_table(table, snakemake.output[0])
