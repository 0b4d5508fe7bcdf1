"""What is known of the target's samples besides the label."""

from bcnmf.files import read_h5ad
from bcnmf_pipeline.evaluate.annotations import annotations
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import write_table

with logged(snakemake):
    params = snakemake.params
    table = annotations(read_h5ad(snakemake.input.target), params.columns, params.where)
    write_table(table, snakemake.output[0])
