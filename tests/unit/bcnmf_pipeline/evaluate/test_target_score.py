"""The target score of stored fits, and what is scored of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from bcnmf import SharedTargetNMF
from bcnmf.scoring import background_topics, target_score_of
from bcnmf_pipeline.evaluate import target_score
from bcnmf_pipeline.evaluate.evaluation import evaluate
from bcnmf_pipeline.evaluate.metrics import kmeans_labels
from bcnmf_pipeline.evaluate.target_score import TargetScores
from bcnmf_pipeline.methods.estimators import make_estimator
from toy_pair import FEATURES, STUDY, make_fit, pair, positive, rows_of, value_of


def test_the_target_score_is_scored():
    target, background = pair()
    fits = [
        positive(make_fit(target, background)),
        make_fit(target, background, method="pca", signed=True),
    ]
    fits[0].components[0] = np.arange(FEATURES) < 4
    tables = evaluate(fits, target, background, STUDY, 0, bootstrap=10)
    beside = background_topics(background.X, device="cpu")
    expected, _ = target_score_of(target.X, fits[0].components, beside, device="cpu")
    rows = rows_of(tables.samples, "bcnmf")
    np.testing.assert_allclose(rows["target_score"], expected, rtol=1e-5)
    treated = target.obs["group"] == "treated"
    area = roc_auc_score(treated, expected)
    found = value_of(tables.scores, "bcnmf", "auroc_target_score")
    assert found == pytest.approx(max(area, 1 - area))
    ari = adjusted_rand_score(treated, kmeans_labels(np.asarray(expected)[:, None], 2))
    assert value_of(tables.scores, "bcnmf", "ari_target_score") == pytest.approx(ari)
    assert rows_of(tables.samples, "pca")["target_score"].isna().all()
    assert not rows_of(tables.scores, "pca")["score"].str.contains("target_score").any()


def test_topics_of_the_background_are_fitted_once_for_all_fits(monkeypatch):
    target, background = pair()
    asked = []
    monkeypatch.setattr(
        target_score, "background_topics",
        lambda Y, **how: asked.append(how["loss"]) or background_topics(Y, **how),
    )  # fmt: skip
    fits = [positive(make_fit(target, background, seed=seed)) for seed in range(3)]
    evaluate(fits, target, background, STUDY, 0, bootstrap=10)
    assert asked == ["squared_error"]


def test_a_fit_is_scored_on_the_values_and_by_the_loss_that_made_it():
    target, background = pair()
    for side in (target, background):
        side.layers["counts"] = side.X.copy()
        side.X = np.log1p(np.asarray(side.X.todense() if sp.issparse(side.X) else side.X))
    fit = positive(make_fit(target, background))
    fit.info["row"] = {"values": "counts", "loss": "poisson", "algorithm": "bcnmf"}
    found = TargetScores(target, background).of(fit)
    beside = background_topics(background.layers["counts"], loss="poisson", device="cpu")
    expected, _ = target_score_of(
        target.layers["counts"], fit.components, beside, loss="poisson", device="cpu"
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["shared", "combined"])
def test_stored_fits_with_shared_topics_are_scored_as_the_model_scores(algorithm):
    target, background = pair(sparse=False)
    how = {"n_shared": 2, "n_target": 2} if algorithm == "shared" else {"n_components": 2}
    if algorithm == "shared":
        how["loss"] = "squared_error"
    model = make_estimator(algorithm, **how, device="cpu", max_iter=50)
    model.fit(target.X, background=background.X)
    fit = model.to_fit()
    fit.info["row"] = {"algorithm": algorithm, "values": "default", "loss": "squared_error"}
    np.testing.assert_allclose(
        TargetScores(target, background).of(fit), model.target_score(target.X), rtol=1e-4, atol=1e-6
    )


def test_topics_and_samples_without_use_give_no_missing_scores():
    target, background = pair()
    idle, nothing = (positive(make_fit(target, background, method=name)) for name in ("a", "b"))
    idle.usage[:, 1] = 0
    idle.usage[3] = 0
    idle.components[1] = 0
    nothing.usage[:] = 0
    nothing.components[:] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables = evaluate([idle, nothing], target, background, STUDY, 0, bootstrap=10)
    assert tables.topics["auroc"].iloc[1] == 0.5
    assert (tables.topics["auroc"].iloc[3:] == 0.5).all()
    assert value_of(tables.scores, "b", "auroc_target_score") == 0.5
    assert value_of(tables.scores, "b", "ari_target_score") == 0.0
    assert tables.scores["value"].notna().all()
    assert tables.samples[["umap_1", "umap_2", "target_score"]].notna().all(axis=None)


def test_fits_with_offsets_are_scored_beside_topics_of_either_side():
    target, background = pair()
    counts = [
        np.round(10 * sp.csr_matrix(side.X).toarray().astype(float))
        for side in (target, background)
    ]
    model = SharedTargetNMF(2, 1, second_round="always", offsets="side", max_iter=20, device="cpu")
    model.fit(counts[0], background=counts[1])
    fit = model.to_fit()
    fit.info["row"] = {"values": "counts", "loss": "poisson"}
    assert not (fit.offsets == 1).all()
    for side, values in zip((target, background), counts, strict=True):
        side.layers["counts"] = values
    found = TargetScores(target, background).of(fit)
    np.testing.assert_allclose(found, model.target_score(counts[0]), rtol=1e-4, atol=1e-5)
