"""The command line of the pipeline: exit status and words, without a traceback."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml

from bcnmf_pipeline.cli import main
from bcnmf_pipeline.plan.sheets import read_sheet
from bcnmf_pipeline.report.tables import SUMMARY_COLUMNS
from own_cells import own_cells

SIDES = ("--target", "treatment=drug", "--background", "treatment=vehicle")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own_cells(tmp_path / "cells.h5ad")
    return tmp_path


def refused(capsys, *arguments):
    """Return what a command that is refused says."""
    # Else a slow machine says what it is doing as well.
    assert main([*arguments, "--quiet"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    return said.err


def test_without_sides_the_columns_are_shown_and_nothing_is_written(folder, capsys):
    assert main(["new", "mine", "--data", "cells.h5ad"]) == 0
    said = capsys.readouterr().out
    assert "treatment  drug (80), vehicle (80)" in said
    assert "cell type  B cell (80), T cell (80)" in said
    example = "new mine --data cells.h5ad --target treatment=drug --background treatment=vehicle"
    assert example in said.splitlines()[-1]
    assert [path.name for path in folder.iterdir()] == ["cells.h5ad"]


def test_sheet_and_configuration_hold_what_is_needed(folder, capsys):
    assert main(["new", "mine", "--data", "cells.h5ad", *SIDES]) == 0
    said = capsys.readouterr().out
    assert (folder / "mine.tsv").read_text() == (
        "study\tdataset\ttarget\tbackground\nmine\tcells.h5ad\ttreatment=drug\ttreatment=vehicle\n"
    )
    assert yaml.safe_load((folder / "mine.yaml").read_text()) == {
        "name": "mine", "title": "drug against vehicle", "studies": ["mine"],
        "sheets": {"studies": "mine.tsv"},
        "methods": ["pca", "nmf", "cpca_auto", "bcnmf", "bcnmf_safeguarded", "shared_target"],
    }  # fmt: skip
    assert "80 samples" in said
    assert "counts" in said
    assert "--configfile mine.yaml --cores 4" in said


def test_options_become_columns(folder, capsys):
    options = [
        *TARGET, "quality=good", "--background", "treatment=vehicle;quality=good",
        "--unit", "donor", "--each", "cell type", "--values", "counts",
        "--title", 'The "first" try',
    ]  # fmt: skip
    assert main(["new", "mine", "--data", "cells.h5ad", *options]) == 0
    (row,) = read_sheet("mine.tsv").rows
    assert row == {
        "study": "mine", "dataset": "cells.h5ad", "target": "treatment=drug;quality=good",
        "background": "treatment=vehicle;quality=good", "unit": "donor", "each": "cell type",
        "values": "counts", "title": 'The "first" try',
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "mine-B-cell, mine-T-cell" in said
    assert "8 of donor" in said


def test_batches_become_a_column_and_are_suggested(folder, capsys):
    data = ad.read_h5ad("cells.h5ad")
    data.obs["run"] = np.where(np.arange(data.n_obs) % 3 == 0, "r1", "r2")
    data.write_h5ad("cells.h5ad")
    assert main(["new", "mine", "--data", "cells.h5ad", *SIDES]) == 0
    assert "Not used: run. If samples were measured in batches" in capsys.readouterr().out
    options = [*SIDES, "--batch", "run,quality", "--force"]
    assert main(["new", "mine", "--data", "cells.h5ad", *options]) == 0
    assert read_sheet("mine.tsv").rows[0]["batch"] == "run,quality"
    assert "Not used" not in capsys.readouterr().out


def test_files_are_written_over_only_by_force(folder, capsys):
    (folder / "mine.yaml").write_text("mine: own\n")
    said = refused(capsys, "new", "mine", "--data", "cells.h5ad", *SIDES)
    assert "mine.yaml: is there already" in said
    assert "--force" in said
    assert (folder / "mine.yaml").read_text() == "mine: own\n"
    assert not (folder / "mine.tsv").exists()
    assert main(["new", "mine", "--data", "cells.h5ad", *SIDES, "--force"]) == 0


TARGET, BACKGROUND = ["--target", "treatment=drug"], ["--background", "treatment=vehicle"]
# What is given beside --data cells.h5ad, and what the message names.
REFUSED = {
    "no file": (["--data", "cell.h5ad", *SIDES], ["--data", "no such file", "cells.h5ad"]),
    "no file to look into": (["--data", "cell.h5ad"], ["--data", "no such file"]),
    "no data given": (["--data", "", *SIDES], ["--data"]),
    "no such column": (
        ["--target", "treatmnt=drug", *BACKGROUND],
        ["--target", "'treatmnt'", "did you mean 'treatment'", "'donor'"],
    ),
    "no such value": (
        ["--target", "treatment=durg", *BACKGROUND],
        ["--target", "'durg'", "did you mean 'drug'", "'vehicle'"],
    ),
    "wrong value of the only side": (
        ["--target", "treatment=durg"], ["--target", "did you mean 'drug'"],
    ),
    "no cell is left": (
        [*TARGET, "treatment=vehicle", *BACKGROUND],
        ["--target", "no sample is selected", "treatment=vehicle leaves none"],
    ),
    "no selection": (["--target", "drug", *BACKGROUND], ["--target", "cannot read 'drug'"]),
    "both sides the same": ([*TARGET, "--background", "treatment=drug"], ["--background"]),
    "no such unit": ([*SIDES, "--unit", "doner"], ["--unit", "did you mean 'donor'"]),
    "no such label": ([*SIDES, "--label", "qality"], ["--label", "did you mean 'quality'"]),
    "no such each": ([*SIDES, "--each", "celltype"], ["--each", "did you mean 'cell type'"]),
    "no such layer": ([*SIDES, "--layer", "count"], ["--layer", "'count'"]),
    "no such gene sets": (
        [*SIDES, "--gene-sets", "cor"], ["--gene-sets", "did you mean 'core'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_named_with_what_there_is(folder, capsys, options, named):
    said = refused(capsys, "new", "mine", "--data", "cells.h5ad", *options)
    assert [word for word in named if word not in said] == []
    assert [path.name for path in folder.iterdir()] == ["cells.h5ad"]


@pytest.mark.parametrize("name", ["", "my study", "1st", "a/b", "mouse", "mixseq_normal", "paper"])
def test_a_name_has_to_be_usable_and_free(folder, capsys, name):
    said = refused(capsys, "new", name, "--data", "cells.h5ad", *SIDES)
    assert said.startswith("error: NAME: ")
    assert repr(name) in said


def test_a_file_that_is_no_data_is_told_as_what_it_is(folder, capsys):
    (folder / "notes.h5ad").write_text("Dear colleague,\n")
    assert "notes.h5ad" in refused(capsys, "new", "mine", "--data", "notes.h5ad", *SIDES)


def test_samples_on_both_sides_are_not_counted_twice(folder, capsys):
    sides = [*TARGET, "--background", "treatment=drug,vehicle", "donor!=d0"]
    assert main(["new", "mine", "--data", "cells.h5ad", *sides]) == 0
    said = capsys.readouterr().out
    assert "10 samples that are on neither side" in said
    assert "70 of 140 background samples are in the target too" in said


@pytest.mark.parametrize("sides", [(), SIDES])
def test_samples_without_annotation_are_told_where_to_put_it(folder, capsys, sides):
    data = ad.read_h5ad("cells.h5ad")
    data.obs = data.obs[[]]
    data.write_h5ad("cells.h5ad")
    said = refused(capsys, "new", "mine", "--data", "cells.h5ad", *sides)
    assert said.startswith("error: --data: cells.h5ad has no annotation of its samples")
    assert "add columns to obs" in said


def test_values_that_cannot_be_fitted_are_told_before_anything_is_written(folder, capsys):
    data = ad.read_h5ad("cells.h5ad")
    data.X[3, 3] = np.nan
    data.write_h5ad("cells.h5ad")
    said = refused(capsys, "new", "mine", "--data", "cells.h5ad", *SIDES)
    assert said.startswith("error: target of cells.h5ad: 1 of 4800 stored values are NaN")
    assert not (folder / "mine.tsv").exists()


def test_a_constant_label_is_a_remark(folder, capsys):
    assert main(["new", "mine", "--data", "cells.h5ad", *SIDES, "--label", "quality"]) == 0
    assert "all target samples have 'good' in the label quality" in capsys.readouterr().out


def test_names_with_spaces_and_quotes_go_through(folder, capsys):
    odd = 'it\'s "my" cells; v1,2.h5ad'
    (folder / "cells.h5ad").rename(folder / odd)
    sides = ["--target", "cell type=B cell", "--background", "cell type=T cell"]
    assert main(["new", "mine", "--data", odd, *sides]) == 0
    (row,) = read_sheet("mine.tsv").rows
    assert row["dataset"] == odd
    assert row["target"] == "cell type=B cell"


def test_a_folder_that_cannot_be_written_is_named(folder, capsys, monkeypatch):
    data = str(folder / "cells.h5ad")
    monkeypatch.chdir("/proc" if Path("/proc").exists() else "/")
    assert "mine.tsv: cannot be written" in refused(capsys, "new", "mine", "--data", data, *SIDES)


def test_data_are_never_written_over(folder, capsys):
    table = pd.DataFrame({"gene": [1, 2]}, index=["a", "b"])
    table.to_csv(folder / "mine.tsv", sep="\t")
    before = (folder / "mine.tsv").read_bytes()
    said = refused(capsys, "new", "mine", "--data", "./mine.tsv", *SIDES, "--force")
    assert "would write over your data" in said
    assert (folder / "mine.tsv").read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("options", [["--data", "locked/cells.h5ad"], ["--check", "locked/a.tsv"]])
def test_a_folder_without_permission_is_named(folder, capsys, options):
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o000)
    try:
        said = refused(capsys, "new", "mine", *options)
    finally:
        locked.chmod(0o755)
    assert options[1] in said
    assert "Permission denied" in said


@pytest.mark.parametrize("file", ["folder", "folder.yaml", "latin.tsv", "latin.yaml"])
def test_what_is_no_text_is_named(folder, capsys, file):
    if file.startswith("folder"):
        (folder / file).mkdir()
    else:
        (folder / file).write_bytes("study\tt\xe4tig: \n".encode("latin-1"))
    assert f"{file}: " in refused(capsys, "new", "--check", file)


def test_ctrl_c_leaves_nothing(folder, capsys, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("bcnmf_pipeline.start.check.look", stopped)
    assert main(["new", "mine", "--data", "cells.h5ad", *SIDES, "--quiet"]) == 130
    assert capsys.readouterr().err == "stopped\n"
    assert [path.name for path in folder.iterdir()] == ["cells.h5ad"]


@pytest.mark.parametrize("command", [[], ["new"], ["show"]])
def test_help_has_examples_and_a_wrong_option_ends_with_2(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "bcnmf-pipeline" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main([*command, "--nothing-like-it"])
    assert ended.value.code == 2


def finished(folder, score):
    """Make a folder look like a finished run that has one kind of score."""
    tables = folder / "results" / "tables"
    tables.mkdir(parents=True)
    (tables / "answer.txt").write_text("Half of them hold something new.\n")
    row = dict.fromkeys(SUMMARY_COLUMNS, 1) | {"score": score, "mean": 0.8, "sd": 0.1}
    lines = ["\t".join(map(str, cells)) for cells in (row.keys(), row.values())]
    (tables / "summary.tsv").write_text("\n".join(lines) + "\n")


def test_show_prints_the_answer_before_the_scores(folder, capsys):
    finished(folder, "ari_usage")
    assert main(["show", "results"]) == 0
    said = capsys.readouterr().out
    assert said.index("something new") < said.index("0.80") < said.index("report.html")


def test_show_prints_no_scores_where_there_are_none_to_show(folder, capsys):
    finished(folder, "share_above")
    assert main(["show", "results"]) == 0
    assert "method" not in capsys.readouterr().out


def test_show_of_an_unfinished_run_says_what_to_do(folder, capsys):
    said = refused(capsys, "show", "results/mine")
    assert "answer.txt: no such file" in said
