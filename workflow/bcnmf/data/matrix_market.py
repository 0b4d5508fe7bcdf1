"""Counts in Matrix Market files, features x samples as 10x Genomics and GEO hand them out.

A file of gigabytes is read in one stream: blocks of lines become blocks of samples, and what is not
wanted is dropped on the way, so that memory holds the wanted counts and little more.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError

_BLOCK = 1 << 24
_LARGEST_COUNT = 1e9
_BANNER = b"%%matrixmarket matrix coordinate"
_AGAIN = "delete the file and fetch it again"
# What gzip, tar and zip streams raise when they are cut short or overwritten.
STREAM_FAULTS = (EOFError, OSError, zlib.error)

Progress = Callable[[int, int], None]


def read_counts(
    stream: BinaryIO,
    place: str,
    samples: np.ndarray | None = None,
    features: np.ndarray | None = None,
    progress: Progress | None = None,
) -> sp.csr_matrix:
    """Read counts as samples x features.

    Parameters
    ----------
    stream : binary file
        Unpacked Matrix Market text, coordinate format, features x samples, entries sorted by sample
        or not.
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
        negative, no whole number, or repeated; more or fewer entries than stated.
    """
    try:
        shape, stated = _header(stream, place)
        for mask, size, what in ((features, shape[0], "rows"), (samples, shape[1], "columns")):
            if mask is not None and len(mask) != size:
                raise InputError(
                    f"{place}: has {size} {what}, but the table beside it names {len(mask)}; take "
                    "both from the same source"
                )
        return _collected(stream, place, shape, stated, (features, samples), progress)
    except STREAM_FAULTS as error:
        raise InputError(f"{place}: damaged or cut short ({error}); {_AGAIN}") from error


def _collected(
    stream: BinaryIO,
    place: str,
    shape: tuple[int, int],
    stated: int,
    masks: tuple[np.ndarray | None, np.ndarray | None],
    progress: Progress | None,
) -> sp.csr_matrix:
    new_feature, new_sample = (
        _renumbered(mask, size) for mask, size in zip(masks, shape, strict=True)
    )
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    seen = 0
    for block in _blocks(stream):
        feature, sample, count = _parse(block, place, shape)
        seen += len(count)
        wanted = (new_feature[feature] >= 0) & (new_sample[sample] >= 0) & (count > 0)
        kept.append((new_feature[feature[wanted]], new_sample[sample[wanted]], count[wanted]))
        if progress is not None:
            progress(seen, stated)
    if seen != stated:
        raise InputError(f"{place}: holds {seen} entries, its header states {stated}; {_AGAIN}")
    return _assembled(
        kept, (int(new_sample.max(initial=-1)) + 1, int(new_feature.max(initial=-1)) + 1), place
    )


def _header(stream: BinaryIO, place: str) -> tuple[tuple[int, int], int]:
    banner = stream.readline().lower()
    words = banner.split()
    if not banner.startswith(_BANNER) or len(words) != 5 or words[3] == b"pattern":
        raise InputError(
            f"{place}: begins with {banner[:60]!r}; expected a Matrix Market file, "
            "'%%MatrixMarket matrix coordinate integer general'"
        )
    if words[4] != b"general":
        raise InputError(f"{place}: is {words[4].decode()}; expected a general matrix")
    line = stream.readline()
    while line.startswith(b"%") or (line and not line.strip()):
        line = stream.readline()
    try:
        rows, columns, entries = map(int, line.split())
    except ValueError as error:
        raise InputError(
            f"{place}: its size is given as {line[:60]!r}; expected rows, columns and entries"
        ) from error
    return (rows, columns), entries


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, many at a time."""
    rest = b""
    while block := stream.read(_BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut == 0:
            rest += block
            continue
        yield rest + block[:cut]
        rest = block[cut:]
    if rest.strip():
        yield rest


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
            f"{place}: a line that is not 'row column count' ({error}); {_AGAIN}"
        ) from error
    feature, sample = table["feature"].to_numpy() - 1, table["sample"].to_numpy() - 1
    count = table["count"].to_numpy()
    outside = (feature < 0) | (feature >= shape[0]) | (sample < 0) | (sample >= shape[1])
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{place}: an entry at row {feature[at] + 1}, column {sample[at] + 1}, of "
            f"{shape[0]} x {shape[1]}; {_AGAIN}"
        )
    wrong = ~((count >= 0) & (count <= _LARGEST_COUNT) & (count == np.floor(count)))
    if wrong.any():
        raise InputError(
            f"{place}: {int(wrong.sum())} entries are no counts, for instance "
            f"{count[wrong][0]:g}; expected whole numbers of at least 0, not normalised values"
        )
    return feature, sample, count.astype(np.float32)


def _renumbered(mask: np.ndarray | None, size: int) -> np.ndarray:
    """Return the new number of each row or column, -1 for those that are dropped."""
    if mask is None:
        return np.arange(size, dtype=np.int32)
    return np.where(mask, np.cumsum(mask) - 1, -1).astype(np.int32)


def _assembled(
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]], shape: tuple[int, int], place: str
) -> sp.csr_matrix:
    """Put blocks of entries together, freeing each as it is used."""
    stored = sum(len(count) for _, _, count in kept)
    pointer = np.zeros(shape[0] + 1, dtype=np.int64)
    for _, sample, _ in kept:
        pointer[1:] += np.bincount(sample, minlength=shape[0])
    np.cumsum(pointer, out=pointer)
    index, values = np.empty(stored, np.int32), np.empty(stored, np.float32)
    following = pointer[:-1].copy()
    kept.reverse()
    while kept:
        feature, sample, count = kept.pop()
        order = np.argsort(sample, kind="stable")
        sample = sample[order]
        first = np.searchsorted(sample, sample)
        at = following[sample] + np.arange(len(sample)) - first
        index[at], values[at] = feature[order], count[order]
        following += np.bincount(sample, minlength=shape[0])
    counts = sp.csr_matrix((values, index, pointer), shape=shape)
    counts.sort_indices()
    repeated = np.diff(counts.indices) == 0
    ends = pointer[1:-1] - 1  # the next entry is of another sample
    repeated[ends[(ends >= 0) & (ends < len(repeated))]] = False
    if repeated.any():
        raise InputError(
            f"{place}: {int(repeated.sum())} entries stand more than once for the same row and "
            f"column; {_AGAIN}"
        )
    return counts
