"""The beta series: score against the strength of the shared programs, one line per method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.representative import AUTOMATIC, representative_rows
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    SINGLE_COLUMN,
    Mark,
    method_marks,
    new_figure,
    row_major,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    SCORE_LABELS,
    data_sets,
    method_handles,
    methods_in,
    range_lengths,
    require_columns,
)
from bcnmf_pipeline.plan.drivers import beta_of

SCORES = ("ari_usage", "ari_usage_share", "ari_umap")
_COLUMNS = ("study", "method", "k", "alpha", "seed", "replicate", "score", "value")


@styled
def plot_beta(
    scores: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    betas: Mapping[str, float] | None = None,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw each score against beta with the values that the paper reports.

    Parameters
    ----------
    scores : DataFrame
        Columns study, method, k, alpha, seed, replicate, score, value; `reported` if known. Studies
        without a beta are left out.
    methods : sequence of str, optional
        Methods in the order of the legend.
    labels : mapping, optional
        Names of methods.
    betas : mapping of study to beta, optional
        By default the number after "beta" in the study's name.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        One panel per score. Points are means over data replicates (of each, the mean over its
        seeds), bars from the lowest to the highest data replicate.

    Raises
    ------
    InputError
        A column is missing or no study has a beta.
    """
    require_columns(scores, _COLUMNS, "scores")
    table = scores.assign(beta=_betas(scores["study"], betas))
    table = table[table["beta"].notna() & table["score"].isin(SCORES)]
    if table.empty:
        raise InputError(
            "table scores, column study: no study of a beta series with an ARI; found "
            f"{', '.join(map(str, pd.unique(scores['study'])))}; "
            "name studies <name>_beta<number>, or leave this figure out"
        )
    methods = methods_in(table, methods, "scores")
    values = beta_means(table, methods, automatic)
    marks = method_marks(methods)
    shown = [score for score in SCORES if score in set(values["score"])]
    ticks = sorted(values["beta"].unique())
    width = DOUBLE_COLUMN if len(shown) > 1 else SINGLE_COLUMN
    figure = new_figure(width, 2.75 if len(shown) > 1 else 3.1)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, score in zip(panels, shown, strict=True):
        _panel(axes, values[values["score"] == score], ticks, marks)
        axes.set_title(SCORE_LABELS[score])
    panels[0].set_ylabel("Adjusted Rand index")
    _legend(figure, values, marks, labels, columns=6 if len(shown) > 1 else 2)
    return figure


def beta_means(
    table: pd.DataFrame, methods: Sequence[str], automatic: Collection[str] = AUTOMATIC
) -> pd.DataFrame:
    """Return mean and range over data replicates of the setting shown of each method.

    Parameters
    ----------
    table : DataFrame
        Scores with a column beta.
    methods : sequence of str
        Methods to keep.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    DataFrame
        method, beta, score, mean, low, high, n_replicates, reported.
    """
    rows = representative_rows(table, methods, automatic=automatic)
    if "reported" not in rows:
        rows = rows.assign(reported=np.nan)
    keys = ["method", "beta", "score"]
    # Seeds of one data set are no replicates of the experiment: they are averaged first.
    by_replicate = rows.groupby([*keys, "replicate"], sort=False).agg(
        value=("value", "mean"), reported=("reported", "first")
    )
    grouped = by_replicate.reset_index().groupby(keys, sort=False)
    return grouped.agg(
        mean=("value", "mean"),
        low=("value", "min"),
        high=("value", "max"),
        n_replicates=("value", "count"),
        reported=("reported", "first"),
    ).reset_index()


def _betas(studies: pd.Series, betas: Mapping[str, float] | None) -> pd.Series:
    if betas is not None:
        return studies.map(betas).astype(float)
    return studies.astype(str).map(beta_of).astype(float)


def _panel(axes: Axes, values: pd.DataFrame, ticks: list[float], marks: dict[str, Mark]) -> None:
    places = {beta: place for place, beta in enumerate(ticks)}
    offsets = np.linspace(-0.17, 0.17, len(marks)) if len(marks) > 1 else [0.0]
    axes.axhline(0, color="#D9D9D9", linewidth=0.6, zorder=0)
    for (method, mark), offset in zip(marks.items(), offsets, strict=True):
        line = values[values["method"] == method].sort_values("beta")
        x = line["beta"].map(places).to_numpy(dtype=float) + offset
        reported = line["reported"].to_numpy(dtype=float)
        known = np.isfinite(reported)
        if known.any():
            axes.plot(
                x[known], reported[known], linestyle=(0, (2.2, 1.6)), linewidth=0.7,
                color=mark.colour, marker=mark.marker, markersize=5.6, markerfacecolor="none",
                markeredgewidth=0.6, zorder=2, gid=f"reported {method}",
            )  # fmt: skip
        axes.errorbar(
            x, line["mean"], yerr=range_lengths(line), color=mark.colour, marker=mark.marker,
            markersize=3.2, elinewidth=0.8, capsize=1.6, capthick=0.8, zorder=3,
            gid=f"mean {method}",
        )  # fmt: skip
    axes.set_xticks(range(len(ticks)), [f"{beta:g}" for beta in ticks])
    axes.set_xlim(-0.4, len(ticks) - 0.6)
    lowest = min(0.0, values["low"].min())
    axes.set_ylim(lowest - 0.06, 1.06)
    axes.set_xlabel("β (strength of the shared programs)")


def _legend(
    figure: Figure,
    values: pd.DataFrame,
    marks: dict[str, Mark],
    labels: Mapping[str, str] | None,
    columns: int,
) -> None:
    handles = method_handles(marks, labels, 3.6)
    sets = data_sets(values["n_replicates"])
    kinds = [Line2D([], [], color=FAINT, marker="o", markersize=3.6, label=f"this run ({sets})")]
    if values["reported"].notna().any():
        kinds.append(
            Line2D(
                [], [], color=FAINT, marker="o", markersize=5.6, markerfacecolor="none",
                markeredgewidth=0.6, linewidth=0.7, linestyle=(0, (2.2, 1.6)), label="reported",
            )
        )  # fmt: skip
    lines = [handles[start : start + columns] for start in range(0, len(handles), columns)]
    ordered, width = row_major(*lines, kinds)
    figure.legend(handles=ordered, loc="outside lower center", ncols=width)
