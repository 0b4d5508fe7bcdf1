"""Files that are either whole or absent: everything is written beside its place, then moved."""

from __future__ import annotations

import os
import re
import secrets
import stat
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bcnmf.checks import import_extra
from bcnmf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

_SHOWN = 200  # signs of what a library says
# Written to see whether there is room: an empty file can be made on a disk that is full.
_PROBE = bytes(4096)


@contextmanager
def atomic_path(path: str | os.PathLike[str], follow: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there on success.

    A job that is killed, or a disk that fills up, leaves no half-written file behind under the
    final name, and the file that was there before as it was. The temporary name keeps the suffix,
    since many writers choose a format by it.

    A symbolic link is followed, unless `follow` is false: what it names is replaced, and the link
    stays. Of a file with several names (hard links), the others keep the earlier content. A file
    that is replaced hands on its permissions, its group and, for root, its owner.

    Raises
    ------
    InputError
        There is something else than a file, or a link that leads back to itself.
    """
    place = _followed(path) if follow else Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(place)
    try:
        _create(temporary, private=place.exists())
        yield temporary
        _finish(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a file can be written there, which is best known before a long computation.

    Raises
    ------
    InputError
        It is a folder or a device, write-protected, or no file can be made in its folder.
    """
    path, folder = Path(path), None
    try:
        place = _followed(path)
        if place.exists() and not os.access(place, os.W_OK):
            raise InputError(
                f"{path}: is write-protected; remove it, `chmod u+w` it, or give another path"
            )
        folder = next(one for one in place.parents if one.exists())
        # Too long names are found out by asking for them.
        for part in place.relative_to(folder).parts:
            with suppress(FileNotFoundError):
                (folder / part).lstat()
        # Asking for permission is not enough: root has it everywhere, /proc included.
        temporary = _beside(folder / place.name)
        try:
            _create(temporary, private=True, content=_PROBE)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        where = f", since no file can be made in {folder}" if folder else ""
        raise InputError(
            f"{path}: cannot be written{where} ({error.strerror}); give another path"
        ) from error
    return path


def _followed(path: str | os.PathLike[str]) -> Path:
    """Return where a file goes: the path without links in it."""
    place = Path(os.path.realpath(path))
    if place.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a file")
    if place.is_symlink():
        raise InputError(f"{path}: is a link that leads back to itself; remove it")
    if place.exists() and not place.is_file():
        raise InputError(f"{path}: is a device or pipe; give the path of a file")
    return place


def _beside(place: Path) -> Path:
    # Of the name so much that the temporary one is not too long where the name itself is not.
    return place.with_name(f".{place.stem[:30]}.{secrets.token_hex(4)}{place.suffix[:30]}")


def _create(path: Path, private: bool, content: bytes = b"") -> None:
    """Make a new file, with the permissions that new files have here unless it is private."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with open(handle, "wb") as file:
        file.write(content)


def _finish(temporary: Path, place: Path) -> None:
    """Move a file to its place when all of it is on the disk."""
    handle = os.open(temporary, os.O_RDONLY)
    try:
        # Some disks say only now that they are full.
        os.fsync(handle)
        if place.exists():
            before = place.stat()
            # What may not be kept is left: the content matters more.
            for owner in (before.st_uid, -1):
                with suppress(OSError):
                    os.fchown(handle, owner, before.st_gid)
                    break
            with suppress(OSError):
                os.fchmod(handle, stat.S_IMODE(before.st_mode))
    finally:
        os.close(handle)
    temporary.replace(place)


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


class _Tried(Exception):
    """All was written that was to be tried."""


def check_storable(data: AnnData, path: str | os.PathLike[str]) -> None:
    """Write the annotation of data to `path`, and remove it: not all that can be read can be.

    Raises
    ------
    InputError
        An .h5ad does not hold a column, or an entry of uns; names it.
    """
    annotation = type(data)(obs=data.obs.copy(), var=data.var.copy(), uns=dict(data.uns))
    try:
        with atomic_path(path) as temporary:
            annotation.write_h5ad(temporary)
            raise _Tried
    except _Tried:
        return
    except OSError:
        raise
    except Exception as error:  # of many kinds, Exception itself among them
        where = "; ".join([str(error), *getattr(error, "__notes__", [])])
        raise InputError(
            f"{path}: the annotation of the data cannot be written as .h5ad ({where}); leave this "
            "out, or make it text in Python: data.obs[column] = data.obs[column].astype(str)"
        ) from error
