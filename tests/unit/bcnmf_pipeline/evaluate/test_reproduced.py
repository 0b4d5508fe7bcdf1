"""Reported against reproduced: our interval, the authors' range, and the verdict."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bcnmf_pipeline.evaluate.reproduced import (
    REPRODUCED_COLUMNS,
    ours_of,
    range_of,
    reproduced,
    verdict_of,
)
from bcnmf_pipeline.record.tables import read_table, write_table

ROW = {
    "study": "toy", "method": "bcnmf", "score": "ari_usage", "value": "0.800", "source": "table 1",
    "note": "", "representation": "H", "sd": "", "low": "", "high": "", "n": "",
    "spread_source": "", "verdict": "", "why": "",
}  # fmt: skip
LABELS = {"bcnmf": "bcNMF", "pca": "PCA"}


def runs(values, **more):
    """Return scores; values: one list of seeds a data set."""
    rows = [
        {"study": "toy", "method": "bcnmf", "k": 2, "alpha": 1.5, "alpha_setting": "1.5",
         "score": "ari_usage", "replicate": replicate, "seed": seed, "value": value} | more
        for replicate, seeds in enumerate(values)
        for seed, value in enumerate(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def only(values, **row):
    (found,) = reproduced(runs(values), [ROW | row], LABELS).to_dict("records")
    return found


def test_three_data_sets_give_an_interval_over_data_sets_whatever_the_seeds():
    values = [[0.7, 0.9], [0.6, 0.6], [0.9, 0.9]]
    found = ours_of(runs(values))
    low, high = stats.t.interval(0.95, 2, 2.3 / 3, stats.sem([0.8, 0.6, 0.9]))
    assert (found.mean, found.over) == (pytest.approx(2.3 / 3), "data sets")
    assert found.low == pytest.approx(low)
    assert high > 1
    assert found.high == 1  # no score lies beyond
    assert found.sd == pytest.approx(np.std([0.7, 0.9, 0.6, 0.6, 0.9, 0.9], ddof=1))
    assert (found.n_replicates, found.n_seeds, found.n_runs) == (3, 2, 6)


def test_one_data_set_has_an_interval_over_its_seeds():
    found = ours_of(runs([[0.70, 0.72, 0.74, 0.76]]))
    low, high = stats.t.interval(0.95, 3, 0.73, stats.sem([0.70, 0.72, 0.74, 0.76]))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.over == "fit seeds"


def test_seeds_of_two_data_sets_are_averaged_over_these():
    found = ours_of(runs([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]))
    low, high = stats.t.interval(0.95, 2, 0.3, stats.sem([0.2, 0.3, 0.4]))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.over == "fit seeds"


@pytest.mark.parametrize("values", [[[0.8]], [[0.8], [0.7]], [[0.8, 0.7]], [[0.8, 0.7]] * 2])
def test_fewer_than_three_of_either_give_none(values):
    found = ours_of(runs(values))
    assert found.over == ""
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.sd) == (sum(map(len, values)) == 1)


def test_missing_scores_count_as_no_runs():
    found = ours_of(runs([[0.8], [math.nan], [0.6]]))
    assert (found.mean, found.over, found.n_runs) == (pytest.approx(0.7), "", 2)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"value": "0.80"}, (0.795, 0.805)),
        ({"value": "1"}, (0.5, 1.5)),
        ({"sd": "0.01"}, (0.7895, 0.8105)),
        ({"sd": "0.01", "low": "0.75", "high": "0.82"}, (0.7495, 0.8205)),
        ({"low": "0.75"}, (0.7495, 0.8005)),
        # The value itself belongs to it even where the authors' later runs are all beside it.
        ({"low": "0.85", "high": "0.90"}, (0.7995, 0.9005)),
    ],
)
def test_the_range_of_a_reported_value(row, expected):
    assert range_of(ROW | row) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "row", "verdict"),
    [
        # No spread is reported: the value as printed, against our interval.
        ([[0.79], [0.80], [0.82]], {}, "within"),
        ([[0.90], [0.91], [0.92]], {}, "above"),
        ([[0.70], [0.71], [0.72]], {}, "below"),
        # Zero variance: the interval is a point, and equal to what is printed or not.
        ([[0.78942, 0.78942, 0.78942]], {"value": "0.7894"}, "within"),
        ([[0.78952, 0.78952, 0.78952]], {"value": "0.7894"}, "above"),
        ([[1.0], [1.0], [1.0]], {"value": "1.000"}, "within"),
        ([[0.9994], [0.9994], [0.9994]], {"value": "1.000"}, "below"),
        # One run: no interval, the mean stands for it.
        ([[0.8003]], {}, "within"),
        ([[0.81]], {}, "above"),
        ([[0.79]], {}, "below"),
        # The authors' own spread reaches to ours.
        ([[0.81]], {"sd": "0.01"}, "within"),
        ([[0.82]], {"sd": "0.01"}, "above"),
        ([[0.70], [0.71], [0.72]], {"low": "0.73", "high": "0.85"}, "within"),
        ([[0.70], [0.71], [0.72]], {"low": "0.76", "high": "0.85"}, "below"),
        ([[math.nan], [math.nan]], {}, "not run"),
    ],
)
def test_the_verdict(values, row, verdict):
    found = only(values, **row)
    assert found["verdict"] == verdict
    assert verdict_of(ROW | row, ours_of(runs(values))) == verdict


def test_a_row_holds_both_sides_and_what_the_interval_is_over():
    found = only(
        [[0.70, 0.72], [0.71, 0.71], [0.75, 0.75]], sd="0.01", n="5", low="0.7", high="0.9"
    )
    assert found["method_label"] == "bcNMF"
    assert (found["reported"], found["reported_sd"], found["reported_n"]) == (0.8, 0.01, 5)
    assert (found["reported_low"], found["reported_high"]) == (0.7, 0.9)
    assert found["ours"] == pytest.approx(0.72333, abs=1e-4)
    assert found["interval_over"] == "data sets"
    assert (found["n_replicates"], found["n_seeds"], found["n_runs"]) == (3, 2, 6)
    assert found["why"] == ""
    assert list(found) == list(REPRODUCED_COLUMNS)


def test_what_is_not_run_is_a_row_with_the_reason():
    rows = [
        ROW | {"study": "elsewhere", "verdict": "not run", "why": "the study is not in this run"},
        ROW | {"verdict": "made otherwise", "why": "n_genes is 1000, reported with 3000"},
        ROW | {"score": "ari_umap"},
        ROW,
    ]
    found = reproduced(runs([[math.nan, math.nan]]), rows, LABELS)
    assert found["verdict"].tolist() == ["not run", "made otherwise", "not run", "not run"]
    assert found["why"].tolist() == [
        "the study is not in this run", "n_genes is 1000, reported with 3000",
        "the run has no such score", "failed: the score is missing in all of 2 runs",
    ]  # fmt: skip
    assert found["ours"].isna().all()
    assert found["reported"].tolist() == [0.8] * 4


def test_every_setting_has_a_row_and_automatic_alphas_no_single_value():
    one = runs([[0.8], [0.8], [0.8]], alpha_setting="auto1")
    one["alpha"] = [1.0, 1.1, 1.2]
    other = runs([[0.3], [0.3], [0.3]], alpha_setting="auto2", alpha=30.0)
    found = reproduced(pd.concat([one, other]), [ROW], LABELS)
    assert found["alpha_setting"].tolist() == ["auto1", "auto2"]
    assert found["verdict"].tolist() == ["within", "below"]
    assert found["alpha"].isna().tolist() == [True, False]


def test_where_the_representation_is_not_stated_ours_of_the_others_stand_beside():
    tables = [runs([[0.8]]), runs([[0.5]], score="ari_umap"), runs([[0.1]], score="ari_umap", k=3)]
    (found,) = reproduced(pd.concat(tables), [ROW | {"representation": ""}], LABELS).to_dict(
        "records"
    )
    assert found["representation"] == "not stated"
    assert found["why"] == (
        "no interval: fewer than three data sets and seeds; what was clustered is not stated, ours "
        "is H (beside it: UMAP 0.500)"
    )


def test_the_table_is_read_back_as_it_was_written(tmp_path):
    rows = [ROW | {"verdict": "not run", "why": "the study is not in this run"}, ROW]
    table = reproduced(runs([[0.8], [0.81], [0.79]]), rows, LABELS)
    write_table(table, tmp_path / "reported.tsv")
    read = read_table(tmp_path / "reported.tsv")
    assert read["verdict"].tolist() == ["not run", "within"]
    assert read["why"].tolist() == ["the study is not in this run", ""]
    assert read["n_runs"].tolist()[1] == 3
