"""Text files of cells: what their bytes mean, and what stands between their cells."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from pathlib import Path

from bcnmf.errors import InputError

SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    (b"PK\x03\x04", "a workbook (of Excel, LibreOffice or Numbers)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"{\\rtf", "a document with formats (RTF, of TextEdit or Word)"),
    (b"\x1f\x8b", "packed (gzip)"),
    (b"%PDF", "a PDF"),
)
_REMEDY = (
    "save it as tab-separated text in UTF-8 (Excel: 'Unicode Text' or 'CSV UTF-8'; LibreOffice: "
    "'Text CSV' with UTF-8; Numbers: export as TSV)"
)
_SHOWN = 12


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 or UTF-32 with a mark, lines ended alike.

    Raises
    ------
    InputError
        The file holds no such text; names the line and the character.
    OSError
        It cannot be read.
    """
    raw = Path(path).read_bytes()
    for begins, what in _OTHERS:
        if raw.startswith(begins):
            raise InputError(f"{path}: is {what}, not a text file; {_REMEDY}")
    encoding = encoding_of(raw)
    if encoding.startswith("utf-8") and b"\0" in raw:
        raise InputError(
            f"{path}: holds zero bytes, so it is no text, or text in UTF-16 without a mark; "
            f"{_REMEDY}"
        )
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {undecoded(raw, encoding, error)}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(head: bytes) -> str:
    """Return the encoding that a file's first bytes name by a mark, else UTF-8."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


def undecoded(raw: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    """Return where bytes stop being text, and what they may be, for a message."""
    if not encoding.startswith("utf-8"):
        return f"byte {error.start + 1}: is no {encoding.upper()} ({error.reason}); {_REMEDY}"
    before = raw[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2]) + 1
    # Windows' encoding of western Europe: what is not UTF-8 is that more often than anything else.
    part = raw[error.start - min(_SHOWN, column - 1) : error.start + _SHOWN]
    context = re.split(r"[\r\n]", part.decode("cp1252", "replace"))[0]
    return (
        f"line {line}, character {column}: byte 0x{raw[error.start]:02X} is no UTF-8; if the "
        f"encoding is Windows-1252 or Latin-1, it reads {context!r}; {_REMEDY}"
    )


def separator_of(line: str) -> str:
    """Return what stands between the cells of a line: tab, semicolon or comma."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count)


def stripped(cell: str) -> str:
    """Return a cell without blanks and characters that cannot be seen at its ends."""
    start, stop = 0, len(cell)
    while start < stop and _unseen(cell[start]):
        start += 1
    while start < stop and _unseen(cell[stop - 1]):
        stop -= 1
    return cell[start:stop]


def _unseen(character: str) -> bool:
    # Cf: zero-width blanks, joiners and marks of order.
    return character.isspace() or unicodedata.category(character) == "Cf"


def odd_character(text: str) -> str:
    """Return which character of a text is none that a name holds, by name; "" if there is none."""
    for at, character in enumerate(text, 1):
        if character.isspace() or not "!" <= character <= "~":
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            return f"character {at} is {character!a} ({name})"
    return ""
