"""Profiles as they ship: each is planned with; of other schedulers the command that submits."""

import importlib.util
import os
import re
import sys

import pytest
import yaml

from conftest import ROOT, TINY, Workflow

pytestmark = pytest.mark.slow

PROFILES = sorted(path.parent for path in (ROOT / "profiles").glob("*/config.yaml"))
ONE = TINY | {
    "studies": ["simulation_beta8"], "methods": ["pca"],
    "replicates": {"default": 1, "simulation": 1},
}  # fmt: skip
MODULES = {
    "slurm": "snakemake_executor_plugin_slurm",
    "cluster-generic": "snakemake_executor_plugin_cluster_generic",
}


def content(profile):
    return yaml.safe_load((profile / "config.yaml").read_text())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_a_run_can_be_planned_with_each_profile(workflow, profile):
    """With its own executor where that is installed, else with all but that."""
    executor = content(profile).get("executor")
    if executor and importlib.util.find_spec(MODULES[executor]) is None:
        pytest.skip(f"the executor plugin {executor} is not installed")
    cores = [] if executor else ["--cores", "2"]
    done = workflow("-n", *cores, "--workflow-profile", str(profile), settings=TINY)
    assert done.returncode == 0, done.output
    fit = done.output.split("rule fit:")[1].split("rule ")[0]
    assert "mem_mb=<TBD>" in fit  # its pair is not there yet


def without_executor(profile, folder):
    """Return a copy of a profile that needs no plugin."""
    kept = {key: value for key, value in content(profile).items() if not needs_plugin(key)}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(kept))
    return folder


def needs_plugin(key):
    return key == "executor" or key.startswith(tuple(MODULES))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_each_profile_is_understood_without_any_plugin(workflow, tmp_path, profile):
    copy = without_executor(profile, tmp_path / "copy")
    done = workflow(
        "-n", "--executor", "local", "--workflow-profile", str(copy),
        "--config", "compute={device: cuda}", settings=ONE,
    )  # fmt: skip
    assert done.returncode == 0, done.output
    fit = done.output.split("rule fit:")[1].split("rule ")[0]
    assert re.search(r"resources: .*gpu=1", fit)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_no_profile_reruns_for_the_time_of_scripts_or_writes_into_the_home(profile):
    found = content(profile)
    assert found["rerun-triggers"] == ["mtime", "params", "input", "software-env"]
    if profile.name != "default":
        assert "source-cache" not in found["shared-fs-usage"]


@pytest.mark.parametrize("file", sorted((ROOT / "workflow" / "rules").glob("*.smk")), ids=str)
def test_every_rule_asks_for_memory_and_time(file):
    rules = re.split(r"^\s*rule\b", file.read_text(), flags=re.MULTILINE)[1:]
    for rule in rules:
        assert re.search(r"resources:\s+\*\*(SMALL|OF_[A-Z]+),", rule), rule


# A scheduler that keeps what it is asked, and starts at once. Its first job finds no Python.
SUBMIT = """\
#!{python}
import json, os, pathlib, subprocess, sys
folder = pathlib.Path({folder!r})
number = len(list(folder.glob("*.json")))
words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
(folder / f"{{number}}.json").write_text(json.dumps(words))
where = os.environ | ({{}} if number else {{"PYTHONHOME": "/nowhere"}})
with (folder / "out.log").open("ab") as log:
    subprocess.Popen(["sh", words[-1]], env=where, stdout=log, stderr=log, start_new_session=True)
print(number)
"""


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """Put stand-ins for the commands of schedulers on the PATH; return their folder."""
    folder = tmp_path / "scheduler"
    folder.mkdir()
    for name in ("qsub", "bsub"):
        program = folder / name
        program.write_text(SUBMIT.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def submitted(folder):
    """Return what was asked, in its order."""
    files = sorted(folder.glob("*.json"), key=lambda path: int(path.stem))
    return [yaml.safe_load(file.read_text()) for file in files]


def commands() -> dict[str, str]:
    """Return the commands of the profile, in use and in comments, by scheduler."""
    text = (ROOT / "profiles" / "cluster-generic" / "config.yaml").read_text()
    found = dict(re.findall(r"^# (PBS|SGE|LSF): +'(.*)'$", text, flags=re.MULTILINE))
    assert (
        content(ROOT / "profiles" / "cluster-generic")["cluster-generic-submit-cmd"]
        == (found["PBS"])
    )
    return found


ASKED = {
    "PBS": ["qsub", "-V", "-A", "lab", "-N", "bcnmf.{rule}", "-l",
            "select=1:ncpus=1:mem={mem}mb:ngpus=0", "-l", "walltime={seconds}"],
    "SGE": ["qsub", "-V", "-cwd", "-terse", "-N", "bcnmf.{rule}", "-pe", "smp", "1", "-l",
            "h_vmem={mem}M,h_rt={seconds}"],
    "LSF": ["bsub", "-J", "bcnmf.{rule}", "-n", "1", "-M", "{mem}MB", "-R",
            "rusage[mem={mem}MB] span[hosts=1]", "-W", "{minutes}"],
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["PBS", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("SGE", "LSF"))]
)
def test_a_job_is_asked_for_with_its_memory_and_time(tmp_path, scheduler, kind):
    """In a folder with a blank; and again, with more of both, after it failed."""
    plugin = "snakemake_executor_plugin_cluster_generic"
    pytest.importorskip(plugin)
    profile = content(ROOT / "profiles" / "cluster-generic")
    profile |= {
        "cluster-generic-submit-cmd": commands()[kind], "latency-wait": 5, "retries": 1,
        "seconds-between-status-checks": 1,
    }  # fmt: skip
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    folder = tmp_path / "a study"
    folder.mkdir()
    made = "results/tiny/datasets/simulation_beta8/0.h5ad"
    run = Workflow(ROOT, folder)
    done = run("--workflow-profile", str(tmp_path / "profile"), made, settings=ONE)
    assert done.returncode == 0, done.output
    assert (folder / made).exists()
    asked = [words[:-1] for words in submitted(scheduler)]
    assert asked == [
        [
            word.format(rule="simulate", mem=1500 * n, seconds=3600 * n, minutes=60 * n)
            for word in ASKED[kind]
        ]
        for n in (1, 2)
    ]
