"""How much memory a fit takes, from the shapes of the data, before any of it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil
import scipy.sparse as sp
import torch

from bcnmf.errors import InputError

# Copies of the usages that a fit holds at once: start, present, on trial, and one in float64.
_USAGE_COPIES = 5
# Arrays of features x K: components, accumulators of several threads, directions.
_COMPONENT_COPIES = 24
# What an accelerator keeps per stored value beside the two CSR copies when the loss is Poisson:
# values, flat places, and the permutation to the transpose.
_POISSON_BYTES_PER_VALUE = 40
# Passes over dense data in blocks form up to so many elements, in float64, a few times.
_BLOCK_BYTES = 4 * 8 * (1 << 22)
_INDEX_BYTES = 4
# torch, libraries and fragments.
_MARGIN = 1.1


def required(
    sides: Sequence[Any], k: int, dtype: torch.dtype, device: torch.device, loss: str
) -> int:
    """Return about how many bytes on `device` a fit needs beyond the data as they were passed.

    Parameters
    ----------
    sides : sequence of ndarray or scipy.sparse.csr_matrix
        Target and background, (samples, features).
    k : int
        Number of topics.
    dtype, device : torch.dtype, torch.device
        Of the factors.
    loss : {"squared_error", "poisson"}
        Which objective.
    """
    size = torch.finfo(dtype).bits // 8
    on_host = device.type == "cpu"
    samples = sum(side.shape[0] for side in sides)
    features = sides[0].shape[1]
    total = k * (_USAGE_COPIES * size * samples + _COMPONENT_COPIES * size * features)
    for side in sides:
        total += _copy_of(side, size, on_host)
        if not on_host and loss == "poisson":
            total += _POISSON_BYTES_PER_VALUE * side.nnz if sp.issparse(side) else 0
    if loss == "poisson" and (not on_host or not all(map(sp.issparse, sides))):
        total += _BLOCK_BYTES
    return int(_MARGIN * total)


def free(device: torch.device) -> int:
    """Return how many bytes are free on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def check(
    sides: Sequence[Any], k: int, dtype: torch.dtype, device: torch.device, loss: str
) -> None:
    """Raise `InputError`, with the numbers and a remedy, if a fit will not fit into memory.

    Parameters are those of `required`.
    """
    needed, available = required(sides, k, dtype, device, loss), free(device)
    if needed <= available:
        return
    remedies = ["batch_size=10000, say, keeps two blocks of so many samples there at a time"]
    if not all(map(sp.issparse, sides)):
        remedies.insert(0, "pass sparse data (scipy CSR) if most values are zero")
    if dtype == torch.float64:
        remedies.insert(0, "dtype='float32' takes half")
    raise InputError(
        f"the fit needs about {needed / 1e9:.1f} GB on {device}, where {available / 1e9:.1f} GB "
        f"are free: {'; or '.join(remedies)}"
    )


def _copy_of(side: Any, size: int, on_host: bool) -> int:
    """Return the bytes of the values in the precision of the factors, where they are not in it."""
    if not sp.issparse(side):
        same = on_host and side.dtype.itemsize == size and side.dtype.kind == "f"
        return 0 if same else size * side.shape[0] * side.shape[1]
    if on_host:
        return 0 if side.dtype.itemsize == size and side.dtype.kind == "f" else size * side.nnz
    pointers = 8 * (side.shape[0] + side.shape[1] + 2)
    return 2 * (size + _INDEX_BYTES) * side.nnz + pointers
