"""Panels of one study: what is drawn equals the tables, on usual and on awkward ones."""

from __future__ import annotations

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.figures import style
from bcnmf_pipeline.figures.basis import component_images, plot_basis
from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.loadings import loading_grid, plot_loadings
from bcnmf_pipeline.figures.objective import plot_objective
from bcnmf_pipeline.figures.usages import plot_usages
from figure_checks import NAN, check_layout, gids, texts
from plot_tables import (
    digit_tables,
    study_tables,
)


@pytest.fixture(scope="module")
def mouse():
    return study_tables(seeds=2)


# --- embedding ---------------------------------------------------------------


def test_embedding_draws_every_sample_of_one_run(mouse):
    samples = mouse["samples"]
    figure = plot_embedding(samples, methods=["nmf", "bcnmf"], label_name="Genotype")
    assert [axes.get_title() for axes in figure.axes] == ["NMF", "bcNMF"]
    for axes, method in zip(figure.axes, ("nmf", "bcnmf"), strict=True):
        rows = samples[(samples["method"] == method) & (samples["seed"] == 0)]
        points = np.asarray(axes.collections[0].get_offsets())
        assert sorted(points[:, 0]) == pytest.approx(sorted(rows["umap_1"]))
        assert len(points) == 270
    legend = figure.legends[0]
    assert [t.get_text() for t in legend.get_texts()] == ["Control", "Ts65Dn"]
    assert legend.get_title().get_text() == "Genotype"
    check_layout(figure)


def test_embedding_colours_are_those_of_the_labels(mouse):
    rows = mouse["samples"].query("method == 'bcnmf' and seed == 0")
    axes = plot_embedding(rows).axes[0]
    marks = style.class_marks(["Control", "Ts65Dn"])
    expected = {(x, y): marks[name].colour for x, y, name in
                zip(rows["umap_1"], rows["umap_2"], rows["label"], strict=True)}  # fmt: skip
    points = axes.collections[0]
    for place, colour in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        assert matplotlib.colors.same_color(colour[:3], expected[tuple(map(float, place))])


def test_embedding_of_one_class_and_missing_values(mouse):
    rows = mouse["samples"].query("method == 'bcnmf' and seed == 0").copy()
    rows["label"] = "only"
    rows.iloc[:10, rows.columns.get_loc("label")] = None
    rows.iloc[5:20, rows.columns.get_loc("umap_2")] = NAN
    figure = plot_embedding(rows)
    assert len(figure.axes[0].collections[0].get_offsets()) == 255
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["only", "(no label)"]
    check_layout(figure)


def test_embedding_with_many_classes_and_methods():
    tables = study_tables(
        classes=tuple(f"Cell type {i}" for i in range(20)), units_per_class=1, per_unit=8,
        runs=tuple((m, 3, NAN) for m in ("pca", "nmf", "bcnmf", "own", "cpca")),
    )  # fmt: skip
    figure = plot_embedding(tables["samples"], label_name="Cell type")
    assert len(figure.axes) == 5
    entries = [t.get_text() for t in figure.legends[0].get_texts()]
    assert len(entries) == 12
    assert entries[-1] == "9 other classes"
    check_layout(figure)


def test_embedding_with_many_numbers_has_a_colour_bar():
    tables = study_tables(
        classes=tuple(str(i) for i in range(30)), units_per_class=1, per_unit=5,
        runs=(("bcnmf", 3, 1.0),),
    )  # fmt: skip
    figure = plot_embedding(tables["samples"], label_name="Age")
    assert not figure.legends
    assert len(figure.axes) == 2
    assert figure.axes[1].get_xlabel() == "Age"
    check_layout(figure)


# --- usages ------------------------------------------------------------------


def test_usages_show_the_two_smallest_p(mouse):
    topics = mouse["topics"].copy()
    mine = (topics["method"] == "bcnmf") & (topics["seed"] == 0)
    topics.loc[mine, "p_value"] = np.linspace(1, 0.1, 15)
    topics.loc[mine & (topics["topic"] == 7), "p_value"] = 3e-9
    topics.loc[mine & (topics["topic"] == 3), "p_value"] = 2e-4
    figure = plot_usages(mouse["samples"], topics, methods=["bcnmf"], scale="linear")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "Topic 7 usage\np = 3×10⁻⁹"
    assert axes.get_ylabel() == "Topic 3 usage\np = 2×10⁻⁴"
    rows = mouse["samples"].query("method == 'bcnmf' and seed == 0")
    points = np.asarray(axes.collections[0].get_offsets())
    assert sorted(points[:, 0]) == pytest.approx(sorted(rows["usage_7"]))
    assert sorted(points[:, 1]) == pytest.approx(sorted(rows["usage_3"]))
    check_layout(figure)


def test_usages_layout_of_four_methods(mouse):
    figure = plot_usages(mouse["samples"], mouse["topics"], label_name="Genotype")
    assert len(figure.axes) == 4
    assert "Component" in figure.axes[0].get_xlabel()
    check_layout(figure)


def test_root_scale_is_stated_and_only_for_non_negative(mouse):
    figure = plot_usages(mouse["samples"], mouse["topics"], methods=["pca", "bcnmf"], scale="sqrt")
    pca, bcnmf = figure.axes
    assert "√ scale" in bcnmf.get_xlabel()
    assert "√ scale" in bcnmf.get_ylabel()
    assert "√" not in pca.get_xlabel()
    assert pca.get_xscale() == "linear"
    low, middle, high = bcnmf.transData.transform([(0, 1), (1, 1), (4, 1)])[:, 0]
    assert (high - low) == pytest.approx(2 * (middle - low))


def test_usages_of_extreme_scale_state_the_power_of_ten():
    tables = study_tables(runs=(("bcnmf", 3, 1.0),), scale=3e9)
    axes = plot_usages(tables["samples"], tables["topics"], scale="linear").axes[0]
    assert re.search(r"\(×10(⁹|¹⁰)\)", axes.get_xlabel())
    power = 10 if "¹⁰" in axes.get_xlabel() else 9
    top = tables["samples"].query("seed == 0")["usage_1"].max()
    assert axes.collections[0].get_offsets()[:, 0].max() == pytest.approx(top / 10.0**power)


def test_one_topic_becomes_a_strip():
    tables = study_tables(runs=(("bcnmf", 1, 1.0),))
    figure = plot_usages(tables["samples"], tables["topics"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Control", "Ts65Dn"]
    points = np.asarray(axes.collections[0].get_offsets())
    rows = tables["samples"].query("seed == 0")
    for place, name in enumerate(("Control", "Ts65Dn")):
        here = points[np.round(points[:, 0]) == place, 1]
        assert sorted(here) == pytest.approx(sorted(rows.loc[rows["label"] == name, "usage_1"]))
    check_layout(figure)


def test_usages_refuse_an_unknown_scale(mouse):
    with pytest.raises(InputError, match=r"'log'.*auto, linear, sqrt"):
        plot_usages(mouse["samples"], mouse["topics"], scale="log")


# --- loadings ----------------------------------------------------------------


def test_loading_grid_by_hand():
    table = pd.DataFrame(
        {
            "topic": [1, 1, 1, 2, 2, 2],
            "feature": ["a", "b", "c", "a", "b", "d"],
            "loading": [4.0, 2.0, 1.0, 1.0, 5.0, 10.0],
            "rank": [1, 2, 3, 3, 2, 1],
        }
    )
    grid = loading_grid(table, [2, 1], 2)
    assert list(grid.index) == ["d", "b", "a"]
    assert list(grid.columns) == [2, 1]
    np.testing.assert_allclose(grid[2], [1.0, 0.5, 0.1])
    np.testing.assert_allclose(grid[1], [NAN, 0.5, 1.0])


def test_heatmap_bars_equal_the_tables(mouse):
    figure = plot_loadings(
        mouse["loadings"], mouse["topics"], mouse["features"], method="bcnmf", n_topics=4
    )
    heat, below, beside = figure.axes[:3]
    topics = mouse["topics"].query("method == 'bcnmf' and seed == 0").nsmallest(4, "p_value")
    image = heat.images[0].get_array()
    assert image.shape[1] == 4
    assert image.max() == 1.0
    np.testing.assert_allclose(
        [bar.get_height() for bar in below.patches], -np.log10(topics["p_adjusted"])
    )
    assert [t.get_text() for t in below.get_xticklabels()] == [str(t) for t in topics["topic"]]
    names = [t.get_text() for t in heat.get_yticklabels()]
    own = mouse["features"].set_index("feature").loc[names]
    np.testing.assert_allclose(
        [bar.get_width() for bar in beside.patches], -np.log10(own["q_units"]), atol=1e-12
    )
    marks = style.class_marks(["Control", "Ts65Dn"])
    for bar, name in zip(beside.patches, own["favours"], strict=True):
        assert matplotlib.colors.same_color(bar.get_facecolor(), marks[name].colour)
    check_layout(figure)


def test_heatmap_of_signed_components_is_centred(mouse):
    figure = plot_loadings(mouse["loadings"], mouse["topics"], mouse["features"], method="pca")
    assert figure.axes[0].images[0].get_clim() == (-1, 1)
    assert figure.axes[1].get_xlabel() == "Component"
    check_layout(figure)


def test_heatmap_with_missing_loadings_and_untested_features():
    tables = study_tables(runs=(("bcnmf", 3, 1.0),), stored=11)
    features = tables["features"].iloc[5:]
    figure = plot_loadings(tables["loadings"], tables["topics"], features, method="bcnmf")
    image = figure.axes[0].images[0].get_array()
    stored = tables["loadings"].query("seed == 0")
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert (~image.mask).sum() == stored["feature"].isin(names).sum()
    untested = set(names) & set(tables["features"]["feature"].iloc[:5])
    assert texts(figure).count(" not tested") == len(untested) > 0


def test_heatmap_of_one_topic_and_one_class():
    tables = study_tables(runs=(("bcnmf", 1, 1.0),), classes=("only",))
    for name, columns in (
        ("topics", ("p_value", "p_adjusted")),
        ("features", ("p_cells", "q_cells", "p_units", "q_units")),
    ):
        tables[name] = tables[name].assign(**dict.fromkeys(columns, NAN), favours=None)
    figure = plot_loadings(tables["loadings"], tables["topics"], tables["features"], method="bcnmf")
    assert figure.axes[0].images[0].get_array().shape == (10, 1)
    assert not figure.legends
    check_layout(figure)


def test_class_colours_can_be_fixed_from_outside(mouse):
    features = mouse["features"].assign(favours="Ts65Dn")
    topics = mouse["topics"].assign(favours="Ts65Dn")
    figure = plot_loadings(
        mouse["loadings"], topics, features, method="bcnmf", samples=mouse["samples"]
    )
    colour = style.class_marks(["Control", "Ts65Dn"])["Ts65Dn"].colour
    assert matplotlib.colors.same_color(figure.axes[2].patches[0].get_facecolor(), colour)


# --- basis -------------------------------------------------------------------


def test_basis_images_are_row_major():
    loadings = pd.DataFrame(
        {
            "topic": [1] * 6,
            "feature": [f"pixel_{i}" for i in (5, 0, 3, 1, 4, 2)],
            "loading": [5.0, 0.0, 3.0, 1.0, 4.0, 2.0],
        }
    )
    images = component_images(loadings, (2, 3))
    np.testing.assert_array_equal(images[1], [[0, 1, 2], [3, 4, 5]])
    swapped = component_images(loadings, (2, 3), [f"pixel_{i}" for i in (1, 0, 2, 3, 4, 5)])
    np.testing.assert_array_equal(swapped[1][0], [1, 0, 2])


def test_basis_sorts_more_than_ten_pixels_by_number():
    names = [f"p{i}" for i in range(12)]
    loadings = pd.DataFrame({"topic": 1, "feature": sorted(names), "loading": 0.0})
    loadings["loading"] = loadings["feature"].str[1:].astype(float)
    np.testing.assert_array_equal(component_images(loadings, (3, 4))[1].ravel(), np.arange(12))


def test_basis_has_a_row_per_method():
    tables = digit_tables()
    figure = plot_basis(tables["loadings"], (8, 8), methods=["nmf", "bcnmf", "pca"])
    assert len(figure.axes) == 6
    assert figure.axes[0].get_ylabel() == "NMF\nK = 2"
    assert figure.axes[2].get_ylabel() == "bcNMF\nK = 2\nα = 1.5"
    one = tables["loadings"].query("method == 'bcnmf' and seed == 0 and topic == 1")
    expected = one["loading"].to_numpy().reshape(8, 8)
    drawn = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(drawn, expected / expected.max())
    assert figure.axes[4].images[0].get_clim() == (-1, 1)
    assert figure.axes[0].images[0].get_clim() == (0, 1)
    check_layout(figure)


def test_basis_of_many_components_breaks_lines():
    tables = study_tables(
        runs=(("bcnmf", 12, 1e5),), features=tuple(f"p{i}" for i in range(16)), seeds=1
    )
    figure = plot_basis(tables["loadings"], (4, 4))
    assert len(figure.axes) == 20
    assert sum(bool(axes.images) for axes in figure.axes) == 12
    assert figure.get_figwidth() <= style.DOUBLE_COLUMN + 1e-9
    check_layout(figure)


@pytest.mark.parametrize(
    ("feature", "message"), [("no number", "has no number"), ("p99", "needs 16")]
)
def test_basis_refuses_other_pixels(feature, message):
    tables = study_tables(
        runs=(("bcnmf", 2, 1.0),), features=tuple(f"p{i}" for i in range(16)), seeds=1
    )
    loadings = tables["loadings"].copy()
    loadings.loc[(loadings["feature"] == "p3") & (loadings["topic"] == 1), "feature"] = feature
    with pytest.raises(InputError, match=message):
        plot_basis(loadings, (4, 4))


# --- objective ---------------------------------------------------------------


def test_objective_has_a_panel_per_setting_and_a_line_per_run(mouse):
    traces = pd.concat([mouse["traces"], mouse["traces"].assign(alpha=2.0).query("k == 15")])
    traces = traces.query("method == 'nmf' and alpha != alpha or method == 'bcnmf'")
    figure = plot_objective(traces)
    assert [axes.get_title() for axes in figure.axes] == ["NMF", "bcNMF, α = 1", "bcNMF, α = 2"]
    assert len(gids(figure.axes[1], "run")) == 2
    one = mouse["traces"].query("method == 'bcnmf' and seed == 1")
    power = 10.0**4
    lines = gids(figure.axes[1], "run")
    np.testing.assert_allclose(lines[1].get_ydata(), one["objective"] / power)
    np.testing.assert_array_equal(lines[1].get_xdata(), one["evaluation"] + 1)
    assert "(×10⁴)" in figure.axes[1].get_ylabel()
    check_layout(figure)


def test_objective_shows_where_a_high_start_lies(mouse):
    axes = plot_objective(mouse["traces"].query("method == 'bcnmf'")).axes[0]
    low, high = axes.get_ylim()
    settled = mouse["traces"].query("method == 'bcnmf' and evaluation >= 10")["objective"] / 1e4
    assert low < settled.min()
    assert high > settled.max()
    assert high < mouse["traces"]["objective"].max() / 1e4
    assert any(text.startswith("highest 9.") for text in texts(axes))


def test_objective_of_two_values_and_not_finite(mouse):
    short = mouse["traces"].query("method == 'bcnmf' and evaluation < 2")
    check_layout(plot_objective(short))
    check_layout(plot_objective(short.query("evaluation == 0")))
    broken = plot_objective(short.assign(objective=NAN))
    assert "not finite" in texts(broken)
