"""What all figures share: look, names, the run that is shown, files that repeat, named faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.figures import style
from bcnmf_pipeline.figures.basis import plot_basis
from bcnmf_pipeline.figures.beta import plot_beta
from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.loadings import plot_loadings
from bcnmf_pipeline.figures.mouse import plot_mouse
from bcnmf_pipeline.figures.objective import plot_objective
from bcnmf_pipeline.figures.representative import (
    chosen_setting,
    representative_rows,
    representative_runs,
    representative_text,
    same_alpha,
)
from bcnmf_pipeline.figures.scores import plot_scores
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
from figure_checks import NAN, check_layout, texts
from plot_tables import (
    beta_scores,
    mouse_scores,
    study_tables,
)

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def mouse():
    return study_tables(seeds=2)


@pytest.fixture(scope="module")
def beta():
    return beta_scores(replicates=4)


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
