"""Join the tables of all studies of a run."""

import pandas as pd

from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    for inputs, output in (
        (snakemake.input.scores, snakemake.output.scores),
        (snakemake.input.summaries, snakemake.output.summary),
    ):
        write_table(pd.concat([read_table(path) for path in inputs]), output)
