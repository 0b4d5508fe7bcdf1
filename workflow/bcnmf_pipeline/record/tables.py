"""Tables and records on disk, whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.files import atomic_path

# Columns of names: a class "01" or a gene "NA" must not come back as a number or a missing value.
TEXT = (
    "alpha_setting", "collection", "column", "contrast", "ensembl_id", "favours", "feature",
    "group", "interval_over", "label", "leading_edge", "method", "method_label", "name", "note",
    "remark", "remedy", "representation", "sample", "score", "sentence", "source", "spread_source",
    "study", "symbol", "term", "test", "test_units", "tested", "title", "unit",
    "verdict", "why",
)  # fmt: skip


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as .tsv or .parquet, by the suffix of `path`."""
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(
                temporary, sep="\t", index=False, float_format="%.10g", lineterminator="\n"
            )


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Columns of names (`TEXT`) hold text as it was written, "" where there is none. In other columns
    of a .tsv an empty cell is a missing value.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    try:
        table = pd.read_csv(
            path, sep="\t", keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXT, str)
        )
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path}: the table is empty; expected tab-separated columns") from error
    names = [column for column in TEXT if column in table]
    return table.assign(**{column: table[column].fillna("") for column in names})


def write_json(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
