"""Text of cells: encodings, separators, and characters that cannot be seen."""

import pytest

from bcnmf.delimited import odd_character, read_text, separator_of, stripped
from bcnmf.errors import InputError

TEXT = "name\tsize\nZähne\t1\n"
READ = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a mark": TEXT.encode("utf-8-sig"),
    "UTF-16": TEXT.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-32": TEXT.encode("utf-32"),
    "Windows' line ends": TEXT.replace("\n", "\r\n").encode("utf-16"),
    "old Macs' line ends": TEXT.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("raw", READ.values(), ids=READ)
def test_text_is_read(tmp_path, raw):
    (tmp_path / "a.tsv").write_bytes(raw)
    assert read_text(tmp_path / "a.tsv") == TEXT


REFUSED = {
    "Latin-1": (
        TEXT.encode("latin-1"),
        r"line 2, character 2: byte 0xE4 is no UTF-8; .* Latin-1, it reads 'Zähne\\t1'; save it as",
    ),
    "Latin-1 of an old Mac": (TEXT.replace("\n", "\r").encode("latin-1"), "line 2, character 2:"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "holds zero bytes, .* UTF-16 without"),
    "half a UTF-16": (
        TEXT.encode("utf-16")[:-1],
        r"byte 37: is no UTF-16 \(truncated data\); save it as",
    ),
    "a workbook": (b"PK\x03\x04...", "is a workbook .*; save it as tab-separated text in UTF-8"),
    "an old workbook": (b"\xd0\xcf\x11\xe0", r"is an old Excel workbook \(\.xls\), not a text"),
    "rich text": (b"{\\rtf1 name}", "is a document with formats .*; save it as"),
    "packed": (b"\x1f\x8b\x08", "is packed"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_text_is_told(tmp_path, raw, message):
    (tmp_path / "a.tsv").write_bytes(raw)
    with pytest.raises(InputError, match=f"a.tsv: {message}"):
        read_text(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("line", "separator"),
    [("a\tb, c\td", "\t"), ("a;b;c,d", ";"), ("a,b", ","), ("name", "\t"),
     ('"a;b;c",d', ","), ('"a,b,c"\td', "\t")],
)  # fmt: skip
def test_what_stands_between_cells_counts_outside_quotes(line, separator):
    assert separator_of(line) == separator


def test_what_cannot_be_seen_is_stripped_from_the_ends_alone():
    assert stripped("\u200b \xa0\ufeffa \u200b b\u2009\u200d\t") == "a \u200b b"
    assert stripped(" \u200b ") == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [("a-b_1", ""), ("a b", "character 2 is ' ' (SPACE)"),
     ("a\xa0", r"character 2 is '\xa0' (NO-BREAK SPACE)"),
     ("\u201ca", r"character 1 is '\u201c' (LEFT DOUBLE QUOTATION MARK)"),
     ("a\x07", r"character 2 is '\x07' (U+0007)")],
)  # fmt: skip
def test_a_character_that_no_name_holds_is_named(text, named):
    assert odd_character(text) == named
