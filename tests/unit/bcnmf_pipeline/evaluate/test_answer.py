"""Shares of target samples that hold what the background does not, by group."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bcnmf import coverage, crossfit
from bcnmf.errors import ImpossibleResult
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.aggregate import (
    SHARE_COLUMNS,
    collect_scores,
    share_scores,
    summarise,
)
from bcnmf_pipeline.evaluate.answer import SAMPLE_COLUMNS, answer
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.tables import read_table

COMPUTE = {"device": "cpu", "dtype": "float32"}
ROW = {
    "algorithm": "bcnmf", "values": "default", "n_shared": "", "contrast": "relative",
    "loss": "squared_error", "solver": "safeguarded", "max_iter": "100", "tol": "1e-3",
    "damping": "", "penalty": "",
}  # fmt: skip
METHODS = {
    "bcnmf": {"row": ROW},
    "shared": {"row": ROW | {"algorithm": "shared", "n_shared": "4", "contrast": "", "solver": ""}},
}
RUNS = [Run("toy", 0, "bcnmf", 2, "1.5", 0), Run("toy", 0, "shared", 2, "none", 3)]


def pair(n=90, m=90, features=30, **study):
    """Return target and background of six donors each; half of the target has a program more."""
    rng = np.random.default_rng(0)
    sides = []
    for size, prefix in ((n, "t"), (m, "b")):
        rates = np.full((size, features), 2.0)
        treated = np.arange(size) % 2 == 0
        if prefix == "t":
            rates[treated, :8] += 12
        obs = pd.DataFrame(
            {
                "arm": np.where(treated, "NA", "01"),
                "donor": [f"d{i % 6}" for i in range(size)],
                "kind": [("a", "b", None)[i % 3] for i in range(size)],
                "barcode": [f"{prefix}{i}" for i in range(size)],
            },
            index=[f"{prefix}{i}" for i in range(size)],
        )
        sides.append(ad.AnnData(rng.poisson(rates).astype(np.float32), obs=obs))
    sides[0].uns["study"] = {"study": "toy", "label": "arm", "unit": "donor"} | study
    return sides


def test_batches_count_alike_in_cross_fits_and_for_the_classifier():
    sides = pair()
    for side in sides:
        side.obs["run"] = np.where(np.arange(side.n_obs) < 20, "r1", "r2")
    plain = answer(*sides, RUNS[:1], METHODS, COMPUTE)
    sides[0].uns["study"]["batch"] = "run"
    weighted = answer(*sides, RUNS[:1], METHODS, COMPUTE)
    for method in ("bcnmf", "classifier"):
        scores = [
            one.samples.loc[one.samples["method"] == method, "score"] for one in (plain, weighted)
        ]
        assert len(scores[0]) == len(scores[1]) == 90
        assert not np.array_equal(*scores)


@pytest.fixture(scope="module")
def found():
    target, background = pair()
    return (
        target,
        background,
        answer(target, background, RUNS, METHODS, COMPUTE, ["kind", "barcode"]),
    )


def rows(table, method="bcnmf", **where):
    kept = table[table["method"] == method]
    for column, value in where.items():
        kept = kept[kept[column] == value]
    return kept


def test_columns_and_order_follow_the_contract(found):
    *_, tables = found
    assert tuple(tables.samples) == SAMPLE_COLUMNS
    assert tuple(tables.shares) == SHARE_COLUMNS
    keys = tables.shares[["method", "k", "alpha", "seed"]].drop_duplicates().astype(str)
    assert keys.to_numpy().tolist() == [
        ["bcnmf", "2", "1.5", "0"], ["shared", "2", "nan", "3"], ["classifier", "0", "nan", "0"],
    ]  # fmt: skip
    for method in ("bcnmf", "shared", "classifier"):
        groups = rows(tables.shares, method)[["column", "group"]].to_numpy().tolist()
        assert groups == [
            ["", ""], ["arm", ""], ["arm", "01"], ["arm", "NA"],
            *(["donor", f"d{i}"] for i in range(6)), ["kind", "a"], ["kind", "b"],
        ]  # fmt: skip
        assert len(rows(tables.samples, method)) == 90


def test_what_was_planted_is_found_and_nothing_else(found):
    *_, tables = found
    for method in ("bcnmf", "shared", "classifier"):
        share = rows(tables.shares, method, column="arm").set_index("group")["share"]
        assert share["NA"] > 0.9
        assert share["01"] < 0.25


def test_rows_are_those_of_the_package(found):
    target, background, tables = found
    estimator = make_estimator(
        "bcnmf", n_components=2, alpha=1.5, random_state=0, max_iter=100, tol=1e-3, device="cpu"
    )
    how = {
        "folds": 3, "random_state": derive_seed("folds", "toy"),
        "units": target.obs["donor"], "background_units": background.obs["donor"],
    }  # fmt: skip
    for method, expected in (
        ("bcnmf", crossfit(estimator, target.X, background=background.X, **how)),
        ("classifier", coverage(target.X, background=background.X, **how)),
    ):
        samples = rows(tables.samples, method)
        np.testing.assert_allclose(samples["score"], expected.score, rtol=1e-5)
        assert samples["above"].tolist() == expected.above.tolist()
        assert samples["sample"].tolist() == target.obs_names.tolist()
        assert (samples["above"] == (samples["score"] > samples["threshold"])).all()
        every = rows(tables.shares, method, column="").iloc[0]
        assert every["auroc"] == pytest.approx(expected.auroc)
        assert (every["n"], every["n_above"], every["n_units"]) == (90, expected.above.sum(), 6)
        mask = (target.obs["kind"] == "a").to_numpy()
        of_kind = rows(tables.shares, method, column="kind", group="a").iloc[0]
        assert of_kind[["share", "low", "high"]].tolist() == pytest.approx(expected.share_of(mask))
        area = roc_auc_score(target.obs["arm"] == "NA", expected.score)
        of_label = rows(tables.shares, method, column="arm", group="").iloc[0]
        assert of_label["auroc"] == pytest.approx(max(area, 1 - area))
        assert rows(tables.shares, method, column="donor")["n_units"].tolist() == [1] * 6


def test_groups_survive_the_file(found, tmp_path):
    *_, tables = found
    tables.write(tmp_path / "samples.parquet", tmp_path / "shares.tsv")
    back = read_table(tmp_path / "shares.tsv")
    assert back["group"].tolist() == tables.shares["group"].tolist()
    assert back["column"].tolist() == tables.shares["column"].tolist()
    assert set(read_table(tmp_path / "samples.parquet")["label"]) == {"NA", "01"}


def test_without_label_and_unit_all_samples_remain():
    target, background = pair(label="", unit="")
    tables = answer(target, background, RUNS[:1], METHODS, COMPUTE)
    assert tables.shares[["column", "group"]].to_numpy().tolist() == [["", ""]] * 2
    assert tables.shares["n_units"].isna().all()
    assert set(tables.samples["label"]) == set(tables.samples["unit"]) == {""}


def test_a_constant_label_is_a_group_without_a_score():
    target, background = pair(unit="")
    target.obs["arm"] = "drug"
    tables = answer(target, background, RUNS[:1], METHODS, COMPUTE)
    shares = rows(tables.shares)
    assert shares[["column", "group"]].to_numpy().tolist() == [["", ""], ["arm", "drug"]]
    assert shares["auroc"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("n", "m", "runs", "left", "said"),
    [
        (
            5,
            90,
            RUNS,
            [],
            "method shared, K=2, alpha=none: not cross-fitted: target: has 5 samples",
        ),
        (90, 5, RUNS, [], "classifier: not cross-fitted: background: has 5 samples"),
        (90, 12, RUNS, ["bcnmf", "shared", "classifier"], ""),
        (
            12,
            90,
            [Run("toy", 0, "bcnmf", 9, "1.5", 0)],
            ["classifier"],
            "K=9, alpha=1.5: not cross",
        ),
    ],
)
def test_too_few_samples_are_left_out_and_named(n, m, runs, left, said, capsys):
    target, background = pair(n, m, unit="")
    tables = answer(target, background, runs, METHODS, COMPUTE)
    assert tables.shares["method"].drop_duplicates().tolist() == left
    assert tuple(tables.shares) == SHARE_COLUMNS
    assert said in capsys.readouterr().out


def test_shares_of_all_samples_become_scores(found):
    *_, tables = found
    contrasts = {"bcnmf": "relative", "shared": "", "pca": ""}
    scores = share_scores(tables.shares, contrasts)
    assert scores["method"].tolist() == ["bcnmf", "shared"]
    assert set(scores["score"]) == {"share_above"}
    assert set(scores["label"]) == {""}
    assert scores["alpha_setting"].tolist() == ["1.5", ""]
    assert scores["n"].tolist() == [90, 90]
    whole = tables.shares[tables.shares["column"] == ""]
    assert scores["value"].tolist() == whole["share"].tolist()[:2]
    reported = pd.DataFrame(
        columns=["study", "method", "score", "value", "source", "note"]
    ).astype({"value": float})  # fmt: skip
    studies = pd.DataFrame({"study": ["toy"], "title": ["Toy"]})
    # A study without a label has no other scores.
    none = scores.head(0)
    collected = collect_scores([none, scores], reported, studies)
    methods = pd.DataFrame({"method": list(contrasts), "label": list(contrasts)})
    assert summarise(collected, methods)["mean"].tolist() == scores["value"].tolist()
    assert summarise(collect_scores([none], reported, studies), methods).empty


def test_a_result_that_cannot_be_is_no_lack_of_samples(monkeypatch):
    monkeypatch.setattr("bcnmf.estimators.base.explained", lambda *_: 26.0)
    with pytest.raises(ImpossibleResult, match="is 26"):
        answer(*pair(), RUNS, METHODS, COMPUTE)
