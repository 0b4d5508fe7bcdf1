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

_BLOCK, _PART = 1 << 22, 1 << 16
_LARGEST_COUNT = 1e9
# Longer than any line about the file; more rows or columns than any study has.
_LONGEST_LINE, _LARGEST_SIDE = 1 << 16, 10**7
_BANNER = b"%%matrixmarket matrix coordinate"
_FIELDS = (b"integer", b"real")
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
    except MemoryError as error:
        raise InputError(
            f"{place}: states {stated} entries, for which this machine has no room ({error})"
        ) from error


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
    kept = _Entries(stated, all_wanted=all(mask is None or mask.all() for mask in masks))
    seen = 0
    for block in _blocks(stream, place):
        feature, sample, count = _parse(block, place, shape)
        seen += len(count)
        if seen > stated:
            raise InputError(
                f"{place}: holds more entries than the {stated} that its header states; {_AGAIN}"
            )
        wanted = (new_feature[feature] >= 0) & (new_sample[sample] >= 0) & (count > 0)
        kept.add(new_feature[feature[wanted]], new_sample[sample[wanted]], count[wanted])
        if progress is not None:
            progress(seen, stated)
    if seen != stated:
        raise InputError(f"{place}: holds {seen} entries, its header states {stated}; {_AGAIN}")
    return _assembled(
        kept, (int(new_sample.max(initial=-1)) + 1, int(new_feature.max(initial=-1)) + 1), place
    )


def _header(stream: BinaryIO, place: str) -> tuple[tuple[int, int], int]:
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
            f"matrix of counts has; {_AGAIN}"
        )
    return (rows, columns), entries


def _blocks(stream: BinaryIO, place: str) -> Iterator[bytes]:
    """Yield whole lines, many at a time."""
    rest = b""
    while block := stream.read(_BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut == 0:
            rest += block
            if len(rest) > _LONGEST_LINE:
                raise InputError(f"{place}: a line of more than {_LONGEST_LINE} bytes; {_AGAIN}")
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
    if not isinstance(table.index, pd.RangeIndex):  # what pandas makes of further fields
        raise InputError(f"{place}: lines with more than 'row column count'; {_AGAIN}")
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


class _Entries:
    """Entries in the order of the file, in arrays with room for more.

    Parameters
    ----------
    most : int
        Entries of the file.
    all_wanted : bool
        Make room for them at once; else it grows by halves.
    """

    def __init__(self, most: int, all_wanted: bool) -> None:
        room = most if all_wanted else min(most, _PART)
        self._most = most
        self.feature, self.sample = np.empty(room, np.int32), np.empty(room, np.int32)
        self.count = np.empty(room, np.float32)
        self.stored = 0
        self.by_sample = True

    def add(self, feature: np.ndarray, sample: np.ndarray, count: np.ndarray) -> None:
        new = slice(self.stored, self.stored + len(count))
        if new.stop > len(self.count):
            room = min(self._most, max(new.stop, len(self.count) * 3 // 2))
            for name in ("feature", "sample", "count"):
                setattr(self, name, _with_room(getattr(self, name)[: self.stored], room))
        self.feature[new], self.sample[new], self.count[new] = feature, sample, count
        # The last one of before, too.
        joined = self.sample[max(0, new.start - 1) : new.stop]
        self.by_sample = self.by_sample and bool((joined[1:] >= joined[:-1]).all())
        self.stored = new.stop

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield views of some entries at a time."""
        for start in range(0, self.stored, _PART):
            part = slice(start, min(start + _PART, self.stored))
            yield self.feature[part], self.sample[part], self.count[part]


def _with_room(values: np.ndarray, room: int) -> np.ndarray:
    wider = np.empty(room, values.dtype)
    wider[: len(values)] = values
    return wider


def _assembled(kept: _Entries, shape: tuple[int, int], place: str) -> sp.csr_matrix:
    """Make CSR of the entries: of their own arrays, if they are sorted by sample."""
    pointer = np.zeros(shape[0] + 1, dtype=np.int64)
    for _, sample, _ in kept.parts():
        pointer[1:] += np.bincount(sample, minlength=shape[0])
    np.cumsum(pointer, out=pointer)
    if kept.by_sample:
        index, values = kept.feature[: kept.stored], kept.count[: kept.stored]
        kept.sample = np.empty(0, np.int32)
    else:
        index, values = _sorted_by_sample(kept, pointer)
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


def _sorted_by_sample(kept: _Entries, pointer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index, values = np.empty(kept.stored, np.int32), np.empty(kept.stored, np.float32)
    following = pointer[:-1].copy()
    for feature, sample, count in kept.parts():
        order = np.argsort(sample, kind="stable")
        sample = sample[order]
        first = np.searchsorted(sample, sample)
        at = following[sample] + np.arange(len(sample)) - first
        index[at], values[at] = feature[order], count[order]
        following += np.bincount(sample, minlength=len(following))
    return index, values
