"""Join tables of enrichment: of the methods of a study, or of all studies."""

import pandas as pd

from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    for name, path in snakemake.output.items():
        tables = [read_table(one) for one in snakemake.input[name]]
        # Tables without a row would turn whole numbers of the others into floats.
        filled = [table for table in tables if len(table)] or tables[:1]
        write_table(pd.concat(filled, ignore_index=True), path)
