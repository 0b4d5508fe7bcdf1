"""Tables of an evaluation: contents against direct computation, order, and faults of the input."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from bcnmf.errors import InputError
from bcnmf_pipeline.evaluate import evaluation
from bcnmf_pipeline.evaluate.evaluation import evaluate
from bcnmf_pipeline.evaluate.metrics import kmeans_labels, umap_embedding, usage_share
from bcnmf_pipeline.methods.estimators import make_estimator
from bcnmf_pipeline.record.tables import read_table
from toy_pair import FEATURES, STUDY, N, make_fit, pair, rows_of, value_of

KEY = ["study", "replicate", "method", "k", "alpha", "seed"]


@pytest.fixture(scope="module")
def evaluated():
    target, background = pair()
    fits = [
        make_fit(target, background, seed=1),
        make_fit(target, background, method="pca", k=2, alpha=None, contrast="", signed=True),
        make_fit(target, background, seed=0),
        make_fit(target, background, method="cpca_auto", k=2, alpha=2.5, alpha_setting="auto1"),
    ]
    return target, background, fits, evaluate(fits, target, background, STUDY, 3, bootstrap=100)


def test_columns_and_order_follow_the_contract(evaluated):
    *_, tables = evaluated
    assert list(tables.scores) == [
        "study", "replicate", "method", "k", "alpha", "contrast", "seed", "score", "label",
        "value", "n", "alpha_setting", "remark",
    ]  # fmt: skip
    assert list(tables.samples) == [
        *KEY, "sample", "label", "unit", "umap_1", "umap_2", "cluster_usage",
        "cluster_usage_share", "cluster_umap", "target_score", "usage_1", "usage_2", "usage_3",
    ]  # fmt: skip
    assert list(tables.topics) == [
        *KEY, "topic", "statistic", "p_value", "p_adjusted", "auroc", "favours", "mean_usage",
        "p_value_units", "p_adjusted_units", "stability",
    ]  # fmt: skip
    assert list(tables.loadings) == [*KEY, "topic", "feature", "loading", "rank"]
    assert list(tables.features) == [
        "study", "replicate", "feature", "statistic", "favours", "p_cells", "q_cells", "p_units",
        "q_units", "test_units",
    ]  # fmt: skip
    assert list(tables.traces) == [*KEY, "evaluation", "objective", "name"]
    for name in ("scores", "samples", "topics", "loadings"):
        table = getattr(tables, name)
        keys = table[["method", "seed"]].drop_duplicates().values.tolist()
        assert keys == [["bcnmf", 0], ["bcnmf", 1], ["cpca_auto", 0], ["pca", 0]]
        assert set(table["study"]) == {"toy"}
        assert set(table["replicate"]) == {3}


def test_order_of_fits_does_not_matter(evaluated):
    target, background, fits, tables = evaluated
    again = evaluate(fits[::-1], target, background, STUDY, 3, bootstrap=100)
    for name in ("scores", "samples", "topics", "loadings", "features", "traces"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(tables, name))


def test_scores_equal_direct_computation(evaluated):
    target, _, fits, tables = evaluated
    truth = target.obs["group"].astype(str).to_numpy()
    usage = fits[2].usage
    spaces = {
        "usage": usage,
        "usage_share": usage_share(usage),
        "umap": umap_embedding(usage),
    }
    for space, values in spaces.items():
        clusters = kmeans_labels(values, 2)
        expected = adjusted_rand_score(truth, clusters)
        assert value_of(tables.scores, "bcnmf", f"ari_{space}") == pytest.approx(expected)
        column = rows_of(tables.samples, "bcnmf")[f"cluster_{space}"]
        np.testing.assert_array_equal(column.to_numpy(dtype=int), clusters)
        low = value_of(tables.scores, "bcnmf", f"ari_{space}_units_low")
        high = value_of(tables.scores, "bcnmf", f"ari_{space}_units_high")
        assert low <= expected <= high
        assert -1 <= value_of(tables.scores, "bcnmf", f"silhouette_{space}") <= 1
    assert value_of(tables.scores, "bcnmf", "ari_usage") == 1.0
    assert value_of(tables.scores, "bcnmf", "ari_usage_units") == 1.0


def test_numbers_of_samples_and_units(evaluated):
    scores = evaluated[3].scores
    units = scores["score"].str.contains("_units")
    assert set(scores.loc[units, "n"]) == {12}
    assert set(scores.loc[~units, "n"]) == {N}
    assert set(scores["label"]) == {"group"}
    assert not scores.duplicated([*KEY, "score"]).any()


def test_signed_usages_have_no_shares(evaluated):
    tables = evaluated[3]
    scores = set(rows_of(tables.scores, "pca")["score"])
    assert not any("share" in score for score in scores)
    assert {"ari_usage", "ari_umap", "ari_umap_units_low"} <= scores
    samples = rows_of(tables.samples, "pca")
    assert samples["cluster_usage_share"].isna().all()
    assert samples["usage_3"].isna().all()
    assert samples["usage_2"].notna().all()


def test_alpha_and_setting(evaluated):
    scores = evaluated[3].scores
    assert rows_of(scores, "pca")["alpha"].isna().all()
    assert set(rows_of(scores, "pca")["alpha_setting"]) == {""}
    assert set(rows_of(scores, "pca")["contrast"]) == {""}
    assert set(rows_of(scores, "cpca_auto")["alpha"]) == {2.5}
    assert set(rows_of(scores, "cpca_auto")["alpha_setting"]) == {"auto1"}
    assert set(rows_of(scores, "bcnmf")["alpha_setting"]) == {"1.5"}


def test_topics_equal_scipy(evaluated):
    target, _, fits, tables = evaluated
    treated = (target.obs["group"] == "treated").to_numpy()
    topics = rows_of(tables.topics, "bcnmf")
    assert topics["topic"].tolist() == [1, 2, 3]
    usage = fits[2].usage.astype(float)
    test = stats.ttest_ind(usage[~treated], usage[treated], equal_var=False)
    np.testing.assert_allclose(topics["statistic"], test.statistic, rtol=1e-6)
    np.testing.assert_allclose(topics["p_value"], test.pvalue, rtol=1e-6)
    adjusted = stats.false_discovery_control(test.pvalue)
    np.testing.assert_allclose(topics["p_adjusted"], adjusted, rtol=1e-6)
    np.testing.assert_allclose(topics["mean_usage"], usage.mean(axis=0))
    assert topics["favours"].iloc[0] == "treated"
    for topic in range(3):
        positive = treated if topics["favours"].iloc[topic] == "treated" else ~treated
        area = roc_auc_score(positive, usage[:, topic])
        assert topics["auroc"].iloc[topic] == pytest.approx(area)
    means = pd.DataFrame(usage).groupby(target.obs["mouse"].to_numpy()).mean().to_numpy()
    of_units = stats.permutation_test(
        (means[:6], means[6:]), lambda a, b, axis: np.abs(a.mean(axis) - b.mean(axis)),
        alternative="greater", vectorized=True,
    )  # fmt: skip
    np.testing.assert_allclose(topics["p_value_units"], of_units.pvalue, rtol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_features_equal_scipy(evaluated, sparse):
    target, background = pair(sparse)
    fits = [make_fit(target, background)]
    features = evaluate(fits, target, background, STUDY, 3, bootstrap=100).features
    values = target.X.toarray() if sparse else target.X
    treated = (target.obs["group"] == "treated").to_numpy()
    test = stats.ttest_ind(
        values[~treated].astype(float), values[treated].astype(float), equal_var=False
    )
    assert features["feature"].tolist() == target.var_names.tolist()
    np.testing.assert_allclose(features["statistic"], test.statistic, rtol=1e-6)
    np.testing.assert_allclose(features["p_cells"], test.pvalue, rtol=1e-6)
    assert (features["favours"].iloc[:4] == "treated").all()
    assert (features["q_cells"].iloc[:4] < 0.05).all()
    means = pd.DataFrame(values.astype(float)).groupby(target.obs["mouse"].to_numpy()).mean()
    of_units = stats.ttest_ind(means[:6], means[6:], equal_var=False)
    np.testing.assert_allclose(features["p_units"], of_units.pvalue, rtol=1e-5)
    assert set(features["test_units"]) == {"Welch's t of unit means, 6 + 6 units"}


def test_loadings_are_ranked_by_magnitude(evaluated):
    target, _, fits, tables = evaluated
    loadings = rows_of(tables.loadings, "bcnmf")
    assert len(loadings) == 3 * FEATURES
    for topic in (1, 2, 3):
        rows = loadings[loadings["topic"] == topic]
        assert rows["rank"].tolist() == list(range(1, FEATURES + 1))
        assert rows["loading"].abs().is_monotonic_decreasing
        by_name = rows.set_index("feature")["loading"].loc[target.var_names]
        np.testing.assert_allclose(by_name, fits[2].components[topic - 1])


def test_many_features_leave_the_strongest_loadings(monkeypatch):
    target, background = pair()
    monkeypatch.setattr(evaluation, "ALL_LOADINGS", FEATURES - 1)
    monkeypatch.setattr(evaluation, "TOP_LOADINGS", 4)
    fit = make_fit(target, background, k=2)
    fit.components[0] = 1.0  # equal magnitudes: the order of the features decides
    loadings = evaluate([fit], target, background, STUDY, 0, bootstrap=100).loadings
    assert len(loadings) == 8
    assert loadings["feature"].tolist()[:4] == ["gene0", "gene1", "gene2", "gene3"]
    kept = loadings.loc[loadings["topic"] == 2, "loading"].abs().min()
    assert (np.abs(fit.components[1]) >= kept).sum() == 4


def test_traces(evaluated):
    traces = evaluated[3].traces
    rows = rows_of(traces, "bcnmf")
    assert rows["evaluation"].tolist() == [0, 1, 2]
    assert rows["objective"].tolist() == [9.0, 4.0, 3.0]
    assert set(rows["name"]) == {"squared error"}
    assert rows_of(traces, "pca").empty
    assert traces["evaluation"].dtype.kind == "i"


def test_only_fits_without_a_trace_give_an_empty_table():
    target, background = pair()
    fits = [make_fit(target, background, method="pca", alpha=None, signed=True)]
    traces = evaluate(fits, target, background, STUDY, 0, bootstrap=100).traces
    assert list(traces) == [*KEY, "evaluation", "objective", "name"]
    assert traces.empty


def test_written_tables_read_back(evaluated, tmp_path):
    tables = evaluated[3]
    tables.write(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "features.tsv", "loadings.parquet", "samples.parquet", "scores.tsv", "topics.tsv",
        "traces.tsv",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(read_table(tmp_path / "new" / "samples.parquet"), tables.samples)
    scores = read_table(tmp_path / "new" / "scores.tsv")
    np.testing.assert_allclose(scores["value"], tables.scores["value"])
    assert (scores["contrast"] == "").sum() == len(rows_of(scores, "pca"))


def test_samples_without_usage_are_named():
    target, background = pair()
    fit = make_fit(target, background)
    fit.usage[5] = 0.0
    with pytest.warns(UserWarning, match="1 of 36 samples use no topic"):
        evaluate([fit], target, background, STUDY, 0, bootstrap=100)


def broken(change):
    target, background = pair()
    fit = make_fit(target, background)
    study = dict(STUDY)
    fits = change(target, background, fit, study) or [fit]
    return fits, target, background, study


def rename_sample(_target, _background, fit, _study):
    fit.sample_names[4] = "other"


def drop_sample(_target, _background, fit, _study):
    fit.sample_names = fit.sample_names[:-1]


def rename_feature(_target, _background, fit, _study):
    fit.feature_names[0] = "geneX"


def cut_background(_target, _background, fit, _study):
    fit.background_usage = fit.background_usage[:-1]


def lose_topic(_target, _background, fit, _study):
    fit.components = fit.components[:-1]


def spoil_usage(_target, _background, fit, _study):
    fit.usage[0, 0] = np.inf


def lose_seed(_target, _background, fit, _study):
    del fit.info["seed"]


def repeat(_target, _background, fit, _study):
    return [fit, fit]


def no_fits(_target, _background, _fit, _study):
    return ()


def name_label(_target, _background, _fit, study):
    study["label"] = "genotype"


def lose_label(target, _background, _fit, _study):
    target.obs.loc["sample3", "group"] = np.nan


def empty_label(target, _background, _fit, _study):
    target.obs["group"] = target.obs["group"].astype(str)
    target.obs.loc["sample3", "group"] = " "


def no_study(_target, _background, _fit, study):
    study["study"] = ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_sample, "target samples differ, first at 5: 'other', not 'sample4'"),
        (drop_sample, "35 target samples, the data have 36"),
        (rename_feature, "features differ, first at 1: 'geneX', not 'gene0'"),
        (cut_background, "20 names of background samples for an array of 19"),
        (lose_topic, "usage has 3 topics, components 2"),
        (spoil_usage, "method=bcnmf, k=3, alpha=1.5, seed=0: usage holds 1 NaN or infinite"),
        (lose_seed, "does not state its seed"),
        (repeat, "two fits have the same key: method=bcnmf"),
        (name_label, "label='genotype': .* found: group, mouse"),
        (lose_label, "label='group': 1 of 36 target samples have no value"),
        (empty_label, "label='group': 1 of 36 target samples have no value"),
        (no_study, "`study` is missing; found: study, label, unit"),
    ],
)
def test_faults_are_named(change, message):
    fits, target, background, study = broken(change)
    with pytest.raises(InputError, match=message):
        evaluate(fits, target, background, study, 0)


def test_no_fits():
    target, background = pair()
    with pytest.raises(InputError, match="no fits"):
        evaluate([], target, background, STUDY, 0)


@pytest.mark.shared
def test_published_mouse_score(shared_data):
    """The paper's ARI of the mouse study: one of 18 mice, 15 rows, in the wrong cluster."""
    table = pd.read_csv(shared_data / "mice_protein" / "Data_Cortex_Nuclear.csv")
    proteins = [name for name in table if name.endswith("_N")]
    values = table[proteins].fillna(table[proteins].mean()).to_numpy()
    obs = table[["Genotype"]].assign(mouse=table["MouseID"].str.split("_").str[0])
    obs.index = table["MouseID"]
    saline = table["Treatment"] == "Saline"
    in_target = saline & (table["Behavior"] == "S/C")
    in_background = saline & (table["Behavior"] == "C/S") & (table["Genotype"] == "Control")
    target, background = (
        ad.AnnData(values[rows], obs=obs[rows.to_numpy()], var=pd.DataFrame(index=proteins))
        for rows in (in_target, in_background)
    )
    model = make_estimator(
        "bcnmf", n_components=15, alpha=1.0, contrast="absolute", solver="mu", max_iter=100, tol=0
    )
    model.fit(target.X, background=background.X)
    fit = make_fit(target, background, k=15, alpha=1.0)
    fit.usage, fit.background_usage = model.usage_, model.background_usage_
    fit.components = model.components_
    study = {"study": "mouse", "label": "Genotype", "unit": "mouse"}
    scores = evaluate([fit], target, background, study, 0).scores
    assert value_of(scores, "bcnmf", "ari_umap") == pytest.approx(0.7894, abs=5e-5)
    units = scores.loc[scores["score"] == "ari_umap_units"].iloc[0]
    assert units["n"] == 18
    one_astray = adjusted_rand_score([0] * 9 + [1] * 9, [0] * 8 + [1] * 10)
    assert units["value"] == pytest.approx(one_astray)


def test_merged_scores_are_added_where_the_study_asks_for_them():
    target, background = pair()
    fits = [make_fit(target, background)]
    plain = evaluate(fits, target, background, STUDY, 0, bootstrap=10)
    asked = evaluate(fits, target, background, STUDY | {"extra_scores": "merged"}, 0, bootstrap=10)
    assert not plain.scores["score"].str.endswith("_merged").any()
    added = asked.scores[asked.scores["score"].str.endswith("_merged")].set_index("score")
    assert list(added.index) == [
        "ari_usage_merged", "ari_usage_share_merged", "ari_umap_merged",
    ]  # fmt: skip
    clusters = asked.samples["cluster_usage"].to_numpy(dtype=int)
    labels = asked.samples["label"].to_numpy()
    majority = pd.Series(labels).groupby(clusters).agg(lambda of: of.mode().iloc[0])
    expected = adjusted_rand_score(labels, majority[clusters])
    assert added.loc["ari_usage_merged", "value"] == pytest.approx(expected)
    rest = asked.scores[~asked.scores["score"].str.endswith("_merged")].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, plain.scores)


def test_the_best_topic_is_scored_for_each_class(evaluated):
    target, _, fits, tables = evaluated
    labels = target.obs["group"] == "treated"
    signed = next(fit for fit in fits if fit.info["method"] == "pca")
    areas = [roc_auc_score(labels, column) for column in signed.usage.T]
    assert value_of(tables.scores, "pca", "auroc_best") == pytest.approx(
        max(max(area, 1 - area) for area in areas)
    )
    plain = next(fit for fit in fits if fit.info["method"] == "cpca_auto")
    areas = [roc_auc_score(labels, column) for column in plain.usage.T]
    # For two classes each is the other's complement.
    expected = (max(areas) + max(1 - area for area in areas)) / 2
    assert value_of(tables.scores, "cpca_auto", "auroc_best") == pytest.approx(expected)


def test_topics_are_compared_with_simulated_programs_where_there_are_any(evaluated):
    target, background, _, tables = evaluated
    assert not tables.scores["score"].str.startswith("program_").any()
    simulated = target.copy()
    simulated.var["program_target_1"] = np.eye(FEATURES)[0]
    simulated.var["program_target_2"] = np.eye(FEATURES)[1]
    simulated.var["block"] = ["target_1", "target_2", "shared_1", *["none"] * (FEATURES - 3)]
    fit = make_fit(target, background)
    fit.components = np.zeros((3, FEATURES))
    fit.components[0, :2] = 3, 4
    fit.components[1, 1] = 1
    fit.components[2, 2] = 1
    scores = evaluate([fit], simulated, background, STUDY, 0, bootstrap=10).scores
    assert value_of(scores, "bcnmf", "program_cosine") == pytest.approx((0.6 + 1) / 2)
    assert value_of(scores, "bcnmf", "program_cosine_least") == pytest.approx(0.6)
    energy = np.square(fit.usage.astype(float)).sum(axis=0) * [25, 1, 1]
    assert value_of(scores, "bcnmf", "shared_leakage") == pytest.approx(energy[2] / energy.sum())
