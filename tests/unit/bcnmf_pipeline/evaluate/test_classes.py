"""Tables of studies with many classes, one or none, units of both, and awkward names."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bcnmf_pipeline.evaluate.evaluation import evaluate
from bcnmf_pipeline.record.tables import read_table
from toy_pair import FEATURES, STUDY, N, make_fit, pair, positive


def test_three_classes_without_units():
    target, background = pair()
    target.obs["three"] = np.arange(N) % 3
    fit = make_fit(target, background)
    study = {"study": "toy", "label": "three", "unit": ""}
    tables = evaluate([fit], target, background, study, 0)
    assert not tables.scores["score"].str.contains("units").any()
    assert set(tables.samples["unit"]) == {""}
    assert set(tables.samples["cluster_usage"]) == {0, 1, 2}
    assert tables.topics["p_value_units"].isna().all()
    labels = target.obs["three"].to_numpy().astype(str)
    for row in tables.topics.itertuples():
        areas = {c: roc_auc_score(labels == c, fit.usage[:, row.topic - 1]) for c in "012"}
        assert row.favours == max(areas, key=areas.get)
        assert row.auroc == pytest.approx(max(areas.values()))


def test_of_three_classes_the_one_named_is_that_of_the_auroc():
    """One sample with a huge usage gives its class the highest mean, but no high AUROC."""
    target, background = pair()
    target.obs["three"] = np.repeat(["a", "b", "c"], 12)
    fit = make_fit(target, background, k=1)
    fit.usage[:, 0] = np.linspace(0, 1, N)
    fit.usage[0] = 1000.0
    topic = evaluate([fit], target, background, {"study": "toy", "label": "three"}, 0).topics.iloc[
        0
    ]
    assert topic["favours"] == "c"
    assert topic["auroc"] == pytest.approx(roc_auc_score(np.arange(N) >= 24, fit.usage[:, 0]))


@pytest.mark.parametrize("kind", ["no label", "one class"])
def test_without_classes_what_needs_none_remains(kind):
    target, background = pair()
    study = STUDY | {"label": ""}
    if kind == "one class":
        target.obs["group"], study = "treated", STUDY
    fits = [positive(make_fit(target, background, seed=seed)) for seed in (0, 1)]
    tables = evaluate(fits, target, background, study, 0)
    assert tables.scores.empty
    assert list(tables.scores)[-1] == "remark"
    assert set(tables.samples["label"]) == {"" if kind == "no label" else "treated"}
    assert tables.samples["cluster_usage"].isna().all()
    assert tables.samples[["umap_1", "target_score"]].notna().all(axis=None)
    assert set(tables.topics["favours"]) == set(tables.features["favours"]) == {""}
    missing = ["statistic", "p_value", "p_adjusted", "auroc", "p_value_units"]
    assert tables.topics[missing].isna().all(axis=None)
    assert tables.topics[["mean_usage", "stability"]].notna().all(axis=None)
    assert len(tables.loadings) == 2 * 3 * FEATURES


def test_units_may_hold_both_classes():
    target, background = pair()
    target.obs["mouse"] = [f"mouse{i % 6}" for i in range(N)]
    fit = make_fit(target, background)
    tables = evaluate([fit], target, background, STUDY, 0, bootstrap=100)
    means = (
        pd.DataFrame(fit.usage.astype(float))
        .groupby([target.obs["group"].astype(str).to_numpy(), target.obs["mouse"].to_numpy()])
        .mean()
    )
    difference = means.loc["control"] - means.loc["treated"]
    signs = np.array(list(product((1, -1), repeat=6)))
    flipped = np.abs(signs @ difference.to_numpy())
    expected = (flipped >= np.abs(difference.sum().to_numpy()) * (1 - 1e-9)).mean(axis=0)
    np.testing.assert_allclose(tables.topics["p_value_units"], expected, rtol=1e-6)
    units = tables.scores.set_index("score").loc["ari_usage_units"]
    assert units["n"] == 12


def test_one_unit_has_no_scores_of_units():
    target, background = pair()
    target.obs["mouse"] = "one"
    tables = evaluate([make_fit(target, background)], target, background, STUDY, 0, bootstrap=10)
    assert not tables.scores["score"].str.contains("_units").any()
    assert tables.topics["p_value_units"].isna().all()
    assert tables.topics["p_value"].notna().all()


def test_stability_is_the_cosine_to_other_seeds():
    target, background = pair()
    fits = [positive(make_fit(target, background, seed=seed)) for seed in range(3)]
    fits[1].components = fits[0].components[::-1] * 7
    fits[2].components = fits[0].components.copy()
    fits[2].components[0] = 0
    other = positive(make_fit(target, background, seed=0, alpha=2.0))
    topics = evaluate([*fits, other], target, background, STUDY, 0, bootstrap=10).topics
    of_first = topics[(topics["alpha"] == 1.5) & (topics["seed"] == 0)]["stability"].to_numpy()
    np.testing.assert_allclose(of_first[1:], 1.0)
    unit = fits[0].components / np.linalg.norm(fits[0].components, axis=1, keepdims=True)
    np.testing.assert_allclose(of_first[0], (1 + (unit[0] @ unit[1:].T).max()) / 2)
    of_third = topics[topics["seed"] == 2]["stability"].to_numpy()
    assert of_third[0] == 0.0  # no loadings, like nothing
    assert topics[topics["alpha"] == 2.0]["stability"].isna().all()  # no other seed


NAMES = [("null", "wt"), ("01", "02"), ("NA", "x"), ("nan", "b"), ("True", "False")]


@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_names_that_look_like_numbers_or_missing_values_survive(tmp_path, names):
    target, background = pair()
    genes = ["nan", "NA", "01", "1e5", *(f"G{i}" for i in range(FEATURES - 4))]
    target.var_names = background.var_names = genes
    target.obs["kind"] = np.where(target.obs["group"] == "treated", *names)
    fit = positive(make_fit(target, background))
    study = {"study": "01", "label": "kind", "unit": "kind"}
    evaluate([fit], target, background, study, 0, bootstrap=10).write(tmp_path)
    back = {path.stem: read_table(path) for path in tmp_path.iterdir()}
    assert back["topics"]["favours"].iloc[0] == names[0]
    assert set(back["features"]["favours"]) <= set(names)
    assert back["features"]["feature"].tolist() == genes
    assert set(back["loadings"]["feature"]) == set(genes)
    assert set(back["samples"]["label"]) == set(back["samples"]["unit"]) == set(names)
    assert set(back["scores"]["study"]) == {"01"}


def test_the_stability_of_a_consensus_is_its_own():
    target, background = pair()
    fits = [positive(make_fit(target, background, seed=seed)) for seed in range(2)]
    k = len(fits[0].components)
    own = np.linspace(0.1, 0.9, k).tolist()
    fits[0].info["consensus"] = {"stability": own, "support": [1] * k, "n_starts": 10}
    topics = evaluate(fits, target, background, STUDY, 0, bootstrap=10).topics
    assert topics[topics["seed"] == 0]["stability"].tolist() == own
    assert topics[topics["seed"] == 1]["stability"].tolist() != own  # of the other seed
