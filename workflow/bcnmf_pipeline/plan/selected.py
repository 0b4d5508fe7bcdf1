"""Samples that fulfil the conditions of a selection, among those of a file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.selection_syntax import ANY, Condition

_SHOWN = 20


def select(obs: pd.DataFrame, conditions: Sequence[Condition], where: str) -> np.ndarray:
    """Return which samples fulfil all conditions.

    Parameters
    ----------
    obs : DataFrame
        One row a sample.
    conditions : sequence of Condition
        See `parse_selection`. A missing value fulfils none, a negated one neither.
    where : str
        As for `parse_selection`.

    Returns
    -------
    ndarray of bool, shape (n_samples,)

    Raises
    ------
    InputError
        A column or a value that is not there (in a negated condition too), or no sample is left.
    """
    mask = np.ones(len(obs), dtype=bool)
    for position, condition in enumerate(conditions):
        before = int(mask.sum())
        mask &= _fulfilled(obs, condition, where)
        if not mask.any():
            earlier = ";".join(map(str, conditions[:position])) or "the file"
            raise InputError(
                f"{where}: no sample is selected: {earlier} has {before} samples, of which "
                f"{condition} leaves none; change or drop that condition"
            )
    return mask


def column_of(obs: pd.DataFrame, name: str, where: str) -> pd.Series:
    """Return a column of obs.

    Raises
    ------
    InputError
        There is none of that name; lists those that there are.
    """
    if name not in obs.columns:
        raise InputError(
            f"{where}: the data have no column {name!r}{_nearest(name, obs.columns)}; "
            f"columns: {_listed(obs.columns)}"
        )
    return obs[name]


def _fulfilled(obs: pd.DataFrame, condition: Condition, where: str) -> np.ndarray:
    column = column_of(obs, condition.column, where)
    codes, levels = pd.factorize(column)
    if condition.values == (ANY,) and not condition.negated:
        return np.asarray(codes >= 0)
    levels = pd.Index(list(levels))  # of the values' own type, where they are categories
    wanted = [_level(levels, value, condition.column, where) for value in condition.values]
    found = np.isin(codes, wanted)
    return ~found & (codes >= 0) if condition.negated else found


def _level(levels: pd.Index, value: str, column: str, where: str) -> int:
    """Return the number of a value among the different values of a column."""
    if pd.api.types.is_numeric_dtype(levels) and not pd.api.types.is_bool_dtype(levels):
        try:
            matches = np.asarray(levels, dtype=float) == float(value)
        except ValueError:
            matches = np.zeros(len(levels), dtype=bool)
    else:
        # Excel and R write TRUE.
        same = str.lower if pd.api.types.is_bool_dtype(levels) else str
        matches = np.array([same(str(level)) == same(value) for level in levels], dtype=bool)
    if not matches.any():
        texts = sorted(str(level) for level in levels)
        raise InputError(
            f"{where}: column {column!r} holds no {value!r}{_nearest(value, texts)}; "
            f"its values: {_listed(texts)}"
        )
    return int(np.flatnonzero(matches)[0])


def _nearest(name: str, known: Sequence[Any]) -> str:
    close = difflib.get_close_matches(name, [str(one) for one in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:_SHOWN])
    if len(names) > _SHOWN:
        return f"{shown} and {len(names) - _SHOWN} more"
    return shown or "none"
