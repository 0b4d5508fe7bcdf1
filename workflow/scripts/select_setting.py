"""Recommend a number of topics and a contrast for a study, or say why not."""

from pathlib import Path

import pandas as pd

from bcnmf.selection import summarise
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    fits = pd.concat([read_table(path) for path in snakemake.input], ignore_index=True)
    found = summarise(fits, snakemake.params.min_specificity)
    write_table(found.fits, snakemake.output.fits)
    write_table(found.summary, snakemake.output.summary)
    Path(snakemake.output.advice).write_text(f"{found.advice()}\n", encoding="utf-8")
    print(f"study {snakemake.wildcards.study}: {found.advice()}")
