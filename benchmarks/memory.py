"""Peak memory of a contestant, measured in a process of its own.

The parent writes the data to a file; the child warms up on tiny data (so that compiled code and
library buffers are there), notes its memory, loads the data, and fits. Run as a script this is the
child; it prints one line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import scipy.sparse as sp

_ITERATIONS = 3
_CLEAR = Path("/proc/self/clear_refs")


def measure(contestants: list[str], problem: Any, timeout_s: float = 3600) -> dict[str, dict]:
    """Return what each contestant's child reports, or {"status": why not}."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        _write(problem, path)
        return {name: _ask(name, problem, path, timeout_s) for name in contestants}


def _ask(name: str, problem: Any, path: Path, timeout_s: float) -> dict:
    command = [
        sys.executable, __file__, "--contestant", name, "--data", str(path),
        "--k", str(problem.k), "--loss", problem.loss,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"status": f"failed: took longer than {timeout_s:g} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"status": f"failed: exit status {done.returncode}, {last}"}
    return json.loads(done.stdout.splitlines()[-1])


def _child() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--contestant", "--data", "--loss"):
        parser.add_argument(name, required=True)
    parser.add_argument("--k", type=int, required=True)
    arguments = parser.parse_args()
    from contestants import CONTESTANTS
    from problems import Problem, Size, random_data
    from timing import threads

    contestant = CONTESTANTS[arguments.contestant]
    with threads(1):
        tiny = random_data(Size(4 * arguments.k, 2 * arguments.k, 200), arguments.loss)
        contestant.build(Problem(tiny, arguments.k, arguments.loss))(_ITERATIONS)
        gc.collect()
        before = resident()
        problem = _read(Path(arguments.data), arguments.k, arguments.loss)
        sizes = {"sparse": problem.data.bytes(), "factors": problem.factor_bytes()}
        run = contestant.build(problem)
        del problem, tiny
        gc.collect()
        loaded = resident()
        forget_peak()
        run(_ITERATIONS)
    report = {"status": "measured", "data_loaded": loaded - before, "peak": peak() - before}
    print(json.dumps(report | sizes))


def resident() -> int:
    """Return the bytes that this process holds."""
    return psutil.Process().memory_info().rss


def forget_peak() -> None:
    """Restart the kernel's record of the peak, where it can be restarted (Linux)."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def peak() -> int:
    """Return the most bytes that this process held since `forget_peak`."""
    if _CLEAR.exists():
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    # Elsewhere: the largest since the process began, loading of the data included.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _write(problem: Any, path: Path) -> None:
    arrays = {}
    for name in ("target", "background"):
        side = getattr(problem.data, name)
        arrays |= {
            f"{name}_values": side.data, f"{name}_index": side.indices,
            f"{name}_pointer": side.indptr, f"{name}_shape": np.asarray(side.shape),
        }  # fmt: skip
    np.savez(path, **arrays)


def _read(path: Path, k: int, loss: str) -> Any:
    from problems import Data, Problem

    with np.load(path) as stored:
        sides = [
            sp.csr_matrix(
                tuple(stored[f"{name}_{part}"] for part in ("values", "index", "pointer")),
                shape=tuple(stored[f"{name}_shape"]),
            )
            for name in ("target", "background")
        ]
    return Problem(Data(*sides), k, loss)


if __name__ == "__main__":
    _child()
