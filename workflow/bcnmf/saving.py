"""Results that took long, written somewhere even where their place cannot be written any more."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bcnmf.progress import doing
from bcnmf.stopping import Stop, noted

# A library that cannot close a file on a full disk says so with a RuntimeError.
_FAULTS = (OSError, RuntimeError)


def save(write: Callable[[Path], object], path: Path) -> bool:
    """Write a result, to another place if need be, and say where it is then.

    Ctrl-C and SIGTERM are acted on when it is written; a second one at once.

    Parameters
    ----------
    write : callable
        Writes the result to the path that it is given, whole or not at all.
    path : Path
        Where it belongs.

    Returns
    -------
    bool
        Whether it is there.
    """
    stop = Stop()
    with noted(stop, f"stopping when {path} is written; once more stops at once"):
        with doing(f"writing {path}"):
            fault = _fault(write, path)
        if fault:
            print(f"error: {path}: could not be written ({fault})", file=sys.stderr)
            print(_elsewhere(write, path), file=sys.stderr)
    stop.act()
    return not fault


def _elsewhere(write: Callable[[Path], object], path: Path) -> str:
    """Write to the first place that takes it, and return what to do."""
    for folder in _places():
        other = folder / f"{path.stem[:30]}-{secrets.token_hex(4)}{path.suffix}"
        if not _fault(write, other):
            move = shlex.join(["mv", str(other), str(path)])
            return f"It is in {other} instead. Make room or get permission, then {move}"
    return (
        f"Nor could it be written into {', '.join(map(str, _places()))}: it is lost. Make room, "
        "or get permission, and run again"
    )


def _fault(write: Callable[[Path], object], path: Path) -> str:
    """Return why a result could not be written, nothing if it was."""
    try:
        write(path)
    except _FAULTS as error:
        text = getattr(error, "strerror", None) or str(error)
        # HDF5 adds names, addresses and sizes.
        short = re.search(r"error message = '(.*?)'", text)
        return short[1] if short else text
    return ""


def _places() -> list[Path]:
    """Return folders that may take what its own does not: of the shell, home, temporary files."""
    places = [Path().absolute(), Path(os.path.expanduser("~"))]
    with suppress(FileNotFoundError):  # none can be written
        places.append(Path(tempfile.gettempdir()))
    return [place for place in places if place.is_dir()]
