"""Checks of parameters that several estimators share."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from bcnmf.errors import InputError

if TYPE_CHECKING:
    from bcnmf.matrices.base import Matrix


def check_integer(name: str, value: object, low: int) -> None:
    """Raise `InputError` unless `value` is an integer of at least `low`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise InputError(f"{name}={value!r} is not allowed; expected an integer of at least {low}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise `InputError` unless `value` is a finite number between `low` and `high`."""
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name}={value!r} is not allowed; expected a number in [{low}, {high}]")
    if not np.isfinite(value):
        raise InputError(f"{name}={value!r} is not allowed; expected a finite number")


def check_same_features(target: Matrix, background: Matrix) -> None:
    """Raise `InputError` unless both have the same number of features."""
    if background.shape[1] != target.shape[1]:
        raise InputError(
            f"background has {background.shape[1]} features, target has {target.shape[1]}; "
            "both need the same features in the same order"
        )
