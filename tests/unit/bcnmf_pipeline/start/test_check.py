import pytest
import yaml

from bcnmf_pipeline.cli import main
from own_cells import own_cells

HEADER = ["study", "dataset", "target", "background", "label"]
GOOD = ["good", "cells.h5ad", "treatment=drug", "treatment=vehicle", ""]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_cells(tmp_path / "cells.h5ad")
    return tmp_path


def write(folder, *rows, studies=("good",), **settings):
    lines = ["# mine", "\t".join(HEADER), *("\t".join(row) for row in rows)]
    (folder / "mine.tsv").write_text("\n".join(lines) + "\n")
    settings |= {"name": "mine", "title": "Mine", "studies": list(studies)}
    settings["sheets"] = {"studies": "mine.tsv"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))


def check(capsys, file):
    status = main(["new", "--check", file])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out + said.err


@pytest.mark.parametrize("file", ["mine.tsv", "mine.yaml"])
def test_what_can_be_run_passes(folder, capsys, file):
    write(folder, GOOD)
    status, said = check(capsys, file)
    assert status == 0
    assert "good:" in said
    assert "counts" in said
    assert said.endswith(f"{file}: no problem in 1 studies\n")


def test_what_holds_for_several_studies_is_told_once(folder, capsys):
    write(folder, *([name, *GOOD[1:4], "quality"] for name in "ab"))
    status, said = check(capsys, "mine.tsv")
    assert status == 0
    assert said.count("all target samples have 'good'") == 1
    assert "2 of these studies: all target samples have 'good'" in said


def test_every_problem_of_every_row_is_told_at_once(folder, capsys):
    write(
        folder,
        GOOD,
        ["typo", "cells.h5ad", "treatment=durg", "treatmnt=vehicle", "qality"],
        ["no name", *GOOD[1:]],
        ["away", "cell.h5ad", *GOOD[2:]],
    )
    status, said = check(capsys, "mine.tsv")
    assert status == 2
    for words in (
        "'durg' (did you mean 'drug'?)", "'treatmnt' (did you mean 'treatment'?)",
        "'qality' (did you mean 'quality'?)", "line 5 ('no name')", "cell.h5ad: no such file",
    ):  # fmt: skip
        assert said.count(words) == 1
    assert "study good" not in said
    assert "/tmp" not in said.replace(str(folder), "")


def test_faults_of_a_configuration_hide_none_of_its_sheet(folder, capsys):
    write(folder, ["good", "cells.h5ad", "treatment=durg", *GOOD[3:]], sedes=[1])
    status, said = check(capsys, "mine.yaml")
    assert status == 2
    assert "unknown key `sedes` (did you mean 'seeds'?)" in said
    assert "'durg' (did you mean 'drug'?)" in said


def test_rows_that_a_configuration_leaves_out_are_not_looked_at(folder, capsys):
    write(folder, GOOD, ["other", "cell.h5ad", *GOOD[2:]])
    assert check(capsys, "mine.yaml")[0] == 0
    assert check(capsys, "mine.tsv")[0] == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "holds no header line"),
        ("study\tdata\n", "unknown column 'data' (did you mean 'dataset'?)"),
        ("\t".join(HEADER) + "\ngood\tcells.h5ad\n", "mine.tsv, line 2: 2 cells under 5 columns"),
        (None, "mine.tsv: no such file"),
    ],
)
def test_what_is_no_sheet_is_told(folder, capsys, text, named):
    if text is not None:
        (folder / "mine.tsv").write_text(text)
    status, said = check(capsys, "mine.tsv")
    assert status == 2
    assert named in said


@pytest.mark.parametrize("text", ["name: mine\nsheets: mine.tsv\n", "- mine\n", "a: [", ""])
def test_what_is_no_configuration_is_told(folder, capsys, text):
    (folder / "mine.yaml").write_text(text)
    status, said = check(capsys, "mine.yaml")
    assert status == 2
    assert "mine.yaml" in said
