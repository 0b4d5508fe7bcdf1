"""README's lines for one's own data, run as they stand there in what a clone holds."""

import os
import subprocess
import sys

import pytest

from bcnmf_pipeline.plan.sheets import read_sheet
from bcnmf_pipeline.record.tables import read_table
from conftest import copy_repository
from own_cells import own_cells
from readme import block

# What README's names are called in Kang's cells: two donors, of one both conditions.
KANG = {
    "new mine": "new kang", "mine.yaml": "kang.yaml", "treatment=drug": "donor=101",
    "treatment=vehicle": "donor=107 group_id=ctrl --label group_id --unit sample_id",
}  # fmt: skip


def clone(folder, snakemake_options):
    """Return what a clone holds after `make setup`, in a folder with a space in its name."""
    root = copy_repository(folder / "a clone")
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module, options in (
        ("bcnmf-pipeline", "bcnmf_pipeline", ""), ("snakemake", "snakemake", snakemake_options),
    ):  # fmt: skip
        line = f'exec "{sys.executable}" -m {module} "$@" {options}'
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    return root


def paste(lines, root):
    environment = os.environ | {"PYTHONPATH": str(root / "workflow")}
    environment["XDG_CACHE_HOME"] = str(root / ".cache")
    done = subprocess.run(
        ["bash", "-e"], input=lines, cwd=root, env=environment, text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lines_end_in_a_plan(tmp_path):
    root = clone(tmp_path, "--dry-run")
    own_cells(root / "cells.h5ad")
    said = paste(block("bash"), root)
    assert "treatment  drug (80), vehicle (80)" in said
    assert "80 samples: treatment=vehicle" in said
    assert "results/mine/report.html" in said
    (row,) = read_sheet(root / "mine.tsv").rows
    assert row["target"] == "treatment=drug"
    assert not (root / "results" / "mine").exists()


@pytest.fixture(scope="module")
def kang(tmp_path_factory, shared_data):
    """Return the results of Kang's cells, run by README's lines."""
    root = clone(tmp_path_factory.mktemp("kang"), "")
    lines = block("bash").replace("cells.h5ad", f'"{shared_data / "kang" / "kang.h5ad"}"')
    for ours, theirs in KANG.items():
        lines = lines.replace(ours, theirs)
    paste(lines, root)
    return root / "results" / "kang"


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.parametrize(
    ("score", "least"), [("auroc_target_score", 0.985), ("ari_target_score", 0.8)]
)
@pytest.mark.parametrize("method", ["bcnmf", "bcnmf_safeguarded", "shared_target"])
def test_the_target_score_tells_stimulated_cells(kang, method, score, least):
    scores = read_table(kang / "tables" / "scores.tsv")
    found = scores.loc[(scores["method"] == method) & (scores["score"] == score), "value"]
    assert len(found)
    assert found.min() >= least


@pytest.mark.long
@pytest.mark.shared
def test_stimulated_cells_are_found_to_hold_something_new(kang):
    shares = read_table(kang / "tables" / "shares.tsv")
    stimulated = shares[(shares["column"] == "group_id") & (shares["group"] == "stim")]
    assert "bcnmf" in set(stimulated["method"])
    assert stimulated.loc[stimulated["method"] != "classifier", "share"].min() >= 0.98
