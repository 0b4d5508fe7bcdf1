"""How stable topics are, in the figures that show topics."""

import numpy as np
import pandas as pd
import pytest

from bcnmf.agreement import UNSTABLE
from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.enrichment import plot_enrichment
from bcnmf_pipeline.figures.loadings import plot_loadings
from bcnmf_pipeline.figures.single_cell import plot_single_cell
from bcnmf_pipeline.figures.style import ALARM
from bcnmf_pipeline.figures.usages import plot_usages
from figure_checks import check_layout, texts
from plot_tables import mouse_scores, study_tables

NAN = float("nan")


@pytest.fixture(scope="module")
def tables():
    found = study_tables(runs=(("bcnmf", 4, 1.5),), seeds=1)
    topics = found["topics"]
    # The two that are most associated with the label: one stable, one not.
    order = topics.sort_values("p_value").index
    stability = np.full(len(topics), 0.98)
    stability[topics.index.get_loc(order[1])] = 0.12
    return found | {"topics": topics.assign(stability=stability)}


def numbers(tables):
    topics = tables["topics"].sort_values("p_value")
    return [int(topic) for topic in topics["topic"]]


def red(axes):
    return [text.get_text() for text in axes.get_xticklabels() if text.get_color() == ALARM]


def test_axes_of_usages_say_it(tables):
    figure = plot_usages(tables["samples"], tables["topics"])
    labels = [figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()]
    assert labels[0].endswith(", stability 0.98")
    assert labels[1].endswith(", unstable 0.12")
    check_layout(figure)


def test_topics_of_the_heatmap_are_marked(tables):
    figure = plot_loadings(tables["loadings"], tables["topics"], tables["features"], method="bcnmf")
    stable, unstable = numbers(tables)[:2]
    (below,) = [axes for axes in figure.axes if axes.get_xlabel().startswith("Topic")]
    assert below.get_xlabel() == "Topic, and its stability (red: unstable)"
    assert below.get_xticklabels()[0].get_text() == f"{stable}\n0.98"
    assert red(below) == [f"{unstable}\n0.12"]
    check_layout(figure)


def test_topics_of_gene_sets_are_marked():
    run = {"method": "bcnmf", "k": 3, "alpha": 1.5}
    ora = pd.DataFrame(
        {**run, "collection": "c", "term": f"HALLMARK_SET_{topic}", "topic": topic, "overlap": 5,
         "set_size": 20, "p_adjusted": 1e-5}
        for topic in (1, 2, 3)
    )  # fmt: skip
    topics = ora[["topic"]].assign(**run, replicate=0, seed=0, stability=[0.1, 0.9, 0.9])
    figure = plot_enrichment(ora, topics, method="bcnmf")
    assert figure.axes[0].get_xlabel() == "Topic, and its stability (red: unstable)"
    assert red(figure.axes[0]) == ["1\n0.10"]
    check_layout(figure)


def test_maps_count_unstable_topics(tables):
    figure = plot_embedding(tables["samples"], tables["topics"])
    assert "K = 4, α = 1.5, 1 of 4 topics unstable" in texts(figure)
    check_layout(figure)


def test_the_figure_of_a_single_cell_study_says_both(tables):
    annotations = tables["samples"][["sample"]].drop_duplicates()
    figure = plot_single_cell(
        tables["samples"], annotations, mouse_scores(), tables["topics"],
        tables["loadings"], tables["features"], method="bcnmf",
    )  # fmt: skip
    shown = texts(figure)
    assert "K = 4, α = 1.5, 1 of 4 topics unstable" in shown
    assert "Topic, and its stability (red: unstable)" in shown


@pytest.mark.parametrize("stability", [NAN, UNSTABLE, 1.0])
def test_nothing_is_red_where_nothing_is_unstable(stability, tables):
    topics = tables["topics"].assign(stability=stability)
    figure = plot_loadings(tables["loadings"], topics, tables["features"], method="bcnmf")
    (below,) = [axes for axes in figure.axes if axes.get_xlabel().startswith("Topic")]
    assert red(below) == []
    known = not np.isnan(stability)
    assert below.get_xlabel() == ("Topic, and its stability" if known else "Topic")
    assert "unstable" not in "".join(texts(plot_usages(tables["samples"], topics)))
