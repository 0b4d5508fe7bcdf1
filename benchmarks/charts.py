"""The benchmark's figures, in the look of all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    INK,
    SMALL,
    Mark,
    new_figure,
    save,
    styled,
)
from contestants import (
    NMF_TORCH,
    OURS,
    PUBLISHED,
    SAFEGUARDED,
    SKLEARN_CD,
    SKLEARN_MU,
    UPDATES_ONLY,
)

MARKS = {
    PUBLISHED: Mark("#7A7A7A", "s"),
    UPDATES_ONLY: Mark("#BDBDBD", "s"),
    SKLEARN_MU: Mark("#56B4E9", "v"),
    SKLEARN_CD: Mark("#0072B2", "D"),
    NMF_TORCH: Mark("#E69F00", "^"),
    OURS: Mark("#D55E00", "o"),
    SAFEGUARDED: Mark("#882255", "p"),
}
LOSS_NAMES = {"squared_error": "Squared error", "poisson": "Poisson"}
# The house style has no formulas, with which matplotlib would write powers of ten.
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
_LINE_STYLES = ("-", "--", ":", "-.")


def speed(table: pd.DataFrame, out: Path) -> None:
    """Draw milliseconds per iteration of every contestant, size and loss, largest K."""
    for device, rows in table.groupby("device"):
        # A difference of two times may come out below zero where it is tiny.
        shown = rows[(rows["k"] == rows["k"].max()) & (rows["ms_per_iteration"] > 0)]
        if not shown.empty:
            name = "speed" if device == "cpu" else f"speed_{device}"
            unit = "Milliseconds per iteration"
            _save(_bars(shown, "ms_per_iteration", unit), out, name)


def memory(table: pd.DataFrame, out: Path) -> None:
    """Draw peak memory of every contestant, size and loss."""
    shown = table[table["peak_MB"].notna()]
    if not shown.empty:
        _save(_bars(shown, "peak_MB", "Peak memory (MB), data included"), out, "memory")


@styled
def _bars(table: pd.DataFrame, column: str, title: str) -> Figure:
    sizes = table[["target_cells", "background_cells"]].drop_duplicates().to_numpy().tolist()
    losses = [loss for loss in LOSS_NAMES if loss in set(table["loss"])]
    figure = new_figure(DOUBLE_COLUMN, 0.5 + 1.5 * len(losses))
    panels = figure.subplots(len(losses), len(sizes), squeeze=False)
    for line, loss in zip(panels, losses, strict=True):
        for axes, (target, background) in zip(line, sizes, strict=True):
            rows = table[
                (table["loss"] == loss)
                & (table["target_cells"] == target)
                & (table["background_cells"] == background)
            ]
            _bar_panel(axes, rows, column, names=axes is line[0])
            axes.set_title(f"{LOSS_NAMES[loss]}, {target} + {background} cells")
    for axes in panels[-1]:
        axes.set_xlabel(title)
    return figure


def _bar_panel(axes: Axes, rows: pd.DataFrame, column: str, names: bool) -> None:
    labels = [
        f"{row.contestant}, {row.threads} threads" if row.threads > 1 else row.contestant
        for row in rows.itertuples()
    ]
    places = np.arange(len(rows))[::-1]
    colours = [MARKS[name].colour for name in rows["contestant"]]
    values = rows[column].to_numpy()
    axes.barh(places, values, color=colours, height=0.7)
    axes.set_xscale("log")
    # A logarithmic bar has no natural root: all of them start below the shortest.
    axes.set_xlim(values.min() / 2, 6 * values.max())
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:.3g}", (value, place), (2, 0), textcoords="offset points",
            va="center", fontsize=SMALL,
        )  # fmt: skip
    axes.set_yticks(places, labels if names else [""] * len(labels))
    axes.tick_params(axis="y", length=0)


@styled
def _scaling(table: pd.DataFrame) -> Figure:
    figure = new_figure(DOUBLE_COLUMN, 2.4)
    series = list(dict.fromkeys(table["series"]))
    titles = {"cells": "More cells, same density", "density": "Denser data, same cells"}
    for axes, name in zip(figure.subplots(1, len(series), squeeze=False)[0], series, strict=True):
        for loss, rows in table[table["series"] == name].groupby("loss", sort=False):
            colour = {"squared_error": MARKS[OURS].colour, "poisson": "#CC79A7"}[loss]
            x = rows["stored_values"].to_numpy() / 1e6
            axes.plot(x, rows["ms_per_iteration"], "o", color=colour)
            ends, first = np.array([0, x.max()]), rows.iloc[0]
            line = first["intercept_ms"] + first["slope_ns_per_stored_value"] * ends
            label = (
                f"{LOSS_NAMES[loss]}: {first['slope_ns_per_stored_value']:.3g} ns per stored "
                f"value, R² {first['r_squared']:.4f}"
            )
            axes.plot(ends, line, color=colour, label=label)
        axes.set(title=titles[name], xlabel="Stored values (millions)")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
        axes.legend(loc="upper left")
    figure.axes[0].set_ylabel("Milliseconds per iteration")
    return figure


def scaling(table: pd.DataFrame, out: Path) -> None:
    """Draw milliseconds per iteration against stored values."""
    _save(_scaling(table), out, "scaling")


@styled
def _curves(table: pd.DataFrame) -> Figure:
    settings = table[["dataset", "contrast", "alpha"]].drop_duplicates()
    settings = list(settings.itertuples(index=False))
    figure = new_figure(DOUBLE_COLUMN, 0.4 + 1.7 * len(settings))
    panels = figure.subplots(len(settings), 2, squeeze=False)
    for line, setting in zip(panels, settings, strict=True):
        rows = table[(table["dataset"] == setting.dataset) & (table["alpha"] == setting.alpha)]
        for axes, column in zip(line, ("seconds", "passes"), strict=True):
            _curve_panel(axes, rows, column)
            axes.set_title(f"{setting.dataset}, {setting.contrast}")
        line[0].set_ylabel("Gap / contrast explained")
    panels[-1][0].set_xlabel("Seconds, set-up included")
    panels[-1][1].set_xlabel("Passes over the data")
    names = list(dict.fromkeys(table["contestant"]))
    handles = [Line2D([], [], color=MARKS[name].colour, label=name) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(names), 5))
    return figure


def _curve_panel(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for (name, start), run in rows.groupby(["contestant", "start"], sort=False):
        axes.plot(
            run[column], run["gap_of_explained"].clip(lower=1e-6), color=MARKS[name].colour,
            linestyle=_LINE_STYLES[int(start) % len(_LINE_STYLES)], linewidth=0.8,
        )  # fmt: skip
    for level in (1e-2, 1e-3):
        axes.axhline(level, color=FAINT, linewidth=0.5, linestyle=(0, (1, 2)), zorder=0)
        axes.annotate(
            f"{level:.1%}", (1, level), (-1, 1), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom", fontsize=SMALL, color=INK,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_PLAIN)
        axis.set_minor_formatter(NullFormatter())


def curves(table: pd.DataFrame, out: Path) -> None:
    """Draw the gap to the best known objective against seconds and against passes."""
    _save(_curves(table), out, "time_to_objective")


def _save(figure: Figure, out: Path, name: str) -> None:
    save(figure, out / f"{name}.pdf", out / f"{name}.png")
