"""Values of target and background: checked, brought to logs, their most variable features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import Faults, check_non_negative, host_array
from bcnmf_pipeline.pair.blocks import Values, blocks_of, stacked

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


class Side:
    """Target or background: which rows of the data, and what is known of their values.

    Attributes
    ----------
    name : str
    rows : ndarray of int
        Of the data, those left out taken away.
    found : Found
    in_rows, in_columns : ndarray of int
        How many values above zero there are in each of the rows and features.
    values : ndarray or CSR of float32
        Of the features that were taken; not there before `take`.
    totals : ndarray of float or None
        Of each row, where they are to be scaled by another sum than that of their values.
    """

    values: Values = None
    totals: np.ndarray | None = None

    def __init__(
        self, matrix: Any, name: str, mask: np.ndarray, where: str, other: str = ""
    ) -> None:
        """Look at the values of the samples of a mask; `other` says where else values stand.

        Raises
        ------
        InputError
            They are no numbers, NaN, infinite or negative.
        """
        self.name, self.rows, self.found = name, np.flatnonzero(mask), Found()
        self._matrix, self._place = matrix, f"{where}, {name}"
        features = matrix.shape[1]
        if not features:
            check_non_negative(np.empty((len(self.rows), 0)), self._place)
        faults = Faults("float32")
        in_rows, self.in_columns = [], np.zeros(features, dtype=np.int64)
        for block in blocks_of(matrix, self.rows):
            block = host_array(block, self._place)
            if not faults.count(block.data if sp.issparse(block) else block):
                continue
            block = _plain(block)
            self.found.add(block)
            in_rows.append(_above_zero(block, 1))
            self.in_columns += _above_zero(block, 0)
        with _saying(other):
            faults.check(self._place)
        self.in_rows = np.concatenate(in_rows)

    def keep(self, kept: np.ndarray) -> None:
        """Leave out some of the rows."""
        self.rows, self.in_rows = self.rows[kept], self.in_rows[kept]

    def blocks(self) -> Iterator[Values]:
        """Yield the values of all features as float32, without stored zeros; some rows at a time."""
        for block in blocks_of(self._matrix, self.rows):
            yield _plain(host_array(block, self._place))

    def take(self, features: np.ndarray, keep_totals: bool) -> None:
        """Read the values of some features, of the rows that hold any of them.

        `in_rows` becomes their number of the rows that were there before. `keep_totals` scales by
        the sum of all features.
        """
        counts, totals = [], []

        def parts() -> Iterator[Values]:
            for block in self.blocks():
                part = block if len(features) == block.shape[1] else block[:, features]
                counts.append(_above_zero(part, 1))
                kept = counts[-1] > 0
                if keep_totals:
                    totals.append(totals_of(block)[kept])
                yield part if kept.all() else part[kept]

        stored = int(self.in_columns[features].sum())
        self.values = stacked(parts(), len(self.rows), len(features), stored, self._place)
        self.totals = np.concatenate(totals) if keep_totals else None
        self.in_rows, self.in_columns = np.concatenate(counts), self.in_columns[features]


def checked(values: Values, name: str, where: str, other: str = "") -> Values:
    """Return values of a side as float32, finite and non-negative, without stored zeros."""
    values = host_array(values, f"{where}, {name}")
    with _saying(other):
        check_non_negative(values, f"{where}, {name}", "float32")
    return _plain(values)


@contextmanager
def _saying(other: str) -> Iterator[None]:
    """Add to an error where else values stand."""
    try:
        yield
    except InputError as error:
        raise InputError(". ".join(filter(None, [str(error), other]))) from error


def _plain(values: Values) -> Values:
    values = values.astype(np.float32, copy=False)
    if sp.issparse(values):
        values.eliminate_zeros()
    return values


def _above_zero(values: Values, axis: int) -> np.ndarray:
    """Return how many values each column (axis 0) or row (axis 1) holds; no zeros are stored."""
    if not sp.issparse(values):
        return np.count_nonzero(values, axis=axis)
    if axis == 1:
        return np.diff(values.indptr)
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
            f"something else, to raw; estimated counts can be rounded.{' ' + other if other else ''}"
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


def top_features(
    sides: Sequence[Side], features: np.ndarray, n_top: int, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n_top` most variable of some features in both sides together, and dispersions.

    Dispersions are those of `scanpy.pp.highly_variable_genes`, flavour "seurat", to the last digit
    of what it computes on one thread. They take no more of the data than a block at a time.
    """
    mean, variance = (one[features] for one in _moments(sides, kind))
    mean[mean == 0] = 1e-12
    dispersion = variance / mean
    dispersion[dispersion == 0] = np.nan
    with np.errstate(invalid="ignore"):
        dispersion = pd.Series(np.log(dispersion))
    bins = pd.cut(pd.Series(np.log1p(mean)), bins=20)
    of_bin = dispersion.groupby(bins, observed=True).agg(["mean", "std"])
    alone = of_bin["std"].isna()  # One feature in its bin: its dispersion counts as 1.
    of_bin.loc[alone, "std"] = of_bin.loc[alone, "mean"]
    of_bin.loc[alone, "mean"] = 0
    of_bin = of_bin.loc[bins].set_index(dispersion.index)
    dispersions = (dispersion - of_bin["mean"]) / of_bin["std"]
    dispersions = dispersions.fillna(-np.inf).to_numpy()
    return np.argsort(-dispersions, kind="stable")[:n_top], dispersions


def _moments(sides: Sequence[Side], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each feature, of counts per 10,000 or of exp(x) - 1."""
    n, sums = 0, np.zeros((2, len(sides[0].in_columns)))
    for block in (block for side in sides for block in side.blocks()):
        n += block.shape[0]
        if kind == "counts":
            block = log_per_10k(block, copy=False)
        elif kind == "raw":
            block = np.log1p(block)  # And back: of all kinds, what has the rounding of logs.
        block = np.expm1(block)
        values = block.data if sp.issparse(block) else block
        for total, one in zip(sums, (values, values * values), strict=True):
            # Added one by one in the order of the samples, so that blocks change no digit.
            if sp.issparse(block):
                np.add.at(total, block.indices.astype(np.intp), one.astype(np.float64))
            else:
                total[:] = np.concatenate([total[None], one]).sum(axis=0)
    mean = sums[0] / n
    variance = sums[1] / n - mean**2
    if n > 1:
        variance *= n / (n - 1)
    return mean, variance
