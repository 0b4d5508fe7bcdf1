"""How the objective falls: one panel per method and setting, one line per run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from bcnmf_pipeline.figures.representative import AUTOMATIC
from bcnmf_pipeline.figures.scores import with_settings
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    SINGLE_COLUMN,
    SMALL,
    Mark,
    grid_columns,
    method_marks,
    new_figure,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    method_label,
    methods_in,
    power_of_ten,
    require_columns,
    shorten,
    superscript,
    with_unit,
)

_COLUMNS = ("method", "k", "alpha", "replicate", "seed", "evaluation", "objective")
# Of the first evaluations, which for a random start lie orders of magnitude above the rest.
_SETTLED = 0.1


@styled
def plot_objective(
    traces: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the objective of every run that recorded one.

    Parameters
    ----------
    traces : DataFrame
        Rows of one study: method, k, alpha, replicate, seed, evaluation, objective; `name` says
        what the objective is.
    methods : sequence of str, optional
        Methods in the order of the panels.
    labels : mapping, optional
        Names of methods.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        One panel per method, K and alpha. The horizontal axis (evaluations, from 1) is
        logarithmic; the vertical one shows the range after the first tenth of it, and says so where
        earlier values lie above. A contrast may be negative: zero is marked where it is in range.

    Raises
    ------
    InputError
        A column is missing, or no trace is there.
    """
    require_columns(traces, _COLUMNS, "traces")
    # The helper of the scores' rows sorts alphas in the same way.
    methods = methods_in(traces, methods, "traces")
    table = with_settings(traces[traces["method"].isin(methods)], automatic)
    order = {method: place for place, method in enumerate(methods)}
    keys = table[["method", "setting", "setting_text"]].drop_duplicates(["method", "setting"])
    keys = keys.sort_values("method", key=lambda names: names.map(order), kind="stable")
    columns = grid_columns(len(keys), 3)
    lines = -(-len(keys) // columns)
    width = SINGLE_COLUMN if columns == 1 else DOUBLE_COLUMN * (0.7 if columns == 2 else 1)
    figure = new_figure(width, lines * 1.85 + 0.1)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    marks = method_marks(methods)
    for axes, key in zip(panels, keys.itertuples(), strict=False):
        rows = table[(table["method"] == key.method) & (table["setting"] == key.setting)]
        _panel(axes, rows, marks[key.method])
        name = shorten(method_label(key.method, labels), 28)
        axes.set_title(f"{name}, {key.setting_text}" if key.setting_text else name)
    for axes in panels[len(keys) :]:
        axes.remove()
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, mark: Mark) -> None:
    last = int(rows["evaluation"].max())
    settled = rows.loc[rows["evaluation"] >= min(_SETTLED * last, last), "objective"]
    settled = settled[np.isfinite(settled)]
    exponent = power_of_ten(settled)
    unit = 10.0**exponent
    for _, run in rows.groupby(["replicate", "seed"], sort=False):
        run = run.sort_values("evaluation")
        axes.plot(
            run["evaluation"] + 1, run["objective"] / unit, color=mark.colour, linewidth=0.6,
            alpha=0.75, gid="run",
        )  # fmt: skip
    _limits(axes, rows["objective"], settled, unit)
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    axes.set_xscale("log")
    axes.set_xlim(1, max(last + 1, 2))
    ticks = [10.0**power for power in range(6) if 10**power <= last + 1]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("Evaluation")
    names = rows["name"].dropna().unique() if "name" in rows else []
    name = str(names[0]) if len(names) and str(names[0]) else "objective"
    axes.set_ylabel(with_unit(shorten(name[0].upper() + name[1:], 26), exponent))
    n_runs = rows[["replicate", "seed"]].drop_duplicates().shape[0]
    axes.text(
        0.98, 0.97, f"{n_runs} run{'s' if n_runs > 1 else ''}", transform=axes.transAxes,
        ha="right", va="top", fontsize=SMALL, color=FAINT,
    )  # fmt: skip


def _limits(axes: Axes, values: pd.Series, settled: pd.Series, unit: float) -> None:
    """Show the settled part and a little above it; say where the start lies."""
    if settled.empty:
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", color=FAINT)
        return
    low, high = float(settled.min()), float(settled.max())
    span = (high - low) or abs(high) or 1.0
    top = high + 0.35 * span
    axes.set_ylim((low - 0.08 * span) / unit, top / unit)
    if low < 0 < top:
        axes.axhline(0, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    finite = values[np.isfinite(values)]
    if finite.max() > top:
        axes.text(
            0.98, 0.86, f"highest {_scientific(finite.max())}", transform=axes.transAxes,
            ha="right", va="top", fontsize=SMALL, color=FAINT,
        )  # fmt: skip


def _scientific(value: float) -> str:
    digits, exponent = f"{value:.1e}".split("e")
    far = abs(int(exponent)) > 3
    text = f"{digits}×10{superscript(int(exponent))}" if far else f"{value:.3g}"
    return text.replace("-", "−")
