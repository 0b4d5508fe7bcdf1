"""Counts in Matrix Market files, features x samples as 10x Genomics and GEO hand them out.

A file of gigabytes is read in one stream, and what is not wanted is dropped block by block, so that
memory holds the wanted counts and little more. `scipy.io.mmread` holds 16 bytes an entry of the
whole file, and reads 0.5 as 0 where the banner says integer.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, STREAM_FAULTS

_BLOCK = 1 << 22
_LARGEST_COUNT = 1e9
# Longer than any line about the file; more rows or columns than any study has.
_LONGEST_LINE, _LARGEST_SIDE = 1 << 16, 10**7
_BANNER = b"%%matrixmarket matrix coordinate"
_FIELDS = (b"integer", b"real")

Progress = Callable[[int, int], None]


def read_counts(
    stream: IO[bytes],
    place: str,
    samples: np.ndarray | None = None,
    features: np.ndarray | None = None,
    progress: Progress | None = None,
) -> sp.csr_matrix:
    """Read counts as samples x features.

    Parameters
    ----------
    stream : binary file
        Unpacked Matrix Market text, coordinate format, features x samples, entries in any order.
    place : str
        File and member, for errors.
    samples, features : ndarray of bool, optional
        Which columns and rows of the file to keep; all if not given.
    progress : callable, optional
        Called with entries read and entries in all, after each block.

    Returns
    -------
    scipy.sparse.csr_matrix of float32, shape (samples kept, features kept)

    Raises
    ------
    InputError
        Not such a file; another size than `samples` and `features` have; an entry outside, that is
        negative, no whole number, or repeated; more or fewer entries than stated; more wanted
        entries than there is room for.
    """
    try:
        shape, stated = _header(stream, place)
        masks = [np.ones(size, bool) if mask is None else mask
                 for mask, size in zip((features, samples), shape, strict=True)]  # fmt: skip
        for mask, size, what in zip(masks, shape, ("rows", "columns"), strict=True):
            if len(mask) != size:
                raise InputError(
                    f"{place}: has {size} {what}, but the table beside it names {len(mask)}; take "
                    "both from the same source"
                )
        return _collected(stream, place, stated, masks, progress)
    except STREAM_FAULTS as error:
        raise InputError(f"{place}: damaged or cut short ({error}); {AGAIN}") from error
    except MemoryError as error:
        raise InputError(
            f"{place}: states {stated} entries, for which this machine has no room ({error})"
        ) from error


def _collected(
    stream: IO[bytes],
    place: str,
    stated: int,
    masks: list[np.ndarray],
    progress: Progress | None,
) -> sp.csr_matrix:
    shape = (np.count_nonzero(masks[1]), np.count_nonzero(masks[0]))
    # Room for all that may be wanted: the system gives memory as it is written to.
    most = min(stated, int(shape[0]) * int(shape[1]))
    kept = [np.empty(most, kind) for kind in (np.int32, np.int32, np.float32)]
    new_feature, new_sample = (np.cumsum(mask, dtype=np.int32) - 1 for mask in masks)
    seen = stored = repeated = 0
    for block in _blocks(stream, place):
        feature, sample, count = _parse(block, place, (len(masks[0]), len(masks[1])))
        seen += len(count)
        if seen > stated:
            raise InputError(
                f"{place}: holds more entries than the {stated} that its header states; {AGAIN}"
            )
        wanted = np.flatnonzero(masks[0][feature] & masks[1][sample] & (count > 0))
        repeated = max(0, stored + len(wanted) - most)  # more than there are places
        if repeated:
            break
        new = slice(stored, stored := stored + len(wanted))
        found = new_sample[sample[wanted]], new_feature[feature[wanted]], count[wanted]
        for whole, part in zip(kept, found, strict=True):
            whole[new] = part
        if progress is not None:
            progress(seen, stated)
    if seen != stated and not repeated:
        raise InputError(f"{place}: holds {seen} entries, its header states {stated}; {AGAIN}")
    sample, feature, count = (whole[:stored] for whole in kept)
    counts = sp.coo_matrix((count, (sample, feature)), shape=shape).tocsr()
    repeated += stored - counts.nnz  # those that were added up
    if repeated:
        raise InputError(
            f"{place}: {repeated} entries stand more than once for the same row and column; {AGAIN}"
        )
    return counts


def _header(stream: IO[bytes], place: str) -> tuple[tuple[int, int], int]:
    banner = stream.readline(_LONGEST_LINE).lower()
    words = banner.split()
    if not banner.startswith(_BANNER) or len(words) != 5 or words[3] not in _FIELDS:
        raise InputError(
            f"{place}: begins with {banner[:60]!r}; expected a Matrix Market file, "
            "'%%MatrixMarket matrix coordinate integer general'"
        )
    if words[4] != b"general":
        raise InputError(f"{place}: is {words[4].decode()}; expected a general matrix")
    line = stream.readline(_LONGEST_LINE)
    while line.startswith(b"%") or (line and not line.strip()):
        line = stream.readline(_LONGEST_LINE)
    try:
        rows, columns, entries = map(int, line.split())
    except ValueError as error:
        raise InputError(
            f"{place}: its size is given as {line[:60]!r}; expected rows, columns and entries"
        ) from error
    sides_fit = min(rows, columns) >= 0 and max(rows, columns) <= _LARGEST_SIDE
    if not sides_fit or not 0 <= entries <= rows * columns:
        raise InputError(
            f"{place}: its size is given as {rows} x {columns} with {entries} entries, which no "
            f"matrix of counts has; {AGAIN}"
        )
    return (rows, columns), entries


def _blocks(stream: IO[bytes], place: str) -> Iterator[bytes]:
    """Yield whole lines, many at a time."""
    while block := stream.read(_BLOCK):
        rest = stream.readline(_LONGEST_LINE + 1)
        if len(rest) > _LONGEST_LINE:
            raise InputError(f"{place}: a line of more than {_LONGEST_LINE} bytes; {AGAIN}")
        if (block := block + rest).strip():
            yield block


def _parse(
    block: bytes, place: str, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features and samples, from 0, and counts of some lines."""
    try:
        table = pd.read_csv(
            io.BytesIO(block), sep=r"\s+" if b"\t" in block[:200] else " ", header=None,
            names=["feature", "sample", "count"], engine="c",
            dtype={"feature": np.int64, "sample": np.int64, "count": np.float64},
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(
            f"{place}: a line that is not 'row column count' ({error}); {AGAIN}"
        ) from error
    if not isinstance(table.index, pd.RangeIndex):  # what pandas makes of further fields
        raise InputError(f"{place}: lines with more than 'row column count'; {AGAIN}")
    feature, sample = table["feature"].to_numpy() - 1, table["sample"].to_numpy() - 1
    count = table["count"].to_numpy()
    outside = (feature < 0) | (feature >= shape[0]) | (sample < 0) | (sample >= shape[1])
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{place}: an entry at row {feature[at] + 1}, column {sample[at] + 1}, of "
            f"{shape[0]} x {shape[1]}; {AGAIN}"
        )
    wrong = ~((count >= 0) & (count <= _LARGEST_COUNT) & (count == np.floor(count)))
    if wrong.any():
        raise InputError(
            f"{place}: {int(wrong.sum())} entries are no counts, for instance "
            f"{count[wrong][0]:g}; expected whole numbers of at least 0, not normalised values"
        )
    return feature, sample, count.astype(np.float32)
