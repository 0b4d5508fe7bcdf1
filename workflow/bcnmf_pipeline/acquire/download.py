"""Registered files: fetched with patience, and checked before they get their name."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import random
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bcnmf.files import atomic_path
from bcnmf_pipeline.acquire.errors import DownloadError
from bcnmf_pipeline.acquire.registry import Entry, check_mirror, local_path
from bcnmf_pipeline.acquire.sources import Fault, blocks, open_source
from bcnmf_pipeline.record.job import UncheckedWarning
from bcnmf_pipeline.record.provenance import file_digest
from bcnmf_pipeline.record.tables import write_json

PROGRESS_SECONDS = 10.0
LONGEST_PAUSE = 60.0
# First bytes of the kinds of files that a wrong answer would stand in for.
_KINDS = {
    ".gz": (b"\x1f\x8b",),
    ".xls": (b"\xd0\xcf\x11\xe0", b"PK"),
    ".xlsx": (b"PK",),
    ".zip": (b"PK",),
}
_PAGES = (".html", ".htm", ".xhtml")


# What came: the address that was asked, the one that answered (after redirects), size and SHA-256.
_Arrival = tuple[str, str, int, str]


def fetch(
    entry: Entry,
    destination: Path,
    mirror: str | None = None,
    retries: int = 4,
    timeout: float = 60.0,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Fetch a registered file, and record beside it where it came from.

    The mirror is asked first, then the addresses of the sheet. What comes is written beside its
    place and gets its name only when size and checksum are those of the sheet. A file that is there
    already and is the registered one is kept; a link to another one is replaced, not followed.

    Parameters
    ----------
    entry : Entry
        Row of the datasets sheet.
    destination : Path
        Where the file goes; ``<destination>.json`` gets the record.
    mirror : str, optional
        Folder or base URL with ``<dataset>/<file>``; empty for none.
    retries : int
        Further attempts per address, after faults that may pass: an answer of 5xx, 408 or 429,
        no answer, a connection that was cut.
    timeout : float
        Seconds without an answer.
    sleep : callable
        Waits for some seconds; for tests.

    Raises
    ------
    DownloadError
        No address gave the file (names each, with what was found), or it cannot be written.
    InputError
        The mirror is neither an existing folder nor a base URL.

    Warns
    -----
    UncheckedWarning
        The sheet has no checksum (`pending`): names the one found.
    """
    destination = Path(destination)
    if _is_there(entry, destination):
        print(f"{destination}: is there already", flush=True)
        return
    failed = []
    for address in _addresses(entry, mirror):
        try:
            arrival = _ask(address, entry, destination, retries, timeout, sleep)
        except Fault as fault:
            failed.append(f"{address}: {fault}")
            print(failed[-1], flush=True)
        else:
            _record(entry, destination, arrival)
            return
    raise DownloadError(_account(entry, destination, mirror, failed))


def _addresses(entry: Entry, mirror: str | None) -> list[str]:
    if not mirror:
        return entry.addresses
    check_mirror(mirror)
    return [entry.place_in(mirror), *entry.addresses]


def _is_there(entry: Entry, destination: Path) -> bool:
    """Whether the destination holds the registered file, or what was fetched if none is."""
    if not destination.is_file():
        return False
    size, digest = destination.stat().st_size, file_digest(destination)
    expected = entry.sha256 or _recorded_digest(destination)
    if digest in (entry.checksums or (expected,)) and entry.bytes in (None, size):
        return True
    print(
        f"{destination}: the file that is there is not the registered one: found "
        f"{_describe(size, digest)}; expected {_describe(entry.bytes, expected)}; fetching it anew",
        flush=True,
    )
    return False


def _recorded_digest(destination: Path) -> str | None:
    try:
        record = json.loads(_record_of(destination).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none, or not one of ours
        return None
    return record.get("sha256") if isinstance(record, dict) else None


def _record_of(destination: Path) -> Path:
    return destination.with_name(f"{destination.name}.json")


def _ask(
    address: str,
    entry: Entry,
    destination: Path,
    retries: int,
    timeout: float,
    sleep: Callable[[float], object],
) -> _Arrival:
    """Ask one address, again after faults that may pass."""
    found: list[str] = []
    while True:
        print(f"asking {address}", flush=True)
        try:
            return _transfer(address, entry, destination, timeout)
        except Fault as fault:
            found.append(str(fault))
            if len(found) > retries or not fault.transient:
                raise Fault(_summary(found)) from fault
            # Random, so that many jobs do not come back to a busy server at the same moment.
            pause = min(2.0 ** (len(found) - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)
            pause = max(pause, fault.pause)
            print(f"{address}: {fault}; asking again in {pause:.1f} s", flush=True)
            sleep(pause)


def _summary(found: list[str]) -> str:
    texts = "; then ".join(text for text, _ in itertools.groupby(found))
    return f"{texts} ({len(found)} attempts)" if len(found) > 1 else texts


def _transfer(address: str, entry: Entry, destination: Path, timeout: float) -> _Arrival:
    """Fetch from one address into the destination: the registered file, or nothing."""
    source = open_source(address, timeout)
    with source.stream:
        # Faults of the source are no OSError by now: one is of the disk.
        try:
            # What a link leads to is somebody's file, and stays.
            whole = atomic_path(destination, follow=False)
            with whole as temporary, temporary.open("wb") as sink:
                size, digest = _receive(blocks(source.stream, timeout), source.size, entry, sink)
        except OSError as error:
            raise _disk_error(error, destination, entry.bytes or source.size) from error
    return address, source.answered, size, digest


def _receive(
    arriving: Iterator[bytes], announced: int | None, entry: Entry, sink: IO[bytes]
) -> tuple[int, str]:
    """Write what comes, and return its size and digest if it is the registered file."""
    first = next(arriving, b"")
    _check_start(first, announced, entry)
    digest, size = hashlib.sha256(), 0
    progress = _Progress(entry.bytes or announced)
    for block in itertools.chain([first], arriving):
        size += len(block)
        if entry.bytes is not None and size > entry.bytes:
            raise Fault(f"more than the registered {_describe(entry.bytes)} came; stopped there")
        digest.update(block)
        sink.write(block)
        progress.tell(size)
    _check_end(first, size, digest.hexdigest(), announced, entry)
    return size, digest.hexdigest()


def _check_start(first: bytes, announced: int | None, entry: Entry) -> None:
    """Refuse what cannot be the file before all of it is fetched."""
    if _is_page(first) and not entry.file.lower().endswith(_PAGES):
        title = re.search(rb"<title[^>]*>(.*?)</title", first, re.IGNORECASE | re.DOTALL)
        text = " ".join(title[1].decode("utf-8", "replace").split())[:100] if title else ""
        raise Fault(
            f"an HTML page came{f', entitled {text!r},' if text else ''} in place of the file"
        )
    if None not in (announced, entry.bytes) and announced != entry.bytes:
        raise Fault(f"holds {_describe(announced)}; registered are {_describe(entry.bytes)}")


def _check_end(first: bytes, size: int, digest: str, announced: int | None, entry: Entry) -> None:
    whole = announced if announced is not None else entry.bytes
    if whole is not None and size < whole:
        raise Fault(f"cut off after {size:,} of {_describe(whole)}", transient=True)
    if size == 0:
        raise Fault("an empty file came")
    if entry.checksums and digest not in entry.checksums:
        raise Fault(f"not the registered file: {_describe(size, digest)} came")
    kind = _KINDS.get(Path(entry.file).suffix.lower())
    # Where a checksum is registered, it alone decides.
    if entry.sha256 is None and kind and not first.startswith(kind):
        raise Fault(
            f"what came is not a {Path(entry.file).suffix} file: it begins with {first[:16]!r}, "
            f"not with {' or '.join(map(repr, kind))} ({_describe(size, digest)})"
        )


def _is_page(first: bytes) -> bool:
    start = first[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    prologue = start.startswith((b"<?xml", b"<!--")) and b"<html" in start
    return prologue or start.startswith((b"<!doctype html", b"<html"))


class _Progress:
    """Tell from time to time how far a long transfer is."""

    def __init__(self, whole: int | None) -> None:
        self._whole = whole
        self._start = self._last = time.monotonic()

    def tell(self, size: int) -> None:
        now = time.monotonic()
        if now - self._last < PROGRESS_SECONDS:
            return
        self._last = now
        share = f" of {self._whole / 1e6:.1f} ({size / self._whole:.0%})" if self._whole else ""
        rate = size / 1e6 / max(now - self._start, 1e-9)
        print(f"  {size / 1e6:.1f}{share} MB, {rate:.1f} MB/s", flush=True)


def _disk_error(error: OSError, destination: Path, needed: int | None) -> DownloadError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            f"{destination}: cannot be written: {error.strerror or error}; make its folder "
            "writable, or work in another one (snakemake --directory)"
        )
    folder = next(parent for parent in destination.absolute().parents if parent.exists())
    return DownloadError(
        f"{destination}: the disk or the quota is full. Needed: {_describe(needed)}; free in "
        f"{folder}: {_describe(shutil.disk_usage(folder).free)}. Make room, or work in another "
        "folder (snakemake --directory), and run again"
    )


def _record(entry: Entry, destination: Path, arrival: _Arrival) -> None:
    asked, answered, size, digest = arrival
    record = {
        "dataset": entry.dataset,
        "file": entry.file,
        "address": asked,
        "answered": answered,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "bytes": size,
        "sha256": digest,
        "checked": entry.sha256 is not None,
        "licence": entry.licence,
        "citation": entry.citation,
    }
    try:
        write_json(record, _record_of(destination))
    except OSError as error:
        raise _disk_error(error, _record_of(destination), None) from error
    print(f"{destination}: {_describe(size, digest)}", flush=True)
    if entry.sha256 is None:
        warnings.warn(
            f"{entry.name} could not be checked: the datasets sheet has no checksum for it (column "
            f"sha256: pending). From {asked} came {_describe(size, digest)}. If that is the right "
            f"file, write both into the sheet: bytes {size}, sha256 {digest}",
            UncheckedWarning,
            stacklevel=3,
        )


def _account(entry: Entry, destination: Path, mirror: str | None, failed: list[str]) -> str:
    asked = "".join(f"\n  - {line}" for line in failed)
    place = entry.place_in(mirror) if mirror and local_path(mirror) else f"<mirror>/{entry.name}"
    remedy = f"put the file yourself at {place} and run again"
    if place.startswith("<mirror>"):
        remedy += " with --config mirror=<mirror>, a folder of yours"
    left = "\n  The file that was there before was left as it is." if destination.exists() else ""
    return (
        f"{entry.name} could not be fetched to {destination}:"
        f"{asked or ' the datasets sheet has no address for it, and no mirror is set'}\n"
        f"  Expected: {_describe(entry.bytes, entry.sha256)}\n"
        "  What to do: check the network, the proxy (https_proxy) and the addresses in the "
        f"datasets sheet; or {remedy}.{left}"
    )


def _describe(size: int | None, digest: str | None = "") -> str:
    """Return a size, and a SHA-256 unless it is "", in words; None is not known."""
    text = "size not known" if size is None else f"{size:,} bytes"
    return text if digest == "" else f"{text}, SHA-256 {digest or 'not known'}"
