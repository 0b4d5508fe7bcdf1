"""Whether kernels in Triton can run, how they are made, and the one place where they are launched.

Triton is no need of this package: torch's CUDA builds for Linux bring it along, and without it an
accelerator computes by torch's own operations.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

# Numbers of a tile that a warp has: enough of them wait for memory at once, and all fit into
# registers, those in float64 too.
_NUMBERS_OF_A_WARP, _FLOAT64_OF_A_WARP = 512, 256

# Not compiled anew where one of these is 1, or a multiple of 16.
_SIZES = ("samples", "features", "segments", "starts", "max_sweeps", "max_iter")


def present(device: torch.device) -> bool:
    """Whether kernels in Triton can run on a device."""
    return device.type == "cuda" and find_spec("triton") is not None


def jit(function: Callable[..., Any]) -> Any:
    """Return a kernel, compiled by Triton when it is launched; see `triton.jit`."""
    keep_compiled()
    import triton

    return triton.jit(function, do_not_specialize=_SIZES)


@cache
def keep_compiled() -> None:
    """Let Triton keep what it compiles where that can be written: it does not work without.

    Its own choice, below the home, comes first, then the user's cache, then a folder that lasts as
    long as the process.
    """
    if os.environ.keys() & {"TRITON_CACHE_DIR", "TRITON_HOME"}:
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for folder in (Path(os.path.expanduser("~"), ".triton", "cache"), Path(caches, "triton")):
        if folder.is_absolute() and _can_be_written(folder):
            os.environ["TRITON_CACHE_DIR"] = str(folder)
            return
    _of_this_process.append(tempfile.TemporaryDirectory(prefix="bcnmf-triton-"))
    os.environ["TRITON_CACHE_DIR"] = _of_this_process[0].name


# Removed when the process ends.
_of_this_process: list[tempfile.TemporaryDirectory[str]] = []


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def launch(kernel: Any, programs: int, *arguments: Any, **options: Any) -> None:
    """Start `programs` programs of a kernel; nothing is waited for.

    Parameters
    ----------
    kernel : object
        What `jit` returned.
    programs : int
        How many; none is nothing to do.
    *arguments, **options
        Of the kernel. The first is a tensor, on whose device it runs.
    """
    if programs:
        device = arguments[0].device
        with torch.cuda.device(device.index if device.type == "cuda" else -1):
            kernel[(programs,)](*arguments, **options)


def padded(k: int) -> int:
    """Return the power of two at or above K: the shapes of tiles are powers of two."""
    return 1 << max(0, k - 1).bit_length()


def tile(k: int) -> dict[str, int]:
    """Return the options of kernels that go through stored values with K numbers for each."""
    width = padded(k)
    values = max(8, min(64, _NUMBERS_OF_A_WARP // width))
    warps = max(1, width * values // _NUMBERS_OF_A_WARP)
    return {"width": width, "values_at_once": values, "num_warps": warps}


def block_of_rows(k: int) -> dict[str, int]:
    """Return the options of kernels that hold K numbers in float64 for each of some rows."""
    width = padded(k)
    rows = max(1, 2 * _FLOAT64_OF_A_WARP // width)
    warps = max(1, width * rows // _FLOAT64_OF_A_WARP)
    return {"width": width, "rows_at_once": rows, "num_warps": warps}
