"""Kernels in Triton: what they compute, by its interpreter, and that GPUs' code can be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed (it comes with torch's CUDA builds)")

ROOT = Path(__file__).parents[4]


def test_kernels_compute_what_the_cpu_does():
    """In a process of its own: an interpreted Triton stays so for the whole process."""
    tests = Path(__file__).with_name("interpreted.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", tests],
        cwd=ROOT, env=os.environ | {"TRITON_INTERPRET": "1", "NUMBA_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
