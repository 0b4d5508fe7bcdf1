"""Each of several fits on one machine gets a GPU of its own."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from bcnmf_pipeline.fit.gpus import claimed
from conftest import ROOT

CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
    "from bcnmf_pipeline.fit.gpus import claimed\n"
    "with claimed('cuda', 3, Path(sys.argv[2])) as device:\n"
    "    print(device, flush=True); sys.stdin.read()\n"
)


def test_jobs_at_once_get_devices_of_their_own(tmp_path):
    with ExitStack() as stack:
        devices = [stack.enter_context(claimed("cuda", 3, tmp_path)) for _ in range(3)]
        assert devices == ["cuda:0", "cuda:1", "cuda:2"]
        with claimed("cuda", 3, tmp_path) as shared:
            assert shared in devices
    with claimed("cuda", 3, tmp_path) as device:
        assert device == "cuda:0"


def test_a_job_that_is_killed_gives_its_device_back(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ROOT / "workflow"), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "cuda:0\n"
    with claimed("cuda", 3, tmp_path) as device:
        assert device == "cuda:1"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with claimed("cuda", 3, tmp_path) as device:
        assert device == "cuda:0"


@pytest.mark.parametrize(("device", "count"), [("cpu", 4), ("auto", 4), ("cuda:2", 4), ("cuda", 1)])
def test_other_devices_are_taken_as_they_are(tmp_path, device, count):
    with claimed(device, count, tmp_path / "none") as found:
        assert found == device
    assert not (tmp_path / "none").exists()
