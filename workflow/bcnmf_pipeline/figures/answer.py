"""What target samples hold that the background does not: scores, shares above, and their map."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from bcnmf_pipeline.figures.embedding import Colouring, draw_umap, name_setting
from bcnmf_pipeline.figures.representative import AUTOMATIC, Chosen, representative_runs
from bcnmf_pipeline.figures.shares import (
    CLASSIFIER,
    class_mark,
    draw_classifier,
    draw_shares,
    group_shares,
    line_handles,
    panel_height,
    with_intervals,
)
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    INK,
    class_handles,
    new_figure,
    panel_letter,
    row_major,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    REST,
    Classes,
    distinct,
    known,
    method_label,
    require_columns,
    shorten,
)

_ALL = "all of the target"
_SCORE = "Target score, cross-fitted"
_COLUMNS = (
    "method",
    "k",
    "alpha",
    "seed",
    "sample",
    "unit",
    "label",
    "score",
    "above",
    "threshold",
)
_BINS = 48
_WIDTHS = (2.0, 1.0)
_ROW = 0.23  # inches of one distribution
_THRESHOLD: dict[str, Any] = {"color": INK, "linewidth": 0.6, "linestyle": (0, (1, 1.2))}


@styled
def plot_answer(
    answer: pd.DataFrame,
    shares: pd.DataFrame,
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    *,
    method: str,
    labels: Mapping[str, str] | None = None,
    label_name: str = "",
    unit: str = "unit",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the cross-fitted target score of one method by group, and on the map of its usages.

    Parameters
    ----------
    answer : DataFrame
        Rows of one study: method, k, alpha, seed, sample, unit, label, score, above, threshold (the
        95% point of the background samples left out with the sample); unit and label are empty
        where there is none.
    shares : DataFrame
        method, k, alpha, seed, column, group, share, low, high, chance: of the method, and of the
        classifier that it is compared with; the row of all samples has no column.
    samples : DataFrame
        method, k, alpha, replicate, seed, sample, umap_1, umap_2.
    annotations : DataFrame
        sample, and columns of further annotations, of which the first is shown; it may have none.
    method : str
        Whose score is shown.
    labels : mapping, optional
        Names of methods.
    label_name, unit : str
        What the label and the unit are.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        a: distribution of the score, and share of samples above the threshold, by class of the
        label; b: UMAP of the usages, coloured by the score; c: the share by unit; d: by annotation
        and class. What the study lacks is left out.

    Raises
    ------
    InputError
        A column is missing, or the method has no rows.
    """
    name = shorten(method_label(method, labels), 28)
    if method not in set(answer["method"]):
        return _note(
            f"{name} was not cross-fitted:\ntarget or background has too few samples for that."
        )
    require_columns(answer, _COLUMNS, "answer")
    require_columns(
        shares, ("method", "column", "group", "share", "low", "high", "chance"), "shares"
    )
    require_columns(samples, ("sample", "umap_1", "umap_2"), "samples")
    answer, shares = answer.assign(replicate=0), shares.assign(replicate=0)
    (one,) = representative_runs(answer, [method], automatic=automatic)
    own = one.rows(shares, "shares")
    rows = one.rows(answer, "answer")
    rows = rows.assign(label=known(rows["label"]), unit=known(rows["unit"]))
    classes: Classes | None = Classes(rows["label"])
    if classes is not None and len(classes.entries()) < 2:
        classes = None
    chance = own.loc[own["column"] == "", "chance"].max()
    by_class = _by_class(rows, classes, _whole_named(own, label_name)).assign(chance=chance)
    further = _further(rows, own, annotations, label_name, unit)
    heights = {"score": max(2.5, 0.75 + _ROW * len(by_class))}
    if further:
        heights["further"] = 0.62 + max(panel_height(table) for table in further.values())
    beside = len(further) == 1  # the legend, below the map
    handles, columns = _legend_entries(classes, shares, 1 if beside else 4)
    title = shorten(label_name, 40) if classes else None
    legend_height = 0.15 + 0.14 * (-(-len(handles) // columns) + bool(title))
    if beside:
        heights["further"] = max(heights["further"], legend_height)
    else:
        heights["legend"] = legend_height
    figure = new_figure(DOUBLE_COLUMN, sum(heights.values()))
    parts = figure.subfigures(len(heights), 1, height_ratios=list(heights.values()), squeeze=False)
    blocks = dict(zip(heights, parts[:, 0], strict=True))
    left, right = blocks["score"].subfigures(1, 2, width_ratios=_WIDTHS)
    panel_letter(_distributions(left, rows, by_class, classes, shares, label_name), "a")
    umap = _map(right, rows, samples, one)
    umap.set_title(name)
    panel_letter(umap, "b")
    if beside:
        block, blocks["legend"] = blocks["further"].subfigures(1, 2, width_ratios=_WIDTHS)
    else:
        block = blocks.get("further")
    panels = block.subplots(1, len(further), squeeze=False)[0] if further else []
    for axes, (name, table), letter in zip(panels, further.items(), "cd", strict=False):
        draw_shares(axes, table.assign(chance=chance), class_mark(classes))
        axes.set_title(f"By {shorten(name, 28)}")
        panel_letter(axes, letter)
    blocks["legend"].legend(handles=handles, loc="center", ncols=columns, title=title)
    return figure


def _note(text: str) -> Figure:
    figure = new_figure(DOUBLE_COLUMN, 0.8)
    figure.text(0.5, 0.5, text, ha="center", va="center", color=FAINT)
    return figure


def _further(
    rows: pd.DataFrame, shares: pd.DataFrame, annotations: pd.DataFrame, label_name: str, unit: str
) -> dict[str, pd.DataFrame]:
    """Return the shares by unit and by the first annotation, where there are at least two."""
    named = annotations.drop_duplicates("sample").set_index("sample")
    columns = {unit: rows["unit"]}
    columns |= {
        name: rows["sample"].map(named[name])
        for name in named.columns
        if name not in (label_name, unit)
    }
    several = [name for name, values in columns.items() if len(known(values).dropna().unique()) > 1]
    return {
        name: group_shares(rows, columns[name], shares[shares["column"] == name])
        for name in several[:2]
    }


def _by_class(rows: pd.DataFrame, classes: Classes | None, shares: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the whole target and of each class, and which samples these are."""
    groups = {_ALL: np.full(len(rows), True)}
    if classes is not None:
        of_sample = rows["label"].map(classes.key).replace(REST, f"{classes.n_rest} other classes")
        groups |= {name: (of_sample == name).to_numpy() for name in classes.entries()}
    above = rows["above"].to_numpy(dtype=bool)
    table = [
        {"group": name, "label": None if name == _ALL else name, "place": place, "of": of,
         "n": int(of.sum()), "share": above[of].mean()}
        for place, (name, of) in enumerate(groups.items())
    ]  # fmt: skip
    return with_intervals(pd.DataFrame(table), shares)


def _distributions(
    block: SubFigure,
    rows: pd.DataFrame,
    by_class: pd.DataFrame,
    classes: Classes | None,
    shares: pd.DataFrame,
    label_name: str,
) -> Axes:
    """Draw the score's distribution of each class, and beside it the share above."""
    axes: Axes
    beside: Axes
    axes, beside = block.subplots(1, 2, sharey=True, width_ratios=[1.25, 1.0])
    score, above = rows["score"].to_numpy(dtype=float), rows["above"].to_numpy(dtype=bool)
    edges = np.linspace(score.min(), max(score.max(), score.min() + 1e-12), _BINS + 1)
    mark = class_mark(classes)
    for row in by_class.itertuples():
        every = np.histogram(score[row.of], edges)[0]
        high = np.histogram(score[row.of & above], edges)[0]
        base, scale = row.place + 0.36, 0.78 / max(every.max(), 1)
        colour = FAINT if row.group == _ALL else mark(row.label).colour
        for what, low, top, alpha in (
            ("below", np.zeros(_BINS), every - high, 0.35), ("above", every - high, every, 1.0)
        ):  # fmt: skip
            axes.stairs(
                base - scale * top, edges, baseline=base - scale * low, fill=True, color=colour,
                alpha=alpha, linewidth=0, gid=f"{what} {row.group}",
            )  # fmt: skip
    for threshold in rows["threshold"].unique():
        axes.axvline(threshold, **_THRESHOLD, gid="threshold")
    axes.set_yticks(by_class["place"], distinct(list(by_class["group"]), 22))
    axes.set_ylim(len(by_class) - 0.45, -0.6)
    axes.set_xlabel(_SCORE)
    draw_shares(beside, by_class, mark, names=False)
    rival = _whole_named(shares[shares["method"] == CLASSIFIER], label_name)
    draw_classifier(beside, by_class, rival)
    for one in (axes, beside):
        one.tick_params(axis="y", length=0)
        one.spines["left"].set_visible(False)
    return axes


def _whole_named(shares: pd.DataFrame, label_name: str) -> pd.DataFrame:
    """Return the shares of the whole target, so named, and of the classes of the label."""
    whole = shares["column"] == ""
    of_label = (shares["column"] == label_name) & (shares["group"] != "")
    return shares.assign(group=shares["group"].mask(whole, _ALL))[whole | of_label]


def _map(block: SubFigure, rows: pd.DataFrame, samples: pd.DataFrame, one: Chosen) -> Axes:
    """Draw the UMAP of the usages, coloured by the cross-fitted score."""
    axes = block.subplots()
    of_method = one.rows(samples, "samples")
    score = of_method["sample"].map(rows.set_index("sample")["score"])
    # A few extreme samples leave no colour to the others.
    score = score.clip(*score.quantile([0.01, 0.99]))
    colouring = Colouring(score, scores=True)
    draw_umap(axes, of_method.assign(label=score), colouring)
    name_setting(axes, one.setting)
    colouring.legend(block, _SCORE, DOUBLE_COLUMN / 3, [axes])
    return axes


def _legend_entries(
    classes: Classes | None, shares: pd.DataFrame, columns: int
) -> tuple[list[Line2D], int]:
    """Return the entries of the legend, classes before lines, and its number of columns."""
    lines = [
        Line2D([], [], **_THRESHOLD, label="95% point of left-out background (each fold)"),
        *line_handles(shares),
    ]
    of_classes = class_handles(classes.legend(36) if classes else {})
    if columns == 1:
        return [*of_classes, *lines], 1
    chunks = [of_classes[at : at + columns] for at in range(0, len(of_classes), columns)]
    return row_major(*chunks, lines)
