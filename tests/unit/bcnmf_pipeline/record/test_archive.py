"""A run as one file: complete, described, the same bytes every time, and without others' data."""

import errno
import hashlib
import json
import shutil
import zipfile

import pytest
import yaml

from bcnmf import InputError
from bcnmf_pipeline.cli import main
from bcnmf_pipeline.record.archive import code_files, write_archive
from conftest import ROOT

PROVENANCE = {
    "versions": {"python": "3.11", "numpy": "2.4 (analysis); 2.3 (fit)"},
    "machines": [{"cpu": "Fast", "device": "cpu", "fits": 3}], "workflow": {"commit": "c0ffee"},
}  # fmt: skip
TABLE = "study\tvalue\nmouse\t0.7894\n"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "results" / "mine"
    for name, text in {
        "tables/scores.tsv": TABLE, "figures/mouse/scores.png": "picture",
        "answer/mouse/shares.tsv": TABLE, "evidence/mouse/null.tsv": TABLE,
        "selection/mouse/summary.tsv": TABLE, "tables/reported_vs_reproduced.tsv": TABLE,
        "report.html": "<html></html>", "fits/mouse/0/bcnmf/k2.npz": "arrays",
        "pairs/mouse/0/target.h5ad": "cells", "datasets/mdd/0.h5ad": "others' data",
        "tables/.half.tsv": "left by a kill",
        "config.yaml": yaml.safe_dump({"name": "mine", "title": "My run"}),
        "provenance.json": json.dumps(PROVENANCE),
    }.items():  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def read(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_holds_code_tables_figures_and_report_and_nobody_elses_data(run, tmp_path):
    path = tmp_path / "out.zip"
    n = write_archive(ROOT, run, path)
    held = read(path)
    assert n == len(held)
    assert held["results/tables/scores.tsv"].decode() == TABLE
    assert {
        "code/Snakefile",
        "code/workflow/bcnmf/estimators/contrast.py",
        "code/config/datasets.tsv",
    } <= set(held)
    assert {"results/report.html", "results/figures/mouse/scores.png"} <= set(held)
    assert {
        "results/answer/mouse/shares.tsv",
        "results/evidence/mouse/null.tsv",
        "results/selection/mouse/summary.tsv",
        "results/tables/reported_vs_reproduced.tsv",
    } <= set(held)
    for word in ("downloads", "/pairs/", "results/datasets/", "/fits/", ".half", "__pycache__"):
        assert not [name for name in held if word in name], word
    write_archive(ROOT, run, path, with_fits=True)
    assert "results/fits/mouse/0/bcnmf/k2.npz" in read(path)


def test_the_crate_describes_every_file_and_every_reference_resolves(run, tmp_path):
    path = tmp_path / "out.zip"
    write_archive(ROOT, run, path)
    held = read(path)
    crate = json.loads(held.pop("ro-crate-metadata.json"))
    entities = {one["@id"]: one for one in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["conformsTo"]["@id"] == "https://w3id.org/ro/crate/1.1"
    root = entities[descriptor["about"]["@id"]]
    assert root["name"] == "My run"
    assert {one["@id"] for one in root["hasPart"]} == set(held)
    for name, content in held.items():
        assert entities[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert entities[name]["contentSize"] == str(len(content))
    for entity in crate["@graph"]:
        for value in entity.values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and not one["@id"].startswith("https://w3id.org"):
                    assert one["@id"] in entities, one
    assert {"@id": "results/tables/scores.tsv"} in entities["#run"]["result"]
    assert entities["#software-python"]["softwareVersion"] == "3.11"
    assert entities["#software-numpy"]["softwareVersion"] == "2.4 (analysis); 2.3 (fit)"
    assert '"cpu": "Fast"' in entities["#run"]["description"]
    assert "commit: c0ffee" in entities["#run"]["description"]


def test_equal_runs_give_equal_bytes(run, tmp_path):
    write_archive(ROOT, run, tmp_path / "one.zip")
    (run / "tables" / "scores.tsv").touch()
    write_archive(ROOT, run, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("installed", [True, False])
def test_without_git_the_code_is_found_too(tmp_path, monkeypatch, installed):
    if not installed:
        monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("Snakefile", "workflow/a.py", "results/x.tsv", "resources/downloads/y.gz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert code_files(tmp_path) == ["Snakefile", "workflow/a.py"]


def test_a_run_that_has_not_finished_is_refused(run, tmp_path, capsys):
    (run / "report.html").unlink()
    with pytest.raises(InputError, match=r"mine: lacks report.html; finish the run first"):
        write_archive(ROOT, run, tmp_path / "out.zip")
    assert main(["archive", str(run)]) == 2
    assert "lacks report.html" in capsys.readouterr().err
    assert not (tmp_path / "out.zip").exists()


def test_the_command_writes_it_into_the_run(run, capsys):
    assert main(["archive", str(run)]) == 0
    assert "bcnmf-mine.zip" in capsys.readouterr().out
    assert "results/report.html" in read(run / "bcnmf-mine.zip")
    # The archive is no part of the next one.
    assert main(["archive", str(run)]) == 0
    assert not [name for name in read(run / "bcnmf-mine.zip") if name.endswith(".zip")]


def test_links_of_a_run_are_followed(run, tmp_path):
    scratch = tmp_path / "scratch"
    shutil.move(run / "figures", scratch)
    (run / "figures").symlink_to(scratch)
    (scratch / "mouse" / "linked.png").symlink_to("scores.png")
    (scratch / "back").symlink_to(scratch)  # round and round
    (tmp_path / "elsewhere").symlink_to(run)
    write_archive(ROOT, tmp_path / "elsewhere", tmp_path / "out.zip")
    held = read(tmp_path / "out.zip")
    pictures = {name: text for name, text in held.items() if name.startswith("results/figures")}
    assert pictures == {
        f"results/figures/mouse/{name}.png": b"picture" for name in ("scores", "linked")
    }


def test_links_of_the_code_are_not_followed(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.h5ad").touch()
    (tmp_path / "code" / "Snakefile").touch()
    (tmp_path / "code" / "data").symlink_to(tmp_path / "data")
    assert code_files(tmp_path / "code") == ["Snakefile"]


def test_where_no_archive_can_be_written_is_said_before(run, capsys, monkeypatch):
    (run / "bcnmf-mine.zip").mkdir()
    monkeypatch.setattr("bcnmf_pipeline.record.archive.write_archive", None)
    assert main(["archive", str(run)]) == 2
    assert "bcnmf-mine.zip: is a folder" in capsys.readouterr().err


def test_an_archive_for_which_there_is_no_room_goes_elsewhere(run, tmp_path, capsys, monkeypatch):
    def full(root, run, path, with_fits):
        if path.parent == run:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_archive(root, run, path, with_fits)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bcnmf_pipeline.record.archive.write_archive", full)
    assert main(["archive", str(run)]) == 2
    (other,) = tmp_path.glob("bcnmf-mine-*.zip")
    assert f"It is in {other} instead" in capsys.readouterr().err
    assert "results/report.html" in read(other)
