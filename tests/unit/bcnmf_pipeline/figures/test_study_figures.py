"""Figures of a whole study: what is drawn equals the tables, on usual and on awkward ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bcnmf import InputError
from bcnmf_pipeline.figures.digits import component_columns, plot_digits, split_means
from bcnmf_pipeline.figures.mouse import plot_mouse, unit_means
from bcnmf_pipeline.figures.single_cell import plot_single_cell
from figure_checks import NAN, check_layout, gids, texts
from plot_tables import (
    digit_tables,
    mouse_scores,
    study_tables,
)


@pytest.fixture(scope="module")
def mouse():
    return study_tables(seeds=2)


# --- digits ------------------------------------------------------------------


def digits_study(splits=3):
    """The tables of the digits figure: images of 8 x 8, scores of several splits."""
    tables = digit_tables()
    rng = np.random.default_rng(0)
    images = [
        {"side": side, "place": place, "label": label, "sample": f"{side}{place}",
         "feature": f"pixel_{i}", "value": float(rng.integers(0, 256))}
        for side, labels in (("target", "000111"), ("background", [""] * 5))
        for place, label in enumerate(labels)
        for i in range(64)
    ]  # fmt: skip
    scores = [
        {"study": "digits_two", "method": method, "k": 2, "alpha": alpha, "replicate": split,
         "seed": seed, "score": "ari_usage", "value": level + 0.01 * split + 0.02 * seed,
         "reported": 0.8 if method == "bcnmf" else NAN}
        for method, alpha, level in (("pca", NAN, 0.1), ("nmf", NAN, 0.2), ("bcnmf", 1.5, 0.7))
        for split in range(splits)
        for seed in range(2)
    ]  # fmt: skip
    return tables | {"examples": pd.DataFrame(images), "scores": pd.DataFrame(scores)}


def draw_digits(tables, **changes):
    names = ("examples", "samples", "topics", "loadings", "scores")
    arguments = {"methods": ["nmf", "bcnmf"]} | changes
    return plot_digits(*[tables[name] for name in names], (8, 8), **arguments)


def test_digits_figure():
    tables = digits_study()
    figure = draw_digits(tables)
    check_layout(figure)
    found = texts(figure)
    for letter in "abcdef":
        assert letter in found
    assert found.count("Targets") == found.count("Backgrounds") == 1
    # Pictures: 6 targets, 5 backgrounds, 2 components and a block of usages of each of 2 methods.
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 6 + 5 + 2 * 2 + 2
    pixels = tables["examples"].query("side == 'background' and place == 4")["value"]
    np.testing.assert_array_equal(pictures[10].images[0].get_array().ravel(), pixels)


def test_digits_bars_are_over_splits_not_seeds():
    tables = digits_study()
    means = split_means(tables["scores"])
    values = means.query("method == 'bcnmf'")["value"]
    np.testing.assert_allclose(values, [0.71, 0.72, 0.73])
    figure = draw_digits(tables)
    (axes,) = (axes for axes in figure.axes if gids(axes, "mean"))
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.12, 0.22, 0.72])
    np.testing.assert_allclose(gids(axes, "splits")[2].get_offsets()[:, 0], [0.71, 0.72, 0.73])
    assert len(gids(axes, "reported")) == 1
    # One split: its bar says it all.
    alone = draw_digits(digits_study(splits=1))
    assert not any(gids(axes, "splits") for axes in alone.axes)


def test_digits_figure_of_more_classes_leaves_out_the_plane_of_two_topics():
    tables = digits_study()
    samples = tables["samples"]
    tables["samples"] = samples.assign(label=np.arange(len(samples)) % 3)
    figure = draw_digits(tables)
    check_layout(figure)
    assert not any("usage\n" in text for text in texts(figure))


def test_digits_figure_shows_merged_scores_where_there_are_any():
    tables = digits_study()
    merged = tables["scores"].assign(score="ari_usage_merged", reported=NAN)
    figure = draw_digits(tables | {"scores": pd.concat([tables["scores"], merged])})
    check_layout(figure)
    assert "on usage, clusters\nmerged by majority label" in texts(figure)


def test_components_of_the_digits_figure_stand_in_a_line_or_a_square():
    assert [component_columns(k) for k in (1, 2, 4, 5, 16, 17)] == [1, 2, 4, 3, 4, 5]


# --- mouse -------------------------------------------------------------------


def test_mouse_figure(mouse):
    names = ("samples", "topics", "loadings", "features")
    figure = plot_mouse(*(mouse[name] for name in names))
    axes = figure.axes
    assert len(axes) == 8
    letters = [text for text in texts(figure) if text in list("abcdef")]
    assert sorted(letters) == list("abcdef")
    assert axes[0].get_title().startswith("NMF")
    assert axes[1].get_title().startswith("bcNMF")
    assert len(axes[2].collections[0].get_offsets()) == 270
    assert len(gids(axes[3], "unit")) >= 18
    top = mouse["topics"].query("method == 'bcnmf' and seed == 0").nsmallest(2, "p_value")
    first = int(top["topic"].iloc[0])
    best = mouse["loadings"].query("method == 'bcnmf' and seed == 0 and rank <= 10")
    best = best[best["topic"] == first].sort_values("rank")
    assert [t.get_text() for t in axes[4].get_yticklabels()] == list(best["feature"])
    np.testing.assert_allclose([bar.get_width() for bar in axes[4].patches], best["loading"])
    own = mouse["features"].set_index("feature").loc[best["feature"], "q_units"]
    drawn = {
        round(float(y)): float(x)
        for line in gids(axes[5], "protein")
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    np.testing.assert_allclose([drawn[i] for i in range(10)], -np.log10(own), atol=1e-12)
    check_layout(figure)


def test_unit_means_by_hand():
    rows = pd.DataFrame(
        {"label": list("AAB"), "unit": ["m1", "m1", "m2"], "usage_2": [1.0, 4.0, 7.0]}
    )
    means = unit_means(rows, [2])
    assert list(means["unit"]) == ["m1", "m2"]
    np.testing.assert_allclose(means["mean_2"], [2.5, 7.0])
    np.testing.assert_allclose(means["sd_2"], [np.sqrt(4.5), NAN])


def test_mouse_with_one_topic():
    tables = study_tables(runs=(("nmf", 1, NAN), ("bcnmf", 1, 1.0)))
    names = ("samples", "topics", "loadings", "features")
    figure = plot_mouse(*(tables[name] for name in names))
    assert len(figure.axes) == 6
    assert [t.get_text() for t in figure.axes[3].get_xticklabels()] == ["Control", "Ts65Dn"]
    check_layout(figure)


def test_mouse_needs_its_methods(mouse):
    names = ("samples", "topics", "loadings", "features")
    with pytest.raises(InputError, match="wanted one of absent"):
        plot_mouse(*(mouse[name] for name in names), methods=["absent"])


# --- single-cell studies -----------------------------------------------------


def single_cell(tables, annotations, **options):
    return plot_single_cell(
        tables["samples"], annotations, mouse_scores(), tables["topics"], tables["loadings"],
        tables["features"], label_name="Genotype", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lines(mouse):
    """An annotation with more classes than there are colours."""
    one = mouse["samples"].drop_duplicates("sample")
    return one[["sample", "unit"]].rename(columns={"unit": "line"})


def test_a_single_cell_figure_has_a_map_for_every_method_and_colouring(mouse, lines):
    figure = single_cell(mouse, lines)
    maps = [axes for axes in figure.axes if axes.get_title() in ("PCA", "NMF", "bcNMF")]
    assert len(maps) == 3
    n = mouse["samples"]["sample"].nunique()
    drawn = [
        axes
        for axes in figure.axes
        if any(len(points.get_offsets()) == n for points in axes.collections)
    ]
    assert len(drawn) == 2 * 4  # PCA, NMF, cPCA, bcNMF by genotype and by line
    assert "7 other classes" in texts(figure)
    assert {"a", "b", "c"} <= set(texts(figure))
    check_layout(figure)


def test_marked_genes_are_bold_and_topics_those_most_associated(mouse, lines):
    top = (
        mouse["loadings"]
        .query("method == 'bcnmf' and seed == 0 and topic == 1")
        .nsmallest(1, "rank")
    )["feature"].iloc[0]
    figure = single_cell(mouse, lines, marked=[top], n_topics=2)
    weights = [text.get_fontweight() for text in figure.findobj(Text) if text.get_text() == top]
    assert "bold" in weights
    assert len({name for name in texts(figure) if name.endswith("_N")}) == 20


def test_reported_values_and_runs_stand_in_a_single_cell_figure(mouse, lines):
    figure = single_cell(mouse, lines)
    assert any(gids(axes, "reported") for axes in figure.axes)
    assert any(gids(axes, "runs") for axes in figure.axes)


def test_a_single_cell_figure_does_without_annotations(mouse, lines):
    check_layout(single_cell(mouse, lines[["sample"]]))
