"""`--use-conda` with a stand-in for conda: it records what it is asked, and makes folders."""

import json
import os
import stat

import pytest
import yaml

from conftest import TINY

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
    import sys

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
