"""Begins each kernel: its folder becomes what a checkout is after `make setup`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from IPython.core.magic import register_cell_magic

import slurm

ROOT = Path(__file__).resolve().parents[2]
HERE = Path.cwd()
PROGRAMS = {"bcnmf": "bcnmf", "bcnmf-pipeline": "bcnmf_pipeline", "snakemake": "snakemake"}


def checkout() -> None:
    """Copy code and settings, and make a .venv of the packages of this Python."""
    shutil.copy(ROOT / "Snakefile", HERE)
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in ("config", "envs", "profiles", "workflow"):
        shutil.copytree(ROOT / name, name, ignore=unneeded)
    programs = HERE / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), programs.parent)
    (programs.parent / "lib").symlink_to(Path(sys.prefix, "lib"))
    (programs / "python").symlink_to(sys.executable)
    for name, module in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{programs}/python" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    os.environ["PYTHONPATH"] = str(HERE / "workflow")


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run commands as IPython's own does, with what they print in its order."""
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


checkout()
# No page sends jobs to a real cluster.
slurm.install(HERE / ".slurm")
