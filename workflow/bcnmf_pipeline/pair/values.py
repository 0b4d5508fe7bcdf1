"""Values of target and background: checked, brought to logs, their most variable features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from bcnmf.errors import InputError
from bcnmf.matrices.inputs import check_non_negative, host_array

PER = 1e4  # Counts are fitted as log1p of counts per this many.
# 2**50 counts: no logarithm of counts, to whatever base, is above.
LARGEST_LOG = 50.0
# Stored values are looked at in blocks of this size, so that checks need no memory of theirs.
_BLOCK = 2**22

Values: TypeAlias = Any  # ndarray or csr_matrix; scipy has no types


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
        Leave `counts` as they are; else sparse ones are overwritten.
    """
    totals = totals_of(counts) if totals is None else totals
    scale = (PER / totals).astype(counts.dtype)
    if sp.issparse(counts):
        scaled = counts.copy() if copy else counts
        scaled.data *= np.repeat(scale, np.diff(counts.indptr))
        np.log1p(scaled.data, out=scaled.data)
        return scaled
    scaled = counts * scale[:, None]
    return np.log1p(scaled, out=scaled)


@dataclass
class Side:
    """Target or background: which rows of the data, and their values."""

    name: str
    rows: np.ndarray
    values: Values
    totals: np.ndarray | None = None


def side_of(data: AnnData, name: str, mask: np.ndarray, where: str, other: str = "") -> Side:
    """Return the values of the selected rows, as float32, without stored zeros.

    `other` says where else in the file values stand.
    """
    if data.X is None:
        raise InputError(f"{where}, column dataset: the data have no matrix X; {other or 'set it'}")
    values = checked(data.X[mask], name, where, other)
    return Side(name, np.flatnonzero(mask), values)


def checked(values: Values, name: str, where: str, other: str = "") -> Values:
    """Return values of a side as float32, finite and non-negative, without stored zeros."""
    values = host_array(values, f"{where}, {name}")
    try:
        check_non_negative(values, f"{where}, {name}", "float32")
    except InputError as error:
        raise InputError(". ".join(filter(None, [str(error), other]))) from error
    values = values.astype(np.float32, copy=False)
    if sp.issparse(values):
        values.eliminate_zeros()
    return values


def kind_of_values(
    sides: Sequence[Values], declared: str, is_image: bool, where: str, other: str = ""
) -> str:
    """Return what the values of target and background are: "counts", "log" or "raw".

    Parameters
    ----------
    sides : sequence of ndarray or CSR
        Target and background, as `checked` returns them.
    declared : str
        The same words, which the values must not belie; "" or "auto" to be told by the values:
        whole numbers are counts, others logs as far as counts can have such, all else (and images)
        is fitted as it is.
    """
    if declared in ("", "auto"):
        stored = [_stored(values) for values in sides]
        if is_image:
            return "raw"
        if not any(map(_n_fractional, stored)):
            return "counts"
        largest = max(float(one.max(initial=0.0)) for one in stored)
        declared = "log" if largest <= LARGEST_LOG else "raw"
    for values, name in zip(sides, ("target", "background"), strict=True):
        if declared == "counts":
            _check_counts(values, name, where, other)
        if declared == "log":
            _check_logs(values, name, where)
    return declared


def odd_values(sides: Sequence[Values], kind: str, is_image: bool) -> list[str]:
    """Return a remark where values are fitted as they are that look like counts or the like."""
    stored = [_stored(values) for values in sides]
    if kind != "raw" or is_image:
        return []
    if not any(map(_n_fractional, stored)):
        return [
            "all values are whole numbers, but are fitted as they are (values: raw): large samples "
            "then outweigh others. If they are counts, set `values` to counts"
        ]
    largest = max(float(one.max(initial=0.0)) for one in stored)
    if largest <= LARGEST_LOG:
        return []
    return [
        f"values go up to {largest:.6g} with fractions, so they are neither counts nor logs, and "
        "are fitted as they are (values: raw). If they are normalised counts (TPM, CPM), name a "
        "layer of counts in column layer, or store numpy.log1p of them and set `values` to log"
    ]


def _check_counts(values: Values, name: str, where: str, other: str) -> None:
    stored = _stored(values)
    fractional = _n_fractional(stored)
    if fractional:
        example = next(
            block[np.rint(block) != block][0] for block in _blocks(stored) if _n_fractional(block)
        )
        raise InputError(
            f"{where}, column values: counts, but {fractional} of {stored.size} stored values of "
            f"the {name} are not whole numbers (the first: {example:.6g}; the largest: "
            f"{stored.max():.6g}). If they are log values, set `values` to log; if something else, "
            f"to raw; estimated counts can be rounded.{' ' + other if other else ''}"
        )


def _check_logs(values: Values, name: str, where: str) -> None:
    stored = _stored(values)
    largest = float(stored.max(initial=0.0))
    found = ""
    if largest > 0 and not _n_fractional(stored):
        found = f"all {stored.size} stored values of the {name} are whole numbers, up to"
    elif largest > LARGEST_LOG:
        found = f"no logarithm of counts is as large as the largest value of the {name},"
    if found:
        raise InputError(
            f"{where}, column values: log, but {found} {largest:.6g}: they look like counts. Set "
            "`values` to counts, or to raw to fit them as they are"
        )


def _stored(values: Values) -> np.ndarray:
    return np.asarray(values.data if sp.issparse(values) else values.reshape(-1))


def _blocks(stored: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, stored.size, _BLOCK):
        yield stored[start : start + _BLOCK]


def _n_fractional(stored: np.ndarray) -> int:
    return sum(int((np.rint(block) != block).sum()) for block in _blocks(stored))


def not_zero(values: Values, axis: int) -> np.ndarray:
    """Return which columns (axis 0) or rows (axis 1) hold anything; no zeros are stored."""
    if not sp.issparse(values):
        return np.asarray(values.max(axis=axis) > 0)
    if axis == 1:
        return np.asarray(np.diff(values.indptr) > 0)
    return np.bincount(values.indices, minlength=values.shape[1]) > 0


def top_features(sides: list[Values], n_top: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n_top` most variable features of both sides together, and all dispersions."""
    # Imported here: it takes seconds, which a start of Snakemake should not wait for.
    from bcnmf.compiled_cache import optional_cache

    with optional_cache():
        import scanpy as sc

    stacked = sp.vstack(sides, format="csr") if sp.issparse(sides[0]) else np.vstack(sides)
    if kind == "counts":
        stacked = log_per_10k(stacked, copy=False)
    elif kind == "raw":
        stacked = np.log1p(stacked)  # scanpy takes the exponential first, which undoes this
    table = sc.pp.highly_variable_genes(AnnData(stacked), flavor="seurat", inplace=False)
    # Not by scanpy's n_top_genes, which keeps more at a tie and fails where nothing varies.
    dispersions = table["dispersions_norm"].fillna(-np.inf).to_numpy()
    return np.argsort(-dispersions, kind="stable")[:n_top], dispersions
