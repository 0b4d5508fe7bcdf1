"""Data as users pass them, brought to numpy or CSR on the host and checked, without torch."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.matrices.containers import is_anndata as is_anndata
from bcnmf.matrices.containers import opened

# np.ndarray or scipy.sparse.csr_matrix, which has no types.
Values: TypeAlias = Any

# What scipy raises on impossible indices.
INVALID = (ValueError, IndexError, TypeError, RuntimeError, OverflowError)
# Types that scipy.sparse does not compute with, or torch does not know.
_OF_SCIPY = {"e": np.float32, "g": np.float64}
_REMEDIES = {
    "c": ". Complex data not supported: take their real part or their modulus",
    "V": ", for instance data.astype('float32'), or structured_to_unstructured(data) of "
    "numpy.lib.recfunctions where there are fields",
}
_POINTERS = ("indptr", "indices")
_MASKED = 1 << 18


def host_array(data: Any, name: str) -> Values:
    """Return the data as a two-dimensional numpy array or canonical CSR, without densifying.

    Raises
    ------
    InputError
        They are no numbers, have not two dimensions, some are masked or NA, or sparse data point
        outside themselves.
    """
    values = opened(data, name)
    if values.ndim != 2:
        raise InputError(
            f"{name}: has {values.ndim} dimensions, shape {values.shape}; "
            "expected samples x features. Reshape your data: one sample is (1, features)"
        )
    if not sp.issparse(values):
        _check_numbers(values.dtype, name)
        # Neither torch nor the compiled passes know long doubles.
        with np.errstate(over="ignore"):  # infinite ones are looked for later
            return values.astype(np.float64) if values.dtype.char == "g" else values
    try:
        return canonical(values, name)
    except InputError:
        raise
    except INVALID as error:
        raise InputError(
            f"{name}: is no valid {type(values).__name__} ({error}); make it anew from the "
            "numbers of rows and columns: scipy.sparse.csr_matrix((values, (rows, columns)), shape)"
        ) from error


def canonical(values: Any, name: str) -> sp.csr_matrix:
    """Return sparse numbers as CSR, sorted and without duplicates, after a check of all indices.

    Arrays are shared where they can be.

    Raises
    ------
    ValueError, or another of `INVALID`
        They point outside the matrix or their own arrays, which compiled code does not notice.
    """
    _check_numbers(values.dtype, name)
    kinds = {part: getattr(values, part).dtype for part in _POINTERS if hasattr(values, part)}
    if wrong := [f"{part} are {kind}" for part, kind in kinds.items() if kind.kind not in "iu"]:
        raise ValueError(f"{' and '.join(wrong)}, no integers")
    with np.errstate(over="ignore"):  # infinite values are looked for later
        if all(kind.kind == "i" for kind in kinds.values()):
            return _canonical(values)
        # Unsigned ones are fine. Filters are of all threads, so they are left alone else.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*non-integer dtype")
            return _canonical(values)


def _canonical(values: Any) -> sp.csr_matrix:
    dtype = np.dtype(_OF_SCIPY.get(values.dtype.char, values.dtype.newbyteorder("=")))
    # Integers could wrap when duplicates are added up.
    summable = np.float64 if dtype.kind in "iub" else dtype
    if values.format == "coo":
        data = values.data.astype(summable, copy=False)
        return sp.csr_matrix(sp.coo_matrix((data, (values.row, values.col)), values.shape))
    # A holder of its own: a check changes types of indices in place.
    holder: Any = getattr(sp, f"{values.format}_matrix")(values).astype(dtype, copy=False)
    if hasattr(holder, "indptr"):
        _check_indices(holder)
    if holder.format != "csr":
        holder = sp.csr_matrix(holder)
        _check_indices(holder)
    if not holder.has_canonical_format:
        holder = holder.astype(summable)
        holder.sum_duplicates()
    return holder


def _check_indices(holder: Any) -> None:
    pointer = holder.indptr
    # The check makes both of one type: a wide pointer, as in files, would double the indices.
    wide = pointer.dtype == np.int64 and holder.indices.dtype == np.int32
    if wide and pointer.min(initial=0) >= 0 and pointer.max(initial=0) <= np.iinfo(np.int32).max:
        holder.indptr = pointer.astype(np.int32)
    holder.check_format(full_check=True)
    # Which scipy leaves out where the last pointer is 0.
    if (np.diff(holder.indptr) < 0).any():
        raise ValueError("indptr must be a non-decreasing sequence")


def _check_numbers(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "fiub":
        remedy = _REMEDIES.get(dtype.kind, "")
        raise InputError(f"{name}: holds {dtype} values; expected numbers{remedy}")


def check_non_negative(values: Values, name: str, dtype: str = "float64") -> None:
    """Raise `InputError` unless all values are finite, non-negative, and there are any.

    `dtype` is the precision of the factors, in whose range they have to be.
    """
    stored = values.data if sp.issparse(values) else values
    shape = values.shape
    if 0 in shape:
        raise InputError(
            f"{name}: is empty, {shape[0]} samples x {shape[1]} features: 0 "
            f"{'feature' if shape[0] else 'sample'}(s) (shape={shape}) while a minimum of 1 is "
            "required."
        )
    faults = Faults(dtype)
    faults.count(stored)
    faults.check(name)


@dataclass
class Faults:
    """What is wrong with values that are looked at part by part.

    Attributes
    ----------
    dtype : str
        Precision of the factors.
    stored, bad, negative : int
        Values seen; those that are NaN or infinite; those below zero where none is bad.
    smallest, largest : float
        The smallest of the negative ones, and the largest of those without fault.
    """

    dtype: str = "float64"
    stored: int = 0
    bad: int = 0
    negative: int = 0
    smallest: float = math.inf
    largest: float = 0.0

    def count(self, values: np.ndarray) -> bool:
        """Add some values; return whether they are without fault."""
        self.stored += values.size
        before = self.bad + self.negative
        # A few rows at a time: a mask of all would take a quarter of their size.
        step = max(1, _MASKED // max(1, values[:1].size))
        for start in range(0, len(values), step):
            self._count(values[start : start + step])
        return self.bad + self.negative == before and self.largest <= self._range[1]

    def check(self, name: str) -> None:
        """Raise `InputError` if any value was at fault; `name` is what to call the data."""
        if self.bad:
            raise InputError(
                f"{name}: {self.bad} of {self.stored} stored values are NaN or infinite; "
                "impute or drop them before the fit"
            )
        if self.negative:
            raise InputError(
                f"{name}: {self.negative} negative values, the smallest {self.smallest:.6g}; "
                "expected non-negative values (counts, log1p of counts, intensities). Negative "
                "values in data that were scaled or centred cannot be factorised: use the values "
                "before scaling"
            )
        least, most = self._range
        if 0 < self.largest < least or self.largest > most:
            raise InputError(
                f"{name}: the largest value, {self.largest:.6g}, is beyond what {self.dtype} holds "
                f"({least:.2g} to {most:.2g}); use dtype='float64', or divide target and "
                "background by the same number"
            )

    @property
    def _range(self) -> tuple[float, float]:
        """The smallest and the largest value that the precision holds to all its digits."""
        limits = np.finfo(self.dtype)
        return float(limits.tiny), float(limits.max)

    def _count(self, part: np.ndarray) -> None:
        if part.size == 0:
            return
        smallest, largest = part.min(), part.max()
        if np.isfinite(smallest) and np.isfinite(largest):  # NaN is both, where there is any
            self.largest = max(self.largest, float(largest))
            if smallest < 0:
                self.negative += int((part < 0).sum())
                self.smallest = min(self.smallest, float(smallest))
        else:
            self.bad += part.size - int(np.isfinite(part).sum())
