"""Is there anything at all: the contrast that a fit explains, beside refits under the null."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    INK,
    OTHER,
    SINGLE_COLUMN,
    SMALL,
    grid_columns,
    method_marks,
    new_figure,
    styled,
)
from bcnmf_pipeline.figures.tables import method_label, require_columns, shorten

_COLUMNS = ("method", "p_value", "n_refits", "by", "smallest_p")
_DRAWN = ("method", "draw", "statistic")
_WHAT = {"units": "units exchanged", "samples": "halves of the background"}


@styled
def plot_null(
    null: pd.DataFrame, draws: pd.DataFrame, *, labels: Mapping[str, str] | None = None
) -> Figure:
    """Draw the contrast that refits explain as a histogram, and a line where the fit lies.

    Parameters
    ----------
    null, draws : DataFrame
        See `bcnmf_pipeline.evaluate.null.null_tables`; of one study.
    labels : mapping, optional
        Names of methods.

    Returns
    -------
    Figure
        One panel a method; in percent of a unit's energy, target minus background. A sentence where
        nothing could be tested.

    Raises
    ------
    InputError
        A column is missing.
    """
    if null.empty:
        figure = new_figure(SINGLE_COLUMN, 0.6)
        figure.text(0.5, 0.5, "Not tested: too few samples", ha="center", va="center", color=INK)
        return figure
    require_columns(null, _COLUMNS, "null")
    require_columns(draws, _DRAWN, "null draws")
    methods = list(dict.fromkeys(null["method"]))
    columns = grid_columns(len(methods), 3)
    lines = -(-len(methods) // columns)
    width = SINGLE_COLUMN if columns == 1 else DOUBLE_COLUMN * (0.7 if columns == 2 else 1)
    figure = new_figure(width, lines * 1.85 + 0.1)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    marks = method_marks(methods)
    for axes, row in zip(panels, null.itertuples(), strict=False):
        values = draws.loc[draws["method"] == row.method].set_index("draw")["statistic"] * 100
        _panel(axes, values.drop(0).to_numpy(), float(values[0]), row, marks[row.method].colour)
        axes.set_title(shorten(method_label(row.method, labels), 28))
    for axes in panels[len(methods) :]:
        axes.remove()
    return figure


def _panel(axes: Axes, refits: np.ndarray, observed: float, row: object, colour: object) -> None:
    low, high = min(refits.min(), observed), max(refits.max(), observed)
    margin = 0.06 * (high - low or 1.0)
    edges = np.linspace(low - margin, high + margin, 41)
    axes.hist(refits, edges.tolist(), color=OTHER, gid="refits")
    axes.axvline(observed, color=colour, linewidth=1.4, gid="observed")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(top=1.35 * axes.get_ylim()[1])
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    p, smallest = float(row.p_value), float(row.smallest_p)  # type: ignore[attr-defined]
    text = f"p = {p:.2g}" + (f", {smallest:.2g} at least" if smallest > 0.05 else "")
    right = observed > (edges[0] + edges[-1]) / 2
    axes.annotate(
        text, (observed, 1), (-3 if right else 3, -2), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right" if right else "left", va="top",
        fontsize=SMALL, color=INK,
    )  # fmt: skip
    axes.set_xlabel("Contrast explained in units left out (%)" if row.by == "units"  # type: ignore[attr-defined]
                    else "Contrast explained in samples left out (%)")  # fmt: skip
    axes.set_ylabel(f"Refits ({_WHAT[row.by]})")  # type: ignore[attr-defined]
