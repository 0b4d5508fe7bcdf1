"""Figures of scores: what is drawn equals the tables, of one study and over a series of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from bcnmf import InputError
from bcnmf_pipeline.figures.beta import beta_means, plot_beta
from bcnmf_pipeline.figures.drivers import plot_drivers, reference_text
from bcnmf_pipeline.figures.scores import plot_scores, with_settings
from bcnmf_pipeline.plan.drivers import DRIVERS, TOPICS_AT, VARIANTS
from figure_checks import NAN, check_layout, gids, texts
from plot_tables import (
    BETAS,
    REPORTED,
    beta_scores,
    driver_scores,
    mouse_scores,
    study_tables,
)


@pytest.fixture(scope="module")
def mouse():
    return study_tables(seeds=2)


@pytest.fixture(scope="module")
def beta():
    return beta_scores(replicates=4)


# --- beta --------------------------------------------------------------------


def test_beta_means_and_error_bars_by_hand(beta):
    figure = plot_beta(beta)
    rows = beta.query("method == 'bcnmf' and alpha == 1.5 and score == 'ari_usage'")
    by_set = rows.groupby(["study", "replicate"])["value"].mean()
    expected = [by_set[f"simulation_beta{b}"] for b in BETAS]
    mean = [sum(values) / 4 for values in expected]
    container = next(
        c for c in figure.axes[0].containers
        if isinstance(c, ErrorbarContainer) and c.lines[0].get_gid() == "mean bcnmf"
    )  # fmt: skip
    np.testing.assert_allclose(np.array(container.lines[0].get_ydata(), dtype=float), mean)
    segments = np.array(container.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, 0, 1], [min(values) for values in expected])
    np.testing.assert_allclose(segments[:, 1, 1], [max(values) for values in expected])
    # A standard deviation may leave the axis, a data set does not.
    assert segments[:, :, 1].max() <= figure.axes[0].get_ylim()[1]
    (reported,) = gids(figure.axes[0], "reported bcnmf")
    np.testing.assert_allclose(reported.get_ydata(), REPORTED["bcnmf"])
    assert reported.get_linestyle() != "-"
    assert not gids(figure.axes[0], "reported bcnmf_poisson")
    assert not gids(figure.axes[1], "reported bcnmf")


def test_beta_panels_ticks_and_labels(beta):
    figure = plot_beta(beta, labels={"bcnmf": "Ours"}, methods=["nmf", "bcnmf"])
    assert [axes.get_title() for axes in figure.axes] == [
        "ARI, usage",
        "ARI, usage share",
        "ARI, UMAP",
    ]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == [
        "0",
        "1",
        "2",
        "4",
        "8",
        "16",
    ]
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert {"NMF", "Ours", "reported", "this run (4 data sets)"} <= set(legend)
    assert "PCA" not in legend
    check_layout(figure)


def test_beta_layout_with_all_methods(beta):
    check_layout(plot_beta(beta))


def test_beta_one_replicate_one_score_nothing_reported():
    table = beta_scores(1, 1).query("score == 'ari_usage'").drop(columns="reported")
    figure = plot_beta(table)
    assert len(figure.axes) == 1
    assert "reported" not in texts(figure)
    assert "this run (one data set)" in texts(figure)
    check_layout(figure)


def test_beta_leaves_out_missing_methods_and_values(beta):
    table = beta[~((beta["method"] == "bcnmf") & (beta["study"] == "simulation_beta4"))].copy()
    table.loc[(table["method"] == "nmf") & (table["study"] == "simulation_beta1"), "value"] = NAN
    means = beta_means(table.assign(beta=table["study"].str[15:].astype(float)), ["bcnmf", "nmf"])
    assert set(means.query("method == 'bcnmf'")["beta"]) == {0, 1, 2, 8, 16}
    assert means.query("method == 'nmf' and beta == 1")["mean"].isna().all()
    plot_beta(table)


def test_beta_needs_a_beta(mouse):
    with pytest.raises(InputError, match=r"study.*mouse.*beta"):
        plot_beta(mouse_scores())
    figure = plot_beta(mouse_scores(), betas={"mouse": 3.5})
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["3.5"]


# --- drivers -----------------------------------------------------------------


VARIANTS_OF = {f"drivers_{variant or 'base'}": variant for variant in ("", *VARIANTS)}


def test_driver_points_and_error_bars_by_hand():
    table = driver_scores(replicates=3, seeds=2)
    figure = plot_drivers(table, VARIANTS_OF)
    axes = next(axes for axes in figure.axes if axes.get_title() == "Deeper target")
    rows = table.query("method == 'bcnmf' and k == 2 and alpha == 2 and score == 'ari_usage'")
    by_set = rows.groupby(["study", "replicate"])["value"].mean()
    levels = [by_set[f"drivers_{name}"] for name in ("base", "depth3", "depth10")]
    container = next(c for c in axes.containers if c.lines[0].get_gid() == "mean bcnmf")
    np.testing.assert_allclose(
        np.array(container.lines[0].get_ydata(), dtype=float), [v.mean() for v in levels]
    )
    segments = np.array(container.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, :, 1], [[v.min(), v.max()] for v in levels])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "3", "10"]


def test_every_driver_has_a_panel_and_methods_without_alpha_a_level():
    figure = plot_drivers(driver_scores(), VARIANTS_OF, labels={"bcnmf": "Ours"})
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [
        *[driver.title for driver in DRIVERS], *TOPICS_AT.values(), "Contrast, K = 2",
        "Contrast, K = 7",
    ]  # fmt: skip
    contrast = next(axes for axes in figure.axes if axes.get_title() == "Contrast, K = 2")
    assert gids(contrast, "level nmf")
    assert gids(contrast, "level cpca_auto")
    assert not gids(contrast, "level bcnmf")
    assert [t.get_text() for t in contrast.get_xticklabels()] == ["1", "2", "5"]
    assert "Ours" in texts(figure)
    check_layout(figure)


def test_drivers_that_were_not_run_are_left_out():
    table = driver_scores(replicates=1, seeds=1)
    few = table[table["study"].isin(["drivers_base", "drivers_lacks1"]) & (table["k"] == 2)]
    few = few[few["method"] != "bcnmf"]
    figure = plot_drivers(few, VARIANTS_OF)
    assert [axes.get_title() for axes in figure.axes] == ["Background lacks a program"]
    assert "one data set a point" in texts(figure)
    check_layout(figure)
    with pytest.raises(InputError, match="no row of the score ari_umap of a study of the drivers"):
        plot_drivers(table, VARIANTS_OF, score="ari_umap")


@pytest.mark.parametrize(
    ("studies", "ticks"),
    [
        (["drivers_base"], ["base"]),
        (["drivers_rare5"], ["rare5"]),
        (["drivers_cells250", "drivers_depth3"], ["cells250", "depth3"]),
    ],
)
def test_studies_that_share_no_driver_are_drawn_side_by_side(studies, ticks):
    table = driver_scores(replicates=1, seeds=1).query("method == 'nmf' and k == 2")
    few = table[table["study"].isin(studies)]
    figure = plot_drivers(few, VARIANTS_OF)
    check_layout(figure)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ticks
    line = gids(axes, "mean nmf")[0]
    np.testing.assert_allclose(np.array(line.get_ydata(), dtype=float), few["value"])


def test_reference_is_what_most_data_sets_were_fitted_with():
    assert reference_text(driver_scores(), ["bcnmf", "cpca_auto", "nmf"]) == (
        "Unless varied: bcNMF with K = 2, α = 2; cPCA (automatic alpha) with K = 2, the middle "
        "automatic α of each data set; NMF with K = 2; all replicates and seeds."
    )


# --- scores ------------------------------------------------------------------


def test_scores_bars_and_dots_by_hand(beta):
    one = beta.query("study == 'simulation_beta8'")
    figure = plot_scores(one, methods=["nmf", "bcnmf"])
    assert len(figure.axes) == 3
    axes = figure.axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["NMF", "bcNMF\nα = 1.5", "bcNMF\nα = 2"]
    values = one.query("method == 'bcnmf' and alpha == 2.0 and score == 'ari_usage'")["value"]
    assert len(values) == 8
    assert axes.patches[2].get_width() == pytest.approx(values.sum() / 8)
    dots = gids(axes, "runs")[2].get_offsets()
    assert sorted(dots[:, 0]) == pytest.approx(sorted(values))
    diamonds = [d.get_offsets()[0].tolist() for d in gids(axes, "reported")]
    assert diamonds == [[0.001, 0], [0.998, 1], [0.998, 2]]
    check_layout(figure)


def test_scores_of_the_target_score_are_shown_where_they_are_wanted():
    table = mouse_scores().query("score == 'ari_usage' and method in ('pca', 'bcnmf')")
    own = table[table["method"] == "bcnmf"].assign(score="ari_target_score", value=0.9)
    both = pd.concat([table, own])
    assert len(plot_scores(both).axes) == 1
    figure = plot_scores(both, target_score=True)
    check_layout(figure)
    axes = figure.axes[0]
    assert axes.get_title() == "k-means on target score"
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.9])


def test_scores_of_a_single_run_have_no_bars_of_error():
    one = beta_scores(1, 1).query("study == 'simulation_beta8'").drop(columns="reported")
    figure = plot_scores(one)
    assert not gids(figure.axes[0], "runs")
    assert not gids(figure.axes[0], "reported")
    assert not figure.legends
    check_layout(figure)


def test_scores_with_units_and_a_grid():
    table = mouse_scores()
    figure = plot_scores(table, unit="mouse")
    axes = figure.axes[2]
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert "cPCA (grid)\nα = 0.5" in labels
    assert "cPCA (automatic alpha)\nα = 4.8 (2 of 3)" in labels
    place = labels.index("bcNMF\nα = 1")
    mine = table.query("method == 'bcnmf'")
    units = {d.get_offsets()[0][1]: d.get_offsets()[0][0] for d in gids(axes, "units")}
    expected = mine.query("score == 'ari_umap_units'")["value"].mean()
    assert units[place + 0.4] == pytest.approx(expected)
    first = mine.query("seed == 0").set_index("score")["value"]
    interval = next(i for i in gids(axes, "interval") if i.get_ydata()[0] == place + 0.4)
    assert list(interval.get_xdata()) == [first["ari_umap_units_low"], first["ari_umap_units_high"]]
    assert any("each mouse resampled" in text for text in texts(figure))
    check_layout(figure)


def test_scores_not_defined_for_signed_usages():
    figure = plot_scores(mouse_scores(), methods=["pca"])
    assert len(figure.axes) == 2 or texts(figure.axes[1]).count("–") == 1


def test_automatic_alphas_share_a_row_over_replicates(beta):
    one = with_settings(beta.query("study == 'simulation_beta8'"))
    auto = one[one["method"] == "cpca_auto"]
    assert auto["alpha"].nunique() == 12
    assert sorted(auto["setting"].unique()) == ["2|auto1", "2|auto2", "2|auto3"]
    middle = auto[auto["setting"] == "2|auto2"]
    assert sorted(middle["alpha"].unique()) == pytest.approx([2.9, 3.045, 3.19, 3.335])
    assert middle["setting_text"].iloc[0] == "α = 2.9–3.3 (2 of 3)"


def test_several_k_are_told_apart():
    table = beta_scores(1, 1).query("study == 'simulation_beta8' and method == 'nmf'")
    both = pd.concat([table, table.assign(k=7)])
    assert list(with_settings(both)["setting_text"].unique()) == ["K = 2", "K = 7"]


def test_scores_refuse_two_studies(beta):
    with pytest.raises(InputError, match="found 6 studies"):
        plot_scores(beta)
