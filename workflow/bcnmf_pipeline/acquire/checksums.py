"""Fill in sizes and checksums of registered files that were not known when a row was written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from bcnmf.delimited import encoding_of, separator_of, stripped
from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.acquire.download import fetch
from bcnmf_pipeline.acquire.errors import DownloadError
from bcnmf_pipeline.acquire.registry import PENDING, Entry, load_registry
from bcnmf_pipeline.plan.sheets import read_sheet
from bcnmf_pipeline.record.provenance import file_digest


def fill_checksums(
    sheet: str | Path,
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
    chosen = [entry for name in datasets for entry in registry.rows(name)] or registry.entries
    failed = []
    for entry in chosen:
        if entry.sha256 is not None and entry.bytes is not None:
            continue
        path = folder / entry.name
        try:
            fetch(entry, path, mirror=mirror, retries=retries, timeout=timeout)
        except DownloadError as error:
            failed.append(f"{entry.name}: {error}")
            continue
        size, digest = path.stat().st_size, file_digest(path)
        _fill(sheet, entry, {"sha256": digest, "bytes": str(size)})
        say(f"{entry.name}: {size} bytes, sha256 {digest}")
    return failed


def _fill(path: Path, entry: Entry, found: dict[str, str]) -> None:
    """Write what was found into the pending cells of a file's row; nothing else changes."""
    sheet = read_sheet(path)
    at, row = next(
        (line - 1, row)
        for line, row in zip(sheet.lines, sheet.rows, strict=True)
        if f"{row['dataset']}/{row['file']}" == entry.name
    )
    raw = path.read_bytes()
    encoding = encoding_of(raw)
    text = raw.decode(encoding)
    end = next((one for one in ("\r\n", "\n", "\r") if one in text), "\n")
    lines = text.split(end)
    separator = separator_of(lines[at])
    cells = next(csv.reader([lines[at]], delimiter=separator))
    pending = [place for place, cell in enumerate(cells) if stripped(cell) == PENDING]
    names = [name for name in sheet.columns if row[name] == PENDING]
    if len(pending) != len(names):
        raise InputError(
            f"{path}, line {at + 1}: a cell of several lines; write this row on one line, so that "
            "its checksum can be filled in"
        )
    for place, name in zip(pending, names, strict=True):
        cells[place] = found.get(name, PENDING)
    filled = io.StringIO()
    csv.writer(filled, delimiter=separator, lineterminator="").writerow(cells)
    lines[at] = filled.getvalue()
    with atomic_path(path) as temporary:
        temporary.write_bytes(end.join(lines).encode(encoding))
