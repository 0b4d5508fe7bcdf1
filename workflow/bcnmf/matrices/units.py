"""Numbers of any size: one power of two by which both sides are divided before a fit.

Squares of numbers around 1e-20 or 1e20 are outside of float32, and solvers hold numbers, such as
floors and seeds of usages, that are small or of ordinary size beside values around one. A power of
two changes no digit. Data of ordinary size are left alone, for they would have to be copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import Values

if TYPE_CHECKING:
    from bcnmf.matrices.base import Matrix

# Binary exponents of a root mean square that is ordinary, as those of counts and pixels are; and
# within which, by bytes of a number, usages and squares in the user's units are numbers too.
_ORDINARY = 8
_WITHIN = {4: (-106, 100), 8: (-480, 480)}
# Beyond these the square of a number is none in float64.
_SQUARABLE = 400
# Where squares of what is small on one side are still numbers beside those of the other side.
_MOST_APART = 1e12
_AT_ONCE, _ROWS_AT_ONCE = 1 << 16, 1 << 10


class Size:
    """How large values are, looked at part by part: sums that neither over- nor underflow.

    Parameters
    ----------
    dtype : str
        The precision in which the values will be, as numpy calls it.

    Attributes
    ----------
    total, squares : Fraction
        Sums of the values, in that precision, and of their squares.
    filled : int
        How many are not zero.
    """

    def __init__(self, dtype: str) -> None:
        self.total, self.squares, self.filled = Fraction(0), Fraction(0), 0
        self._dtype = np.dtype(dtype)

    def add(self, values: Values) -> Size:
        """Add values (samples, features), but for those that are NaN or infinite; return self."""
        for part in _parts(values.data if sp.issparse(values) else values):
            exponent = math.frexp(float(part.max(initial=0)))[1]
            shift = exponent if abs(exponent) > _SQUARABLE else 0
            near = np.ldexp(part.astype(np.float64), -shift) if shift else part
            with np.errstate(over="ignore", invalid="ignore"):
                exact = near.astype(self._dtype, copy=False).astype(np.float64, copy=False).ravel()
                total, squares = float(exact.sum()), float(exact @ exact)
            if math.isfinite(total) and math.isfinite(squares):
                self.total += Fraction(total) * Fraction(2) ** shift
                self.squares += Fraction(squares) * Fraction(4) ** shift
                self.filled += int(np.count_nonzero(part))
        return self

    def unit(self, name: str) -> float:
        """Return a power of two near the root mean square of what is not zero, or 1 near 1.

        Raises
        ------
        InputError
            It is so large or small that results in the units of the data could not be held.
        """
        if self.squares <= 0:
            return 1.0
        mean = self.squares / self.filled
        exponent = (mean.numerator.bit_length() - mean.denominator.bit_length()) // 2
        if abs(exponent) <= _ORDINARY:
            return 1.0
        bounds = _WITHIN[self._dtype.itemsize]
        if not bounds[0] <= exponent <= bounds[1]:
            size, least, most, by = (_power_of_ten(e) for e in (exponent, *bounds, -exponent))
            more = ", or use dtype='float64'" if self._dtype.itemsize == 4 else ""
            raise InputError(
                f"{name}: values are about {size} in size; {self._dtype.name} takes {least} to "
                f"{most}, for results to be numbers in the same units; multiply target and "
                f"background by {by}{more}"
            )
        return 2.0**exponent


def number(value: Fraction) -> float:
    """Return a fraction as a float, infinity where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def divided(
    values: Values, unit: float, dtype: str, name: str, factor: np.ndarray | None = None
) -> Values:
    """Return checked values over `unit`, in the precision of the factors where that copies anyway.

    Samples are multiplied by `factor` (samples,), if there is one.

    Raises
    ------
    InputError
        Some values become zero or infinite.
    """
    stored, precision = values.data if sp.issparse(values) else values, np.dtype(dtype)
    narrowed = stored.dtype.kind == "f" and stored.dtype.itemsize > precision.itemsize
    if unit == 1 and not narrowed and factor is None:
        return values
    found = np.empty(stored.shape, precision)
    with np.errstate(over="ignore", under="ignore"):
        # In float64, without a float64 copy of all.
        for part, by in _factors(values, np.float64(1 / unit), factor):
            np.multiply(stored[part], by, out=found[part], casting="same_kind")
    lost = np.count_nonzero(stored) - np.count_nonzero(found)
    if lost or not np.isfinite(found.max(initial=0)):
        raise InputError(
            f"{name}: holds values from {stored[stored > 0].min():.3g} to {stored.max():.3g}"
            f"{_beside(unit)}, which do not go into {dtype} together; use dtype='float64', or set "
            "values to zero that are nothing beside the others"
        )
    if sp.issparse(values):
        return sp.csr_matrix((found, values.indices, values.indptr), values.shape)
    return found


def _factors(
    values: Values, by: np.float64, factor: np.ndarray | None
) -> Iterator[tuple[slice, Any]]:
    """Yield stored values, and what to multiply them by."""
    if factor is None:
        yield slice(None), by
    elif not sp.issparse(values):
        yield slice(None), by * factor[:, None]
    else:
        for start in range(0, len(factor), _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, len(factor))
            ends = values.indptr[start : stop + 1]
            yield slice(ends[0], ends[-1]), np.repeat(by * factor[start:stop], np.diff(ends))


def check_alike(target: Matrix, background: Matrix) -> None:
    """Raise `InputError` if one side is nothing beside the other in any precision."""
    ratio = math.sqrt(background.squared_norm / target.squared_norm)
    if not 1 / _MOST_APART <= ratio <= _MOST_APART:
        raise InputError(
            f"background: its norm is {ratio:.1g} of the target's, too far from it to compute with "
            f"both ({1 / _MOST_APART:g} to {_MOST_APART:g}); bring both into the same unit"
        )


def _power_of_ten(exponent: int) -> str:
    """Return about what a power of two is; as a float it may be none."""
    return f"1e{exponent * math.log10(2):+.0f}"


def _beside(unit: float) -> str:
    return "" if unit == 1 else f", beside a target of about {unit:.1g}"


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some rows at a time: a float64 copy of all would be twice their size."""
    step = max(1, _AT_ONCE // max(1, values[:1].size))
    return (values[start : start + step] for start in range(0, len(values), step))
