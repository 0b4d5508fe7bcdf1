"""Memory is estimated from shapes, before any of it is taken."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, InputError, SharedTargetNMF, memory

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
STATUS = Path("/proc/self/status")


def sides(dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.poisson(0.5, (rows, 40)).astype(dtype) for rows in (60, 30)]


def test_data_in_the_precision_of_the_factors_are_not_copied():
    same = memory.required(sides(), 5, torch.float32, CPU, "squared_error")
    other = memory.required(sides(np.float64), 5, torch.float32, CPU, "squared_error")
    assert other - same == pytest.approx(1.1 * 4 * 90 * 40, abs=2)


def test_an_accelerator_holds_sparse_data_twice_and_maps_for_counts(monkeypatch):
    """By torch's operations, where Triton is not there."""
    monkeypatch.setattr(memory.accelerated, "present", lambda device: False)
    sparse = [sp.csr_matrix(side) for side in sides()]
    stored = sum(side.nnz for side in sparse)
    needed = {
        (device.type, loss): memory.required(sparse, 5, torch.float32, device, loss)
        for device in (CPU, CUDA)
        for loss in ("squared_error", "poisson")
    }
    assert needed["cuda", "squared_error"] - needed["cpu", "squared_error"] >= 2 * 8 * stored
    assert needed["cuda", "poisson"] - needed["cuda", "squared_error"] >= 40 * stored


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_that_cannot_fit_is_refused_before_it_starts(monkeypatch, dtype):
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    x, y = sides()
    with pytest.raises(InputError, match=r"needs about .* GB on cpu, where 0\.0 GB are free") as at:
        BCNMF(3, device="cpu", dtype=dtype).fit(x, background=y)
    assert "batch_size=" in str(at.value)
    assert ("dtype='float32' takes half" in str(at.value)) == (dtype == "float64")
    with pytest.raises(InputError, match="needs about"):
        SharedTargetNMF(3, 2, device="cpu").fit(x, background=y)


def test_data_read_in_batches_are_not_counted(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 1000)
    x, y = sides()
    model = BCNMF(3, device="cpu", batch_size=7, max_iter=3, tol=0).fit(x, background=y)
    assert model.usage_.shape == (60, 3)


def test_free_memory_is_that_of_the_machine():
    assert memory.free(CPU) > 10**7


def made_up(folder, files):
    """Write files by their paths below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Let the system's files be those of a folder, on a machine with 8000 kB available."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUPS_OF_PROCESS", tmp_path / "self")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    made_up(tmp_path, {"meminfo": "MemTotal:  16000 kB\nMemFree:  10 kB\nMemAvailable:  8000 kB\n"})
    return tmp_path


def test_linux_says_what_is_available(machine):
    assert memory.free(CPU) == 8000 * 1024


def test_elsewhere_all_memory_counts(machine, monkeypatch):
    (machine / "meminfo").unlink()
    sizes = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 16384}
    monkeypatch.setattr(memory.os, "sysconf", sizes.__getitem__)
    assert memory.free(CPU) == 16_384_000


STAT = "anon 5\nactive_file 100\ninactive_file 200\n"
GROUP_2 = {"memory.max": "4000000\n", "memory.current": "1000000\n", "memory.stat": STAT}
OPEN_2 = {"memory.max": "max\n", "memory.current": "3000000\n", "memory.stat": STAT}
GROUP_1 = {
    "memory.limit_in_bytes": "4000000\n", "memory.usage_in_bytes": "1000000\n",
    "memory.stat": "inactive_file 7\ntotal_active_file 100\ntotal_inactive_file 200\n",
}  # fmt: skip
OPEN_1 = GROUP_1 | {"memory.limit_in_bytes": "9223372036854771712\n"}


@pytest.mark.parametrize(
    ("line", "groups", "expected"),
    [
        ("0::/job", {"groups/job": GROUP_2}, 3_000_300),
        ("0::/job/step", {"groups/job": GROUP_2, "groups/job/step": OPEN_2}, 3_000_300),
        ("0::/job", {"groups/job": OPEN_2}, 8_192_000),
        # In a container the group is the top of what is seen, whatever its path outside.
        ("0::/", {"groups": GROUP_2}, 3_000_300),
        ("0::/outside/job", {"groups": GROUP_2}, 3_000_300),
        ("0::/job", {"groups/job": GROUP_2 | {"memory.current": "5000000\n"}}, 0),
        ("7:memory:/slurm/job_1/step_0", {
            "groups/memory/slurm/job_1": GROUP_1, "groups/memory/slurm/job_1/step_0": OPEN_1,
        }, 3_000_300),
        ("7:cpu,memory:/docker/1", {"groups/memory": GROUP_1}, 3_000_300),
        ("7:memory:/", {"groups/memory": OPEN_1}, 8_192_000),
        ("3:cpuset:/job", {"groups/memory/job": GROUP_1}, 8_192_000),
    ],
)  # fmt: skip
def test_limits_of_containers_and_jobs_count(machine, line, groups, expected):
    made_up(machine, {"self": f"12:pids:/job\n{line}\n1:name=systemd:/\n"})
    for group, files in groups.items():
        made_up(machine / group, files)
    assert memory.free(CPU) == expected


def test_mps_takes_of_the_memory_of_the_host(machine, monkeypatch):
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 9000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2000)
    assert memory.free(torch.device("mps")) == 7000


def test_what_a_fit_takes_beside_data_that_are_there():
    size = 10, 1_000_000, 3000
    alone = memory.beside_data(*size, torch.float32)
    # Five copies of the usages are most of it.
    assert 5 * 4e7 < alone < 1.5 * 5 * 4e7
    assert memory.beside_data(*size, torch.float64) == pytest.approx(2 * alone)
    assert memory.beside_data(*size, torch.float32, 10**9) == pytest.approx(alone + 1.1e9)


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux, which says the peak elsewhere too")
def test_the_peak_is_what_linux_says():
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    assert memory.peak(CPU) == pytest.approx(1024 * int(line.split()[1]), rel=0.05)


def test_cuda_counts_what_torch_keeps_for_tensors_to_come(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (500, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert memory.free(CUDA) == 700


def test_kernels_of_the_gpu_hold_the_data_and_their_transpose_alone(monkeypatch):
    """int32 places, and no dense blocks for counts."""
    monkeypatch.setattr(memory.accelerated, "present", lambda device: device.type == "cuda")
    sparse = [sp.csr_matrix(side) for side in sides()]
    stored = sum(side.nnz for side in sparse)
    squared, poisson = (
        memory.required(sparse, 5, torch.float32, CUDA, loss)
        for loss in ("squared_error", "poisson")
    )
    assert squared == poisson
    on_host = memory.required(sparse, 5, torch.float32, CPU, "squared_error")
    # What sorting needs stands beside, for one tile of rows.
    assert (
        16 * stored
        <= squared - on_host
        <= 1.1 * (64 * stored + 8 * (150 + 150 + 2 * 40) + 2 * 12 * 5 * 40)
    )
