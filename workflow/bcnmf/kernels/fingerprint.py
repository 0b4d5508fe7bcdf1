"""One number that tells data from others: a sum over the stored values and where they stand.

Each value that is not zero is mixed with its row and column to 64 bits, and these are added up
modulo 2^64. So the sum is exact: neither the order nor the blocks of a pass matter, nor whether
zeros are stored.
"""

from __future__ import annotations

import numpy as np

from bcnmf.kernels.compiled import compiled

_PER_COLUMN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


@compiled()
def _mixed(bits: np.uint64) -> np.uint64:
    """Spread 64 bits, as SplitMix64 does (Steele, Lea and Flood, OOPSLA 2014)."""
    bits = (bits ^ (bits >> _SHIFTS[0])) * _FIRST
    bits = (bits ^ (bits >> _SHIFTS[1])) * _SECOND
    return bits ^ (bits >> _SHIFTS[2])


@compiled()
def of_dense(values: np.ndarray, bits: np.ndarray, first_row: int) -> np.uint64:
    """Return the sum over rows (rows, features) of float64, `bits` being their memory as uint64."""
    total = np.uint64(0)
    for i in range(values.shape[0]):
        place = _mixed(np.uint64(first_row + i + 1))
        for j in range(values.shape[1]):
            place += _PER_COLUMN
            if values[i, j] != 0:
                total += _mixed(bits[i, j] ^ place)
    return total


@compiled()
def of_csr(
    pointer: np.ndarray, index: np.ndarray, values: np.ndarray, bits: np.ndarray, first_row: int
) -> np.uint64:
    """Return the sum over rows in CSR, see `of_dense`."""
    total = np.uint64(0)
    for i in range(len(pointer) - 1):
        place = _mixed(np.uint64(first_row + i + 1))
        stored = slice(pointer[i], pointer[i + 1])
        columns, row, row_bits = index[stored], values[stored], bits[stored]
        for j in range(len(row)):
            if row[j] != 0:
                total += _mixed(row_bits[j] ^ (place + np.uint64(columns[j] + 1) * _PER_COLUMN))
    return total
