"""Runs that are cut off: by kill -9, by Ctrl-C, by a full disk; and files that were cut short.

A bounded number of rounds here; `make torture` runs more (BCNMF_ROUNDS=20).
"""

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from conftest import ROOT, TINY, Workflow, faults_of

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("BCNMF_ROUNDS", "1"))
STUDY = "simulation_beta0"
TABLES = [f"results/tiny/tables/studies/{STUDY}.{name}.tsv" for name in ("scores", "summary")]
TARGET = TABLES[0]


def started(folder):
    """Start Snakemake in a session of its own, as a terminal would; return the process."""
    (folder / "cut.yaml").write_text(yaml.safe_dump(TINY))
    command = [
        sys.executable, "-m", "snakemake", TARGET, "--snakefile", str(ROOT / "Snakefile"),
        "--directory", str(folder), "--cores", "2", "--configfile", str(folder / "cut.yaml"),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def finish(folder, *arguments):
    done = Workflow(ROOT, folder)(TARGET, *arguments, settings=TINY)
    assert done.returncode == 0, done.output


def wait_until(condition, process):
    """Wait for what happens while a process runs; the guard against hanging is pytest's."""
    while not condition():
        assert process.poll() is None, "the run ended before"
        time.sleep(0.3)


def wait_for_jobs(folder):
    """Jobs outlive a killed run; a person who types the command again later finds them done."""
    while jobs(folder):
        time.sleep(0.2)


def jobs(folder):
    """Return the processes of scripts that run for a folder: also those that lost their parent."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            here = (place / "cwd").resolve()
        except OSError:
            continue
        if any(b".snakemake/scripts" in word for word in words) and here == folder.resolve():
            found.append(int(place.name))
    return found


def finished(folder):
    """Return the results that Snakemake does not call incomplete, with the time of writing.

    Contrastive PCA's alphas are looked for again where not all of their fits are there: the file
    has to say the same.
    """
    marks = folder / ".snakemake" / "incomplete"
    incomplete = {
        base64.b64decode("".join(path.relative_to(marks).parts)).decode()
        for path in marks.rglob("*")
        if path.is_file()
    }
    # Logs and benchmarks are written by runs that fail as well.
    kinds = ("datasets", "pairs", "fits", "evaluation", "tables")
    return {
        str(path.relative_to(folder)): (
            path.read_text() if path.match("*_alphas.json") else path.stat().st_mtime_ns
        )
        for path in folder.glob("results/tiny/**/*")
        if path.is_file()
        and path.relative_to(folder).parts[2] in kinds
        and not path.name.startswith(".")
        and ".checkpoint" not in path.name
        and str(path.relative_to(folder)) not in incomplete
    }


def assert_as_undisturbed(folder, tiny_run):
    """Compare with the run that was not cut; return the files that are no result."""
    for table in TABLES:
        assert (folder / table).read_bytes() == (tiny_run.folder / table).read_bytes(), table
    left = [path for path in folder.glob("results/tiny/**/.*") if path.is_file()]
    return [path for path in left if path.name != ".snakemake_timestamp"]


@pytest.fixture(scope="session")
def n_results(tiny_run):
    """Return how many files there are before the evaluation of a run begins."""
    names = [Path(name) for name in finished(tiny_run.folder) if f"/{STUDY}/" in name]
    return sum(name.parts[2] in ("datasets", "pairs", "fits") for name in names)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_that_was_killed_goes_on_to_the_same_tables(number, tiny_run, n_results, tmp_path):
    rng = np.random.default_rng(number)
    process = started(tmp_path)
    n = rng.integers(1, n_results, endpoint=True)
    wait_until(lambda: len(finished(tmp_path)) >= n, process)
    time.sleep(rng.uniform(0, 2))
    kill_a_job = number % 2 == 1
    if kill_a_job:
        running = jobs(tmp_path)
        for job in running[:1]:
            os.kill(job, signal.SIGKILL)
        process.wait()
    else:
        process.kill()
        process.wait()
        wait_for_jobs(tmp_path)
    before = finished(tmp_path)
    finish(tmp_path, "--unlock")
    finish(tmp_path)
    assert_as_undisturbed(tmp_path, tiny_run)
    after = finished(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.long
def test_ctrl_c_leaves_nothing_half_done(tiny_run, n_results, tmp_path):
    process = started(tmp_path)
    wait_until(lambda: len(finished(tmp_path)) >= n_results // 2, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    assert process.wait() != 0
    wait_for_jobs(tmp_path)
    before = finished(tmp_path)
    finish(tmp_path)  # not locked
    assert assert_as_undisturbed(tmp_path, tiny_run) == []
    after = finished(tmp_path)
    assert {name: after[name] for name in before} == before


def test_two_runs_at_once_are_told_what_to_do(tmp_path):
    first = started(tmp_path)
    try:
        wait_until(lambda: list((tmp_path / ".snakemake" / "locks").glob("*")), first)
        second = Workflow(ROOT, tmp_path)(TARGET, settings=TINY)
    finally:
        os.killpg(first.pid, signal.SIGTERM)
        first.wait()
    assert second.returncode != 0
    assert "--unlock" in second.output


@pytest.fixture
def copied(tiny_run, tmp_path):
    """Return the finished run in another folder, with what it found beside its results."""
    for name in ("results", ".snakemake", "config"):
        subprocess.run(["cp", "-a", str(tiny_run.folder / name), str(tmp_path)], check=True)
    return Workflow(tiny_run.root, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        f"pairs/{STUDY}/0/target.h5ad",
        f"fits/{STUDY}/0/bcnmf/k2_alpha2_seed0.npz",
    ],
)
def test_an_intermediate_that_was_cut_short_is_named(copied, name):
    path = copied.folder / "results/tiny" / name
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    os.utime(path, ns=(stamp, stamp))
    done = copied(TARGET, "--forcerun", "evaluate", settings=TINY)
    assert done.returncode != 0
    (message,) = faults_of(done, "evaluate")
    assert Path(name).name in message
    assert "delete" in message
    assert "Traceback" not in message


def test_clocks_that_disagree_cause_no_endless_work(copied):
    tomorrow = time.time() + 86_400
    for path in copied.folder.glob("results/tiny/**/*"):
        os.utime(path, (tomorrow, tomorrow))
    done = copied(TARGET, settings=TINY)
    assert done.returncode == 0, done.output
    assert "Nothing to be done" in done.output


def test_results_of_which_nothing_is_known_are_kept(copied):
    """As those of an older version, or a folder that was copied without what is hidden."""
    subprocess.run(["rm", "-r", str(copied.folder / ".snakemake")], check=True)
    before = finished(copied.folder)
    done = copied(TARGET, settings=TINY)
    assert done.returncode == 0, done.output
    assert finished(copied.folder) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")
def test_results_that_cannot_be_written_are_named(tmp_path):
    disk = tmp_path / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        done = Workflow(ROOT, tmp_path)(TARGET, settings=TINY)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert done.returncode != 0
    assert "Read-only file system: 'results/tiny'" in done.output


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_named_and_costs_nothing(tiny_run, tmp_path):
    disk = tmp_path / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "size=200k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        process = started(tmp_path)
        assert process.wait() != 0
        assert "No space left on device" in (tmp_path / "log.txt").read_text()
        assert [path for path in disk.rglob(".*") if path.is_file()] == []
        before = finished(tmp_path)
        subprocess.run([*mount, "remount,size=50m", "tmpfs", str(disk)], check=True)
        finish(tmp_path)
        assert_as_undisturbed(tmp_path, tiny_run)
        after = finished(tmp_path)
        assert {name: after[name] for name in before} == before
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
