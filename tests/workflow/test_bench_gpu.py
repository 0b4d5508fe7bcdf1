"""The benchmark for GPUs does all that it does on a CPU too, and says what it did not do."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from conftest import ROOT

FOLDER = ROOT / "benchmarks"
QUICK = ["--device", "cpu", "--quick"]
WHERE = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
PARTS = ("limits", "passes", "fits", "peer", "million", "hundred", "many")
TIMES = {"ms_per_iteration", "iterations_timed", "GB_per_s", "share_of_copy", "peak_GB"}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    from gpu_parts import Bench

    return Bench(torch.device("cpu"), True)


def run(*arguments, env=WHERE):
    command = [sys.executable, str(FOLDER / "gpu.py"), *QUICK, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", ["limits", "passes", "fits", "peer", "hundred", "many"])
def test_each_part_measures_and_agrees_with_the_cpu(bench, part):
    from gpu_parts import PARTS as MEASURES

    rows = {what: work() for what, work in MEASURES[part](bench)}
    assert len(rows) == {"limits": 2, "passes": 4, "fits": 20, "peer": 4, "hundred": 6}.get(
        part, len(rows)
    )
    if part in {"passes", "fits"}:
        assert all(row["agrees"] for row in rows.values()), rows
    if part == "fits":
        assert all(row["same_again"] for row in rows.values())
    if part == "peer":
        assert all(row["seconds_of_20_iterations"] > 0 for row in rows.values())
    if part == "hundred":
        assert rows["data to the device, and one iteration"]["stored_values"] > 1000
        for what in ("mu, squared_error", "mu, poisson", "safeguarded, squared_error"):
            assert rows[what].keys() >= TIMES
            assert rows[what]["ms_per_iteration"] > 0
    if part == "many":
        objectives = [row["objectives"] for row in rows.values()]
        for others in objectives[1:]:
            assert others == pytest.approx(objectives[0], rel=1e-4)


def test_data_are_drawn_alike_and_as_dense_as_asked(bench):
    one, again, other = (bench.draw(3000, 100, name) for name in ("a", "a", "b"))
    assert (one != again).nnz == 0
    assert (one != other).nnz > 0
    assert one.nnz / (3000 * 100) == pytest.approx(0.1, rel=0.1)
    assert one.indices.dtype.itemsize == 4


def test_parts_run_in_processes_of_their_own_and_their_tables_are_written(
    gpu, tmp_path, monkeypatch, capsys
):
    """What gets no turn is named, which is no failure."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "workflow"))
    monkeypatch.setattr(gpu, "SECONDS", {"limits": 300, "many": 10**9})
    monkeypatch.setattr(sys, "argv", ["gpu.py", *QUICK, "--out", str(tmp_path)])
    assert gpu.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "limits.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["measured", "measured"]
    text = (tmp_path / "gpu.md").read_text()
    assert text == capsys.readouterr().out
    assert text.startswith("# cpu: bcnmf ")
    assert "TINY SIZES" in text
    assert "| copy on the device | " in text
    assert "Several starts, one by one and together; data in blocks" in text
    assert ": all of it: not run: no time was left" in text


def test_what_fails_is_said_and_counts_and_the_others_go_on(gpu, tmp_path, monkeypatch, capsys):
    def part(bench):
        yield "good", lambda: {"agrees": True}
        yield "bad", lambda: 1 / 0
        yield "wrong", lambda: {"agrees": False, "apart": 0.5}

    monkeypatch.setattr(gpu, "PARTS", {"fits": part})
    monkeypatch.setattr(sys, "argv", ["gpu.py", *QUICK, "--out", str(tmp_path), "--part", "fits",
                                      "--seconds", "60"])  # fmt: skip
    assert gpu.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "fits.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == [
        "measured", "failed: ZeroDivisionError: division by zero", "measured",
    ]  # fmt: skip
    monkeypatch.setattr(gpu, "SECONDS", {"fits": 60})
    monkeypatch.setattr(gpu, "_run", lambda part, options, until: rows)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *QUICK, "--out", str(tmp_path)])
    monkeypatch.setattr(gpu, "summary", lambda rows: [])
    assert gpu.main() == 1
    assert "| bad |  |  | failed: ZeroDivisionError: division by zero |" in capsys.readouterr().out


def test_what_hangs_is_stopped_and_what_it_had_is_kept(gpu, tmp_path, monkeypatch):
    hanging = tmp_path / "hanging.py"
    hanging.write_text(
        "import sys, time, pathlib\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        '(out / \'fits.jsonl\').write_text(\'{"what": "first", "status": "measured"}\\n\')\n'
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(hanging))
    monkeypatch.setattr(gpu, "SECONDS", {"fits": 3})
    monkeypatch.setattr(sys, "argv", ["gpu.py", *QUICK, "--out", str(tmp_path)])
    rows = gpu._run("fits", gpu._arguments(), gpu.time.monotonic() + 100)
    assert rows == [
        {"what": "first", "status": "measured"},
        {"what": "the rest", "status": "failed: stopped after 4 s"},
    ]


def test_goals_are_judged_by_what_was_measured(gpu):
    rows = {part: [] for part in PARTS}
    fast = {"what": "mu, squared_error", "ms_per_iteration": 20.0, "share_of_copy": 0.5}
    slow = {"what": "mu, poisson", "ms_per_iteration": 50.0, "share_of_copy": 0.25}
    rows["million"] = [row | {"status": "measured"} for row in (fast, slow)]
    rows["peer"] = [
        {"what": "dense, mu", "status": gpu.NO_TURN},
        {"what": "sparse, mu", "status": "measured", "seconds_of_20_iterations": 0.1,
         "seconds_of_fit": 0.4},
    ]  # fmt: skip
    text = "\n".join(gpu.summary(rows))
    assert "20 ms an iteration (goal 24: reached), 50% of what a plain copy moves" in text
    assert "50 ms an iteration (goal 40: missed), 25%" in text
    assert "sparse, mu: 0.1 s for 20 iterations (goal 0.3: reached), 0.4 s with all" in text
    assert "dense, mu: not run: no time was left" in text


def test_parts_fit_into_the_time_that_is_promised(gpu):
    assert tuple(gpu.SECONDS) == PARTS == tuple(gpu.TITLES)
    assert sum(gpu.SECONDS.values()) <= gpu.BUDGET < 8 * 60


def test_a_device_that_is_not_there_is_refused_at_once(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = run("--out", tmp_path / "none", "--device", "cuda")
    assert done.returncode == 2
    assert "finds no CUDA device" in done.stderr
    assert not (tmp_path / "none").exists()


def test_nothing_but_the_package_is_needed():
    """Each of its imports: of Python, of the package and its own parts, or of what that needs."""
    allowed = {"numpy", "scipy", "torch", "bcnmf", "gpu_parts"} | set(sys.stdlib_module_names)
    for name in ("gpu.py", "gpu_parts.py"):
        lines = (FOLDER / name).read_text().splitlines()
        words = [
            line.split()[1]
            for line in map(str.strip, lines)
            if line.startswith(("import ", "from "))
        ]
        assert {word.split(".")[0] for word in words} <= allowed


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_kernels_are_interpreted_where_there_is_no_gpu(tmp_path):
    where = WHERE | {"TRITON_INTERPRET": "1"}
    done = run("--part", "passes", "--seconds", "600", "--out", tmp_path, env=where)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "passes.jsonl").read_text().splitlines()]
    assert {row["by"] for row in rows} == {"FusedSparseMatrix", "DenseMatrix"}
    assert all(row["agrees"] for row in rows), rows
