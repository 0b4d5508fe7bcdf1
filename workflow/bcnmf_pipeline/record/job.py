"""What every script of the workflow does around its one call: log, and errors people can read."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from bcnmf.errors import InputError
from bcnmf.progress import Watch, watched


class UncheckedWarning(UserWarning):
    """A file is used whose checksum nobody has registered; scripts show it on the terminal."""


class _Tee:
    """Write to the log, and to the terminal so that a failing job shows why."""

    def __init__(self, *streams: TextIO) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def _shown_by(everywhere: _Tee, log: TextIO) -> Callable[..., None]:
    """Return what prints warnings: those of unchecked files on the terminal too."""

    def show(message: Warning, category: type, file: str, line: int, *rest: object) -> None:
        stream: _Tee | TextIO = everywhere if issubclass(category, UncheckedWarning) else log
        stream.write(warnings.formatwarning(message, category, Path(file).name, line, ""))

    return show


@contextmanager
def logged(snakemake: Any) -> Iterator[None]:
    """Send output and warnings of a script to the rule's log.

    An `InputError` ends the job with its message alone, on the terminal too; any other error keeps
    its traceback. What takes long says in the log how far it is.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with path.open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _shown_by(_Tee(log, terminal), log)
        try:
            with watched(Watch(log, whole=snakemake.rule)):
                yield
        except InputError as error:
            _Tee(log, terminal).write(f"\nERROR in rule {snakemake.rule}: {error}\n\n")
            sys.exit(1)
        except Exception:
            _Tee(log, terminal).write(
                f"\nERROR in rule {snakemake.rule} (a fault of the program, please report it):\n"
                f"{traceback.format_exc()}\n"
            )
            sys.exit(1)


def import_first_from(folder: Path) -> None:
    """Let the processes of jobs import from a folder before what is installed.

    Snakemake hands them the search path of its own process behind what is installed, which may hold
    another version of the library. In conda environments, where nothing of it is installed, it
    takes the variable away.
    """
    others = [place for place in [os.environ.get("PYTHONPATH")] if place]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *others])


def limit_threads(threads: int) -> None:
    """Keep torch (if a script imported it), BLAS and OpenMP to the threads of the rule."""
    import threadpoolctl

    threadpoolctl.threadpool_limits(threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
