"""Devices that are not here, and threads that are not there any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).resolve().parents[3] / "workflow"

FORK = """
import multiprocessing, queue, sys, warnings
import numpy as np, scipy.sparse as sp, torch
from bcnmf import BCNMF, SharedTargetNMF

warnings.simplefilter("ignore")
torch.set_num_threads(2)
rng = np.random.default_rng(0)
sides = [rng.random((rows, 300)).astype(np.float32) for rows in (500, 400)]
KINDS = {"dense": np.asarray, "sparse": lambda side: sp.csr_matrix(side * (side > 0.7))}


def fit(kind, out=None):
    x, y = map(KINDS[kind], sides)
    model = BCNMF(8, max_iter=3, tol=0, device="cpu").fit(x, background=y)
    model.transform(y)
    if kind == "dense":
        SharedTargetNMF(2, 2, max_iter=3, tol=0, device="cpu").fit(x, background=y)
    if out is not None:
        out.put(model.objective_[-1])
    return model.objective_[-1]


if __name__ == "__main__":
    child = sys.argv[1]
    fit("dense")  # by threads, which a forked process does not have
    expected = fit(child)
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    forked = context.Process(target=fit, args=(child, out))
    forked.start()
    try:
        found = out.get(timeout=120)
    except queue.Empty:
        forked.kill()
        sys.exit("the forked process hangs")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("child", ["dense", "sparse"])
def test_a_forked_process_can_fit(tmp_path, child):
    script = tmp_path / "fork.py"
    script.write_text(FORK)
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, str(script), child],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
