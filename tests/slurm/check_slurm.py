"""The pipeline on a real Slurm of one node: `make test-slurm`. Not part of `make test`."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, sacct, why_not

from conftest import ROOT, TINY
from method_rows import with_method

PROFILE = ROOT / "profiles" / "slurm"
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import in_kernel  # noqa: E402

SETTINGS = TINY | {
    "studies": ["simulation_beta8"], "methods": ["pca", "nmf", "bcnmf"],
    "replicates": {"default": 1, "simulation": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    reason = why_not()
    if reason:
        pytest.skip(f"no Slurm can be brought up here: {reason}")
    # Paths of sockets are short; pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    with Cluster(folder) as running:
        yield running
    shutil.rmtree(folder)


class Run:
    """Snakemake through the profile, from a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
        # One node here: what differs from the profile as it ships.
        profile |= {"jobs": 4, "latency-wait": 15}
        profile["slurm-init-seconds-before-status-checks"] = 5
        (folder / "profile").mkdir()
        (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))

    def command(self, settings: dict, *arguments: str) -> list[str]:
        path = self.folder / "mine.yaml"
        path.write_text(yaml.safe_dump(settings))
        return [
            "timeout", "-k", "20", "900", sys.executable, "-m", "snakemake", *arguments,
            "--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder),
            "--workflow-profile", str(self.folder / "profile"), "--configfile", str(path),
        ]  # fmt: skip

    def __call__(self, settings: dict, *arguments: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(settings, *arguments), capture_output=True, text=True, check=False
        )
        done.output = done.stdout + done.stderr
        return done

    def start(self, settings: dict, *arguments: str) -> subprocess.Popen:
        log = (self.folder / "run.log").open("wb")
        return subprocess.Popen(self.command(settings, *arguments), stdout=log, stderr=log)


@pytest.fixture
def run(cluster, tmp_path):
    return Run(tmp_path)


def jobs_of(rule, *fields):
    """Return accounting rows of the jobs of a rule; the plugin names it in the comment."""
    return [
        row
        for row in sacct("JobID", "State", "Comment", *fields)
        if f"rule_{rule}" in row["Comment"]
    ]


def test_a_run_goes_through_slurm_to_its_report(run):
    done = run(SETTINGS | {"name": "whole"}, "results/whole/report.html")
    assert done.returncode == 0, done.output
    assert (run.folder / "results/whole/report.html").stat().st_size > 100_000
    states = [row["State"] for row in sacct("State")]
    assert states.count("COMPLETED") >= 5
    assert not any(state.startswith("FAILED") for state in states)


def test_the_tutorial_runs_as_it_stands(cluster, tmp_path, monkeypatch):
    """In what a checkout is after `make setup`; the site has stand-ins for Slurm's commands."""
    monkeypatch.setenv("PYTHONPATH", "")
    in_kernel.checkout(tmp_path)
    text = (ROOT / "docs" / "tutorials" / "cluster.md").read_text()
    cells = re.findall(r"^```{code-cell}\n%%bash -e\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(cells) == text.count("%%bash") >= 5
    for cell in cells:
        done = subprocess.run(
            ["timeout", "600", "bash", "-e"], input=cell, cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        print(done.stdout)
    assert (tmp_path / "results/mine/fits/mine/0/fits_0.json").exists()


def test_a_fit_gets_its_gpu(run):
    done = run(
        SETTINGS | {"name": "gpu"}, "results/gpu/fits/simulation_beta8/0/bcnmf/k2_alpha2_seed0.npz",
        "--set-resources", "fit_alone:gpu=1", "fit_alone:gpu_model=fake",
    )  # fmt: skip
    assert done.returncode == 0, done.output
    asked = [row["AllocTRES"] for row in jobs_of("fit", "AllocTRES")]
    assert any("gres/gpu=1" in tres for tres in asked), asked


def test_a_job_that_needs_more_memory_gets_it_at_the_next_attempt(run):
    done = run(
        SETTINGS | {"name": "memory"},
        "results/memory/evaluation/simulation_beta8/0/scores.tsv",
        "--set-resources", "evaluate:mem_mb=200 * attempt ** 3",
    )  # fmt: skip
    assert done.returncode == 0, done.output
    states = [row["State"] for row in jobs_of("evaluate")][-2:]
    assert states[0] != "COMPLETED"
    assert states[-1] == "COMPLETED"


def running(rule):
    """Return the ids of the running jobs of a rule."""
    done = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%i|%k"], capture_output=True, text=True, check=True
    )
    rows = [line.split("|", 1) for line in done.stdout.splitlines()]
    return [job for job, comment in rows if f"rule_{rule}" in comment]


LONG = {
    "method": "long", "label": "Long", "algorithm": "bcnmf", "studies": "simulation_beta8",
    "values": "default", "k": 2, "alpha": 2, "contrast": "relative", "loss": "squared_error",
    "solver": "mu", "max_iter": 400_000, "tol": 0,
}  # fmt: skip


FIT = "results/cut/fits/simulation_beta8/0/long/k2_alpha2_seed0.npz"


def start_long_fit(run, *arguments):
    """Start a run of one long fit; return its process and, in its iterations, its Slurm job."""
    (run.folder / "methods.tsv").write_text(with_method(**LONG))
    settings = SETTINGS | {
        "name": "cut", "methods": ["long"], "sheets": {"methods": "methods.tsv"},
    }  # fmt: skip
    going = run.start(settings, FIT, *arguments)
    job = wait_for(lambda: running("fit"), 300)[0]
    # Made when the script has imported what it needs; the iterations follow.
    log = FIT.replace("/fits/", "/logs/fits/").replace(".npz", ".log")
    wait_for((run.folder / log).exists, 120)
    time.sleep(15)
    return going, job


# As a scheduler does that takes a job's node away; and as a person, or an administrator.
@pytest.mark.parametrize("cancel", [["scancel", "--signal=TERM"], ["scancel"]], ids=" ".join)
def test_a_cancelled_fit_goes_on_from_its_checkpoint(run, cancel):
    before = {row["JobID"] for row in jobs_of("fit")}
    going, job = start_long_fit(run)
    subprocess.run([*cancel, job], check=True)
    checkpoint = (run.folder / FIT).with_suffix(".checkpoint.npz")
    wait_for(checkpoint.exists, 60)
    assert going.wait(900) == 0, (run.folder / "run.log").read_text()
    assert (run.folder / FIT).exists()
    assert not checkpoint.exists()
    states = [row["State"] for row in jobs_of("fit") if row["JobID"] not in before]
    assert states[0].startswith(("CANCELLED", "FAILED"))
    assert states[-1] == "COMPLETED"


def test_a_run_whose_job_was_cancelled_ends_with_an_error(run):
    going, job = start_long_fit(run, "--retries", "0")
    subprocess.run(["scancel", job], check=True)
    cancelled = time.monotonic()
    assert going.wait(240) == 1
    log = (run.folder / "run.log").read_text()
    assert f"'{job}' failed, SLURM status is: 'CANCELLED'" in log
    print(f"found after {time.monotonic() - cancelled:.0f} s")
    assert not running("fit")


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(1)
    raise AssertionError(f"did not happen within {seconds} s")
