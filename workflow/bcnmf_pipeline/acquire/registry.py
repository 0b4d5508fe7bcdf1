"""The registry of downloads: which files there are, where they come from, what they must be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import load_sheet, load_yaml, nearest
from bcnmf_pipeline.record.provenance import WORKFLOW

PENDING = "pending"
SCHEMA = WORKFLOW / "schemas" / "datasets.schema.yaml"


@dataclass(frozen=True)
class Entry:
    """One row of the datasets sheet: a file that can be downloaded.

    Attributes
    ----------
    dataset, file : str
        Names; the file is kept as ``<dataset>/<file>``, here and in a mirror.
    url, mirror : str
        Addresses of the file; "" where there is none.
    sha256 : str or None
        Registered checksum, or several with commas between them, where the same contents are handed
        out packed in different ways; None where the sheet says `pending`.
    bytes : int or None
        Registered size; None where the sheet says `pending`.
    licence, citation : str
        Terms of use and source.
    part : str
        What of the data set the file holds; rows with the same part are alternatives.
    """

    dataset: str
    file: str
    url: str
    mirror: str
    sha256: str | None
    bytes: int | None
    licence: str
    citation: str
    part: str

    @property
    def name(self) -> str:
        """Data set and file, as in messages and in the folders of downloads and mirrors."""
        return f"{self.dataset}/{self.file}"

    @property
    def checksums(self) -> tuple[str, ...]:
        """The registered checksums, any of which the file may have; none where pending."""
        return tuple(self.sha256.split(",")) if self.sha256 else ()

    @property
    def addresses(self) -> list[str]:
        """The addresses of the sheet, in the order in which they are asked."""
        return [address for address in (self.url, self.mirror) if address]

    def place_in(self, mirror: str) -> str:
        """Return the path or address of the file in a mirror (a folder or base URL)."""
        return f"{mirror.rstrip('/')}/{self.name}"


class Registry:
    """The files of a datasets sheet.

    Parameters
    ----------
    entries : sequence of Entry
        Rows in the order of the sheet.
    path : Path
        The sheet, for messages.
    """

    def __init__(self, entries: Sequence[Entry], path: Path) -> None:
        self.entries = tuple(entries)
        self.path = path

    def entry(self, dataset: str, file: str) -> Entry:
        """Return the row of a file.

        Raises
        ------
        InputError
            The sheet has no such data set, or no such file in it.
        """
        files = {entry.file: entry for entry in self.rows(dataset)}
        if file not in files:
            raise InputError(
                f"{self.path}: data set {dataset!r} has no file {file!r}"
                f"{nearest(file, list(files))}; known: {', '.join(files)}"
            )
        return files[file]

    def choose(self, dataset: str, part: str, folder: Path, mirror: str | None = None) -> Entry:
        """Return the first of a part's alternatives that can be had here.

        That is the first one that is under `folder` already or in the mirror, if that is a folder;
        else, with a base URL as the mirror, the first one; else the first one with an address.

        Parameters
        ----------
        dataset, part : str
            As in the sheet.
        folder : Path
            Folder of the downloads, with ``<dataset>/<file>``.
        mirror : str, optional
            Folder or base URL with ``<dataset>/<file>``; empty for none.

        Raises
        ------
        InputError
            The sheet has no such data set or part; the mirror is not a folder or URL that can be
            used; or no alternative can be had.
        """
        rows = self._alternatives(dataset, part)
        places = [str(folder)] + ([mirror] if mirror else [])
        for entry in rows:
            if any(_is_file(entry.place_in(place)) for place in places):
                return entry
        if mirror:
            check_mirror(mirror)
            if local_path(mirror) is None:
                return rows[0]
        for entry in rows:
            if entry.addresses:
                return entry
        raise InputError(self._none_to_be_had(rows, folder, mirror))

    def at_hand(self, dataset: str, part: str, *places: str) -> bool:
        """Return whether a file of a part lies in one of some folders, as ``<dataset>/<file>``."""
        rows = self._alternatives(dataset, part)
        return any(_is_file(entry.place_in(place)) for entry in rows for place in places)

    def rows(self, dataset: str) -> list[Entry]:
        """Return the rows of a data set, of which there has to be one."""
        rows = [entry for entry in self.entries if entry.dataset == dataset]
        if not rows:
            known = list(dict.fromkeys(entry.dataset for entry in self.entries))
            raise InputError(
                f"{self.path}: no row for data set {dataset!r}{nearest(dataset, known)}; "
                f"known: {', '.join(known) or 'none'}"
            )
        return rows

    def _alternatives(self, dataset: str, part: str) -> list[Entry]:
        rows = self.rows(dataset)
        chosen = [entry for entry in rows if entry.part == part]
        if not chosen:
            known = list(dict.fromkeys(entry.part for entry in rows))
            raise InputError(
                f"{self.path}: data set {dataset!r} has no part {part!r}{nearest(part, known)}; "
                f"known: {', '.join(known)}"
            )
        return chosen

    def _none_to_be_had(self, rows: Sequence[Entry], folder: Path, mirror: str | None) -> str:
        dataset, part = rows[0].dataset, rows[0].part
        searched = f"{folder}/{dataset}"
        if mirror:
            place = f"{mirror.rstrip('/')}/{dataset}"
            searched += f" or {place}"
            remedy = f"put one of them there: {place}/<file>"
        else:
            remedy = (
                f"put one of them into a folder as <mirror>/{dataset}/<file> and name that folder "
                "with --config mirror=<mirror>"
            )
        return (
            f"{self.path}: data set {dataset!r}, part {part!r} cannot be had: no row has an "
            f"address, and none of the files {', '.join(entry.file for entry in rows)} is in "
            f"{searched}; {remedy}"
        )


def load_registry(path: str | Path) -> Registry:
    """Read the datasets sheet.

    Raises
    ------
    InputError
        The sheet is missing, or holds something that cannot be used; names the line.
    """
    path = Path(path)
    sheet = load_sheet(path, load_yaml(SCHEMA))
    entries = []
    for number, cells in zip(sheet.lines, sheet.rows, strict=True):
        entry = _entry(cells)
        _check(entry, f"{path}, line {number} ({entry.name})")
        entries.append(entry)
    _check_names(entries, sheet.lines, path)
    return Registry(entries, path)


def local_path(address: str) -> Path | None:
    """Return the path behind a path or file:// address, None for an address on the net."""
    if "://" not in address:
        return Path(os.path.expanduser(address))
    parts = urlsplit(address)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def local_folder(mirror: str | None) -> bool:
    """Return whether a mirror is a folder that can be looked into; a base URL or "" is not."""
    folder = local_path(mirror) if mirror else None
    return folder is not None and folder.is_dir()


def check_mirror(mirror: str) -> None:
    """Refuse a mirror that is neither an existing folder nor a base URL.

    Raises
    ------
    InputError
        Names the key, what was found and what is allowed.
    """
    allowed = "allowed: a folder, or a base URL (http://, https://), that holds <dataset>/<file>"
    fault = _fault_of_address(mirror) if "://" in mirror else ""
    if fault:
        raise InputError(f"configuration, key mirror: {mirror!r} {fault}; {allowed}")
    folder = local_path(mirror)
    if folder is not None and not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(
            f"configuration, key mirror: {mirror!r} {what} (looked for {folder.absolute()}); "
            f"{allowed}; empty for none"
        )


def _is_file(place: str) -> bool:
    path = local_path(place)
    return path is not None and path.is_file()


def _entry(cells: Mapping[str, Any]) -> Entry:
    sha256, size = (None if cells[name] == PENDING else cells[name] for name in ("sha256", "bytes"))
    return Entry(**{**cells, "sha256": sha256, "bytes": None if size is None else int(size)})


def _check(entry: Entry, where: str) -> None:
    for column in ("url", "mirror"):
        address = getattr(entry, column)
        fault = _fault_of_address(address) if address else ""
        if fault:
            raise InputError(
                f"{where}, column {column}: {address!r} {fault}; "
                "allowed: http://host/path, https://host/path, file:///path"
            )
    if entry.sha256 is None and not entry.addresses:
        raise InputError(
            f"{where}, column sha256: pending, and the row has no address; a file that only comes "
            "from a mirror needs its checksum, since nothing else says what it is: give the "
            "checksum (sha256sum <file>) or an address (column url)"
        )


def _check_names(entries: Sequence[Entry], numbers: Sequence[int], path: Path) -> None:
    lines: dict[str, int] = {}
    for number, entry in zip(numbers, entries, strict=True):
        if entry.name in lines:
            raise InputError(
                f"{path}, line {number}: {entry.name} stands in line {lines[entry.name]} already; "
                "every file of a data set needs one row (a second address of the same file goes "
                "into the column mirror)"
            )
        lines[entry.name] = number
    for name, number in lines.items():
        if name.endswith(".json") and name.removesuffix(".json") in lines:
            raise InputError(
                f"{path}, line {number}: {name} is where the origin of "
                f"{name.removesuffix('.json')} is recorded; give the file another name"
            )


def _fault_of_address(address: str) -> str:
    """Return what is wrong with an address, or ""."""
    if not all("!" <= character <= "~" for character in address):
        return "holds blanks or letters that an address cannot; percent-encode them"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna")
        port = parts.port
    except ValueError as error:
        return f"is not an address: {error}"
    if parts.scheme == "file":
        local = host in (b"", b"localhost") and parts.path.startswith("/")
        return "" if local else "does not name a file of this machine by its full path"
    if parts.scheme not in ("http", "https"):
        return f"has the scheme {parts.scheme!r}"
    if "@" in parts.netloc:
        return "holds a user name, which is not supported"
    return "" if host and port != 0 else "names no host that could be asked"
