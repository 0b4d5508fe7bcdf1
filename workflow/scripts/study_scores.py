"""Collect the scores of a study over its replicates, with what the paper reports beside them."""

import pandas as pd

from bcnmf_pipeline.evaluate.aggregate import collect_scores, share_scores, summarise
from bcnmf_pipeline.plan.sheets import read_sheet
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    sheet = read_sheet(snakemake.input.reported)
    reported = pd.DataFrame(sheet.rows, columns=sheet.columns, dtype=str)
    reported["value"] = reported["value"].astype(float)
    params = snakemake.params
    if not params.as_in_paper:
        reported = reported.head(0)
    tables = [read_table(path) for path in snakemake.input.scores]
    tables += [share_scores(read_table(path), params.contrasts) for path in snakemake.input.shares]
    scores = collect_scores(
        tables,
        reported,
        pd.DataFrame({"study": [snakemake.wildcards.study], "title": [params.title]}),
    )
    labels = params.labels
    methods = pd.DataFrame({"method": list(labels), "label": list(labels.values())})
    write_table(scores, snakemake.output.scores)
    write_table(summarise(scores, methods), snakemake.output.summary)
