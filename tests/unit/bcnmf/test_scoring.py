"""Scores of target topics beside topics of the background, from stored topics."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.metrics import roc_auc_score

from bcnmf import NMF, InputError, scoring
from bcnmf.scoring import background_topics, target_score_of
from programs import new_program

# What only the target has, and nothing of what both have.
OWN = np.r_[np.zeros(18), np.ones(6)][None]
CPU = {"device": "cpu"}


def test_what_background_topics_explain_is_not_scored():
    x, y, holds = new_program()
    topics = background_topics(y, 3, **CPU)
    np.testing.assert_allclose(np.linalg.norm(topics, axis=1), 1, rtol=1e-5)
    # A topic that takes the shared genes with it, as contrastive topics do.
    mixed = OWN + 3
    score, usage = target_score_of(x, mixed, topics, **CPU)
    alone = NMF(1, **CPU)
    alone.components_, alone.n_features_in_ = mixed, 24
    assert roc_auc_score(holds, score) == 1
    assert roc_auc_score(holds, alone.transform(x)[:, 0]) < 0.9
    assert usage.shape == (90, 1)
    np.testing.assert_allclose(score, np.sqrt(usage.sum(1)), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_norms_of_topics_do_not_matter(loss):
    x, y, _ = new_program(poisson=True)
    topics = background_topics(y, 3, loss=loss, **CPU)
    once = target_score_of(x, OWN, topics, loss=loss, **CPU)
    again = target_score_of(x, 50 * OWN, topics / 7, loss=loss, **CPU)
    for first, second in zip(once, again, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_poisson_scores_are_shares_whatever_the_depth():
    x, y, holds = new_program(poisson=True)
    topics = background_topics(y, 3, loss="poisson", **CPU)
    score, usage = target_score_of(x, OWN, topics, loss="poisson", **CPU)
    deeper, _ = target_score_of(20 * x, OWN, topics, loss="poisson", **CPU)
    assert roc_auc_score(holds, score) == 1
    assert usage.min() >= 0
    assert usage.max() <= 1
    np.testing.assert_allclose(score, deeper, atol=1e-3)


def test_a_topic_that_the_background_has_too_scores_next_to_nothing():
    _, y, _ = new_program()
    topics = background_topics(y, 3, **CPU)
    _, usage = target_score_of(y, topics[:1], topics, **CPU)
    _, alone = target_score_of(y, topics[:1], topics[1:], **CPU)
    assert usage.sum() < 0.05 * alone.sum()


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (sp.csr_matrix, {}),
        (sp.csc_array, {}),
        (pd.DataFrame, {}),
        (ad.AnnData, {}),
        (np.asarray, {"batch_size": 16}),
        (sp.csr_matrix, {"batch_size": 16}),
    ],
)
def test_every_kind_of_data_scores_alike(make, more, loss):
    x, y, _ = new_program(poisson=True)
    topics = background_topics(y, 3, loss=loss, dtype="float64", **CPU)
    found = background_topics(make(y), 3, loss=loss, dtype="float64", **CPU, **more)
    np.testing.assert_allclose(found, topics, atol=1e-4)
    options = {"loss": loss, "dtype": "float64", **CPU}
    expected, _ = target_score_of(x, OWN, topics, **options)
    score, _ = target_score_of(make(x), OWN, topics, **options, **more)
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_sparse_data_are_not_made_dense(monkeypatch):
    x, y, _ = new_program(poisson=True)

    def refuse(*_, **__):
        raise AssertionError("made dense")

    for kind in (sp.csr_matrix, sp.csr_array):
        monkeypatch.setattr(kind, "toarray", refuse)
    topics = background_topics(sp.csr_matrix(y), 3, **CPU)
    target_score_of(sp.csr_matrix(x), OWN, topics, **CPU)


def test_small_backgrounds_have_fewer_topics():
    _, y, _ = new_program()
    assert background_topics(y[:8], **CPU).shape == (4, 24)
    assert background_topics(y[:1], **CPU).shape == (1, 24)
    assert background_topics(y[:, :5], **CPU).shape == (2, 5)
    assert background_topics(y, **CPU).shape == (10, 24)


def test_the_seed_decides_and_its_name_keeps_it_apart_from_that_of_a_fit():
    _, y, _ = new_program()
    once = background_topics(y, random_state=3, **CPU)
    np.testing.assert_array_equal(once, background_topics(y, random_state=3, **CPU))
    assert not np.array_equal(once, background_topics(y, random_state=4, **CPU))
    assert not np.array_equal(once, NMF(10, random_state=3, **CPU).fit(y).components_)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_of_a_large_background_a_random_part_is_taken(monkeypatch, tmp_path, kind):
    x, y, holds = new_program(m=4096)
    monkeypatch.setattr(scoring, "_MOST_VALUES", 24 * 500)
    monkeypatch.setattr(scoring, "_FEWEST_SAMPLES", 10)
    seen = []
    fit = scoring.safeguarded.fit_squared_error

    def watched(data, *more):
        seen.append(data.shape)
        return fit(data, *more)

    monkeypatch.setattr(scoring.safeguarded, "fit_squared_error", watched)
    data, rows = sp.csr_matrix(y), 500
    if kind == "file":
        ad.AnnData(data).write_h5ad(tmp_path / "y.h5ad")
        data, rows = ad.read_h5ad(tmp_path / "y.h5ad", backed="r"), 8 * 64
    topics = background_topics(data, 3, batch_size=1000 if kind == "file" else None, **CPU)
    assert seen == [(rows, 24)]
    score, _ = target_score_of(x, OWN, topics, **CPU)
    assert roc_auc_score(holds, score) == 1


def test_what_does_not_fit_is_refused():
    x, y, _ = new_program()
    topics = background_topics(y, 3, **CPU)
    with pytest.raises(InputError, match=r"background_components: has shape \(3, 20\); expected"):
        target_score_of(x, OWN, topics[:, :20])
    with pytest.raises(InputError, match=r"components: has shape \(24,\); expected \(topics, 24\)"):
        target_score_of(x, OWN[0], topics)
    with pytest.raises(InputError, match="n_background=0 is not allowed"):
        background_topics(y, 0)
    with pytest.raises(InputError, match="loss='other' is not known"):
        target_score_of(x, OWN, topics, loss="other")
