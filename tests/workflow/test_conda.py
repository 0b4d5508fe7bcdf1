"""Conda with a stand-in that records what it is asked, and a Snakemake with nothing beside it.

The real thing, without the network: `make test-conda`.
"""

import importlib.metadata
import json
import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT, TINY
from own_cells import own_cells

pytestmark = pytest.mark.slow

STAND_IN = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "calls.jsonl").open("a") as log:
    log.write(json.dumps(words) + "\\n")
if "--version" in words:
    print("conda 24.11.0")
elif words[:1] == ["info"]:
    place = str(folder)
    print(json.dumps({{"conda_prefix": place, "platform": "linux-64", "root_prefix": place}}))
elif words[:1] == ["config"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}, "channel_priority": "strict"}}))
elif "create" in words:
    prefix = pathlib.Path(words[words.index("--prefix") + 1])
    (prefix / "conda-meta").mkdir(parents=True)
    (folder / "made").mkdir(exist_ok=True)
    source = pathlib.Path(words[words.index("--file") + 1])
    (folder / "made" / (prefix.name + ".yaml")).write_text(source.read_text())
"""


@pytest.fixture
def conda(tmp_path, monkeypatch):
    """Put the stand-in on the PATH; return its folder."""
    folder = tmp_path / "conda"
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "conda"
    program.write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "bin" / "activate").write_text("export CONDA_PREFIX=$1\n")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return folder


def made(conda):
    """Return the names of the environments that were asked for."""
    files = (conda / "made").glob("*.yaml")
    return {yaml.safe_load(file.read_text())["name"] for file in files}


SETTINGS = TINY | {"name": "tiny", "studies": ["simulation_beta8", "pbmc"]}


def test_a_run_with_conda_can_be_planned(workflow, conda):
    done = workflow("-n", "--use-conda", settings=SETTINGS)
    assert done.returncode == 0, done.output


@pytest.mark.parametrize(("device", "fits"), [("cpu", "bcnmf-fit"), ("cuda", "bcnmf-fit-cuda")])
def test_the_environments_of_a_run_are_made_before_it(workflow, conda, device, fits):
    settings = SETTINGS | {"compute": {"device": device}}
    done = workflow("--use-conda", "--conda-create-envs-only", settings=settings)
    assert done.returncode == 0, done.output
    assert made(conda) == {"bcnmf-analysis", fits}
    calls = [json.loads(line) for line in (conda / "calls.jsonl").read_text().splitlines()]
    assert sum("create" in words for words in calls) == 2
    # Nothing is asked of anybody but the channels of the files.
    assert not [words for words in calls if "install" in words or "-c" in words]


def needed_by_snakemake() -> set[str]:
    """Return the distributions that come with Snakemake."""
    found, waiting = set(), ["snakemake"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needs = map(Requirement, importlib.metadata.requires(name) or ())
            waiting += [
                one.name for one in needs if not one.marker or one.marker.evaluate({"extra": ""})
            ]
    return found


@pytest.fixture
def plain(tmp_path):
    """Return a Snakemake in a virtual environment of what `pip install snakemake` brings."""
    base = Path(sys._base_executable).resolve()
    python = tmp_path / "plain" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(base)
    settings = f"home = {base.parent}\ninclude-system-site-packages = false\n"
    (tmp_path / "plain" / "pyvenv.cfg").write_text(settings)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / "plain")}))
    site.mkdir(parents=True)
    for name in needed_by_snakemake():
        distribution = importlib.metadata.distribution(name)
        for part in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            (site / part).symlink_to(distribution.locate_file(part))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [
                python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile",
                "--directory", tmp_path, "--cores", "2", *arguments,
            ],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip

    for module in ("numpy", "pandas", "scipy", "h5py", "anndata", "torch", "sklearn", "packaging"):
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        assert (found.returncode == 0) == (module == "packaging"), module
    return run


def test_snakemake_alone_plans_quick_and_paper(plain, conda):
    done = plain("-n", "quick", "paper", "--sdm", "conda", "--quiet", "rules")
    assert done.returncode == 0, done.stdout
    assert "draw_mouse" in done.stdout


def test_snakemake_alone_says_what_own_data_need(plain, tmp_path):
    own_cells(tmp_path / "cells.h5ad")
    header = "study\tdataset\ttarget\tbackground\tlabel"
    row = "mine\tcells.h5ad\ttreatment == drug\ttreatment == vehicle\tcell type"
    (tmp_path / "studies.tsv").write_text(f"{header}\n{row}\n")
    settings = {"name": "mine", "studies": ["mine"], "sheets": {"studies": "studies.tsv"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    done = plain("--configfile", str(tmp_path / "mine.yaml"))
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    said = [line for line in done.stdout.splitlines() if "pip install anndata scanpy" in line]
    assert len(said) == 1, done.stdout
    assert "mine" in said[0]
    assert not (tmp_path / "results").exists()
