"""A stand-in for Slurm's commands, for the page on clusters: jobs run here, at once.

It keeps to what it is asked as Slurm does: a job that takes more memory than it asked for is
killed, and one that is cancelled gets SIGTERM. It knows no queue, no limits of time and no nodes.
``python slurm.py FOLDER COMMAND ...``; FOLDER holds a record of each job.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

NAMES = ("sbatch", "squeue", "sacct", "scancel", "scontrol", "sacctmgr", "srun")
_LETTERS = {"i": "JobID", "T": "State", "k": "Comment", "m": "ReqMem", "j": "JobName"}
_HEADER = {name: name for name in _LETTERS.values()}
_ALIVE = ("PENDING", "RUNNING")


def install(folder: Path) -> None:
    """Put the commands into a folder, and that first on the PATH."""
    folder.mkdir()
    for name in NAMES:
        line = f'exec "{sys.executable}" "{__file__}" "{folder}" {name} "$@"'
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def sbatch(folder: Path, words: list[str]) -> None:
    """Start a job that outlives this command; print its number."""
    parser = argparse.ArgumentParser()
    for name in ("J job-name", "o output", "D chdir", "A account", "p partition", "t time"):
        parser.add_argument(f"-{name[0]}", f"--{name[2:]}")
    for name in ("comment", "mem", "export", "wrap", "ntasks", "cpus-per-task"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--parsable", action="store_true")
    asked = parser.parse_args(words)
    number = len(list(folder.glob("*.json"))) + 1
    job = {
        "JobID": str(number), "JobName": asked.job_name, "State": "PENDING",
        "Comment": asked.comment, "ReqMem": f"{asked.mem}M",
    }  # fmt: skip
    _write(folder, job)
    log = asked.output.replace("%j", str(number))
    if os.fork() == 0:
        os.setsid()
        with open(log, "wb") as out, open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        _run(folder, job, asked.wrap, asked.chdir, float(asked.mem))
        os._exit(0)
    print(number)


def _run(folder: Path, job: dict[str, str], command: str, place: str, mem_mb: float) -> None:
    where = os.environ | {"SLURM_JOB_ID": job["JobID"]}
    going = subprocess.Popen(["sh", "-c", command], cwd=place, env=where, start_new_session=True)
    job |= {"State": "RUNNING", "pid": str(going.pid)}
    _write(folder, job)
    state = ""
    while going.poll() is None:
        if _memory(going.pid) > mem_mb * 2**20 and not state:
            state = "OUT_OF_MEMORY"
            os.killpg(going.pid, signal.SIGKILL)
        time.sleep(0.5)
    if (folder / f"{job['JobID']}.cancelled").exists():
        state = "CANCELLED"
    job["State"] = state or ("FAILED" if going.returncode else "COMPLETED")
    _write(folder, job)


def _memory(pid: int) -> int:
    try:
        top = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [top, *top.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def scancel(folder: Path, words: list[str]) -> None:
    """Stop jobs by SIGTERM."""
    for job in _jobs(folder):
        if job["JobID"] in words and job["State"] in _ALIVE:
            (folder / f"{job['JobID']}.cancelled").touch()
            os.killpg(int(job["pid"]), signal.SIGTERM)


def srun(folder: Path, words: list[str]) -> None:
    """Run a command in the job that this is called from."""
    start = next(place for place, word in enumerate(words) if not word.startswith("-"))
    os.execvp(words[start], words[start:])


def squeue(folder: Path, words: list[str]) -> None:
    """List jobs that run, or with --states=all every job."""
    parser = _listing()
    parser.add_argument("--states")
    asked = parser.parse_args(words)

    def line(job: dict[str, str]) -> str:
        return re.sub(r"%(\w)", lambda found: job[_LETTERS[found[1]]], asked.format)

    if not asked.noheader:
        print(line(_HEADER))
    for job in _jobs(folder, asked.name):
        if asked.states == "all" or job["State"] in _ALIVE:
            print(line(job))


def sacct(folder: Path, words: list[str]) -> None:
    """List every job, in columns of 10 or of a width of their own."""
    parser = _listing()
    parser.add_argument("-X", action="store_true")
    asked = parser.parse_args(words)
    columns = [column.split("%") for column in asked.format.split(",")]
    for job in [_HEADER] * (not asked.noheader) + _jobs(folder, asked.name):
        print(*(job[name].ljust(abs(int(*width)) or 10) for name, *width in columns))


def scontrol(folder: Path, words: list[str]) -> None:
    """Say how long squeue knows a job that has ended."""
    print("MinJobAge = 300 sec")


def sacctmgr(folder: Path, words: list[str]) -> None:
    """Name the only account."""
    print("lab")


def _listing() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--format", required=True)
    parser.add_argument("-n", "--noheader", action="store_true")
    parser.add_argument("--name")
    return parser


def _write(folder: Path, job: dict[str, str]) -> None:
    written = folder / f"{job['JobID']}.writing"
    written.write_text(json.dumps(job))
    written.replace(folder / f"{job['JobID']}.json")


def _jobs(folder: Path, name: str | None = None) -> list[dict[str, str]]:
    jobs = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    mine = [job for job in jobs if name in (None, job["JobName"])]
    return sorted(mine, key=lambda job: int(job["JobID"]))


if __name__ == "__main__":
    globals()[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:])
