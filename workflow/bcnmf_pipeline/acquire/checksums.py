"""Fill in sizes and checksums of registered files that were not known when a row was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.acquire.download import fetch
from bcnmf_pipeline.acquire.errors import DownloadError
from bcnmf_pipeline.acquire.registry import Entry, load_registry
from bcnmf_pipeline.record.provenance import file_digest

PENDING = "pending"


def fill_checksums(
    sheet: str | os.PathLike,
    folder: Path,
    *,
    datasets: tuple[str, ...] = (),
    mirror: str | None = None,
    retries: int = 4,
    timeout: float = 60.0,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Fetch every file whose checksum or size is pending, and write both into the sheet.

    What is known already is never changed: a file that has come with another size or checksum than
    the sheet states is refused by the download. The sheet keeps its comments and its order, and is
    replaced after each file, so that an interrupted run loses nothing.

    Parameters
    ----------
    sheet : path
        The datasets sheet.
    folder : Path
        Folder of the downloads, with ``<dataset>/<file>``; files that are there are not fetched
        again.
    datasets : tuple of str
        Only these data sets; by default all.
    mirror : str, optional
        Folder or base URL that is asked first.
    retries, timeout
        See `bcnmf_pipeline.acquire.download.fetch`.
    say : callable
        Is told what was filled in.

    Returns
    -------
    list of str
        What could not be had, with the reason.

    Raises
    ------
    InputError
        The sheet cannot be used, or has no such data set.
    """
    sheet = Path(sheet)
    registry = load_registry(sheet)
    known = {entry.dataset for entry in registry.entries}
    for name in datasets:
        if name not in known:
            raise InputError(
                f"{sheet}: no row for data set {name!r}; known: {', '.join(sorted(known))}"
            )
    failed = []
    for entry in registry.entries:
        if (entry.sha256 is not None and entry.bytes is not None) or (
            datasets and entry.dataset not in datasets
        ):
            continue
        path = folder / entry.dataset / entry.file
        try:
            fetch(entry, path, mirror=mirror, retries=retries, timeout=timeout)
        except DownloadError as error:
            failed.append(f"{entry.name}: {error}")
            continue
        size, digest = path.stat().st_size, file_digest(path)
        _write(sheet, entry, digest, size)
        say(f"{entry.name}: {size} bytes, sha256 {digest}")
    return failed


def _write(sheet: Path, entry: Entry, digest: str, size: int) -> None:
    text = "".join(_changed(sheet, entry, digest, size))
    with atomic_path(sheet) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _changed(sheet: Path, entry: Entry, digest: str, size: int) -> Iterator[str]:
    """Yield the lines of the sheet, those of one file with its size and checksum."""
    header: list[str] = []
    for line in sheet.read_text(encoding="utf-8-sig").splitlines(keepends=True):
        cells = line.rstrip("\r\n").split("\t")
        if line.startswith("#") or not line.strip():
            yield line
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            yield line
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        if (row["dataset"], row["file"]) == (entry.dataset, entry.file):
            for name, value in (("sha256", digest), ("bytes", str(size))):
                if row[name] == PENDING:
                    cells[header.index(name)] = value
            line = "\t".join(cells) + line[len(line.rstrip("\r\n")) :]
        yield line
