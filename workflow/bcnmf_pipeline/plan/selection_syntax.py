"""Selection of samples by conditions such as ``Behavior=S/C;Treatment=Saline``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bcnmf.errors import InputError

# As a value: any, so that samples without one are left out.
ANY = "*"
_SHOWN = 20
_SYNTAX = (
    "expected column=value, column=value1,value2 or column!=value, joined by ; "
    "(a backslash before a comma, semicolon or equals sign that belongs to a name)"
)


@dataclass(frozen=True)
class Condition:
    """One condition on the samples.

    Attributes
    ----------
    column : str
        Column of obs.
    values : tuple of str
        Any of these values (`ANY`: any at all); the same values of a numeric column whatever way
        they are written.
    negated : bool
        None of the values instead of any.
    """

    column: str
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        values = ",".join(_escape(value) for value in self.values)
        return f"{_escape(self.column)}{'!=' if self.negated else '='}{values}"


def parse_selection(text: str, where: str) -> list[Condition]:
    """Read a selection.

    Parameters
    ----------
    text : str
        ``column=value[,value...]`` or ``column!=value[,value...]``, joined by ``;``; ``column=*``
        for all that have a value. Spaces around names do not count. A backslash makes the next
        comma, semicolon, equals sign, exclamation mark or backslash part of a name.
    where : str
        What to call the text in errors, for instance "config/studies.tsv, study mouse, column
        target".

    Returns
    -------
    list of Condition
        All of them must hold.

    Raises
    ------
    InputError
        The text is not of that form.
    """
    return [_condition(part, text, where) for part in _split(text, ";")]


def parse_names(text: str) -> list[str]:
    """Return names, such as those of columns, that commas separate; escapes as in selections."""
    return [name for name in map(_name, _split(text, ",")) if name]


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


def _condition(part: str, text: str, where: str) -> Condition:
    sides = _split(part, "=")
    if len(sides) != 2:
        found = f"{part.strip()!r} in {text!r}" if part.strip() != text.strip() else repr(text)
        raise InputError(f"{where}: cannot read {found}; {_SYNTAX}")
    # In "column!=" the last exclamation mark stands free and nothing follows it.
    head = _split(sides[0], "!")
    negated = len(head) > 1 and not head[-1].strip()
    column = _name("!".join(head[:-1]) if negated else sides[0])
    values = tuple(_name(value) for value in _split(sides[1], ","))
    if not column or "" in values:
        empty = "the column" if not column else "a value"
        raise InputError(f"{where}: {empty} is empty in {part.strip()!r}; {_SYNTAX}")
    return Condition(column, values, negated)


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
        matches = np.array([str(level) == value for level in levels], dtype=bool)
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


def _split(text: str, separator: str) -> list[str]:
    """Split at separators without a backslash before them; escapes stay as they are."""
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


_SPECIAL = ",;=!\\"


def _name(text: str) -> str:
    """Strip spaces and resolve escapes; a backslash before any other character is itself."""
    text = text.strip()
    name, at = "", 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] and text[at + 1] in _SPECIAL:
            at += 1
        name += text[at]
        at += 1
    return name


def _escape(name: str) -> str:
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in name)
