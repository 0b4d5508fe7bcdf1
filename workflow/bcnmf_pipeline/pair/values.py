"""Values of target and background: checked, told what they are, brought to logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import check_non_negative, host_array
from bcnmf_pipeline.pair.blocks import Values

PER = 1e4  # Counts are fitted as log1p of counts per this many.
# 2**50 counts: no logarithm of counts, to whatever base, is above.
LARGEST_LOG = 50.0
# Rows that are scaled at once.
_ROWS = 1024


def totals_of(counts: Values) -> np.ndarray:
    """Return the sum of each sample."""
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def log_per_10k(counts: Values, totals: np.ndarray | None = None, copy: bool = True) -> Values:
    """Return the natural log of 1 + counts per 10,000 of each sample, sparse if `counts` are.

    Parameters
    ----------
    counts : ndarray or CSR of float, shape (samples, features)
    totals : ndarray of float, shape (samples,), optional
        Of what the counts are parts, above zero; their own sums if not given.
    copy : bool
        Leave `counts` as they are; else they are overwritten.
    """
    totals = totals_of(counts) if totals is None else totals
    scale = (PER / totals).astype(counts.dtype)
    scaled = counts.copy() if copy else counts
    # Some rows at a time: scales of all values would take as much as the values.
    for start in range(0, len(scale), _ROWS):
        rows = slice(start, start + _ROWS)
        if sp.issparse(scaled):
            pointer = scaled.indptr[start : start + _ROWS + 1]
            part = scaled.data[pointer[0] : pointer[-1]]
            part *= np.repeat(scale[rows], np.diff(pointer))
        else:
            part = scaled[rows]
            part *= scale[rows, None]
        np.log1p(part, out=part)
    return scaled


@dataclass
class Found:
    """What the values of a side are, told block by block.

    Attributes
    ----------
    stored, fractional : int
        Values in all, zeros of sparse ones not counted, and those that are not whole.
    example : float
        The first that is not whole.
    largest : float
    """

    stored: int = 0
    fractional: int = 0
    example: float = float("nan")
    largest: float = 0.0

    def add(self, values: Values) -> Found:
        """Look at some more values, without stored zeros."""
        stored = np.asarray(values.data if sp.issparse(values) else values.reshape(-1))
        broken = np.rint(stored) != stored
        if not self.fractional and broken.any():
            self.example = float(stored[broken.argmax()])
        self.stored += stored.size
        self.fractional += int(broken.sum())
        self.largest = max(self.largest, float(stored.max(initial=0.0)))
        return self


def checked(values: Values, name: str, where: str, other: str = "") -> Values:
    """Return values of a side as float32, finite and non-negative, without stored zeros."""
    values = host_array(values, f"{where}, {name}")
    with saying(other):
        check_non_negative(values, f"{where}, {name}", "float32")
    return plain(values)


@contextmanager
def saying(other: str) -> Iterator[None]:
    """Add to an error where else values stand."""
    try:
        yield
    except InputError as error:
        raise InputError(". ".join(filter(None, [str(error), other]))) from error


def plain(values: Values) -> Values:
    """Return values as float32, without stored zeros; sparse ones may be overwritten."""
    values = values.astype(np.float32, copy=False)
    if sp.issparse(values):
        values.eliminate_zeros()
    return values


def above_zero(values: Values, axis: int) -> np.ndarray:
    """Return how many values each column (axis 0) or row (axis 1) holds; no zeros are stored."""
    if not sp.issparse(values):
        return np.asarray(np.count_nonzero(values, axis=axis))
    if axis == 1:
        return np.asarray(np.diff(values.indptr))
    return np.bincount(values.indices, minlength=values.shape[1])


def kind_of_values(
    sides: Sequence[Found], declared: str, is_image: bool, where: str, other: str = ""
) -> str:
    """Return what the values of target and background are: "counts", "log" or "raw".

    Parameters
    ----------
    sides : sequence of Found
        Of target and background.
    declared : str
        The same words, which the values must not belie; "" or "auto" to be told by the values:
        whole numbers are counts, others logs as far as counts can have such, all else (and images)
        is fitted as it is.
    """
    if declared in ("", "auto"):
        if is_image:
            return "raw"
        if not any(found.fractional for found in sides):
            return "counts"
        declared = "log" if max(found.largest for found in sides) <= LARGEST_LOG else "raw"
    for found, name in zip(sides, ("target", "background"), strict=True):
        if declared == "counts":
            _check_counts(found, name, where, other)
        if declared == "log":
            _check_logs(found, name, where)
    return declared


def odd_values(sides: Sequence[Found], kind: str, is_image: bool) -> list[str]:
    """Return a remark where values are fitted as they are that look like counts or the like."""
    if kind != "raw" or is_image:
        return []
    if not any(found.fractional for found in sides):
        return [
            "all values are whole numbers, but are fitted as they are (values: raw): large samples "
            "then outweigh others. If they are counts, set `values` to counts"
        ]
    largest = max(found.largest for found in sides)
    if largest <= LARGEST_LOG:
        return []
    return [
        f"values go up to {largest:.6g} with fractions, so they are neither counts nor logs, and "
        "are fitted as they are (values: raw). If they are normalised counts (TPM, CPM), name a "
        "layer of counts in column layer, or store numpy.log1p of them and set `values` to log"
    ]


def _check_counts(found: Found, name: str, where: str, other: str) -> None:
    if found.fractional:
        raise InputError(
            f"{where}, column values: counts, but {found.fractional} of {found.stored} stored "
            f"values of the {name} are not whole numbers (the first: {found.example:.6g}; the "
            f"largest: {found.largest:.6g}). If they are log values, set `values` to log; if "
            "something else, to raw; estimated counts can be rounded."
            f"{' ' + other if other else ''}"
        )


def _check_logs(found: Found, name: str, where: str) -> None:
    said = ""
    if found.largest > 0 and not found.fractional:
        said = f"all {found.stored} stored values of the {name} are whole numbers, up to"
    elif found.largest > LARGEST_LOG:
        said = f"no logarithm of counts is as large as the largest value of the {name},"
    if said:
        raise InputError(
            f"{where}, column values: log, but {said} {found.largest:.6g}: they look like counts. "
            "Set `values` to counts, or to raw to fit them as they are"
        )


def all_zero(name: str, n_samples: int, n_features: int, where: str) -> InputError:
    """Return the error of a side in which there is nothing."""
    return InputError(
        f"{where}: all {n_samples} samples of the {name} are zero in all {n_features} features; "
        "check X of the data set, or select others"
    )
