"""One study for each value of a column: shares above side by side, and leading genes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcnmf_pipeline.figures.representative import AUTOMATIC, representative_runs
from bcnmf_pipeline.figures.shares import (
    CLASSIFIER,
    class_mark,
    draw_classifier,
    draw_shares,
    line_handles,
)
from bcnmf_pipeline.figures.style import DOUBLE_COLUMN, OTHER, new_figure, panel_letter, styled
from bcnmf_pipeline.figures.tables import distinct, method_label, require_columns, shorten

_GENES = 36
_ROW = 0.17  # inches of one value


@styled
def plot_each(
    shares: pd.DataFrame,
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    *,
    method: str,
    each: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the shares above and the leading genes of the studies that a column `each` makes.

    Parameters
    ----------
    shares : DataFrame
        Rows of all studies: study, method, column, n, share, low, high, chance; the row of all
        samples has no column. A study that could not be cross-fitted has none.
    topics : DataFrame
        study, method, k, alpha, replicate, seed, topic, mean_usage.
    loadings : DataFrame
        study, method, k, alpha, replicate, seed, topic, feature, loading.
    method : str
        Whose shares and topics are shown.
    each : mapping
        Study to ``column=value``.
    labels : mapping, optional
        Names of methods.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        a: share above of each value, with its 95% interval. b: what the topics hold of each gene in
        the mean target sample, relative to the gene of which they hold most; the genes that lead in
        each value, those that lead in many first.

    Raises
    ------
    InputError
        A column is missing, or a study lacks the method.
    """
    if len(shares):  # else nothing could be cross-fitted
        require_columns(
            shares, ("study", "column", "n", "share", "low", "high", "chance"), "shares"
        )
    require_columns(topics, ("study", "topic", "mean_usage"), "topics")
    require_columns(loadings, ("study", "topic", "feature", "loading"), "loadings")
    values = {study: cell.partition("=")[2] for study, cell in each.items()}
    shares = shares[shares["column"] == ""]
    shares = shares.assign(group=shares["study"].map(values))
    held, settings = {}, set()
    for study, value in values.items():
        of_study = topics[topics["study"] == study]
        (one,) = representative_runs(of_study, [method], automatic=automatic)
        settings.add(one.setting)
        held[value] = held_by_topics(
            one.rows(of_study, "topics"),
            one.rows(loadings[loadings["study"] == study], "loadings"),
        )
    own = shares[shares["method"] == method].set_index("group")
    table = own.reindex(list(held)).rename_axis("group").reset_index()
    table = table.assign(label=None, place=np.arange(len(table), dtype=float))
    grid = gene_grid(held)
    figure = new_figure(DOUBLE_COLUMN, 1.65 + _ROW * max(len(grid), 4))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.0, 2.6])
    draw_shares(left, table, class_mark(None))
    draw_classifier(left, table, shares[shares["method"] == CLASSIFIER])
    left.set_title(shorten(next(iter(each.values())).partition("=")[0], 28))
    _heatmap(right, grid)
    right.set_title(f"{shorten(method_label(method, labels), 28)}, {'; '.join(sorted(settings))}")
    for axes, letter in ((left, "a"), (right, "b")):
        panel_letter(axes, letter)
    figure.legend(handles=line_handles(shares), loc="outside lower center", ncols=2)
    return figure


def held_by_topics(topics: pd.DataFrame, loadings: pd.DataFrame) -> pd.Series:
    """Return what the topics of a fit hold of each feature in the mean target sample.

    That is the sum over topics of mean usage times loading, relative to the largest.
    """
    usage = loadings["topic"].map(topics.set_index("topic")["mean_usage"])
    held = (usage * loadings["loading"]).groupby(loadings["feature"]).sum()
    return held / (held.abs().max() or 1.0)


def gene_grid(held: Mapping[str, pd.Series], n_features: int = _GENES) -> pd.DataFrame:
    """Return values x leading features, those that are strong in most values first.

    The first feature of every value, then the second, and so on, each once. What is not stored of a
    feature is missing.
    """
    ranked = [one.sort_values(ascending=False, kind="stable").index for one in held.values()]
    in_turn = [
        names[place] for place in range(n_features) for names in ranked if place < len(names)
    ]
    wide = pd.DataFrame(held).T[list(dict.fromkeys(in_turn))[:n_features]]
    order = wide.fillna(0.0).mean().sort_values(ascending=False, kind="stable").index
    return wide[order]


def _heatmap(axes: Axes, grid: pd.DataFrame) -> None:
    signed = bool((grid < 0).any(axis=None))
    image = axes.imshow(
        np.ma.masked_invalid(grid.to_numpy(dtype=float)), aspect="auto", interpolation="nearest",
        cmap="PuOr_r" if signed else "Purples", vmin=-1 if signed else 0, vmax=1,
    )  # fmt: skip
    # Grey lies below the image alone: the axis, which both panels share, is longer.
    rows, columns = grid.shape
    axes.add_patch(
        Rectangle((-0.5, -0.5), columns, rows, facecolor="#E8E8E8", linewidth=0, zorder=-1)
    )
    names = [str(name) for name in grid.columns]
    axes.set_xticks(range(len(names)), distinct(names, 16), rotation=90)
    axes.tick_params(axis="both", length=0, labelleft=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, aspect=12)
    bar.set_label("Held by the topics,\nrelative to the largest")
    bar.outline.set(linewidth=0.4, edgecolor=OTHER)
