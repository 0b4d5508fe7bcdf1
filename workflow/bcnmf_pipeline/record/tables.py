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
    """Read a table written by `write_table`; an empty cell of a .tsv is a missing value."""
    path = Path(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    try:
        return pd.read_csv(path, sep="\t")
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path}: the table is empty; expected tab-separated columns") from error


def write_json(content: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
