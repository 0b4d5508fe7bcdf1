"""`make checksums`: what is pending is fetched and written into the sheet, and nothing else."""

import hashlib
import os

import pytest

from bcnmf import InputError
from bcnmf_pipeline.acquire.checksums import fill_checksums
from bcnmf_pipeline.acquire.registry import load_registry
from bcnmf_pipeline.cli import main
from bcnmf_pipeline.record.job import UncheckedWarning
from loopback import Answer, Loopback

HEAD = "dataset\tfile\turl\tmirror\tsha256\tbytes\tlicence\tcitation\tpart\n"
BODIES = {"a.txt": b"one, two\n", "b.txt": b"three\n", "c.txt": b"four and more\n"}


def row(server, file, sha256="pending", size="pending", dataset="d"):
    return f"{dataset}\t{file}\t{server.address}/{file}\t\t{sha256}\t{size}\tCC0\tA paper\t{file}\n"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Loopback() as running:
        for name, body in BODIES.items():
            running.give(f"/{name}", Answer(body))
        yield running


def digest(name):
    return hashlib.sha256(BODIES[name]).hexdigest()


def filled(sheet, tmp_path, **options):
    said = []
    failed = fill_checksums(
        sheet, tmp_path / "downloads", retries=0, timeout=5, say=said.append, **options
    )
    return failed, said


def test_pending_cells_are_filled_and_the_rest_stays(server, tmp_path):
    sheet = tmp_path / "datasets.tsv"
    before = (
        "# comments stay\n" + HEAD + row(server, "a.txt") + "\n# here too\n"
        + row(server, "b.txt", digest("b.txt"), "6") + row(server, "c.txt", size="14")
    )  # fmt: skip
    sheet.write_text(before)
    with pytest.warns(UncheckedWarning):
        failed, said = filled(sheet, tmp_path)
    assert failed == []
    expected = before.replace("pending\tpending", f"{digest('a.txt')}\t9")
    expected = expected.replace("pending\t14", f"{digest('c.txt')}\t14")
    assert sheet.read_text() == expected
    assert [line.split(":")[0] for line in said] == ["d/a.txt", "d/c.txt"]
    assert server.paths() == ["/a.txt", "/c.txt"]
    assert all(entry.sha256 for entry in load_registry(sheet).entries)
    # A second run has nothing to do.
    assert filled(sheet, tmp_path) == ([], [])
    assert len(server.requests) == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("encoding", "separator", "end"), [
    ("utf-16", "\t", "\r\n"), ("utf-8-sig", ";", "\r\n"), ("utf-8", ",", "\r"),
])  # fmt: skip
def test_a_sheet_keeps_its_form(server, tmp_path, encoding, separator, end):
    sheet = tmp_path / "datasets.tsv"
    before = (HEAD + row(server, "a.txt")).replace("\t", separator).replace("\n", end)
    sheet.write_bytes(before.encode(encoding))
    assert filled(sheet, tmp_path)[0] == []
    expected = before.replace(f"pending{separator}pending", f"{digest('a.txt')}{separator}9")
    assert sheet.read_bytes() == expected.encode(encoding)


@pytest.mark.filterwarnings("ignore")
def test_a_row_of_several_lines_is_refused(server, tmp_path):
    sheet = tmp_path / "datasets.tsv"
    sheet.write_text((HEAD + row(server, "a.txt")).replace("d\ta.txt", '"d\n"\ta.txt'))
    with pytest.raises(InputError, match=r"datasets\.tsv, line 2: a cell of several lines; write"):
        filled(sheet, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_had_stays_pending_and_is_named(server, tmp_path):
    sheet = tmp_path / "datasets.tsv"
    sheet.write_text(
        HEAD + row(server, "gone.txt") + row(server, "a.txt") + row(server, "c.txt", size="99")
    )
    failed, said = filled(sheet, tmp_path)
    assert [text.split(":")[0] for text in failed] == ["d/gone.txt", "d/c.txt"]
    assert len(said) == 1
    # A stated size that differs is not replaced.
    assert row(server, "c.txt", size="99") in sheet.read_text()
    assert row(server, "gone.txt") in sheet.read_text()


@pytest.mark.filterwarnings("ignore")
def test_single_data_sets_can_be_chosen(server, tmp_path):
    sheet = tmp_path / "datasets.tsv"
    sheet.write_text(HEAD + row(server, "a.txt") + row(server, "b.txt", dataset="other"))
    filled(sheet, tmp_path, datasets=("other",))
    assert server.paths() == ["/b.txt"]
    with pytest.raises(InputError, match="no row for data set 'nothing'; known: d, other"):
        filled(sheet, tmp_path, datasets=("nothing",))


@pytest.mark.filterwarnings("ignore")
def test_the_command_ends_with_what_failed(server, tmp_path, capsys):
    sheet = tmp_path / "datasets.tsv"
    sheet.write_text(HEAD + row(server, "gone.txt"))
    arguments = ["checksums", "--sheet", str(sheet), "--folder", str(tmp_path / "downloads")]
    assert main(arguments) == 2
    assert "could not be had:\n  - d/gone.txt" in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_said_before_anything_is_fetched(
    server, tmp_path, capsys, monkeypatch
):
    sheet = tmp_path / "datasets.tsv"
    sheet.write_text(HEAD + row(server, "there.txt"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert main(["checksums", "--sheet", str(sheet), "--folder", str(tmp_path / "d")]) == 2
    assert "datasets.tsv: is write-protected" in capsys.readouterr().err
    assert server.requests == []
