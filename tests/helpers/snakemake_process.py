"""Snakemake's command line in processes that have its modules already.

A server imports them once and each run is a fork of it: what a shell would start, in a process of
its own, without the seconds of imports that are most of a small run.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
# Nothing of this repository: a run may be of a copy of it that was changed.
_SERVER.set_forkserver_preload(
    [
        "snakemake.cli", "snakemake.dag", "snakemake.executors.dryrun",
        "snakemake.executors.local", "snakemake.report.html_reporter", "pandas", "jsonschema",
        "anndata",
    ]
)  # fmt: skip


def run_snakemake(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run Snakemake to its end, and capture what it writes."""
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _SERVER.Process(target=_main, args=(arguments, environment, logs))
        process.start()
        process.join()
        said = [log.read_text() for log in logs]
    return subprocess.CompletedProcess(["snakemake", *arguments], process.exitcode, *said)


def _main(arguments: list[str], environment: dict[str, str], logs: list[Path]) -> None:
    for stream, log in zip((sys.stdout, sys.stderr), logs, strict=True):
        with log.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    # What a shell would give: nothing of what pytest adds.
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.path[:] = [*environment["PYTHONPATH"].split(os.pathsep), *installed]
    from snakemake.cli import main

    main(arguments)
