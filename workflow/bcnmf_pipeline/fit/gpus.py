"""A GPU for each of several fits that run at once on one machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of each scheduler the variable that holds a job's number: Slurm, PBS, LSF, Grid Engine.
_JOB = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


@contextmanager
def claimed(device: str, count: int | None = None, folder: Path | None = None) -> Iterator[str]:
    """Yield the device that a job should use, its own as long as the job runs.

    "cuda" and "auto" stand for any CUDA device. A scheduler gives each of its jobs devices, mostly
    one; that is used. On a machine of one's own with several, fits at once would all take the first
    one. Hence each takes the first whose lock file is free; the operating system frees it when the
    job ends, however it ends. Where all are taken, one is shared.

    Parameters
    ----------
    device : str
        As in `compute.device`; any other than these two is yielded as it is. Of "auto:N" each fit
        chooses by its size whether it takes that device.
    count : int, optional
        Number of devices; by default those that torch sees.
    folder : Path, optional
        Where the lock files are; by default the user's own in the temporary folder.
    """
    count = (_visible() if count is None else count) if device in ("auto", "cuda") else 0
    if count < 2:
        yield device
        return
    folder = folder or Path(tempfile.gettempdir()) / f"bcnmf-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number, name in enumerate(_names(count)):
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            yield f"{device}:{number}"
        finally:
            os.close(handle)
        return
    yield f"{device}:{os.getpid() % count}"


def _names(count: int) -> list[str]:
    """Return what tells the visible devices from others of this machine.

    Two jobs of a scheduler may call devices by the same numbers, and have none in common.
    """
    job = next((os.environ[name] for name in _JOB if os.environ.get(name)), "")
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    shown = [one.strip() for one in listed] if len(listed) >= count else map(str, range(count))
    # A name of a device may be "MIG-GPU-<id>/1/0".
    return [f"{job}-{one}".strip("-").replace("/", "-") for one in list(shown)[:count]]


def _visible() -> int:
    import torch

    return torch.cuda.device_count()
