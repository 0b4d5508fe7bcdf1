"""Collect the scores of a study over its replicates, with what the paper reports beside them."""

import pandas as pd

from bcnmf.aggregate import collect_scores, summarise
from bcnmf.io import read_table, write_table
from bcnmf.job import logged
from bcnmf.sheets import read_sheet

with logged(snakemake):
    reported, _ = read_sheet(snakemake.input.reported)
    reported["value"] = reported["value"].astype(float)
    if not snakemake.params.as_in_paper:
        reported = reported.head(0)
    scores = collect_scores(
        [read_table(path) for path in snakemake.input.scores],
        reported,
        pd.DataFrame({"study": [snakemake.wildcards.study], "title": [snakemake.params.title]}),
    )
    labels = snakemake.params.labels
    methods = pd.DataFrame({"method": list(labels), "label": list(labels.values())})
    write_table(scores, snakemake.output.scores)
    write_table(summarise(scores, methods), snakemake.output.summary)
