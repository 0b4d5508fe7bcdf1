"""Downloaded files and archives: opened by their contents, refused by their sizes."""

import gzip
import io
import tarfile
import zipfile

import pytest

from bcnmf import InputError
from bcnmf_pipeline.datasets.archives import listed, members_of, opened, opened_zip
from bcnmf_pipeline.datasets.single_cell import read_columns

COLUMNS = {"b": ["second", "B"], "a": ["A"]}


def test_files_are_opened_by_their_contents(tmp_path):
    text = b"A,B\n" + b"1,2\n" * 500
    for name, content in (("plain.gz", text), ("packed.csv", gzip.compress(text))):
        path = tmp_path / name
        path.write_bytes(content)
        with opened(path, "a table") as stream:
            assert len(read_columns(stream, name, COLUMNS)) == 500
    path.write_bytes(gzip.compress(text)[:-12])
    with (
        pytest.raises(InputError, match=r"packed.csv: damaged, cut short"),
        opened(path, "a table") as stream,
    ):
        read_columns(stream, str(path), COLUMNS)
    with (
        pytest.raises(InputError, match=r"none.csv: no such file; expected a table"),
        opened(tmp_path / "none.csv", "a table"),
    ):
        pass


def test_members_of_zip_and_tar_are_read_alike(tmp_path):
    path = tmp_path / "archive"
    content = "a\tb\n".encode("utf-8-sig")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/table.tsv", content)
    with opened_zip(path, path) as archive:
        members = members_of(archive, path)
        assert members[0].text(100) == "a\tb\n"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("folder/table.tsv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    with tarfile.open(path) as archive:
        members += members_of(archive, path)
        assert members[1].text(100) == "a\tb\n"
        with pytest.raises(InputError, match=r"archive, folder/table.tsv: unpacks to 7 bytes, mo"):
            members[1].text(6)
    assert [member.parts for member in members] == 2 * [("folder", "table.tsv")]


def test_long_lists_of_names_are_cut():
    assert listed([]) == "nothing"
    assert listed(list("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert listed(list("abcdefghi")) == "a, b, c, d, e, f, g, h, ..."
