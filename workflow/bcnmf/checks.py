"""Checks of parameters, features and installed libraries, with messages that say what to do."""

from __future__ import annotations

from importlib import import_module
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
    """Return the names of the features of a table or AnnData, None where they have none."""
    if hasattr(type(data), "var_names"):
        return np.asarray(data.var_names, dtype=object)
    columns = list(getattr(data, "columns", ()))
    named = bool(columns) and all(isinstance(name, str) for name in columns)
    return np.asarray(columns, dtype=object) if named else None


def check_same_names(
    found: np.ndarray | None, expected: np.ndarray | None, name: str, other: str
) -> None:
    """Raise `InputError` if both sides name their features, but not alike in the same order."""
    if found is None or expected is None or np.array_equal(found, expected):
        return
    present = set(found)
    missing = [str(feature) for feature in expected if feature not in present]
    detail = (
        f"{len(missing)} are missing, for instance {', '.join(missing[:3])}"
        if missing
        else "the same features stand in another order, or there are more"
    )
    raise InputError(
        f"{name} has {len(found)} features, {other} {len(expected)}: {detail}. "
        f"Subset and order them alike: data = data[:, names]"
    )


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
            f"this needs {module}, which is not installed; pip install 'bcnmf[anndata]' brings it"
        ) from error
