"""Kernels in Triton: what they compute, by its interpreter, and that GPUs' code can be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed (it comes with torch's CUDA builds)")

HERE = Path(__file__).parent
ROOT = HERE.parents[3]


def ran(*command, **variables):
    """Run Python in a process of its own: an interpreted Triton stays so for the whole process."""
    variables |= {"PYTHONPATH": str(ROOT / "workflow"), "NUMBA_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=os.environ | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def interpreted(*options):
    out = ran("-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider",
              HERE / "interpreted.py", *options, TRITON_INTERPRET="1")  # fmt: skip
    assert " passed" in out


@pytest.mark.slow
def test_some_kernels_compute_what_the_cpu_does():
    interpreted("-k", "(passes and 3-dtype0) or exact or (solve and 5-) or rows_are")


@pytest.mark.long
def test_kernels_compute_what_the_cpu_does():
    """Three minutes of one core."""
    interpreted()


@pytest.mark.slow
def test_code_for_gpus_can_be_made_of_every_kernel():
    out = ran(HERE / "made_for_gpus.py", TRITON_INTERPRET="0")
    assert len(out.splitlines()) == 18
