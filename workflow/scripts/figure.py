"""Draw a figure from tables alone."""

import importlib
import json
from pathlib import Path

import pandas as pd

from bcnmf_pipeline.figures.style import save
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table


def read(name, paths):
    """Return a table, those of several studies as one, or an entry of a record."""
    if isinstance(paths, str):
        return (
            json.loads(Path(paths).read_text())[name]
            if paths.endswith(".json")
            else read_table(paths)
        )
    return pd.concat([read_table(path) for path in paths])


with logged(snakemake):
    name = snakemake.params.plot
    plot = getattr(importlib.import_module(f"bcnmf_pipeline.figures.{name}"), f"plot_{name}")
    tables = {table: read(table, paths) for table, paths in snakemake.input.items()}
    figure = plot(**tables, **snakemake.params.told)
    save(figure, snakemake.output.pdf, snakemake.output.png)
