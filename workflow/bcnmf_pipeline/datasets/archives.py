"""Downloaded files and archives, opened with errors that name them; nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, cast

from bcnmf.errors import InputError

AGAIN = "delete the file and fetch it again, or take the one that config/datasets.tsv names"
# What gzip, tar and zip streams raise when they are cut short or overwritten.
STREAM_FAULTS = (EOFError, OSError, zlib.error)
_ZIP_FAULTS = (*STREAM_FAULTS, zipfile.BadZipFile, lzma.LZMAError, RuntimeError, ValueError)
_SHOWN = 8


@contextmanager
def opened(path: str | Path, expected: str) -> Iterator[IO[bytes]]:
    """Open a file, unpacked where it is gzipped, whatever its name.

    Parameters
    ----------
    path : path
    expected : str
        What the file should be, for errors.

    Raises
    ------
    InputError
        There is no such file.
    """
    path = existing(path, expected)
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.open(raw) as stream:
            yield cast(IO[bytes], stream)


@contextmanager
def opened_zip(
    file: Path | IO[bytes], path: Path, fault: str = "a damaged zip"
) -> Iterator[zipfile.ZipFile]:
    """Open a zip, of which `path` is the name in errors, and `fault` what it is if it is none."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except InputError:
        raise
    except _ZIP_FAULTS as error:
        raise InputError(f"{path}: {fault} ({error}); {AGAIN}") from error


def existing(path: str | Path, expected: str) -> Path:
    """Return the path of a file that has to be there."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {expected}")
    return path


class Member(NamedTuple):
    """A file in an archive.

    Attributes
    ----------
    path : Path
        The archive.
    name : str
        As the archive has it.
    size : int
        Bytes when unpacked, as stated; the libraries give out no more than that.
    open : callable
        Returns the unpacked stream.
    encrypted : bool
    """

    path: Path
    name: str
    size: int
    open: Callable[[], IO[bytes]]
    encrypted: bool = False

    @property
    def place(self) -> str:
        """Archive and member, as in errors."""
        return f"{self.path}, {self.name}"

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name."""
        return PurePosixPath(self.name.replace("\\", "/")).parts

    def stream(self, largest: int) -> IO[bytes]:
        """Open the member, if it is not too large.

        Raises
        ------
        InputError
            It is encrypted, or unpacks to more than `largest` bytes.
        """
        if self.encrypted:
            raise InputError(f"{self.path}: {self.name} is encrypted; {AGAIN}")
        if self.size > largest:
            raise InputError(
                f"{self.place}: unpacks to {self.size} bytes, more than the {largest} that are "
                f"expected at most; {AGAIN}"
            )
        return self.open()

    def content(self, largest: int) -> bytes:
        """Return the contents; see `stream`."""
        with self.stream(largest) as stream:
            return stream.read()

    def text(self, largest: int) -> str:
        """Return the contents as text; see `stream`."""
        try:
            return self.content(largest).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.place}: is no text ({error}); {AGAIN}") from error


def members_of(archive: zipfile.ZipFile | tarfile.TarFile, path: Path) -> list[Member]:
    """Return the members of an archive; of a tar no links and the like."""
    if isinstance(archive, zipfile.ZipFile):
        return [
            Member(path, one.filename, one.file_size, partial(archive.open, one),
                   bool(one.flag_bits & 0x1))
            for one in archive.infolist()
        ]  # fmt: skip
    return [
        Member(
            path,
            one.name,
            one.size,
            cast(Callable[[], IO[bytes]], partial(archive.extractfile, one)),
        )
        for one in archive
        if one.isfile()
    ]


def find_members(
    members: Sequence[Member], folder: str, wanted: Sequence[str], path: Path, expected: str
) -> dict[str, Member]:
    """Return the wanted files of a folder, which other folders may enclose, by their names.

    Raises
    ------
    InputError
        One is missing or there twice; ends with `expected`.
    """
    found: dict[str, Member] = {}
    for member in members:
        parts = member.parts
        if parts[-2:-1] != (folder,) or parts[-1] not in wanted or member.name.endswith("/"):
            continue
        if parts[-1] in found:
            raise InputError(f"{path}: holds {folder}/{parts[-1]} more than once; {AGAIN}")
        found[parts[-1]] = member
    missing = [f"{folder}/{name}" for name in wanted if name not in found]
    if missing:
        names = [member.name for member in members]
        raise InputError(f"{path}: lacks {', '.join(missing)}; found: {listed(names)}; {expected}")
    return found


def listed(names: Sequence[str]) -> str:
    """Return the first names, and whether there are more."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") or "nothing"
