"""The pipeline in conda environments that a client solved and installed: `make test-conda`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from conftest import ROOT

ENVIRONMENTS = ("analysis", "fit")
# Behind what .venv holds itself: its packages are what the channel is made of.
sys.path.append(str(ROOT / ".venv" / ".conda"))
CLIENT = Path(__file__).parent / "client.py"
# Versions before this one are refused by Snakemake.
OLDEST = (24, 7, 1)


def wanted() -> set[str]:
    """Return the packages of the environments for the CPU, and Snakemake."""
    files = [yaml.safe_load((ROOT / "envs" / f"{one}.yaml").read_text()) for one in ENVIRONMENTS]
    named = {entry.split()[0] for content in files for entry in content["dependencies"]}
    return named - {"python"} | {"snakemake"}


def version_of_conda() -> tuple[int, ...]:
    """Return the version of the conda on the PATH; of none, nothing."""
    if not shutil.which("conda"):
        return ()
    said = subprocess.run(["conda", "--version"], capture_output=True, text=True, check=False)
    return tuple(map(int, re.findall(r"\d+", said.stdout)[:3]))


class Conda:
    """A client, and channels in a folder beside it that are all it knows."""

    def __init__(self, folder: Path) -> None:
        from channel import make_channels

        self.folder = folder
        self.name = f"conda {'.'.join(map(str, version_of_conda()))}"
        make_channels(folder / "channels", wanted())
        (folder / "condarc").write_text(
            yaml.safe_dump(
                {
                    "channel_alias": (folder / "channels").as_uri(),
                    "channel_priority": "strict",
                    "default_channels": [],
                }
            )
        )
        self.environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONPATH"
        } | {
            "CONDARC": str(folder / "condarc"),
            "CONDA_PKGS_DIRS": str(folder / "packages"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        if version_of_conda() < OLDEST:
            self.name = "py-rattler"
            self._take_py_rattler()
        self.python = folder / "plain" / "bin" / "python"
        (folder / "plain.yaml").write_text(
            yaml.safe_dump({"channels": ["conda-forge"], "dependencies": ["snakemake"]})
        )
        command = ["conda", "env", "create", "--file", folder / "plain.yaml"]
        command += ["--prefix", folder / "plain"]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE)

    def _take_py_rattler(self) -> None:
        """Put `client.py` on the PATH as conda, with what Snakemake looks for beside it."""
        programs = self.folder / "client" / "bin"
        programs.mkdir(parents=True)
        libraries = Path(importlib.util.find_spec("rattler").origin).resolve().parents[1]
        (programs / "conda").write_text(
            f'#!/bin/sh\nPYTHONPATH="{libraries}" exec "{sys.executable}" "{CLIENT}" "$@"\n'
        )
        (programs / "conda").chmod(0o755)
        (programs / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
        self.environment |= {
            "CONDA_ROOT": str(programs.parent),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }


@pytest.fixture(scope="module")
def conda():
    for module in ("rattler", "conda_package_streaming"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: `make test-conda` gets it, if pip can")
    with tempfile.TemporaryDirectory(prefix="conda") as folder:
        yield Conda(Path(folder))


def run(python: Path | str, folder: Path, environment: dict, *arguments: str) -> str:
    folder.mkdir()
    done = subprocess.run(
        [
            python, "-m", "snakemake", "quick", "--snakefile", ROOT / "Snakefile",
            "--directory", folder, "--cores", "2", "--quiet", "rules", "reason", "host", *arguments,
        ],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_snakemake_alone_runs_the_whole_chain_in_conda_environments(conda, tmp_path):
    for absent in ("numpy", "pandas"):
        command = [conda.python, "-c", f"import {absent}"]
        found = subprocess.run(command, capture_output=True, check=False)
        assert found.returncode != 0, f"{absent} is there: it is no Snakemake alone"
    said = run(conda.python, tmp_path / "conda", conda.environment, "--sdm", "conda")
    made = {
        yaml.safe_load(file.read_text())["name"]: file.with_suffix("")
        for file in (tmp_path / "conda" / ".snakemake" / "conda").glob("*.yaml")
    }
    assert set(made) == {f"bcnmf-{name}" for name in ENVIRONMENTS}
    assert not list(made["bcnmf-analysis"].glob("lib/python*/site-packages/torch"))
    assert list(made["bcnmf-fit"].glob("lib/python*/site-packages/torch"))
    run(sys.executable, tmp_path / "pip", {**os.environ, "PYTHONPATH": str(ROOT / "workflow")})
    of_conda, of_pip = (
        (tmp_path / way / "results" / "quick" / "tables" / "scores.tsv").read_bytes()
        for way in ("conda", "pip")
    )
    assert of_conda == of_pip
    print(
        f"\n{conda.name}: {re.findall(r'.*steps.*done', said)[-1]}; scores.tsv identical to pip's"
    )
