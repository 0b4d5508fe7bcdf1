"""Files that are either whole or absent: everything is written beside its place, then moved."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bcnmf.checks import import_extra
from bcnmf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there on success.

    A job that is killed, or a disk that fills up, leaves no half-written file behind under the
    final name. The temporary name keeps the suffix, since many writers choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a shared results folder wants the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a file can be written there, which is best known before a long computation.

    Raises
    ------
    InputError
        It is a folder, or no file can be made in its folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a file")
    folder = next(one for one in path.absolute().parents if one.exists())
    try:
        # Asking for permission is not enough: root has it everywhere, /proc included.
        with tempfile.TemporaryFile(dir=folder):
            return path
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written, since no file can be made in {folder} "
            f"({error.strerror}); give another path"
        ) from error


def read_h5ad(path: str | os.PathLike[str], backed: bool = False) -> AnnData:
    """Read an .h5ad file, with errors that name it; `backed` leaves its X on disk.

    Raises
    ------
    InputError
        The file is missing, damaged, or no .h5ad.
    """
    ad = import_extra("anndata")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; expected an .h5ad file")
    try:
        return ad.read_h5ad(path, backed="r" if backed else None)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable .h5ad file ({error}). If the pipeline made it, delete it and "
            "run again"
        ) from error
