"""Scores of every method on one study: bars, single runs, and what the paper reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.figures.representative import AUTOMATIC
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    INK,
    SINGLE_COLUMN,
    Mark,
    method_marks,
    new_figure,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    method_label,
    methods_in,
    require_columns,
    short_number,
    shorten,
)

REPRESENTATIONS = {
    "ari_usage": "k-means on usage",
    "ari_usage_share": "k-means on usage share",
    "ari_umap": "k-means on UMAP",
    "ari_usage_merged": "on usage, clusters\nmerged by majority label",
}
TARGET_SCORE = {"ari_target_score": "k-means on target score"}
_COLUMNS = ("method", "k", "alpha", "seed", "replicate", "score", "value")


@styled
def plot_scores(
    scores: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    unit: str = "unit",
    target_score: bool = False,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the adjusted Rand indices of one study, a row per method, K and alpha.

    Parameters
    ----------
    scores : DataFrame
        Rows of one study: method, k, alpha, seed, replicate, score, value; `reported` if known.
    methods : sequence of str, optional
        Methods from top to bottom.
    labels : mapping, optional
        Names of methods.
    unit : str
        What a unit is (mouse, donor), where the scores have unit-level figures.
    target_score : bool
        Whether the first panel is about the target score.
    automatic : collection of str
        Methods with automatic alphas, whose rows are weak, middle and strong rather than values,
        since these differ between replicates.

    Returns
    -------
    Figure
        One panel per representation. Bars: means over runs (replicates x seeds); dots: runs, where
        there are several; diamonds: reported values.
        Squares, where units exist: the ARI over units; lines: the 95% interval of the row-level ARI
        when whole units are resampled, of the first run (lowest replicate and seed).

    Raises
    ------
    InputError
        A column is missing, several studies are mixed, or no ARI is there.
    """
    known = (TARGET_SCORE if target_score else {}) | REPRESENTATIONS
    shown, rows, _ = _rows_and_panels(scores, methods, labels, automatic, known)
    has_units = scores["score"].astype(str).str.endswith("_units").any()
    width = DOUBLE_COLUMN if len(shown) > 1 else SINGLE_COLUMN + 0.6
    figure = new_figure(width, 1.15 + len(rows) * (0.30 if has_units else 0.21))
    draw_scores(
        figure, scores, methods=methods, labels=labels, unit=unit, automatic=automatic, known=known
    )
    return figure


def draw_scores(
    figure: Figure | SubFigure,
    scores: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    unit: str = "unit",
    automatic: Collection[str] = AUTOMATIC,
    known: Mapping[str, str] = REPRESENTATIONS,
) -> list[Axes]:
    """Draw what `plot_scores` does into a figure, or a part of one; return its panels.

    `known` are the scores that there may be, with the titles of their panels.
    """
    shown, rows, table = _rows_and_panels(scores, methods, labels, automatic, known)
    marks = method_marks(list(dict.fromkeys(key[0] for key, _ in rows)))
    has_units = table["score"].astype(str).str.endswith("_units").any()
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    for axes, score in zip(panels, shown, strict=True):
        for place, (key, _) in enumerate(rows):
            of_setting = table[(table["method"] == key[0]) & (table["setting"] == key[1])]
            _row(axes, place, of_setting, score, marks[key[0]])
        axes.set_title(known[score])
        axes.set_xlabel("Adjusted Rand index")
    _finish(panels, rows, table, shown)
    _legend(figure, table, unit, has_units)
    return list(panels)


def _rows_and_panels(
    scores: pd.DataFrame,
    methods: Sequence[str] | None,
    labels: Mapping[str, str] | None,
    automatic: Collection[str],
    known: Mapping[str, str],
) -> tuple[list[str], list[tuple[tuple[str, str], str]], pd.DataFrame]:
    """Return the scores that are shown, the rows from top to bottom, and their table."""
    require_columns(scores, _COLUMNS, "scores")
    studies = scores["study"].unique() if "study" in scores else []
    if len(studies) > 1:
        raise InputError(
            f"table scores, column study: found {len(studies)} studies; "
            "this figure shows one; select the rows of one study"
        )
    shown = [score for score in known if score in set(scores["score"])]
    if not shown:
        raise InputError(
            f"table scores, column score: found {', '.join(map(str, pd.unique(scores['score'])))}; "
            f"needed one of {', '.join(known)}; run the evaluation of this study again"
        )
    methods = methods_in(scores, methods, "scores")
    table = with_settings(scores[scores["method"].isin(methods)], automatic)
    return shown, setting_rows(table, methods, labels), table


def with_settings(scores: pd.DataFrame, automatic: Collection[str] = AUTOMATIC) -> pd.DataFrame:
    """Add columns setting (what makes a row of the figure) and setting_text to scores of a study.

    Automatic alphas are numbered from weak to strong within each replicate and K.
    """
    table = scores.assign(alpha=pd.to_numeric(scores["alpha"]))
    # Text tables keep ten digits: settings must not fall apart by the eleventh.
    table["alpha"] = table["alpha"].map(lambda alpha: float(f"{alpha:.9g}"))
    is_automatic = table["method"].isin(list(automatic)) & table["alpha"].notna()
    groups = ["method", "replicate", "k"]
    rank = table.groupby(groups)["alpha"].rank(method="dense")
    number = rank.groupby([table[column] for column in ("method", "k")]).transform("max")
    several_k = table.groupby("method")["k"].transform("nunique") > 1
    table["setting"] = [
        f"{k}|auto{int(r)}" if auto else f"{k}|{alpha:.9g}"
        for k, alpha, r, auto in zip(
            table["k"], table["alpha"], rank.fillna(0), is_automatic, strict=True
        )
    ]
    spans = table.groupby(["method", "setting"])["alpha"].agg(["min", "max"])
    texts = []
    for row, r, n, auto, k_too in zip(
        table.itertuples(), rank, number, is_automatic, several_k, strict=True
    ):
        parts = [f"K = {row.k}"] if k_too else []
        if auto:
            low, high = spans.loc[(row.method, row.setting)]
            span = short_number(low, 2)
            if short_number(high, 2) != span:
                span = f"{span}–{short_number(high, 2)}"
            parts.append(f"α = {span} ({int(r)} of {int(n)})")
        elif not np.isnan(row.alpha):
            parts.append(f"α = {short_number(row.alpha)}")
        texts.append(", ".join(parts))
    return table.assign(setting_text=texts)


def setting_rows(
    table: pd.DataFrame,
    methods: Sequence[str],
    labels: Mapping[str, str] | None,
    between: str = "\n",
) -> list[tuple[tuple[str, str], str]]:
    """Return ((method, setting), text) from top to bottom, for a table of `with_settings`."""
    rows = []
    for method in methods:
        of_method = table[table["method"] == method].drop_duplicates("setting")
        if of_method["setting"].str.contains("auto").any():
            of_method = of_method.sort_values(["k", "alpha"])
        for row in of_method.itertuples():
            name = shorten(method_label(method, labels), 28)
            text = f"{name}{between}{row.setting_text}" if row.setting_text else name
            rows.append(((method, row.setting), text))
    return rows


def _row(axes: Axes, place: int, runs: pd.DataFrame, score: str, mark: Mark) -> None:
    values = runs.loc[runs["score"] == score, "value"].dropna().to_numpy(dtype=float)
    if not values.size:
        axes.text(0.015, place, "–", color=FAINT, va="center_baseline")
        return
    mean = values.mean()
    axes.barh(place, mean, height=0.56, color=mark.colour, alpha=0.55, linewidth=0, zorder=1)
    if values.size > 1:
        jitter = np.random.default_rng(derive_seed("jitter", score, place)).uniform(
            -0.19, 0.19, values.size
        )
        axes.scatter(
            values, place + jitter, s=5, color=mark.colour, edgecolors="white", linewidths=0.25,
            zorder=3, gid="runs",
        )  # fmt: skip
    _units(axes, place + 0.40, runs, score)
    if "reported" in runs:
        reported = runs.loc[runs["score"] == score, "reported"].dropna()
        if len(reported):
            axes.scatter(
                reported.iloc[0], place, s=20, marker="D", facecolors="white", edgecolors=INK,
                linewidths=0.9, zorder=5, gid="reported",
            )  # fmt: skip


def _units(axes: Axes, y: float, runs: pd.DataFrame, score: str) -> None:
    """Draw the unit-level ARI (mean over runs) and the interval of the first run."""
    unit = runs.loc[runs["score"] == f"{score}_units", "value"].dropna()
    if unit.empty:
        return
    first = runs.sort_values(["replicate", "seed"], kind="stable")
    low, high = (
        first.loc[first["score"] == f"{score}_units_{end}", "value"].dropna()
        for end in ("low", "high")
    )
    if len(low) and len(high):
        axes.plot(
            [low.iloc[0], high.iloc[0]], [y, y], color=FAINT, linewidth=1.2,
            solid_capstyle="butt", zorder=2, gid="interval",
        )  # fmt: skip
    axes.scatter(unit.mean(), y, s=11, marker="s", color=INK, linewidths=0, zorder=4, gid="units")


def _finish(
    panels: Sequence[Axes],
    rows: list[tuple[tuple[str, str], str]],
    table: pd.DataFrame,
    shown: list[str],
) -> None:
    panels[0].set_yticks(range(len(rows)), [text for _, text in rows], linespacing=1.0)
    panels[0].set_ylim(len(rows) - 0.35, -0.5)
    drawn = table[table["score"].astype(str).str.startswith(tuple(shown))]
    lowest = min(0.0, drawn["value"].min())
    panels[0].set_xlim(lowest - 0.03, 1.03)
    for axes in panels:
        axes.axvline(0, color=INK, linewidth=0.6, zorder=2)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.xaxis.grid(True, color="#E4E4E4", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def _legend(figure: Figure | SubFigure, table: pd.DataFrame, unit: str, has_units: bool) -> None:
    runs = table.groupby(["method", "setting", "score"])["value"].count()
    handles: list[Line2D] = []
    if runs.max() > 1:
        handles.append(
            Line2D([], [], linestyle="none", marker="o", markersize=2.6, color=FAINT, label="run")
        )
        handles.append(
            Line2D(
                [], [], color=FAINT, alpha=0.55, linewidth=5, solid_capstyle="butt", label="mean"
            )
        )
    if "reported" in table and table["reported"].notna().any():
        handles.append(
            Line2D(
                [], [], linestyle="none", marker="D", markersize=4.4, markerfacecolor="white",
                markeredgecolor=INK, markeredgewidth=0.9, label="reported",
            )
        )  # fmt: skip
    if has_units:
        handles.append(
            Line2D(
                [], [], linestyle="none", marker="s", markersize=3.4, color=INK,
                label=f"{shorten(unit, 28)}-level (majority of its rows)",
            )
        )  # fmt: skip
        handles.append(
            Line2D(
                [], [], color=FAINT, linewidth=1.2,
                label=f"95% interval, each {shorten(unit, 28)} resampled whole (first run)",
            )
        )  # fmt: skip
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
