"""A GPU for each of several fits that run at once on one machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claimed(device: str, count: int | None = None, folder: Path | None = None) -> Iterator[str]:
    """Yield the device that a job should use, its own as long as the job runs.

    "cuda" stands for any CUDA device. Under a scheduler a job sees its own alone; on a machine with
    several, jobs would all take the first one. Hence each takes the first whose lock file is free;
    the operating system frees it when the job ends, however it ends. Where all are taken, one is
    shared.

    Parameters
    ----------
    device : str
        As in `compute.device`; any other than "cuda" is yielded as it is.
    count : int, optional
        Number of devices; by default those that torch sees.
    folder : Path, optional
        Where the lock files are; by default the user's own in the temporary folder.
    """
    if device != "cuda":
        yield device
        return
    count = _visible() if count is None else count
    if count < 2:
        yield device
        return
    folder = folder or Path(tempfile.gettempdir()) / f"bcnmf-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(count):
        handle = os.open(folder / str(number), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            yield f"cuda:{number}"
        finally:
            os.close(handle)
        return
    yield f"cuda:{os.getpid() % count}"


def _visible() -> int:
    import torch

    return torch.cuda.device_count()
