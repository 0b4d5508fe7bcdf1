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

from conftest import ROOT, TINY, Workflow

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("BCNMF_ROUNDS", "1"))
SETTINGS = TINY | {
    "name": "cut", "studies": ["simulation_beta8"], "methods": ["nmf", "bcnmf"],
    "replicates": {"default": 1, "simulation": 1},
}  # fmt: skip
TABLES = ("tables/scores.tsv", "tables/summary.tsv")
TARGET = "results/cut/tables/scores.tsv"


def started(folder, *arguments):
    """Start Snakemake in a session of its own, as a terminal would; return the process."""
    (folder / "cut.yaml").write_text(yaml.safe_dump(SETTINGS))
    command = [
        sys.executable, "-m", "snakemake", TARGET, *arguments, "--snakefile",
        str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2", "--configfile",
        str(folder / "cut.yaml"),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def finish(folder, *arguments):
    process = started(folder, *arguments)
    assert process.wait(300) == 0, (folder / "log.txt").read_text()[-5000:]


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
    """Return the results that Snakemake does not call incomplete, with the time of writing."""
    marks = folder / ".snakemake" / "incomplete"
    incomplete = {
        base64.b64decode("".join(path.relative_to(marks).parts)).decode()
        for path in marks.rglob("*")
        if path.is_file()
    }
    # Logs and benchmarks are written by runs that fail as well.
    kinds = ("datasets", "pairs", "fits", "evaluation", "tables")
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.glob("results/cut/**/*")
        if path.is_file()
        and path.relative_to(folder).parts[2] in kinds
        and not path.name.startswith(".")
        and ".checkpoint" not in path.name
        and str(path.relative_to(folder)) not in incomplete
    }


def assert_as_undisturbed(folder, undisturbed):
    for table in TABLES:
        expected = (undisturbed / "results/cut" / table).read_bytes()
        assert (folder / "results/cut" / table).read_bytes() == expected, table
    left = [path for path in folder.glob("results/cut/**/.*") if path.is_file()]
    return [path for path in left if path.name != ".snakemake_timestamp"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the folder of a whole run, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    finish(folder)
    return folder, time.monotonic() - began


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_that_was_killed_goes_on_to_the_same_tables(number, undisturbed, tmp_path):
    whole, seconds = undisturbed
    rng = np.random.default_rng(number)
    process = started(tmp_path)
    time.sleep(rng.uniform(0.15, 0.9) * seconds)
    kill_a_job = number % 2 == 1
    if kill_a_job:
        running = jobs(tmp_path)
        for job in running[:1]:
            os.kill(job, signal.SIGKILL)
        process.wait(300)
    else:
        process.kill()
        process.wait()
        # Jobs outlive it; a person who types the command again a little later finds them done.
        end = time.monotonic() + 120
        while jobs(tmp_path) and time.monotonic() < end:
            time.sleep(0.2)
    before = finished(tmp_path)
    finish(tmp_path, "--unlock")
    finish(tmp_path)
    assert_as_undisturbed(tmp_path, whole)
    after = finished(tmp_path)
    assert {name: after[name] for name in before} == before


def test_ctrl_c_leaves_nothing_half_done(undisturbed, tmp_path):
    whole, seconds = undisturbed
    process = started(tmp_path)
    time.sleep(0.5 * seconds)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    assert process.wait(120) != 0
    end = time.monotonic() + 60
    while jobs(tmp_path) and time.monotonic() < end:
        time.sleep(0.2)
    before = finished(tmp_path)
    finish(tmp_path)  # not locked
    assert assert_as_undisturbed(tmp_path, whole) == []
    after = finished(tmp_path)
    assert {name: after[name] for name in before} == before


def test_two_runs_at_once_are_told_what_to_do(tmp_path):
    first = started(tmp_path)
    try:
        end = time.monotonic() + 60
        while not list((tmp_path / ".snakemake" / "locks").glob("*")):
            assert time.monotonic() < end
            time.sleep(0.1)
        second = Workflow(ROOT, tmp_path)(TARGET, settings=SETTINGS)
    finally:
        os.killpg(first.pid, signal.SIGTERM)
        first.wait(120)
    assert second.returncode != 0
    assert "--unlock" in second.output


@pytest.mark.parametrize(
    "name",
    [
        "pairs/simulation_beta8/0/target.h5ad",
        "fits/simulation_beta8/0/bcnmf/k2_alpha2_seed0.npz",
    ],
)
def test_an_intermediate_that_was_cut_short_is_named(undisturbed, tmp_path, name):
    copied(undisturbed[0], tmp_path)
    path = tmp_path / "results/cut" / name
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    os.utime(path, ns=(stamp, stamp))
    done = Workflow(ROOT, tmp_path)(TARGET, "--forcerun", "evaluate", settings=SETTINGS)
    assert done.returncode != 0
    message = done.output.split("ERROR in rule evaluate: ")[1].split("\n\n")[0]
    assert Path(name).name in message
    assert "delete" in message
    assert "Traceback" not in message


def copied(whole, folder):
    subprocess.run(["cp", "-a", f"{whole}/.", str(folder)], check=True)


def test_clocks_that_disagree_cause_no_endless_work(undisturbed, tmp_path):
    copied(undisturbed[0], tmp_path)
    tomorrow = time.time() + 86_400
    for path in tmp_path.glob("results/cut/**/*"):
        os.utime(path, (tomorrow, tomorrow))
    done = Workflow(ROOT, tmp_path)(TARGET, settings=SETTINGS)
    assert done.returncode == 0, done.output
    assert "Nothing to be done" in done.output


def test_results_of_which_nothing_is_known_are_kept(undisturbed, tmp_path):
    """As those of an older version, or a folder that was copied without what is hidden."""
    copied(undisturbed[0], tmp_path)
    subprocess.run(["rm", "-r", str(tmp_path / ".snakemake")], check=True)
    before = finished(tmp_path)
    done = Workflow(ROOT, tmp_path)(TARGET, settings=SETTINGS)
    assert done.returncode == 0, done.output
    assert finished(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")
def test_results_that_cannot_be_written_are_named(tmp_path):
    disk = tmp_path / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        done = Workflow(ROOT, tmp_path)(TARGET, settings=SETTINGS)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert done.returncode != 0
    assert "Read-only file system: 'results/cut'" in done.output


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_named_and_costs_nothing(undisturbed, tmp_path):
    whole, _ = undisturbed
    disk = tmp_path / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "size=200k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        process = started(tmp_path)
        assert process.wait(300) != 0
        assert "No space left on device" in (tmp_path / "log.txt").read_text()
        assert [path for path in disk.rglob(".*") if path.is_file()] == []
        before = finished(tmp_path)
        subprocess.run([*mount, "remount,size=50m", "tmpfs", str(disk)], check=True)
        finish(tmp_path)
        assert_as_undisturbed(tmp_path, whole)
        after = finished(tmp_path)
        assert {name: after[name] for name in before} == before
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
