"""Begins each kernel: its folder becomes what a checkout is after `make setup`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import slurm  # noqa: E402

PROGRAMS = {"bcnmf": "bcnmf", "bcnmf-pipeline": "bcnmf_pipeline", "snakemake": "snakemake"}


def checkout(here: Path) -> None:
    """Copy code and settings, and make a .venv of the packages of this Python."""
    shutil.copy(ROOT / "Snakefile", here)
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in ("config", "envs", "profiles", "workflow"):
        shutil.copytree(ROOT / name, here / name, ignore=unneeded)
    programs = here / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), programs.parent)
    (programs.parent / "lib").symlink_to(Path(sys.prefix, "lib"))
    (programs / "python").symlink_to(sys.executable)
    for name, module in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{programs}/python" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    os.environ["PYTHONPATH"] = str(here / "workflow")


def bash(line: str, cell: str) -> None:
    """Run commands as IPython's own %%bash does, but show what they print in its order."""
    done = subprocess.run(
        ["bash", *line.split()],
        input=cell,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout, end="")
    done.check_returncode()


if __name__ == "__main__":
    get_ipython().register_magic_function(bash, "cell")  # noqa: F821
    checkout(Path.cwd())
    # No page sends jobs to a real cluster.
    slurm.install(Path.cwd() / ".slurm")
