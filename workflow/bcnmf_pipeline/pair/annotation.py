"""Tables of samples and of features, by names as people know them."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd

from bcnmf.readers import unique_names
from bcnmf_pipeline.datasets.single_cell import unique_names as unique_symbols

# Columns of var that hold what genes are called where their names are identifiers, lower case.
SYMBOLS = (
    "feature_name", "gene_symbols", "gene_symbol", "gene_names", "gene_name", "symbols", "symbol",
    "gene_short_name", "hgnc_symbol", "external_gene_name",
)  # fmt: skip
_IDENTIFIER = re.compile(r"ENS[A-Z]*G\d+(\.\d+)?|\d+")
# Kinds of categories that an .h5ad can hold.
_LEVELS = ("string", "integer", "floating", "boolean", "empty")


def named_plainly(obs: pd.DataFrame) -> pd.DataFrame:
    """Return a table of samples as people see it: what looks alike is alike.

    Names of columns are without blanks at their ends, their accents composed (Unicode's NFC), where
    that leaves them distinct. Empty text, as R and GEO write it, is a missing value.
    """
    plain = [unicodedata.normalize("NFC", str(name)).strip() for name in obs.columns]
    if len(set(plain)) == len(plain):
        obs = obs.set_axis(plain, axis=1)
    changed = {}
    for name, column in obs.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = list(column.cat.categories)
        elif column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            levels = list(column.dropna().unique())
        else:
            continue
        blank = [one for one in levels if isinstance(one, str) and not one.strip()]
        if blank and isinstance(column.dtype, pd.CategoricalDtype):
            changed[name] = column.cat.remove_categories(blank)
        elif blank:
            changed[name] = column.mask(column.isin(blank))
    return obs.assign(**changed) if changed else obs


def with_symbols(var: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return features by symbols where they are called by identifiers, else by their own names.

    Identifiers are kept as `feature_id`. Repeated names are made unique.
    """
    names = pd.Index(var.index.astype(str).to_numpy(object))
    columns = {str(name).lower(): name for name in var.columns}
    known = next((columns[name] for name in SYMBOLS if name in columns), None)
    if known is None or not len(names) or not all(map(_IDENTIFIER.fullmatch, names[:1000])):
        unique, remarks = unique_names(names)
        return var.set_axis(unique), remarks
    own = pd.Series(names)
    symbols = pd.Series(var[known].astype(object).to_numpy())
    symbols = symbols.where(symbols.notna() & (symbols.astype(str).str.strip() != ""), own)
    found, repeated = unique_symbols(symbols.astype(str), own)
    remarks = [f"features are called as var[{str(known)!r}] has them, not {names[0]!r} and so on"]
    if repeated:
        remarks.append(f"{repeated} of these names stand more than once: identifiers were appended")
    return var.assign(feature_id=names).set_axis(found), remarks


def writable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that an .h5ad can hold: dates, intervals and mixed values as text."""
    table = table.rename(columns=str).drop(columns=["_index", ""], errors="ignore")
    for name, column in table.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            if pd.api.types.infer_dtype(column.cat.categories) not in _LEVELS:
                table[name] = column.cat.rename_categories(column.cat.categories.astype(str))
        elif column.dtype.kind not in "biuf":
            table[name] = column.astype(str).astype(object).where(column.notna(), np.nan)
    table.index.name = None
    return table
