"""Join the tables of all studies of a run."""

import pandas as pd

from bcnmf_pipeline.evaluate.aggregate import SHARE_COLUMNS
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    for inputs, output in (
        (snakemake.input.scores, snakemake.output.scores),
        (snakemake.input.summaries, snakemake.output.summary),
        (snakemake.input.shares, snakemake.output.shares),
    ):
        # A run may have no study that is cross-fitted.
        tables = [read_table(path) for path in inputs] or [pd.DataFrame(columns=SHARE_COLUMNS)]
        # Tables without a row would turn whole numbers of the others into floats.
        filled = [table for table in tables if len(table)] or tables[:1]
        write_table(pd.concat(filled), output)
