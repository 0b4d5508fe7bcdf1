"""Joining scores of replicates, the reported values, and the summary, against hand-made tables."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.evaluate.aggregate import (
    SCORE_COLUMNS,
    SUMMARY_COLUMNS,
    collect_scores,
    reported_without_counterpart,
    summarise,
)
from bcnmf_pipeline.plan.sheets import read_sheet
from bcnmf_pipeline.record.tables import read_table, write_table

ROOT = Path(__file__).resolve().parents[4]
STUDIES = pd.DataFrame({"study": ["toy"], "title": ["A toy"]})
METHODS = pd.DataFrame({"method": ["bcnmf", "pca", "cpca_auto"], "label": ["bcNMF", "PCA", "cPCA"]})
REPORTED = pd.DataFrame(
    {
        "study": ["toy", "elsewhere"],
        "method": ["bcnmf", "bcnmf"],
        "score": ["ari_usage", "ari_usage"],
        "value": [0.9, 0.1],
        "source": ["table 1", "table 2"],
        "note": [None, None],
    }
)


def scores(replicate, values, *, method="bcnmf", alpha=1.5, setting="1.5", contrast="relative"):
    """Return one row a (seed, value), of the score ari_usage."""
    return pd.DataFrame(
        {
            "study": "toy",
            "replicate": replicate,
            "method": method,
            "k": 2,
            "alpha": alpha,
            "contrast": contrast,
            "seed": range(len(values)),
            "score": "ari_usage",
            "label": "group",
            "value": values,
            "n": 100 + replicate,
            "alpha_setting": setting,
            "remark": "",
        }
    )


def pca(replicate, values):
    return scores(replicate, values, method="pca", alpha=math.nan, setting="", contrast="")


def test_collect_adds_title_and_reported():
    collected = collect_scores([pca(0, [0.1]), scores(0, [0.8, 1.0])], REPORTED, STUDIES)
    assert list(collected) == list(SCORE_COLUMNS)
    assert collected["method"].tolist() == ["bcnmf", "bcnmf", "pca"]
    assert collected["value"].tolist() == [0.8, 1.0, 0.1]
    assert collected["reported"].tolist()[:2] == [0.9, 0.9]
    assert collected["source"].tolist()[:2] == ["table 1", "table 1"]
    assert collected["reported"].isna().tolist() == [False, False, True]
    assert set(collected["title"]) == {"A toy"}


def test_collect_orders_studies_as_given_and_then_runs():
    other = scores(0, [0.5]).assign(study="another")
    studies = pd.DataFrame({"study": ["toy", "another"], "title": ["A toy", "Another"]})
    tables = [other, scores(1, [0.3]), scores(0, [0.2], alpha=1.0, setting="1"), scores(0, [0.1])]
    collected = collect_scores(tables, REPORTED, studies)
    assert collected["study"].tolist() == ["toy"] * 3 + ["another"]
    assert collected["value"].tolist() == [0.2, 0.1, 0.3, 0.5]
    again = collect_scores(tables[::-1], REPORTED, studies)
    pd.testing.assert_frame_equal(again, collected)


def test_collect_after_writing_and_reading(tmp_path):
    tables = [scores(0, [0.25, 1.0]), pca(0, [0.125])]
    for i, table in enumerate(tables):
        write_table(table, tmp_path / f"{i}.tsv")
    read = [read_table(tmp_path / f"{i}.tsv") for i in range(len(tables))]
    expected = collect_scores(tables, REPORTED, STUDIES)
    pd.testing.assert_frame_equal(collect_scores(read, REPORTED, STUDIES), expected)
    write_table(expected, tmp_path / "collected.tsv")
    again = summarise(read_table(tmp_path / "collected.tsv"), METHODS)
    pd.testing.assert_frame_equal(again, summarise(expected, METHODS))


def test_summary_by_hand():
    tables = [scores(0, [0.5, 0.7]), scores(1, [0.9]), pca(0, [0.1])]
    summary = summarise(collect_scores(tables, REPORTED, STUDIES), METHODS)
    assert list(summary) == list(SUMMARY_COLUMNS)
    bcnmf, single = summary.to_dict("records")
    assert bcnmf["mean"] == pytest.approx(0.7)
    assert bcnmf["sd"] == pytest.approx(0.2)
    assert (bcnmf["n_runs"], bcnmf["n_replicates"], bcnmf["n_seeds"]) == (3, 2, 2)
    assert (bcnmf["n"], bcnmf["alpha"], bcnmf["reported"]) == (100, 1.5, 0.9)
    assert bcnmf["method_label"] == "bcNMF"
    assert single["method_label"] == "PCA"
    assert single["n_runs"] == 1
    assert math.isnan(single["sd"])
    assert math.isnan(single["alpha"])
    assert math.isnan(single["reported"])


def test_automatic_alphas_are_summarised_across_replicates():
    tables = [
        scores(replicate, [value], method="cpca_auto", alpha=alpha, setting=setting, contrast="")
        for replicate, setting, alpha, value in (
            (0, "auto1", 1.2, 0.2),
            (0, "auto2", 30.0, 0.6),
            (1, "auto1", 1.3, 0.4),
            (1, "auto2", 30.0, 0.8),
        )
    ]
    summary = summarise(collect_scores(tables, REPORTED, STUDIES), METHODS)
    assert summary["alpha_setting"].tolist() == ["auto1", "auto2"]
    assert summary["mean"].tolist() == pytest.approx([0.3, 0.7])
    assert summary["n_replicates"].tolist() == [2, 2]
    assert math.isnan(summary["alpha"].iloc[0])
    assert summary["alpha"].iloc[1] == 30.0


def test_missing_scores_do_not_count():
    tables = [scores(0, [0.5, math.nan]), scores(0, [math.nan], method="cpca_auto")]
    summary = summarise(collect_scores(tables, REPORTED, STUDIES), METHODS)
    assert summary["n_runs"].tolist() == [1, 0]
    assert summary["mean"].iloc[0] == 0.5
    assert math.isnan(summary["mean"].iloc[1])


def test_one_setting_written_in_two_ways_is_one_row():
    tables = [scores(0, [0.5], setting="1.50"), scores(1, [0.7], setting=1.5)]
    summary = summarise(collect_scores(tables, REPORTED, STUDIES), METHODS)
    assert summary["n_runs"].tolist() == [2]


@pytest.mark.parametrize(
    ("tables", "reported", "message"),
    [
        ([], REPORTED, "no tables"),
        ([scores(0, [1.0]).drop(columns="seed")], REPORTED, "scores: missing column seed"),
        ([scores(0, [1.0])], REPORTED.drop(columns="source"), "reported values: missing column"),
        ([scores(0, [1.0])], pd.concat([REPORTED, REPORTED]), r"\(toy, bcnmf, ari_usage\) stands"),
        ([scores(0, [1.0])], REPORTED.assign(value=["0.9", "high"]), "'high' is not a number"),
        ([scores(0, [1.0]).assign(study="toi")], REPORTED, "study toi, which is not in .*: toy"),
    ],
)
def test_collect_names_faults(tables, reported, message):
    with pytest.raises(InputError, match=message):
        collect_scores(tables, reported, STUDIES)


def test_summary_names_unknown_methods():
    collected = collect_scores([scores(0, [1.0], method="new")], REPORTED, STUDIES)
    with pytest.raises(InputError, match="method new, which is not in the methods sheet: bcnmf"):
        summarise(collected, METHODS)


def test_reported_rows_without_counterpart_are_found():
    rows = reported_without_counterpart(REPORTED, ["toy"], ["pca"])
    assert rows["reason"].tolist() == [
        "method 'bcnmf' is not registered",
        "study 'elsewhere' is not registered and method 'bcnmf' is not registered",
    ]
    assert reported_without_counterpart(REPORTED, ["toy", "elsewhere"], ["bcnmf"]).empty


def test_the_reported_sheet():
    reported, methods, studies = (
        pd.DataFrame(read_sheet(ROOT / "config" / f"{sheet}.tsv").rows)
        for sheet in ("reported", "methods", "studies")
    )
    reported["value"] = reported["value"].astype(float)
    lost = reported_without_counterpart(reported, studies["study"], methods["method"])
    assert lost.empty, lost
    known = {"ari_usage", "ari_usage_share", "ari_umap", "ari_usage_merged"}
    assert set(reported["score"]) <= known
    assert (reported["source"] != "").all()
    assert reported["value"].between(0, 1).all()
    key = ["study", "method", "score"]
    values = reported.set_index(key)["value"]
    assert values["mouse", "bcnmf", "ari_umap"] == 0.7894
    assert values["simulation_beta16", "cpca_auto", "ari_usage"] == 0.943
    assert values["simulation_beta8", "bcnmf", "ari_usage"] == 0.998
    assert values["simulation_beta0"].tolist() == [1.0] * 4


@pytest.mark.parametrize("value", [-881900.0, math.inf, -1.5, 1.01])
def test_a_score_that_cannot_be_stops_the_tables(value):
    with pytest.raises(InputError, match=r"bcnmf, K=2, seed 1: ari_usage is .* between -1 and 1"):
        collect_scores([scores(0, [0.8, value])], REPORTED, STUDIES)


def test_missing_scores_and_ends_of_the_range_are_none_of_them():
    assert len(collect_scores([scores(0, [1.0, -1.0, math.nan])], REPORTED, STUDIES)) == 3


def test_a_remark_on_fits_reaches_the_summary_and_says_on_how_many():
    tables = [scores(0, [0.1, 0.2]), scores(1, [0.3, 0.4])]
    tables[1]["remark"] = ["worse than one topic (-35)", ""]
    collected = collect_scores([*tables, pca(0, [0.1])], REPORTED, STUDIES)
    assert collected["remark"].tolist() == ["", "", "worse than one topic (-35)", "", ""]
    summary = summarise(collected, METHODS)
    assert summary["remark"].tolist() == ["worse than one topic (-35), 1 of 4 runs", ""]
