"""What a table of samples holds, column by column, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from bcnmf_pipeline.plan.selection_syntax import Condition

_SHOWN, _MANY = 6, 24
# Values so named are what others are compared with.
_COMPARISON = re.compile(
    r"(^|[^a-z])(ctrl|controls?|vehicle|veh|untreated|unstim\w*|dmso|saline|pbs|mock|placebo|"
    r"healthy|normal|hc|wt|wild[ _-]?type|baseline|before|pre|none|no)([^a-z]|$)",
    re.IGNORECASE,
)
_BATCH = re.compile(
    r"(^|[^a-z])(batch(es)?|runs?|lanes?|library|libraries|plates?|pools?|chips?|"
    r"chemistry|flow[ _-]?cell|sequencer|site|cent(er|re))([^a-z]|$)",
    re.IGNORECASE,
)


def columns_text(obs: pd.DataFrame) -> str:
    """Return one line a column: how many values there are, which, and of how many samples."""
    width = max((len(str(name)) for name in obs.columns), default=0)
    lines = [f"  {name!s:<{width}}  {_values_text(obs[name])}" for name in obs.columns]
    return "\n".join(lines) or "  none"


def _values_text(column: pd.Series) -> str:
    counts = _counts(column)
    missing = int(column.isna().sum())
    if len(counts) > _MANY and pd.api.types.is_numeric_dtype(column):
        text = f"{len(counts):,} numbers from {column.min():g} to {column.max():g}"
    elif 1 < len(counts) == len(column) - missing:
        text = f"{len(counts):,} values, another one for each sample"
    else:
        text = listed(counts)
    return text + (f"; {missing:,} without a value" if missing else "")


def _counts(column: pd.Series) -> dict[str, int]:
    """Return the number of samples of each value, the most frequent first, else by name."""
    counts = column.dropna().astype(str).value_counts().sort_index()
    return dict(counts.sort_values(ascending=False, kind="stable"))


def listed(counts: Mapping[str, int]) -> str:
    """Return values with their numbers of samples, the first few."""
    shown = ", ".join(f"{name} ({n:,})" for name, n in list(counts.items())[:_SHOWN])
    more = f" and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    return (shown or "nothing") + more


def likely_batches(obs: pd.DataFrame) -> list[str]:
    """Return columns whose names say that they may hold batches, of a few values each."""
    return [
        str(name)
        for name in obs.columns
        if _BATCH.search(str(name)) and 2 <= obs[name].nunique() <= _MANY
    ]


def likely_sides(obs: pd.DataFrame) -> tuple[Condition, Condition] | None:
    """Return a target and a background as an example: what names of values suggest.

    The column with fewest values of which one is named like a control; else the first with two.
    """
    candidates = [
        (str(name), list(_counts(obs[name])))
        for name in obs.columns
        if 2 <= obs[name].nunique() <= _MANY
    ]
    candidates.sort(key=lambda one: len(one[1]))
    for name, values in candidates:
        controls = [value for value in values if _COMPARISON.search(value)]
        others = [value for value in values if value not in controls]
        if controls and others:
            return Condition(name, (others[0],)), Condition(name, (controls[0],))
    if candidates and len(candidates[0][1]) == 2:
        name, values = candidates[0]
        return Condition(name, (values[0],)), Condition(name, (values[1],))
    return None
