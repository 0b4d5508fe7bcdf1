"""Figures of the answer: what is drawn equals the tables, and what a study lacks is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.figures.answer import plot_answer
from bcnmf_pipeline.figures.each import gene_grid, held_by_topics, plot_each
from bcnmf_pipeline.figures.shares import group_shares, line_handles
from bcnmf_pipeline.figures.tables import distinct
from figure_checks import check_layout, gids, texts
from plot_tables import answer_tables, each_tables

LONG = tuple(f"Plasmacytoid dendritic cells of type {i}" for i in range(12))


def draw(tables, **more):
    arguments = {"method": "bcnmf", "label_name": "group", "unit": "donor"} | more
    figure = plot_answer(**tables, **arguments)
    check_layout(figure)
    return figure


def drawn_shares(axes):
    return np.array([point.get_data() for point in gids(axes, "share")], dtype=float)[:, 0, 0]


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


# --- answer ------------------------------------------------------------------


def test_classes_have_their_shares_their_numbers_and_the_threshold_of_every_fold():
    tables = answer_tables()
    figure = draw(tables)
    scores, beside = figure.axes[:2]
    ours = tables["answer"].query("method == 'bcnmf'")
    expected = [ours["above"].mean(), *ours.groupby("label")["above"].mean()]
    np.testing.assert_allclose(drawn_shares(beside), expected)
    assert [t.get_text() for t in scores.get_yticklabels()] == [
        "all of the target", "control", "treated",
    ]  # fmt: skip
    assert [n.get_text() for n in gids(beside, "n")] == ["160", "80", "80"]
    lines = gids(scores, "threshold")
    assert sorted(line.get_xdata()[0] for line in lines) == [1.4, 1.5, 1.6]
    # Of a histogram, that part is in full colour that is above.
    drawn = [
        sum((one.get_data().baseline - one.get_data().values).sum() for one in gids(scores, gid))
        for gid in ("above treated", "below treated")
    ]
    assert drawn[0] / sum(drawn) == pytest.approx(expected[2])


def test_the_share_of_the_classifier_and_the_intervals_are_those_of_the_table():
    tables = answer_tables()
    beside = draw(tables).axes[1]
    table = tables["shares"].query("column in ('', 'group')")
    (diamonds,) = gids(beside, "classifier")
    rival = table[table["method"] == "classifier"]
    np.testing.assert_allclose(np.asarray(diamonds.get_xdata(), float), rival["share"])
    ours = table[table["method"] == "bcnmf"]
    intervals = [line.get_xdata() for line in gids(beside, "interval")]
    np.testing.assert_allclose(intervals, ours[["low", "high"]])
    entries = [line.get_label() for line in line_handles(tables["shares"])]
    assert entries == ["expected by chance (5%)", "found by a classifier"]
    alone = tables["shares"].query("method == 'bcnmf'")
    assert len(line_handles(alone)) == 1


def test_the_map_is_coloured_by_the_cross_fitted_score():
    tables = answer_tables()
    figure = draw(tables)
    axes = panel(figure, "bcNMF")
    points = axes.collections[0]
    place = {tuple(xy): sample for *xy, sample in
             tables["samples"][["umap_1", "umap_2", "sample"]].itertuples(index=False)}  # fmt: skip
    score = tables["answer"].query("method == 'bcnmf'").set_index("sample")["score"]
    found = score[[place[tuple(xy)] for xy in np.asarray(points.get_offsets())]].to_numpy()
    # Viridis grows lighter.
    light = points.get_facecolors()[:, :3] @ [0.299, 0.587, 0.114]
    order = np.argsort(found)
    assert np.all(np.diff(light[order]) > -0.01)
    assert light[order[-1]] > light[order[0]] + 0.5


def test_units_of_one_class_stand_in_blocks_with_intervals():
    tables = answer_tables(units=6)
    axes = panel(draw(tables), "By donor")
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == [f"donor {i}" for i in (1, 3, 5, 2, 4, 6)]
    by_unit = tables["answer"].query("method == 'bcnmf'").groupby("unit")["above"].mean()
    np.testing.assert_allclose(drawn_shares(axes), by_unit[names])
    assert len(gids(axes, "interval")) == 6


def test_classes_that_divide_a_group_stand_side_by_side_without_an_interval():
    tables = answer_tables(both=True)
    figure = draw(tables)
    for title, column, groups in (("By donor", "unit", 8), ("By cell_type", "cell_type", 3)):
        axes = panel(figure, title)
        rows = tables["answer"].query("method == 'bcnmf'").merge(tables["annotations"])
        expected = rows.groupby([column, "label"])["above"].mean()
        np.testing.assert_allclose(drawn_shares(axes), expected)
        assert len(axes.get_yticks()) == groups
        assert not gids(axes, "interval")


def test_chance_is_more_than_a_twentieth_where_the_table_says_so():
    tables = answer_tables()
    tables["shares"] = tables["shares"].assign(chance=0.25)
    figure = draw(tables)
    panels = [figure.axes[1], panel(figure, "By donor"), panel(figure, "By cell_type")]
    for axes in panels:
        (line,) = gids(axes, "chance")
        assert set(line.get_xdata()) == {0.25}


def test_a_study_that_was_not_cross_fitted_is_named():
    tables = answer_tables()
    others = {name: tables[name].query("method != 'bcnmf'") for name in ("answer", "shares")}
    (text,) = texts(draw(tables | others))
    assert text.startswith("bcNMF was not cross-fitted")
    nothing = {name: tables[name].iloc[:0] for name in ("answer", "shares")}
    assert texts(draw(tables | nothing)) == [text]


@pytest.mark.parametrize(
    ("made", "letters", "titles"),
    [
        ({}, "abcd", {"By donor", "By cell_type", "bcNMF"}),
        ({"kinds": ()}, "abc", {"By donor", "bcNMF"}),
        ({"units": 0, "both": True}, "abc", {"By cell_type", "bcNMF"}),
        ({"units": 1, "kinds": ("one",), "label": ()}, "ab", {"bcNMF"}),
        ({"units": 0, "kinds": (), "label": ("only",)}, "ab", {"bcNMF"}),
    ],
)
def test_what_a_study_lacks_is_left_out(made, letters, titles):
    figure = draw(answer_tables(**made))
    found = texts(figure)
    assert [letter in found for letter in "abcd"] == [letter in letters for letter in "abcd"]
    assert {axes.get_title() for axes in figure.axes if axes.get_title()} == titles
    rows = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert rows == ["all of the target", "control", "treated"][: 1 if len(letters) == 2 else 3]


@pytest.mark.parametrize(
    "made",
    [
        {"units": 30, "kinds": LONG},
        {"label": tuple(f"cell line {i}" for i in range(14)), "units": 56, "kinds": LONG},
        {"label": ("before the treatment with it", "after the treatment with it"), "both": True},
        {"label": tuple(f"dose {i}" for i in range(5)), "units": 5, "both": True},
        {"units": 2, "per_unit": 3, "kinds": ()},
    ],
)
def test_awkward_studies_can_be_read(made):
    figure = draw(answer_tables(**made))
    assert figure.get_figwidth() < 7.3
    assert figure.get_figheight() < 9.7  # of a page


def test_the_many_small_units_are_one_row():
    tables = answer_tables(units=56)
    rows = tables["answer"].query("method == 'bcnmf'")
    found = group_shares(rows, rows["unit"], tables["shares"].iloc[:0])
    assert len(found) == 30
    assert found["group"].iloc[-1] == "27 others"
    assert found["n"].sum() == len(rows)
    assert found["n"].iloc[-1] == 27 * 20


def test_names_that_begin_alike_stay_apart():
    names = distinct([*LONG, "B cells"], 22)
    assert len(set(names)) == 13
    assert names[-1] == "B cells"
    assert all(len(name) <= 22 for name in names)


def test_names_that_begin_and_end_alike_are_numbered_in_one_line():
    names = distinct(
        ["word " * 9 + "a" + " word" * 9, "word " * 9 + "b" + " word" * 9, "a\tb\nc"], 22
    )
    assert names == ["1: word word word wo…", "2: word word word wo…", "a b c"]
    assert distinct(["same", "same"], 22) == ["same", "same"]


@pytest.mark.parametrize(
    ("table", "column"), [("answer", "threshold"), ("shares", "low"), ("samples", "umap_1")]
)
def test_a_missing_column_is_named(table, column):
    tables = answer_tables()
    with pytest.raises(InputError, match=f"table {table}: missing column.s. {column}"):
        draw(tables | {table: tables[table].drop(columns=column)})


# --- each --------------------------------------------------------------------


def test_each_shows_shares_and_genes_of_every_value():
    tables = each_tables(("B cells", "NK cells", "T cells"))
    figure = plot_each(**tables, method="bcnmf")
    check_layout(figure)
    left, right = figure.axes[:2]
    assert left.get_title() == "cell_type"
    assert [t.get_text() for t in left.get_yticklabels()] == ["B cells", "NK cells", "T cells"]
    ours = tables["shares"].query("method == 'bcnmf' and column == ''")
    np.testing.assert_allclose(drawn_shares(left), ours["share"])
    names = [t.get_text() for t in right.get_xticklabels()]
    assert names[0] == "common"
    values = right.images[0].get_array()
    assert values.shape == (3, len(names))
    np.testing.assert_allclose(values[:, 0], 1.0)
    own = values[:, names.index("own 1")]
    assert own[1] == pytest.approx(0.5)
    assert list(np.ma.getmaskarray(own)) == [True, False, True]


def test_what_topics_hold_of_a_gene_is_usage_times_loading():
    topics = pd.DataFrame({"topic": [1, 2], "mean_usage": [2.0, 1.0]})
    loadings = pd.DataFrame(
        {"topic": [1, 1, 2, 2], "feature": list("abbc"), "loading": [0.5, 0.1, 0.4, 0.2]}
    )
    held = held_by_topics(topics, loadings)
    assert held.to_dict() == pytest.approx({"a": 1.0, "b": 0.6, "c": 0.2})


def test_every_value_brings_its_leading_genes_and_shared_ones_stand_first():
    held = {
        "x": pd.Series({"s": 0.8, "x1": 1.0, "x2": 0.4}),
        "y": pd.Series({"s": 1.0, "y1": 0.9, "y2": 0.1}),
    }
    grid = gene_grid(held, n_features=3)
    assert list(grid.columns) == ["s", "x1", "y1"]
    assert grid.loc["x", "s"] == 0.8
    assert np.isnan(grid.loc["x", "y1"])


@pytest.mark.parametrize("values", [("only",), (LONG * 3)[:30]])
def test_one_value_and_thirty_can_be_read(values):
    names = tuple(f"{name} {i}" for i, name in enumerate(values))
    check_layout(plot_each(**each_tables(names), method="bcnmf"))


def test_each_says_which_values_were_not_cross_fitted():
    tables = each_tables(("a", "b", "c"))
    shares = tables["shares"]
    some = plot_each(**tables | {"shares": shares[shares["study"] != "mine-1"]}, method="bcnmf")
    check_layout(some)
    assert [t.get_text() for t in some.axes[0].get_yticklabels()] == ["a", "b", "c"]
    assert texts(some).count("not cross-fitted") == 1
    assert some.axes[1].images[0].get_array().shape[0] == 3
    none = plot_each(**tables | {"shares": shares.iloc[:0]}, method="bcnmf")
    assert texts(none).count("not cross-fitted") == 3


def test_each_refuses_a_study_without_the_method():
    with pytest.raises(InputError, match="column method: found bcnmf; wanted one of x"):
        plot_each(**each_tables(("a", "b")), method="x")
