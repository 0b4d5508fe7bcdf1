"""Figures of a study without a label: coloured by the target score, and without any test."""

from __future__ import annotations

import numpy as np
import pytest

from bcnmf_pipeline.figures.embedding import SCORE_NAME, plot_embedding, relative_score
from bcnmf_pipeline.figures.loadings import plot_loadings
from bcnmf_pipeline.figures.tables import has_label
from bcnmf_pipeline.figures.usages import plot_usages
from figure_checks import NAN, check_layout, gids, texts
from plot_tables import study_tables


@pytest.fixture(scope="module")
def unlabelled():
    tables = study_tables(runs=(("pca", 3, NAN), ("bcnmf", 3, 1.0)), seeds=1, per_unit=5)
    samples, topics = tables["samples"], tables["topics"]
    score = samples["usage_1"].where(samples["method"] == "bcnmf")
    nothing = {"statistic": NAN, "p_value": NAN, "p_adjusted": NAN, "favours": ""}
    return tables | {
        "samples": samples.assign(label="", target_score=score),
        "topics": topics.assign(**nothing, mean_usage=topics["topic"].map({1: 1.0, 2: 3, 3: 2})),
        "features": tables["features"].assign(
            statistic=NAN, favours="", p_cells=NAN, q_cells=NAN, p_units=NAN, q_units=NAN
        ),
    }


def test_maps_are_coloured_by_the_target_score_and_grey_where_there_is_none(unlabelled):
    samples = unlabelled["samples"]
    figure = plot_embedding(samples)
    check_layout(figure)
    assert not figure.legends
    assert figure.axes[-1].get_xlabel() == SCORE_NAME
    pca, bcnmf = (axes.collections[0].get_facecolors()[:, :3] for axes in figure.axes[:2])
    assert len(np.unique(pca, axis=0)) == 1
    light = bcnmf @ [0.299, 0.587, 0.114]
    rows = samples[samples["method"] == "bcnmf"].set_index("umap_1")["target_score"]
    found = rows[np.asarray(figure.axes[1].collections[0].get_offsets())[:, 0]].to_numpy()
    assert np.all(np.diff(light[np.argsort(found)]) > -0.01)


def test_only_signed_methods_leave_maps_grey(unlabelled):
    figure = plot_embedding(unlabelled["samples"].query("method == 'pca'"))
    check_layout(figure)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["(no label)"]


def test_scores_are_relative_to_their_first_and_last_hundredth(unlabelled):
    scores = unlabelled["samples"]["target_score"].dropna()
    found = relative_score(scores)
    low, high = np.quantile(scores, [0.01, 0.99])
    expected = np.clip((scores - low) / (high - low), 0, 1)
    np.testing.assert_allclose(found, expected)
    assert relative_score(scores * 0 + 2).eq(0).all()


def test_usages_show_the_topics_that_are_used_most_without_a_p_value(unlabelled):
    figure = plot_usages(unlabelled["samples"], unlabelled["topics"], methods=["bcnmf"])
    check_layout(figure)
    axes = figure.axes[0]
    assert axes.get_xlabel().startswith("Topic 2 usage")
    assert axes.get_ylabel().startswith("Topic 3 usage")
    assert not any("p =" in text or "p not" in text for text in texts(figure))
    assert figure.axes[1].get_xlabel() == SCORE_NAME


def test_usages_of_one_topic_are_one_strip(unlabelled):
    samples = unlabelled["samples"].query("method == 'bcnmf'")
    topics = unlabelled["topics"].query("method == 'bcnmf' and topic == 1")
    axes = plot_usages(samples.drop(columns=["usage_2", "usage_3"]), topics).axes[0]
    assert len(axes.get_xticks()) == 1
    points = np.asarray(axes.collections[0].get_offsets())
    assert np.abs(points[:, 0]).max() <= 0.3
    assert len(points) == len(samples)


def test_loadings_stand_above_mean_usages_and_beside_no_test(unlabelled):
    names = ("loadings", "topics", "features")
    figure = plot_loadings(
        *(unlabelled[name] for name in names), method="bcnmf", samples=unlabelled["samples"]
    )
    check_layout(figure)
    bars = [bar for axes in figure.axes for bar in axes.patches if bar.get_width() == 0.62]
    assert [bar.get_height() for bar in bars] == [3, 2, 1]
    assert not figure.legends
    assert not any("adj. p" in text or "not tested" in text for text in texts(figure))
    assert not any(gids(axes, "features") for axes in figure.axes)


@pytest.mark.parametrize(("labels", "expected"), [(["", None], False), (["", "a"], True)])
def test_an_empty_text_is_no_label(unlabelled, labels, expected):
    column = unlabelled["samples"]["label"].head(2).astype(object)
    column[:] = labels
    assert has_label(column) is expected
