"""Rows of a matrix, in memory or on disk, some at a time, so that most of it is never held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from anndata.abc import CSCDataset, CSRDataset

from bcnmf.errors import InputError
from bcnmf.files import reading

Values: TypeAlias = Any  # ndarray or csr_matrix; scipy has no types

# Stored values of a block: 2 MB, and with what is computed of them about five times as much.
_BLOCK = 2**17


def by_rows(matrix: Any) -> Any:
    """Return a matrix that rows can be taken from; what is stored by columns is turned whole."""
    if isinstance(matrix, CSCDataset):
        with _reading(matrix):
            matrix = matrix.to_memory()
    return sp.csr_matrix(matrix) if sp.issparse(matrix) and matrix.format != "csr" else matrix


def blocks_of(matrix: Any, rows: np.ndarray) -> Iterator[Values]:
    """Yield some rows of a matrix, block by block, as they are stored.

    Parameters
    ----------
    matrix : ndarray, CSR, or either of them in an HDF5 or zarr file, shape (samples, features)
    rows : ndarray of int
        Which rows, increasing.

    Yields
    ------
    ndarray or CSR
        Copies: they can be overwritten.
    """
    in_memory = isinstance(matrix, np.ndarray) or sp.issparse(matrix)
    pointer = _pointer(matrix)
    for start, stop in pairwise(_cuts(pointer, matrix.shape)):
        chosen = rows[slice(*np.searchsorted(rows, (start, stop)))]
        if not len(chosen):
            continue
        if in_memory:
            yield matrix[chosen]
            continue
        first, last = int(chosen[0]), int(chosen[-1]) + 1
        with _reading(matrix):
            block = _read(matrix, pointer, first, last)
        yield block if len(chosen) == last - first else block[chosen - first]


def _read(matrix: Any, pointer: np.ndarray | None, first: int, last: int) -> Values:
    """Return consecutive rows of a matrix on disk."""
    if pointer is None:
        return matrix[first:last]
    # Not by slices of anndata: they stay in memory until Python looks for cycles.
    own = pointer[first : last + 1]
    data, indices = (matrix.group[part][own[0] : own[-1]] for part in ("data", "indices"))
    return sp.csr_matrix((data, indices, own - own[0]), (last - first, matrix.shape[1]))


def stacked(blocks: Iterable[Values], rows: int, features: int, stored: int, name: str) -> Values:
    """Stack blocks in arrays of their final size, so that they are never held twice.

    Parameters
    ----------
    blocks : iterable of float32 ndarray or canonical CSR, shape (some, features)
        At least one.
    rows, stored : int
        Samples at most, and values above zero in all.
    name : str
        What to call the data in errors.

    Raises
    ------
    InputError
        There are more or fewer values.
    """
    blocks = iter(blocks)
    first = next(blocks)
    if not sp.issparse(first):
        dense = np.empty((rows, features), np.float32)
        at = 0
        for block in _all(first, blocks):
            dense[at : at + len(block)] = block
            at += len(block)
        return dense[:at]
    index = np.int64 if max(stored, features) > np.iinfo(np.int32).max else np.int32
    data, indices = np.empty(stored, np.float32), np.empty(stored, index)
    pointer = np.zeros(rows + 1, index)
    row = at = 0
    for block in _all(first, blocks):
        end = at + block.nnz
        if end > stored:
            break
        data[at:end], indices[at:end] = block.data, block.indices
        pointer[row + 1 : row + 1 + block.shape[0]] = block.indptr[1:] + index(at)
        row, at = row + block.shape[0], end
    if end != stored:
        raise InputError(
            f"{name}: the values changed while they were read; wait until the file is complete, "
            "and run again"
        )
    return sp.csr_matrix((data, indices, pointer[: row + 1]), (row, features))


def _all(first: Values, others: Iterator[Values]) -> Iterator[Values]:
    yield first
    yield from others


def _pointer(matrix: Any) -> np.ndarray | None:
    """Return where each row of a sparse matrix begins; None for a dense one."""
    if sp.issparse(matrix):
        return np.asarray(matrix.indptr)
    if not isinstance(matrix, CSRDataset):
        return None
    with _reading(matrix):
        return np.asarray(matrix.group["indptr"][:])


def _cuts(pointer: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Return where blocks of rows begin and end."""
    n, features = shape
    if pointer is None:
        starts = np.arange(0, n, max(1, _BLOCK // max(1, features)))
    else:
        starts = np.searchsorted(pointer, np.arange(_BLOCK, int(pointer[-1]), _BLOCK))
    return np.unique(np.concatenate([[0, n], starts.clip(0, n)]).astype(np.int64))


def _reading(matrix: Any) -> Any:
    """Say of what a library cannot read which file it is in."""
    group = getattr(matrix, "group", matrix)
    place = getattr(getattr(group, "file", None), "filename", getattr(group, "store_path", None))
    if place is None:
        return nullcontext()
    return reading(str(place), "its matrix cannot be read", "copy it again if it is damaged")
