"""How much memory a fit takes, from the shapes of the data, before any of it is taken."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import scipy.sparse as sp
import torch

from bcnmf.errors import InputError
from bcnmf.kernels import accelerated
from bcnmf.matrices.base import block_elements
from bcnmf.matrices.csr_fused import device_bytes, rows_of_a_tile

# Copies of the usages that a fit holds at once: start, present, on trial, and one in float64.
_USAGE_COPIES = 5
# Arrays of features x K: components, accumulators of several threads, and of five steps back what
# a step was, what it changed, and both again as they enter the next direction.
_COMPONENT_COPIES = 46
# What an accelerator without Triton keeps per stored value beside the two CSR copies when the loss
# is Poisson: values, flat places, and the permutation to the transpose.
_POISSON_BYTES_PER_VALUE = 40
# Passes over data in dense blocks form each of their elements in float64, a few times.
_BYTES_PER_BLOCK_ELEMENT = 4 * 8
_INDEX_BYTES = 4
# torch, libraries and fragments.
_MARGIN = 1.1

_MEMINFO = Path("/proc/meminfo")
_GROUPS_OF_PROCESS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def required(
    datasets: Sequence[Any],
    k: int,
    dtype: torch.dtype,
    device: torch.device,
    loss: str,
    scaled: bool = False,
) -> int:
    """Return about how many bytes on `device` a fit needs beyond the data as they were passed.

    Parameters
    ----------
    datasets : sequence of ndarray or scipy.sparse.csr_matrix
        Target and background, (samples, features).
    k : int
        Number of topics.
    dtype, device : torch.dtype, torch.device
        Of the factors.
    loss : {"squared_error", "poisson"}
        Which objective.
    scaled : bool
        Whether values are divided by a number, which copies them.
    """
    size: int = torch.finfo(dtype).bits // 8
    on_host = device.type == "cpu"
    samples = sum(data.shape[0] for data in datasets)
    features = datasets[0].shape[1]
    total = _factors(k, samples, features, size)
    fused, in_blocks = accelerated.present(device), 0
    for data in datasets:
        sparse = sp.issparse(data)
        if sparse and fused:
            # The sums of the tiles too, and once more in float64.
            tiles = -(-data.shape[0] // rows_of_a_tile(data.shape, data.nnz))
            total += device_bytes(data.shape, data.nnz, size) + (size + 8) * k * tiles * features
        else:
            total += _copy_of(data, size, on_host, scaled)
        if loss == "poisson" and not (sparse and (fused or on_host)):
            in_blocks = max(in_blocks, min(block_elements(device), data.shape[0] * features))
            total += _POISSON_BYTES_PER_VALUE * data.nnz if sparse else 0
    return int(_MARGIN * (total + _BYTES_PER_BLOCK_ELEMENT * in_blocks))


def beside_data(k: int, samples: int, features: int, dtype: torch.dtype, buffers: int = 0) -> int:
    """Return about how many bytes a fit takes beside data that are there, see `at_once`.

    Parameters
    ----------
    k, samples, features, dtype
        As there.
    buffers : int
        Bytes of the data that passes hold at a time, where these are not held as a whole.
    """
    size = torch.finfo(dtype).bits // 8
    return int(_MARGIN * (_factors(k, samples, features, size) + buffers))


def peak(device: torch.device) -> int:
    """Return the most bytes that this process has held on `device`, so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def at_once(
    fits: int, k: int, samples: int, features: int, dtype: torch.dtype, device: torch.device
) -> int:
    """Return how many of several fits may run at a time, at least one, the data being there.

    Parameters
    ----------
    fits : int
        How many there are.
    k, samples, features : int
        Topics of the largest, samples of both sides, features.
    dtype, device : torch.dtype, torch.device
        Of the factors.
    """
    size: int = torch.finfo(dtype).bits // 8
    # Passes for all take factors in, and give products back, side by side.
    one = _MARGIN * (_factors(k, samples, features, size) + 2 * k * size * (samples + features))
    return max(1, min(fits, int(free(device) / one)))


def free(device: torch.device) -> int:
    """Return how many bytes this process may still take on `device`."""
    if device.type == "cuda":
        # torch keeps memory that tensors gave back, and takes of it first.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    on_host = min([_free_on_host(), *_left_in_control_groups()])
    if device.type == "mps":  # takes of the host's memory, up to a limit
        return min(
            on_host, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        )
    return on_host


def check(
    datasets: Sequence[Any],
    k: int,
    dtype: torch.dtype,
    device: torch.device,
    loss: str,
    scaled: bool = False,
) -> None:
    """Raise `InputError`, with the numbers and a remedy, if a fit will not fit into memory.

    Parameters are those of `required`.
    """
    needed, available = required(datasets, k, dtype, device, loss, scaled), free(device)
    if needed <= available:
        return
    remedies = ["batch_size=10000, say, keeps two blocks of so many samples there at a time"]
    if not all(map(sp.issparse, datasets)):
        remedies.insert(0, "pass sparse data (scipy CSR) if most values are zero")
    if dtype == torch.float64:
        remedies.insert(0, "dtype='float32' takes half")
    raise InputError(
        f"the fit needs about {needed / 1e9:.1f} GB on {device}, where {available / 1e9:.1f} GB "
        f"are free: {'; or '.join(remedies)}"
    )


def _factors(k: int, samples: int, features: int, size: int) -> int:
    """Return the bytes of the factors of a fit, numbers taking `size` each."""
    return k * size * (_USAGE_COPIES * samples + _COMPONENT_COPIES * features)


def _free_on_host() -> int:
    """Return what Linux says is available; elsewhere all memory: macOS compresses and swaps."""
    if _MEMINFO.exists():
        amounts = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return 1024 * int(amounts["MemAvailable"].split()[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_in_control_groups() -> Iterator[int]:
    """Yield what the limits leave that containers, Slurm and others set to this process."""
    lines = _GROUPS_OF_PROCESS.read_text().splitlines() if _GROUPS_OF_PROCESS.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            top, limit, usage, prefix = _GROUPS, "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            top, prefix = _GROUPS / "memory", "total_"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        # The folders of a container may not show the path; what limits it is at their top then.
        for level in [group, *group.parents[: len(group.parts) - len(top.parts)]]:
            if (level / limit).exists() and (most := (level / limit).read_text().strip()) != "max":
                stat = dict(
                    line.split() for line in (level / "memory.stat").read_text().splitlines()
                )
                # Copies of files are given up when memory is wanted.
                cached = sum(int(stat[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
                yield max(0, int(most) - int((level / usage).read_text()) + cached)


def _copy_of(data: Any, size: int, on_host: bool, scaled: bool) -> int:
    """Return the bytes of the values as they are computed with, where that is not as they are."""
    stored = int(data.nnz if sp.issparse(data) else data.size)
    if sp.issparse(data) and not on_host:
        pointers: int = 8 * (data.shape[0] + data.shape[1] + 2)
        return 2 * (size + _INDEX_BYTES) * stored + pointers
    same = on_host and not scaled and data.dtype.itemsize == size and data.dtype.kind == "f"
    return 0 if same else size * stored
