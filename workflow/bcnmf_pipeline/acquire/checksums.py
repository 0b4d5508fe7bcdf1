"""Fill in sizes and checksums of registered files that were not known when a row was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcnmf.files import atomic_path
from bcnmf_pipeline.acquire.download import fetch
from bcnmf_pipeline.acquire.errors import DownloadError
from bcnmf_pipeline.acquire.registry import PENDING, Entry, load_registry
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


def _fill(sheet: Path, entry: Entry, found: dict[str, str]) -> None:
    """Write what was found into the pending cells of a file's row; nothing else changes."""
    lines = sheet.read_text(encoding="utf-8-sig").split("\n")
    rows = [at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    header = [cell.strip() for cell in lines[rows[0]].split("\t")]
    for at in rows[1:]:
        cells = lines[at].split("\t")
        row = dict(zip(header, map(str.strip, cells), strict=True))
        if f"{row['dataset']}/{row['file']}" == entry.name:
            for name, value in found.items():
                if row[name] == PENDING:
                    cells[header.index(name)] = value
            lines[at] = "\t".join(cells)
    with atomic_path(sheet) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
