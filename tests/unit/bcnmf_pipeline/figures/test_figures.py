"""Figures: what is drawn equals the tables, on usual and on awkward ones, and files repeat."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text

from bcnmf import InputError
from bcnmf_pipeline.figures import style
from bcnmf_pipeline.figures.basis import component_images, plot_basis
from bcnmf_pipeline.figures.beta import beta_means, plot_beta
from bcnmf_pipeline.figures.digits import component_columns, plot_digits, split_means
from bcnmf_pipeline.figures.drivers import plot_drivers, reference_text
from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.loadings import loading_grid, plot_loadings
from bcnmf_pipeline.figures.mouse import plot_mouse, unit_means
from bcnmf_pipeline.figures.objective import plot_objective
from bcnmf_pipeline.figures.representative import (
    chosen_setting,
    representative_rows,
    representative_runs,
    representative_text,
    same_alpha,
)
from bcnmf_pipeline.figures.scores import plot_scores, with_settings
from bcnmf_pipeline.figures.single_cell import plot_single_cell
from bcnmf_pipeline.figures.tables import (
    Classes,
    minus_log10,
    order_topics,
    p_text,
    power_of_ten,
    short_number,
    topic_columns,
    with_unit,
)
from bcnmf_pipeline.figures.usages import plot_usages
from bcnmf_pipeline.plan.drivers import DRIVERS, TOPICS_AT, VARIANTS
from plot_tables import (
    BETAS,
    REPORTED,
    beta_scores,
    digit_tables,
    driver_scores,
    mouse_scores,
    study_tables,
)

NAN = float("nan")
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def mouse():
    return study_tables(seeds=2)


@pytest.fixture(scope="module")
def beta():
    return beta_scores(replicates=4)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def gids(axes, gid):
    return [artist for artist in axes.findobj() if artist.get_gid() == gid]


def shown_texts(figure):
    """All texts that end up on the page, with their boxes."""
    with style.style():
        style.settle(figure)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        hidden = set()
        for axes in figure.axes:
            for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
                for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                    inside = min(limits) <= tick.get_loc() <= max(limits)
                    if not inside or not axis.get_visible() or not axes.axison:
                        hidden |= {tick.label1, tick.label2}
        return [
            (text, text.get_window_extent(renderer))
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and text not in hidden
        ]


def check_layout(figure):
    """No text is cut, none lies on another one, none is too small to read."""
    width, height = figure.get_size_inches() * figure.dpi
    found = shown_texts(figure)
    assert found
    for text, box in found:
        assert text.get_fontsize() >= style.SMALL
        assert box.x0 >= -1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert box.y1 <= height + 1, text.get_text()
    for place, (text, box) in enumerate(found):
        for other, other_box in found[place + 1 :]:
            dx = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
            dy = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
            assert dx < 1.5 or dy < 1.5, (text.get_text(), other.get_text())


# --- style -------------------------------------------------------------------


def test_known_methods_differ_in_colour_and_marker():
    known = ["pca", "nmf", "cpca", "cpca_auto", "cpca_grid", "bcnmf", "bcnmf_older"]
    known.append("bcnmf_poisson")
    marks = style.method_marks(known)
    assert len({mark.colour for mark in marks.values()}) == len(known)
    assert len({mark.marker for mark in marks.values()}) == len(known)


def test_unknown_method_keeps_its_colour_whoever_is_beside_it():
    alone = style.method_mark("my_method")
    assert alone == style.method_mark("my_method")
    assert style.method_marks(["my_method"])["my_method"] == alone
    assert style.method_marks(["bcnmf", "my_method", "pca"])["my_method"] == alone
    assert alone not in [style.method_mark(method) for method in ("pca", "nmf", "bcnmf")]


def test_unknown_methods_differ_from_each_other():
    names = [f"method_{i}" for i in range(8)]
    assert len(set(style.method_marks(names).values())) == 8
    assert style.method_marks(names) == style.method_marks(names[::-1])


def test_class_marks_follow_natural_order():
    marks = style.class_marks(["type 10", "type 2", "type 1"])
    assert list(marks) == ["type 1", "type 2", "type 10"]
    assert len({mark.colour for mark in marks.values()}) == 3
    twelve = style.class_marks([str(i) for i in range(12)])
    assert len(set(twelve.values())) == 12


@pytest.mark.parametrize(
    ("n", "most", "columns"), [(1, 4, 1), (4, 4, 4), (5, 4, 3), (6, 4, 3), (7, 4, 4), (4, 3, 2)]
)
def test_grid_columns(n, most, columns):
    assert style.grid_columns(n, most) == columns


def test_row_major_reads_row_by_row():
    rows = [["a", "b", "c"], ["d"]]
    ordered, columns = style.row_major(*rows)
    assert columns == 3
    # A legend fills its columns first: of two rows, entries 0, 2, 4 make the first row.
    assert ordered[0::2] == ["a", "b", "c"]
    assert ordered[1] == "d"


def test_no_pyplot_and_nothing_left_of_the_style(mouse):
    before = dict(matplotlib.rcParams)
    plot_embedding(mouse["samples"])
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import bcnmf_pipeline.figures.mouse, bcnmf_pipeline.figures.scores\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT / "workflow")], check=True)


def test_style_beats_the_users_settings(mouse):
    with matplotlib.rc_context({"axes.titlesize": 30, "font.size": 20}):
        figure = plot_embedding(mouse["samples"])
    assert figure.axes[0].title.get_fontsize() == style.TEXT


def test_files_repeat_byte_by_byte_and_text_stays_text(tmp_path, mouse):
    for name in ("one", "two"):
        figure = plot_usages(mouse["samples"], mouse["topics"], methods=["bcnmf"])
        style.save(figure, tmp_path / name / "figure.pdf", tmp_path / name / "figure.png")
    for kind in ("pdf", "png"):
        first = (tmp_path / "one" / f"figure.{kind}").read_bytes()
        assert first == (tmp_path / "two" / f"figure.{kind}").read_bytes()
    pdf = (tmp_path / "one" / "figure.pdf").read_bytes()
    assert b"TrueType" in pdf or b"CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    assert matplotlib.__version__.encode() not in pdf
    png = (tmp_path / "one" / "figure.png").read_bytes()
    assert b"Software" not in png
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "figure.pdf",
        "figure.png",
    ]


def test_files_do_not_depend_on_hash_seeds(tmp_path):
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from plot_tables import beta_scores\n"
        "from bcnmf_pipeline.figures.beta import plot_beta\n"
        "from bcnmf_pipeline.figures.style import save\n"
        "figure = plot_beta(beta_scores(1, 1, (0, 1))[::3])\n"
        "save(figure, sys.argv[1] + '.pdf', sys.argv[1] + '.png')\n"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed), str(ROOT / "workflow"),
             str(ROOT / "tests" / "helpers")],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
        )  # fmt: skip
    for kind in ("pdf", "png"):
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"2.{kind}").read_bytes()


def test_many_points_are_rasterised_and_few_are_not(mouse):
    from matplotlib.figure import Figure

    for n, expected in ((100, False), (style.RASTERISE_ABOVE + 1, True)):
        axes = Figure().subplots()
        style.scatter(axes, np.arange(n), np.arange(n), [style.Mark("#000000", "o")] * n)
        assert axes.collections[0].get_rasterized() is expected


def test_scatter_keeps_colour_marker_and_place_together():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    marks = [style.Mark("#ff0000", "o"), style.Mark("#0000ff", "^"), style.Mark("#00ff00", "s")]
    style.scatter(axes, np.array([0.0, 1.0, NAN]), np.array([5.0, 6.0, 7.0]), marks)
    points = axes.collections[0]
    for place, colour, path in zip(
        points.get_offsets(), points.get_facecolors(), points.get_paths(), strict=True
    ):
        mark = marks[int(place[0])]
        assert place[1] == 5 + place[0]
        assert matplotlib.colors.same_color(colour[:3], mark.colour)
        np.testing.assert_array_equal(path.vertices, style.marker_path(mark.marker).vertices)


# --- tables ------------------------------------------------------------------


def test_numbers_for_axes():
    assert short_number(3.28571) == "3.29"
    assert short_number(100000.0) == "100000"
    assert p_text(0.0) == "p < 10⁻³⁰⁰"
    assert p_text(2.3e-12) == "p = 2×10⁻¹²"
    assert p_text(0.0312) == "p = 0.031"
    assert p_text(NAN) == "p not defined"
    assert power_of_ten([0.0, NAN]) == 0
    assert power_of_ten([-3.2e7, 1]) == 7
    assert power_of_ten([999.0]) == 0
    assert with_unit("Usage", -6) == "Usage (×10⁻⁶)"
    np.testing.assert_allclose(minus_log10([0.01, 0.0]), [2, 300])


def test_topics_by_p_then_statistic():
    table = pd.DataFrame(
        {"topic": [1, 2, 3, 4], "p_value": [NAN, 0.0, 0.0, 0.5], "statistic": [9, 2, -50, 1]}
    )
    assert list(order_topics(table)["topic"]) == [3, 2, 4, 1]


def test_topic_columns_in_numerical_order():
    table = pd.DataFrame(columns=["usage_10", "usage_2", "usage_share", "usage_1"])
    assert topic_columns(table) == ["usage_1", "usage_2", "usage_10"]


def test_classes_beyond_twelve_and_missing():
    values = [f"c{i}" for i in range(14) for _ in range(i + 1)] + [None, NAN]
    classes = Classes(values)
    assert len(classes.marks) == 11
    assert "c13" in classes.marks
    assert "c0" not in classes.marks
    assert list(classes.entries())[-2:] == ["3 other classes", "(no label)"]
    assert classes.mark("c0").colour == classes.mark(None).colour == style.OTHER


def test_classes_read_back_as_numbers():
    classes = Classes(["0", "1"])
    assert classes.mark(1.0) == classes.mark(1) == classes.mark("1")
    assert list(Classes([0.0, 1.0]).marks) == ["0", "1"]


# --- the representative run --------------------------------------------------


def runs_table(rows):
    return pd.DataFrame(rows, columns=["method", "k", "alpha", "replicate", "seed"])


def test_first_k_and_alpha_lowest_replicate_smallest_seed():
    table = runs_table(
        [
            ("bcnmf", 7, 2.0, 1, 0),
            ("bcnmf", 7, 2.0, 0, 4),
            ("bcnmf", 7, 2.0, 0, 3),
            ("bcnmf", 7, 1.0, 0, 0),
            ("bcnmf", 2, 1.0, 0, 0),
            ("pca", 2, NAN, 0, 0),
        ]
    )
    pca, bcnmf = representative_runs(table, ["pca", "absent", "bcnmf"])
    assert (pca.method, pca.k, pca.alpha, pca.seed) == ("pca", 2, None, 0)
    assert (bcnmf.k, bcnmf.alpha, bcnmf.replicate, bcnmf.seed) == (7, 2.0, 0, 3)
    text = representative_text([pca, bcnmf], {"pca": "Principal components"})
    assert "Principal components with K = 2, seed 0" in text
    assert "bcNMF with K = 7, α = 2, seed 3" in text
    assert "without labels" in text
    assert text.endswith("replicate 0, smallest seed.")


def test_text_for_figures_of_every_run():
    table = runs_table([("cpca_auto", 2, 3.0, 0, 0), ("bcnmf", 2, 1.5, 0, 0)])
    text = representative_text(representative_runs(table), every_run=True)
    assert "with K = 2, the middle automatic α of each data set;" in text
    assert "bcNMF with K = 2, α = 1.5." in text
    assert "seed 0" not in text
    assert text.endswith("all replicates and seeds.")


@pytest.mark.parametrize(
    ("alphas", "middle"), [([9.0, 1.0, 4.0], 4.0), ([8.0, 2.0], 2.0), ([3.0], 3.0)]
)
def test_middle_automatic_alpha(alphas, middle):
    rows = runs_table([("cpca_auto", 2, alpha, 0, 0) for alpha in alphas])
    assert chosen_setting(rows, "cpca_auto") == (2, middle)
    assert chosen_setting(rows, "other") == (2, alphas[0])


def test_choice_does_not_move_with_labels(mouse):
    samples = mouse["samples"]
    shuffled = samples.assign(label=samples["label"].sample(frac=1, random_state=0).to_numpy())
    assert representative_runs(samples) == representative_runs(shuffled)


def test_alphas_match_between_text_and_binary_tables():
    exact = 10 / 3
    written = float(f"{exact:.10g}")
    assert written != exact
    assert same_alpha(pd.Series([written, NAN, 3.4]), exact).tolist() == [True, False, False]
    assert same_alpha(pd.Series([written, NAN]), None).tolist() == [False, True]


def test_representative_rows_pick_automatic_alphas_by_replicate():
    table = runs_table(
        [("cpca_auto", 2, alpha, rep, 0) for rep, alphas in
         enumerate([(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)]) for alpha in alphas]
    ).assign(study="s")  # fmt: skip
    assert list(representative_rows(table)["alpha"]) == [2.0, 5.0]


def test_rows_of_a_missing_run_are_an_error(mouse):
    (one,) = representative_runs(mouse["samples"], ["bcnmf"])
    with pytest.raises(InputError, match=r"topics.*bcnmf.*K = 15, α = 1"):
        one.rows(mouse["topics"].query("method == 'pca'"), "topics")


# --- beta --------------------------------------------------------------------


def test_beta_means_and_error_bars_by_hand(beta):
    figure = plot_beta(beta)
    rows = beta.query("method == 'bcnmf' and alpha == 1.5 and score == 'ari_usage'")
    by_set = rows.groupby(["study", "replicate"])["value"].mean()
    expected = [by_set[f"simulation_beta{b}"] for b in BETAS]
    mean = [sum(values) / 4 for values in expected]
    sd = [
        (sum((v - m) ** 2 for v in values) / 3) ** 0.5
        for values, m in zip(expected, mean, strict=True)
    ]
    container = next(
        c for c in figure.axes[0].containers
        if isinstance(c, ErrorbarContainer) and c.lines[0].get_gid() == "mean bcnmf"
    )  # fmt: skip
    np.testing.assert_allclose(np.array(container.lines[0].get_ydata(), dtype=float), mean)
    segments = np.array(container.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, 1, 1] - segments[:, 0, 1], 2 * np.array(sd))
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
    np.testing.assert_allclose(segments[:, 1, 1] - segments[:, 0, 1], [2 * v.std() for v in levels])
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
    with pytest.raises(InputError, match="no driver has two levels; found the variants ''"):
        plot_drivers(few[few["study"] == "drivers_base"], VARIANTS_OF)
    with pytest.raises(InputError, match="no row of the score ari_umap of a study of the drivers"):
        plot_drivers(table, VARIANTS_OF, score="ari_umap")


def test_reference_is_what_most_data_sets_were_fitted_with():
    assert reference_text(driver_scores(), ["bcnmf", "cpca_auto", "nmf"]) == (
        "Unless varied: bcNMF with K = 2, α = 2; cPCA (automatic alpha) with K = 2, the middle "
        "automatic α of each data set; NMF with K = 2; all replicates and seeds."
    )


# --- scores ------------------------------------------------------------------


def test_scores_bars_dots_and_sd_by_hand(beta):
    one = beta.query("study == 'simulation_beta8'")
    figure = plot_scores(one, methods=["nmf", "bcnmf"])
    assert len(figure.axes) == 3
    axes = figure.axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels == ["NMF", "bcNMF\nα = 1.5", "bcNMF\nα = 2"]
    values = one.query("method == 'bcnmf' and alpha == 2.0 and score == 'ari_usage'")["value"]
    assert len(values) == 8
    assert axes.patches[2].get_width() == pytest.approx(values.sum() / 8)
    sd = (((values - values.mean()) ** 2).sum() / 7) ** 0.5
    bars = [
        c for c in axes.containers if isinstance(c, ErrorbarContainer) and c.lines[0] is not None
    ]
    bars = [c for c in bars if c.lines[0].get_gid() == "sd"]
    segment = bars[2].lines[2][0].get_segments()[0]
    assert segment[1, 0] - segment[0, 0] == pytest.approx(2 * sd)
    dots = gids(axes, "runs")[2].get_offsets()
    assert sorted(dots[:, 0]) == pytest.approx(sorted(values))
    diamonds = [d.get_offsets()[0].tolist() for d in gids(axes, "reported")]
    assert diamonds == [[0.001, 0], [0.998, 1], [0.998, 2]]
    check_layout(figure)


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
        [bar.get_width() for bar in beside.patches], -np.log10(own["p_adjusted"]), atol=1e-12
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
    for name in ("topics", "features"):
        tables[name] = tables[name].assign(p_value=NAN, p_adjusted=NAN, favours=None)
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
    assert any(text.startswith("start ≤ 9.") for text in texts(axes))


def test_objective_of_two_values_and_not_finite(mouse):
    short = mouse["traces"].query("method == 'bcnmf' and evaluation < 2")
    check_layout(plot_objective(short))
    check_layout(plot_objective(short.query("evaluation == 0")))
    broken = plot_objective(short.assign(objective=NAN))
    assert "not finite" in texts(broken)


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
    return plot_digits(*[tables[name] for name in names], (8, 8), **changes)


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
    spreads = [bar for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
    segment = spreads[2].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(segment[:, 0], [0.71, 0.73])
    assert len(gids(axes, "reported")) == 1
    # One split: a bar without spread.
    alone = draw_digits(digits_study(splits=1))
    assert not any(gids(axes, "sd") for axes in alone.axes)


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
    own = mouse["features"].set_index("feature").loc[best["feature"], "p_adjusted"]
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


# --- what every figure shares ------------------------------------------------

CALLS = {
    "beta": lambda t: plot_beta(t["beta"]),
    "scores": lambda t: plot_scores(t["scores"]),
    "embedding": lambda t: plot_embedding(t["samples"]),
    "usages": lambda t: plot_usages(t["samples"], t["topics"]),
    "loadings": lambda t: plot_loadings(t["loadings"], t["topics"], t["features"], method="bcnmf"),
    "basis": lambda t: plot_basis(t["loadings"], (7, 11)),
    "objective": lambda t: plot_objective(t["traces"]),
    "mouse": lambda t: plot_mouse(t["samples"], t["topics"], t["loadings"], t["features"]),
}


@pytest.mark.parametrize(
    ("figure", "table", "column"),
    [
        ("beta", "beta", "replicate"),
        ("scores", "scores", "value"),
        ("embedding", "samples", "umap_2"),
        ("usages", "topics", "p_value"),
        ("usages", "samples", "usage_1"),
        ("loadings", "loadings", "rank"),
        ("loadings", "features", "favours"),
        ("basis", "loadings", "feature"),
        ("objective", "traces", "evaluation"),
        ("mouse", "samples", "unit"),
    ],
)
def test_missing_column_is_named(mouse, beta, figure, table, column):
    tables = mouse | {"beta": beta, "scores": mouse_scores(1)}
    tables[table] = tables[table].drop(columns=column)
    with pytest.raises(InputError, match=rf"missing column\(s\) {column}; found study"):
        CALLS[figure](tables)


def test_empty_table_is_an_error(mouse):
    with pytest.raises(InputError, match=r"table samples: no rows"):
        plot_embedding(mouse["samples"].iloc[:0])


def test_names_with_dollars_and_braces_are_drawn_as_they_are(tmp_path, mouse):
    name = "$\\frac{a}$ <b>"
    samples = mouse["samples"].assign(label=lambda t: t["label"].replace("Control", name))
    figure = plot_embedding(samples, labels={"nmf": "NMF $x_"}, methods=["nmf"], label_name="$")
    style.save(figure, tmp_path / "a.pdf", tmp_path / "a.png")
    assert name in texts(figure)
    assert figure.axes[0].get_title() == "NMF $x_"


def test_long_names_stay_on_the_page(mouse):
    long = "A method with a really very long name indeed, longer than any panel"
    samples = mouse["samples"].assign(
        label=lambda t: t["label"].replace("Control", "A class of samples with a long name")
    )
    check_layout(plot_embedding(samples, labels={"nmf": long, "bcnmf": long}))
    check_layout(plot_scores(mouse_scores(2), labels={"bcnmf": long}, unit="mouse"))


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
