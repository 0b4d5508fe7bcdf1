"""Whether kernels in Triton can run, how they are made, and the one place where they are launched.

Triton is no need of this package: torch's CUDA builds for Linux bring it along, and without it an
accelerator computes by torch's own operations.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch

# So many numbers of a tile for each thread of a warp: enough to hide the wait for memory behind.
_NUMBERS_OF_A_WARP = 1024
_MOST_WARPS = 8


def present(device: torch.device) -> bool:
    """Whether kernels in Triton can run on a device."""
    return device.type == "cuda" and find_spec("triton") is not None


def jit(function: Callable[..., Any]) -> Any:
    """Return a kernel, compiled by Triton when it is launched; see `triton.jit`."""
    import triton

    return triton.jit(function)


def launch(kernel: Any, programs: int, near: torch.Tensor, *arguments: Any, **options: Any) -> None:
    """Start `programs` programs of a kernel on the device of a tensor; nothing is waited for.

    Parameters
    ----------
    kernel : object
        What `jit` returned.
    programs : int
        How many; none is nothing to do.
    near : torch.Tensor
        First argument of the kernel.
    *arguments, **options
        The others.
    """
    if programs:
        with torch.cuda.device_of(near):
            kernel[(programs,)](near, *arguments, **options)


def padded(k: int) -> int:
    """Return the power of two at or above K: the shapes of tiles are powers of two."""
    return 1 << max(0, k - 1).bit_length()


def tile(k: int) -> dict[str, int]:
    """Return the options of kernels that go through stored values with K numbers for each."""
    width = padded(k)
    values = max(8, min(64, 2 * _NUMBERS_OF_A_WARP // width))
    return {"width": width, "values_at_once": values, "num_warps": _warps(width * values)}


def block_of_rows(k: int) -> dict[str, int]:
    """Return the options of kernels that hold K numbers for each of some rows."""
    width = padded(k)
    rows = max(1, _NUMBERS_OF_A_WARP // width)
    return {"width": width, "rows_at_once": rows, "num_warps": _warps(2 * width * rows)}


def _warps(numbers: int) -> int:
    return min(_MOST_WARPS, max(1, numbers // _NUMBERS_OF_A_WARP))
