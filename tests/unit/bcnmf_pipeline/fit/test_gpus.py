"""Each of several fits on one machine gets a GPU of its own."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
import torch

from bcnmf_pipeline.fit import gpus
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


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch):
    for name in (*gpus._JOB, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("job", gpus._JOB)
def test_the_device_that_a_scheduler_gives_is_used_whatever_others_hold(tmp_path, monkeypatch, job):
    with claimed("cuda", 2, tmp_path):
        monkeypatch.setenv(job, "17")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        with claimed("cuda", 1, tmp_path) as device:
            assert device == "cuda"


def test_jobs_of_a_scheduler_keep_to_the_devices_that_each_was_given(tmp_path, monkeypatch):
    """Each sees its own two by the numbers 0 and 1; within an allocation fits share them out."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with ExitStack() as stack:
        for job in ("17", "18"):
            monkeypatch.setenv("SLURM_JOB_ID", job)
            devices = [stack.enter_context(claimed("cuda", 2, tmp_path)) for _ in range(2)]
            assert devices == ["cuda:0", "cuda:1"]


def test_runs_that_were_given_different_devices_do_not_take_turns(tmp_path, monkeypatch):
    with ExitStack() as stack:
        for given in ("0,1", "2,3", "GPU-8f2e,MIG-GPU-8f2e/1/0"):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
            devices = [stack.enter_context(claimed("cuda", 2, tmp_path)) for _ in range(2)]
            assert devices == ["cuda:0", "cuda:1"]
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,4")
        assert stack.enter_context(claimed("cuda", 2, tmp_path)) == "cuda:1"


def test_a_choice_by_size_is_left_to_fits_between_the_processor_and_the_gpu_of_the_job(tmp_path):
    with ExitStack() as stack:
        got = [stack.enter_context(claimed(one, 3, tmp_path)) for one in ("auto", "cuda", "auto")]
        assert got == ["auto:0", "cuda:1", "auto:2"]


def test_devices_are_counted_as_torch_sees_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with claimed("cuda", folder=tmp_path) as one, claimed("cuda", folder=tmp_path) as other:
        assert (one, other) == ("cuda:0", "cuda:1")


def test_more_jobs_than_devices_share_them_and_leave_locks_alone(tmp_path):
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(claimed("cuda", 2, tmp_path))
        with claimed("cuda", 2, tmp_path) as third:
            assert third in {"cuda:0", "cuda:1"}
        # The third is gone, and holds none of the two.
        with claimed("cuda", 2, tmp_path) as fourth:
            assert fourth == third


@pytest.mark.parametrize(
    ("device", "count"), [("cpu", 4), ("cuda:2", 4), ("cuda", 1), ("auto", 1), ("auto", 0)]
)
def test_other_devices_are_taken_as_they_are(tmp_path, device, count):
    with claimed(device, count, tmp_path / "none") as found:
        assert found == device
    assert not (tmp_path / "none").exists()
