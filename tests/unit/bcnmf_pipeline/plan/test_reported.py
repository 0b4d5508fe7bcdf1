"""Which of the reported values a run makes, and why not the others."""

from pathlib import Path

import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.acquire.registry import load_registry
from bcnmf_pipeline.plan.reported import made_otherwise, standing
from bcnmf_pipeline.plan.runs import Plan
from bcnmf_pipeline.plan.sheets import as_list, load_sheet, load_yaml, merge

ROOT = Path(__file__).resolve().parents[4]
SCHEMAS = ROOT / "workflow" / "schemas"
BASE = load_yaml(ROOT / "config" / "config.yaml")


def found(changes=None, absent=()):
    plan = Plan(merge(BASE, changes or {}), lambda path: ROOT / path, SCHEMAS, "my.yaml")
    rows = {(row["study"], row["method"], row["score"]): row for row in standing(plan, absent)}
    assert len(rows) == len(plan.reported)
    return {key: (row["verdict"], row["why"]) for key, row in rows.items()}


def test_the_paper_makes_every_value_that_is_reported():
    assert set(found().values()) == {("", "")}


def test_what_is_left_out_says_why():
    rows = found(
        {"studies": ["simulation_beta8", "digits_two_published"], "methods": ["nmf", "bcnmf"]}
    )
    assert rows["simulation_beta8", "bcnmf", "ari_usage"] == ("", "")
    assert rows["mouse", "bcnmf", "ari_umap"] == ("not run", "the study is not in this run")
    assert rows["simulation_beta8", "pca", "ari_usage"] == (
        "not run", "the method was not asked for",
    )  # fmt: skip


def test_data_that_are_not_here_are_named():
    rows = found({"studies": ["mouse"]}, ["leukemia", "gencode", "mice_protein"])
    assert rows["leukemia", "bcnmf", "ari_usage"] == (
        "not run",
        "the study is not in this run, and its data are not here: no file of leukemia, gencode",
    )
    assert rows["digits_two", "bcnmf", "ari_usage"][1] == "the study is not in this run"
    assert rows["mouse", "bcnmf", "ari_umap"] == ("", "")


def test_data_of_another_make_are_named():
    rows = found({"simulation": {"n_genes": 1000, "n_target": 300}})
    assert rows["simulation_beta8", "bcnmf", "ari_usage"] == (
        "made otherwise",
        "simulation.n_genes is 1000, reported with 3000; simulation.n_target is 300, reported with "
        "1000",
    )
    assert rows["mouse", "bcnmf", "ari_umap"] == ("", "")
    row = {"dataset": "mice_protein", "settings": ""}
    assert made_otherwise(row, "mine.csv", BASE) == (
        "the data set is mine.csv, reported of mice_protein"
    )
    assert made_otherwise(row, "mice_protein", BASE) == ""


def test_a_method_for_other_values_is_named(tmp_path):
    studies = tmp_path / "studies.tsv"
    studies.write_text(
        "study\tgroup\ttitle\tdataset\ttarget\tbackground\tvalues\tlabel\n"
        "mdd\tmdd\tMine\tmdd\tin_target=yes\trole=target control\traw\tdiagnosis\n"
    )
    few = {"replicates": {"default": 1}, "seeds": {"default": [0]}}
    settings = merge(BASE, {"sheets": {"studies": str(studies)}, "studies": ["mdd"]}) | few
    plan = Plan(settings, lambda path: ROOT / path, SCHEMAS, "my.yaml")
    rows = {(row["study"], row["score"], row["method"]): row for row in standing(plan)}
    row = rows["mdd", "ari_umap", "bcnmf_poisson"]
    assert row["verdict"] == "not run"
    assert row["why"] == (
        "the method is not fitted on this study: fits counts, but the study's values are raw"
    )


def test_the_sheet_says_of_what_and_how_far_the_authors_own_runs_are_apart():
    schema = load_yaml(SCHEMAS / "reported.schema.yaml")
    rows = load_sheet(ROOT / "config" / "reported.tsv", schema).rows
    by_score = {"ari_usage_share": {"H/sum"}, "ari_umap": {"UMAP"}}
    for row in rows:
        assert row["representation"] in by_score.get(row["score"], {"H", "not stated"})
        spread = [row[name] for name in ("sd", "low", "high", "n")]
        assert any(spread) == bool(row["spread_source"])
        if row["low"]:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    registered = {entry.dataset for entry in registry.entries}
    assert {name for row in rows for name in as_list(row["files"])} <= registered
    assert all(bool(row["files"]) != row["study"].startswith("simulation") for row in rows)
    seeds = {row["study"]: row for row in rows if row["n"] == "5"}
    assert {name: row["sd"] for name, row in seeds.items()} == {
        "leukemia": "0.0074", "mixseq": "0.0033", "mdd": "0.0707",
    }  # fmt: skip


def test_a_representation_that_there_is_not_is_refused(tmp_path):
    path = tmp_path / "reported.tsv"
    path.write_text(
        "study\tmethod\tscore\tvalue\tsource\trepresentation\nmouse\tbcnmf\tari_umap\t0.5\tme\tW\n"
    )
    with pytest.raises(InputError, match=r"representation.*'W'.*H, H/sum, UMAP"):
        load_sheet(path, load_yaml(SCHEMAS / "reported.schema.yaml"))
