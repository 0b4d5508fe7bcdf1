"""Checks of parameters, features and installed libraries, with messages that say what to do."""

from __future__ import annotations

from importlib import import_module
from itertools import zip_longest
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bcnmf.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from bcnmf.matrices.base import Matrix


def check_integer(name: str, value: object, low: int) -> None:
    """Raise `InputError` unless `value` is an integer of at least `low`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < low:
        raise InputError(f"{name}={value!r} is not allowed; expected an integer of at least {low}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise `InputError` unless `value` is a finite number between `low` and `high`."""
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= float(value) <= high:
        raise InputError(f"{name}={value!r} is not allowed; expected a number in [{low}, {high}]")
    if not np.isfinite(float(value)):
        raise InputError(f"{name}={value!r} is not allowed; expected a finite number")


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise `InputError` unless `value` is one of the words that are allowed."""
    if value not in allowed:
        raise InputError(f"{name}={value!r} is not known; allowed: {', '.join(allowed)}")


def check_same_features(target: Matrix, background: Matrix) -> None:
    """Raise `InputError` unless both have the same number of features."""
    if background.shape[1] != target.shape[1]:
        raise InputError(
            f"background has {background.shape[1]} features, target has {target.shape[1]}; "
            "both need the same features in the same order"
        )


def feature_names(data: Any) -> np.ndarray | None:
    """Return the names of the features of a table or AnnData as text, None where it has none.

    Columns that are numbered 0, 1, 2, ... in this order have no names; in another they do.
    """
    if hasattr(type(data), "var_names"):
        return np.array([_text(name) for name in data.var_names], dtype=object)
    if not hasattr(data, "columns") or not hasattr(data, "to_numpy"):
        return None
    return _names(data.columns)


def sample_names(data: Any) -> np.ndarray | None:
    """Return the names of the samples of a table, a column of one or AnnData, as text; or None."""
    if hasattr(type(data), "obs_names"):
        return np.array([_text(name) for name in data.obs_names], dtype=object)
    index = getattr(data, "index", None)
    return None if index is None or callable(index) else _names(index)


def check_same_names(
    found: np.ndarray | None,
    expected: np.ndarray | None,
    name: str,
    other: str,
    what: str = "features",
) -> None:
    """Raise `InputError` unless both sides name the same features in the same order.

    A side without names is taken to be in the order of the other, unless that one numbers its
    features, from 0 on, and in another order. `what` is what to call them.
    """
    if found is None or expected is None:
        names = expected if found is None else found
        if names is None or set(names) != set(_numbered(names)):
            return
        found, expected = (_numbered(names) if side is None else side for side in (found, expected))
    if np.array_equal(found, expected):
        return
    here, there = set(found), set(expected)
    missing = [feature for feature in expected if feature not in here]
    more = [feature for feature in found if feature not in there]
    if missing or more:
        faults = [
            f"{len(names)} {lack}, for instance {', '.join(names[:3])}"
            for names, lack in ((missing, "are missing"), (more, f"are not in {other}"))
            if names
        ]
    else:
        at = next(i for i, (a, b) in enumerate(zip_longest(found, expected)) if a != b)
        pair = [side[at] if at < len(side) else None for side in (found, expected)]
        faults = [
            f"the same {what} stand in another order, or repeat: the first that differs, number "
            f"{at} counted from 0, is {pair[0]!r} in place of {pair[1]!r}"
        ]
    remedy = (
        "Subset and order them alike: data = data[:, names] of an AnnData, data[names] of a table"
        if what == "features"
        else "Order them alike: values = values.loc[names], or pass an array in their order"
    )
    raise InputError(
        f"{name} has {len(found)} {what}, {other} {len(expected)}: {'; '.join(faults)}. {remedy}"
    )


def _names(index: Any) -> np.ndarray | None:
    labels = list(index)
    names = np.array([_text(label) for label in labels], dtype=object)
    numbered = not any(isinstance(label, str) for label in labels)
    return None if numbered and np.array_equal(names, _numbered(names)) else names


def _numbered(names: np.ndarray) -> np.ndarray:
    return np.array([str(number) for number in range(len(names))], dtype=object)


def _text(name: Any) -> str:
    """Return a name as text, as AnnData and files keep it; of several levels, with colons."""
    if isinstance(name, bytes):
        return name.decode(errors="replace")
    return ":".join(map(_text, name)) if isinstance(name, tuple) else str(name)


def import_extra(module: str) -> Any:
    """Import a library that only some functions need.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs {error.name}, which is not installed; "
            "pip install 'bcnmf[anndata]' brings it"
        ) from error
