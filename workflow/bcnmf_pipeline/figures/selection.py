"""How well topics reproduce, and how specific they are, over numbers of topics and contrasts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcnmf_pipeline.figures.style import DOUBLE_COLUMN, FAINT, INK, SMALL, new_figure, styled
from bcnmf_pipeline.figures.tables import require_columns, short_number

_COLUMNS = ("k", "alpha", "stability", "specificity", "eligible", "equally_good", "recommended")


@styled
def plot_selection(summary: pd.DataFrame) -> Figure:
    """Draw stability and specificity as two heatmaps with the numbers in their cells.

    Parameters
    ----------
    summary : DataFrame
        `bcnmf.selection.Selection.summary`.

    Returns
    -------
    Figure
        Rows are K, columns alpha. Numbers of refused settings are grey and in brackets. A thick
        frame marks the recommended one, thin ones those that are as good within their error; where
        nothing is recommended, a line says so.

    Raises
    ------
    InputError
        A column is missing, or there is no row.
    """
    require_columns(summary, _COLUMNS, "selection summary")
    rows = summary["k"].nunique()
    figure = new_figure(DOUBLE_COLUMN, 0.75 + 0.26 * max(rows, 2))
    left, right = figure.subplots(1, 2)
    _heatmap(
        left, summary, summary["stability"], (0, 1), "Stability (cosine of the halves' topics)"
    )
    doublings = np.log2(summary["specificity"].clip(lower=2.0**-4, upper=2.0**5))
    _heatmap(right, summary, doublings, (-1, 4), "Specificity (target / background)", "specificity")
    if not summary["recommended"].any():
        figure.suptitle("No setting is recommended: all are refused", fontsize=SMALL)
    return figure


def _heatmap(
    axes: Axes,
    summary: pd.DataFrame,
    colour: pd.Series,
    limits: tuple[float, float],
    title: str,
    shown: str = "stability",
) -> None:
    ks, alphas = (sorted(summary[name].unique()) for name in ("k", "alpha"))
    grid = np.full((len(ks), len(alphas)), np.nan)
    for row, value in zip(summary.itertuples(), colour, strict=True):
        place = ks.index(row.k), alphas.index(row.alpha)
        grid[place] = value
        number = getattr(row, shown)
        text = f"{number:.2f}" if number < 9.995 else f"{number:.0f}"
        dark = (value - limits[0]) / (limits[1] - limits[0]) > 0.6
        axes.text(
            place[1], place[0], text if row.eligible else f"({text})", ha="center", va="center",
            fontsize=SMALL, color=FAINT if not row.eligible else "white" if dark else INK,
        )  # fmt: skip
        if not row.eligible:
            grid[place] = np.nan
        if row.equally_good:
            # Inside its cell, so that frames of neighbours do not cover each other.
            corner = (place[1] - 0.47, place[0] - 0.44)
            width = 1.8 if row.recommended else 0.6
            axes.add_patch(
                Rectangle(corner, 0.94, 0.88, fill=False, edgecolor=INK, linewidth=width, zorder=3)
            )
    axes.imshow(grid, cmap="Blues", vmin=limits[0], vmax=limits[1] * 1.15, aspect="auto")
    axes.set_xticks(range(len(alphas)), [short_number(alpha) for alpha in alphas])
    axes.set_yticks(range(len(ks)), [str(k) for k in ks])
    axes.set_xlabel("Contrast α")
    axes.set_ylabel("Topics K")
    axes.set_title(title)
    axes.tick_params(length=0)
