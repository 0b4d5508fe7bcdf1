"""Files that are either whole or absent: everything is written beside its place, then moved."""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bcnmf.checks import import_extra
from bcnmf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_SHOWN = 200  # signs of what a library says


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
    with reading(
        path,
        "not a readable .h5ad file",
        "copy or download it again; if the pipeline made it, delete it and run again",
    ):
        data: AnnData = ad.read_h5ad(path, backed="r" if backed else None)
        return data


@contextmanager
def reading(path: str | os.PathLike[str], what: str, remedy: str) -> Iterator[None]:
    """Turn what a library says of a file into an `InputError` that names it: path, what, remedy.

    Libraries raise whatever their code comes to in a damaged file, plain `Exception` included. It
    is kept as the cause.
    """
    try:
        yield
    except (InputError, ImportError):
        raise
    except Exception as error:
        encoding = re.search(r"encoding_type='(.*?)', encoding_version='(.*?)'", str(error))
        if encoding:
            found = f"the encoding {encoding[1]!r}, version {encoding[2]!r}, is not known"
            remedy = "update anndata here, or write the file again with an older anndata"
        else:
            found = _in_words(error)
        raise InputError(f"{path}: {what} ({found}{_element(error)}); {remedy}") from error


def _in_words(error: Exception) -> str:
    """Return what a library says, without the words that tell a reader nothing."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    # h5py: "Unable to synchronously open object (object 'obs' doesn't exist)".
    inner = re.fullmatch(r"(?:Unable to|Can't) [^(]*\((.*)\)", text, re.DOTALL)
    if inner:
        return re.sub(r": eof = .*", "", inner[1])
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    named = "" if isinstance(error, KeyError | ValueError) and text else f"{type(error).__name__}: "
    text = re.sub(r"<class '([\w.]+)'>", r"\1", named + text)
    return textwrap.shorten(text, _SHOWN).rstrip(": ")


def _element(error: Exception) -> str:
    """Return the part of the file that anndata was reading, from its note."""
    notes = "\n".join(getattr(error, "__notes__", ()))
    found = re.search(r"while reading key '(.+?)' of .* from /(.*)", notes)
    return f", in {'/'.join(filter(None, (found[2], found[1])))}" if found else ""
