"""What drives success: score against the level of each driver, one panel a driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.representative import AUTOMATIC, setting_text
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    SINGLE_COLUMN,
    Mark,
    grid_columns,
    method_marks,
    new_figure,
    row_major,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    SCORE_LABELS,
    data_sets,
    method_handles,
    method_label,
    methods_in,
    range_lengths,
    require_columns,
    short_number,
)
from bcnmf_pipeline.plan.drivers import BASE, DRIVERS, TOPICS_AT

_COLUMNS = ("study", "method", "k", "alpha", "seed", "replicate", "score", "value")
_COLUMNS_OF_PANELS = 4
_BASE = "#EBEBEB"
# What a method that has learnt nothing gets.
_CHANCE = {"auroc_best": 0.5}


@dataclass(frozen=True)
class Panel:
    """One panel: places on its axis, and the points of each method.

    Attributes
    ----------
    title, axis : str
        Title and name of the axis.
    ticks : list of str
        Levels from left to right.
    base : int or None
        Place of the base setting, which all panels share.
    points : DataFrame
        method, place, mean, sd (missing for one replicate), n_replicates.
    level : DataFrame
        method, mean of methods that do not have what is varied: the same at every level.
    """

    title: str
    axis: str
    ticks: list[str]
    base: int | None
    points: pd.DataFrame
    level: pd.DataFrame


@styled
def plot_drivers(
    scores: pd.DataFrame,
    variants: Mapping[str, str],
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    score: str = "ari_usage",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw a score against the level of every driver of `plan.drivers`, and against K and alpha.

    Parameters
    ----------
    scores : DataFrame
        Columns study, method, k, alpha, seed, replicate, score, value.
    variants : mapping of study to variant
        What each study's data set departs in; "" for the base simulation.
    methods : sequence of str, optional
        Methods in the order of the legend.
    labels : mapping, optional
        Names of methods.
    score : str
        Which score.
    automatic : collection of str
        Methods with automatic alphas, of which the middle one is drawn.

    Returns
    -------
    Figure
        Small multiples, see `driver_panels`. Points are means over data replicates (of each, the
        mean over its seeds), bars from the lowest to the highest data replicate.

    Raises
    ------
    InputError
        A column is missing, or no study has the score.
    """
    require_columns(scores, _COLUMNS, "scores")
    table = scores.assign(variant=scores["study"].map(variants))
    table = table[table["variant"].notna() & (table["score"] == score)]
    if table.empty:
        raise InputError(
            f"table scores: no row of the score {score} of a study of the drivers; found studies "
            f"{', '.join(map(str, pd.unique(scores['study'])))} and scores "
            f"{', '.join(map(str, pd.unique(scores['score'])))}; run the studies of the group "
            "drivers, or leave this figure out"
        )
    methods = methods_in(table, methods, "scores")
    panels = driver_panels(table[table["method"].isin(methods)], automatic)
    marks = method_marks(methods)
    columns = grid_columns(len(panels), _COLUMNS_OF_PANELS)
    rows = -(-len(panels) // columns)
    spare = rows * columns > len(panels)
    width = max(DOUBLE_COLUMN * columns / _COLUMNS_OF_PANELS, SINGLE_COLUMN)
    figure = new_figure(width, 1.7 * rows + (0.1 if spare else 0.6))
    figure.set_layout_engine("constrained", hspace=0.06)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    lowest = min(panel.points["low"].min() for panel in panels)
    chance = _CHANCE.get(score, 0.0)
    for axes, panel in zip(grid.flat, panels, strict=False):
        axes.axhline(chance, color="#D9D9D9", linewidth=0.6, zorder=0)
        _draw(axes, panel, marks)
        axes.set_ylim(min(chance, lowest) - 0.06, 1.06)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel(SCORE_LABELS.get(score, score))
    _legend(figure, grid.flat[-1] if spare else None, panels, marks, labels)
    return figure


def driver_panels(table: pd.DataFrame, automatic: Collection[str] = AUTOMATIC) -> list[Panel]:
    """Return the panels that have at least two levels; where none has, one of all data sets.

    On every data set a method is shown with the setting that most data sets have in common, see
    `reference_settings`. K is varied at the reference's alpha on the data sets of `TOPICS_AT`, and
    alpha at each K on the base simulation.

    Parameters
    ----------
    table : DataFrame
        Rows of one score, with a column variant.
    automatic : collection of str
        Methods with automatic alphas.
    """
    table = _with_ranks(table, automatic)
    references = reference_settings(table)
    rows = table.merge(references, on=["method", "k", "rank"])
    panels = [
        _panel(driver.title, driver.axis, list(driver.levels), list(driver.levels.values()), rows)
        for driver in DRIVERS
    ]
    base = table[table["variant"] == BASE]
    panels += [
        _k_panel(title, table[table["variant"] == variant], references)
        for variant, title in TOPICS_AT.items()
    ]
    panels += _alpha_panels(base, references, automatic)
    variants = list(rows["variant"].unique())
    alone = _panel("Score", "data set", variants, [name or "base" for name in variants], rows)
    return [panel for panel in panels if len(panel.ticks) > 1] or [alone]


def reference_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the setting of each method that most data sets have.

    Of several the fewest topics, and the middle contrast.

    Parameters
    ----------
    table : DataFrame
        Scores with columns study, method, k and rank (alpha, or the number of an automatic one).

    Returns
    -------
    DataFrame
        method, k, rank.
    """
    counts = table.groupby(["method", "k", "rank"])["study"].nunique().reset_index()
    chosen = []
    for method, rows in counts.groupby("method", sort=False):
        most = rows[rows["study"] == rows["study"].max()]
        most = most[most["k"] == most["k"].min()].sort_values("rank")
        chosen.append((method, *most[["k", "rank"]].iloc[(len(most) - 1) // 2]))
    return pd.DataFrame(chosen, columns=["method", "k", "rank"]).astype({"k": int})


def reference_text(
    scores: pd.DataFrame,
    methods: Sequence[str],
    labels: Mapping[str, str] | None = None,
    automatic: Collection[str] = AUTOMATIC,
) -> str:
    """Return a sentence on the settings of `reference_settings`, for captions."""
    require_columns(scores, _COLUMNS, "scores")
    found = reference_settings(_with_ranks(scores, automatic)).set_index("method")
    parts = []
    for method in methods_in(scores, methods, "scores"):
        k, rank = int(found.loc[method, "k"]), float(found.loc[method, "rank"])
        if method in automatic:
            setting = f"K = {k}, the middle automatic α of each data set"
        else:
            setting = setting_text(k, rank if rank >= 0 else None)
        parts.append(f"{method_label(method, labels)} with {setting}")
    return f"Unless varied: {'; '.join(parts)}; all replicates and seeds."


def _with_ranks(table: pd.DataFrame, automatic: Collection[str]) -> pd.DataFrame:
    """Add a column rank that is the same on all data sets: alpha, -1 for none, or 1, 2, 3 of auto.

    Automatic alphas differ from data set to data set.
    """
    alpha = pd.to_numeric(table["alpha"]).map(lambda value: float(f"{value:.9g}"))
    number = alpha.groupby(
        [table[column] for column in ("study", "replicate", "method", "k")]
    ).rank(method="dense")
    is_automatic = table["method"].isin(list(automatic))
    return table.assign(rank=alpha.where(~is_automatic, number).fillna(-1.0))


def _panel(
    title: str,
    axis: str,
    keys: list[Any],
    ticks: list[str],
    rows: pd.DataFrame,
    by: str = "variant",
) -> Panel:
    """Return the panel of the levels that were run."""
    found = set(rows[by])
    kept = [place for place, key in enumerate(keys) if key in found]
    shown = [keys[place] for place in kept]
    base = shown.index(BASE) if by == "variant" and BASE in shown else None
    points = _means(rows[rows[by].isin(shown)], by)
    points["place"] = points[by].map({key: place for place, key in enumerate(shown)})
    nothing = pd.DataFrame(columns=["method", "mean"])
    return Panel(title, axis, [ticks[place] for place in kept], base, points, nothing)


def _k_panel(title: str, of_variant: pd.DataFrame, references: pd.DataFrame) -> Panel:
    rows = of_variant.merge(references[["method", "rank"]], on=["method", "rank"])
    ks = sorted(rows["k"].unique())
    panel = _panel(title, "K", ks, [str(k) for k in ks], rows, by="k")
    of_base = (of_variant["variant"] == BASE).any()
    return _at_base(panel, ks, set(references["k"])) if of_base else panel


def _alpha_panels(
    base: pd.DataFrame, references: pd.DataFrame, automatic: Collection[str]
) -> list[Panel]:
    contrasts = base[(base["rank"] >= 0) & ~base["method"].isin(list(automatic))]
    # Methods with a contrast that was set, all of one setting, are no series.
    several = contrasts.groupby("method")["rank"].nunique()
    contrasts = contrasts[contrasts["method"].isin(several.index[several > 1])]
    panels = []
    for k in sorted(contrasts["k"].unique()):
        rows = contrasts[contrasts["k"] == k]
        alphas = sorted(rows["rank"].unique())
        ticks = [short_number(alpha) for alpha in alphas]
        panel = _panel(f"Contrast, K = {k}", "α (relative)", alphas, ticks, rows, by="rank")
        others = base[(base["k"] == k) & ~base["method"].isin(contrasts["method"])]
        others = others.merge(references[["method", "rank"]], on=["method", "rank"])
        level = _means(others, "k")[["method", "mean"]]
        of_k = references[(references["k"] == k) & references["method"].isin(rows["method"])]
        panel = Panel(panel.title, panel.axis, panel.ticks, None, panel.points, level)
        panels.append(_at_base(panel, alphas, set(of_k["rank"])))
    return panels


def _at_base(panel: Panel, levels: list[Any], references: set[Any]) -> Panel:
    """Return a panel with its base, if all methods have the same."""
    places = [place for place, level in enumerate(levels) if level in references]
    base = places[0] if len(places) == 1 else None
    return Panel(panel.title, panel.axis, panel.ticks, base, panel.points, panel.level)


def _means(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    # Seeds of one data set are no replicates of the experiment: they are averaged first.
    of_replicates = rows.groupby(["method", by, "replicate"], sort=False)["value"].mean()
    grouped = of_replicates.reset_index().groupby(["method", by], sort=False)["value"]
    return grouped.agg(mean="mean", low="min", high="max", n_replicates="count").reset_index()


def _draw(axes: Axes, panel: Panel, marks: dict[str, Mark]) -> None:
    offsets = np.linspace(-0.16, 0.16, len(marks)) if len(marks) > 1 else [0.0]
    if panel.base is not None:
        half = 0.08 * len(panel.ticks) + 0.06
        axes.axvspan(panel.base - half, panel.base + half, color=_BASE, linewidth=0, zorder=-1)
    for (method, mark), offset in zip(marks.items(), offsets, strict=True):
        line = panel.points[panel.points["method"] == method].sort_values("place")
        if len(line):
            axes.errorbar(
                line["place"] + offset, line["mean"], yerr=range_lengths(line),
                color=mark.colour, marker=mark.marker, markersize=3.0, elinewidth=0.7,
                capsize=1.4, capthick=0.7, zorder=3, gid=f"mean {method}",
            )  # fmt: skip
        for value in panel.level.loc[panel.level["method"] == method, "mean"]:
            axes.axhline(
                value, color=mark.colour, linewidth=0.8, linestyle=(0, (2.2, 1.6)), zorder=2,
                gid=f"level {method}",
            )  # fmt: skip
    axes.set_xticks(range(len(panel.ticks)), panel.ticks)
    axes.set_xlim(-0.5, len(panel.ticks) - 0.5)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.axis)


def _legend(
    figure: Figure,
    spare: Axes | None,
    panels: Sequence[Panel],
    marks: dict[str, Mark],
    labels: Mapping[str, str] | None,
) -> None:
    """Put the legend into the last place of the grid if it is free, else below."""
    handles = method_handles(marks, labels, 3.4)
    sets = f"{data_sets(pd.concat([panel.points['n_replicates'] for panel in panels]))} a point"
    kinds = [Line2D([], [], color=FAINT, marker="o", markersize=3.4, label=sets)]
    if any(panel.base is not None for panel in panels):
        kinds.append(
            Line2D([], [], color=_BASE, linewidth=6, solid_capstyle="butt", label="base setting")
        )
    if any(len(panel.level) for panel in panels):
        kinds.append(
            Line2D(
                [], [], color=FAINT, linewidth=0.8, linestyle=(0, (2.2, 1.6)),
                label="without a contrast to vary",
            )
        )  # fmt: skip
    if spare is not None:
        spare.legend(handles=handles + kinds, loc="center", labelspacing=0.7)
        return
    width = 4
    lines = [handles[start : start + width] for start in range(0, len(handles), width)]
    ordered, width = row_major(*lines, kinds)
    figure.legend(handles=ordered, loc="outside lower center", ncols=width)
