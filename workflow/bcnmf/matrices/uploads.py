"""Blocks on their way to a GPU: one ahead, from pinned memory, on a stream of their own.

Blocks that fit stay there, with what their passes need, and are never read again. Of the others,
and of those that are not there yet, the host copies the CSR alone; a GPU sorts a block into its
transpose in about the time that the copy of a transpose would take. The host waits for nothing but
the room of the block before the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf import memory
from bcnmf.kernels import accelerated
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_fused import FusedSparseMatrix, device_bytes
from bcnmf.matrices.dense import DenseMatrix
from bcnmf.matrices.in_memory import matrix_of, numpy_name
from bcnmf.matrices.inputs import Values

# Left for factors, and for what passes make: a share of what is free before any block is there,
# and what so many blocks take.
_RESERVED_SHARE, _RESERVED_BLOCKS = 0.25, 4
# What torch's own operations keep for the Poisson loss, by stored value.
_WITHOUT_KERNELS = 40


class Sent(NamedTuple):
    """A block on its way.

    Attributes
    ----------
    number : int
        Of all blocks that were sent.
    values : ndarray or scipy.sparse.csr_matrix
        The block on the host; of one whose arrays are sent, its pointer alone.
    shape : tuple of int
        (samples, features).
    arrays : list of torch.Tensor
        On the device; empty if the block is brought there without kernels.
    arrived : torch.cuda.Event or None
        When the arrays are there.
    """

    number: int
    values: Values
    shape: tuple[int, int]
    arrays: Sequence[torch.Tensor]
    arrived: Any


class Uploads:
    """Brings blocks to a CUDA device; one thread sends them, another one computes with them.

    Parameters
    ----------
    dtype, device : torch.dtype, torch.device
        Of the factors.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._reserve = _RESERVED_SHARE * memory.free(device)
        self._kept: dict[int, Matrix] = {}
        self._full = False
        self._sent = 0
        self._ends: dict[int, Any] = {}

    def kept(self, key: int) -> Matrix | None:
        """Return a block that stayed on the device."""
        return self._kept.get(key)

    def send(self, values: Values) -> Sent:
        """Send a block in the precision of the factors; two are on the device at most."""
        number, self._sent = self._sent, self._sent + 1
        by_kernels = not sp.issparse(values) or accelerated.present(self._device)
        arrays = _arrays(values, numpy_name(self._dtype)) if by_kernels else []
        # A thread begins with the first GPU as its own.
        with torch.cuda.device(self._device):
            pinned = [torch.from_numpy(array).pin_memory() for array in arrays]
        if (end := self._ends.pop(number - 2, None)) is not None:
            end.synchronize()
        if not by_kernels:
            return Sent(number, values, values.shape, [], None)
        with torch.cuda.stream(self._stream):
            # Torch gives pinned memory to nobody else before a copy out of it is done.
            there = [array.to(self._device, non_blocking=True) for array in pinned]
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self._stream)
        pointer = arrays[0] if sp.issparse(values) else None
        return Sent(number, pointer, values.shape, there, arrived)

    def block(self, key: int, sent: Sent) -> Matrix:
        """Return a block as a matrix, which is kept under `key` if there is room."""
        if sent.arrived is not None:
            now = torch.cuda.current_stream(self._device)
            now.wait_event(sent.arrived)
            for array in sent.arrays:
                # The stream that made it may not have its memory back before this one is done.
                array.record_stream(now)
        found = self._matrix(sent)
        self._keep(key, found, sent)
        return found

    def done(self, sent: Sent) -> None:
        """Tell that all that is computed with a block has been launched."""
        end = torch.cuda.Event()  # type: ignore[no-untyped-call]
        end.record(torch.cuda.current_stream(self._device))
        self._ends[sent.number] = end

    def _matrix(self, sent: Sent) -> Matrix:
        if not sent.arrays:
            return matrix_of(sent.values, self._dtype, self._device)
        if len(sent.arrays) == 1:
            return DenseMatrix(sent.arrays[0])
        pointer, index, values = sent.arrays
        return FusedSparseMatrix.from_tensors(sent.values, pointer, index, values, sent.shape)

    def _keep(self, key: int, block: Matrix, sent: Sent) -> None:
        """Keep a block if it fits; after the first that does not, none is."""
        if self._full:
            return
        whole, rest = self._bytes(sent)
        left = memory.free(self._device) - rest
        self._full = left < self._reserve + _RESERVED_BLOCKS * whole
        if not self._full:
            if isinstance(block, FusedSparseMatrix):
                block.prepare()
            self._kept[key] = block

    def _bytes(self, sent: Sent) -> tuple[int, int]:
        """Return what a block takes on the device, and how much of that it has not taken yet."""
        there = sum(array.nbytes for array in sent.arrays)
        if len(sent.arrays) == 1:
            return there, 0
        size = torch.finfo(self._dtype).bits // 8
        if sent.arrays:
            whole = device_bytes(sent.shape, int(sent.values[-1]), size)
            return whole, whole - there
        rest = _WITHOUT_KERNELS * sent.values.nnz
        return rest + 2 * (size + 4) * sent.values.nnz, rest


def _arrays(values: Values, precision: str) -> list[np.ndarray]:
    """Return what a block consists of, in the types of the device: pointer, features and values."""
    if not sp.issparse(values):
        return [np.asarray(values, precision, order="C")]
    return [
        values.indptr.astype(np.int64),
        values.indices.astype(np.int32, copy=False),
        values.data.astype(precision, copy=False),
    ]
