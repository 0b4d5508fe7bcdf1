"""The digits study in one figure: images, components, usages, maps, and scores over splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcnmf_pipeline.figures.basis import component_images, draw_picture
from bcnmf_pipeline.figures.embedding import Colouring, draw_umap
from bcnmf_pipeline.figures.representative import AUTOMATIC, Chosen, representative_runs
from bcnmf_pipeline.figures.scores import setting_rows, with_settings
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    INK,
    OTHER,
    SMALL,
    TEXT,
    Mark,
    bare,
    class_handles,
    method_marks,
    natural,
    new_figure,
    panel_letter,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    distinct,
    method_label,
    methods_in,
    require_columns,
    topic_columns,
)
from bcnmf_pipeline.figures.usages import draw_usages, is_signed, top_topics

SCORES = {
    "ari_usage": "k-means on usage",
    "ari_usage_merged": "on usage, clusters\nmerged by majority label",
}
_EXAMPLES = 12
# Components side by side of one method; more of them make a square.
_IN_A_LINE = 4


@styled
def plot_digits(
    examples: pd.DataFrame,
    samples: pd.DataFrame,
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    scores: pd.DataFrame,
    image_shape: Sequence[int],
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    label_name: str = "digit",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw what the paper shows of digits on natural images, with scores over the splits.

    Parameters
    ----------
    examples : DataFrame
        side, place, label, feature, value: pixels of some images.
    samples : DataFrame
        method, k, alpha, replicate, seed, sample, label, umap_1, umap_2, usage_1 ...
    topics : DataFrame
        method, k, alpha, replicate, seed, topic, p_value.
    loadings : DataFrame
        method, k, alpha, replicate, seed, topic, feature, loading, with every pixel.
    scores : DataFrame
        method, k, alpha, replicate, seed, score, value of all splits; `reported` if known.
    image_shape : sequence of int
        Rows and columns of an image.
    methods : sequence of str, optional
        Methods to show in full, from left to right; the bars show every method.
    labels : mapping, optional
        Names of methods, in the order of the bars.
    label_name : str
        What the label is.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        a: targets (with their label) and backgrounds; b: ARI of every method and alpha, mean over
        the splits, splits as dots, reported values as diamonds. Then a column a method: components
        as images; with two classes the plane of the two topics most associated with the label; the
        UMAP; the usages of all samples, sorted by label.

    Raises
    ------
    InputError
        A column is missing, or none of the methods is there.
    """
    require_columns(examples, ("side", "place", "label", "feature", "value"), "examples")
    require_columns(samples, ("label", "umap_1", "umap_2", "usage_1"), "samples")
    require_columns(topics, ("topic", "p_value"), "topics")
    require_columns(loadings, ("topic", "feature", "loading"), "loadings")
    require_columns(scores, ("score", "value", "replicate"), "scores")
    shape = tuple(int(size) for size in image_shape)
    chosen = representative_runs(samples, methods, automatic=automatic)
    colouring = Colouring(samples["label"])
    two = samples["label"].nunique() == 2
    columns = component_columns(max(one.k for one in chosen))
    lines = -(-max(one.k for one in chosen) // columns)
    means = split_means(scores, automatic)
    top = 0.75 + 0.135 * max(11, len(means.drop_duplicates(["method", "setting"])))
    heights = {
        "top": top,
        "basis": 1.25 if lines == 1 else 0.55 + 0.52 * lines,
        "usages": 2.3 if two else 0.0,
        "umap": 2.1,
        "weights": 1.1 if two else 1.9,
    }
    kept = {name: height for name, height in heights.items() if height}
    figure = new_figure(DOUBLE_COLUMN, sum(kept.values()) + 0.3)
    parts = figure.subfigures(len(kept), 1, height_ratios=list(kept.values()), squeeze=False)
    blocks = dict(zip(kept, parts[:, 0], strict=True))
    letters = iter("abcdefg")
    pictures, bars = blocks["top"].subfigures(1, 2, width_ratios=[1.0, 1.3])
    _examples(pictures, examples, shape, next(letters))
    _bars(bars, means, labels, next(letters))
    _basis(blocks["basis"], chosen, loadings, shape, labels, next(letters), (lines, columns))
    if two:
        panels = blocks["usages"].subplots(1, len(chosen), squeeze=False)[0]
        for axes, one in zip(panels, chosen, strict=True):
            rows = one.rows(samples, "samples")
            draw_usages(axes, rows, top_topics(one.rows(topics, "topics"), 2), colouring)
        panel_letter(panels[0], next(letters))
    panels = blocks["umap"].subplots(1, len(chosen), squeeze=False)[0]
    for axes, one in zip(panels, chosen, strict=True):
        draw_umap(axes, one.rows(samples, "samples"), colouring)
        axes.set_xlabel("UMAP 1")
    panels[0].set_ylabel("UMAP 2")
    panel_letter(panels[0], next(letters))
    panels = blocks["weights"].subplots(1, len(chosen), squeeze=False)[0]
    for axes, one in zip(panels, chosen, strict=True):
        draw_weights(axes, one.rows(samples, "samples"), label_name)
    panel_letter(panels[0], next(letters))
    figure.legend(
        handles=class_handles(colouring.classes.legend()),
        loc="outside lower center",
        ncols=12,
        title=label_name or None,
    )
    return figure


def component_columns(k: int) -> int:
    """Return how many of K components stand in one line."""
    return k if k <= _IN_A_LINE else int(np.ceil(np.sqrt(k)))


def split_means(scores: pd.DataFrame, automatic: Collection[str] = AUTOMATIC) -> pd.DataFrame:
    """Return one value a split: the mean over the seeds of each method, K and alpha.

    Parameters
    ----------
    scores : DataFrame
        Scores of one study.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    DataFrame
        method, k, alpha, setting, setting_text, score, replicate, value, reported.
    """
    rows = scores[scores["score"].isin(list(SCORES))]
    if "reported" not in rows:
        rows = rows.assign(reported=np.nan)
    # Seeds of one split are no replicates of the experiment: they are averaged first.
    keys = ["method", "k", "setting", "setting_text", "score", "replicate"]
    return (
        with_settings(rows, automatic)
        .groupby(keys, sort=False)
        .agg(alpha=("alpha", "first"), value=("value", "mean"), reported=("reported", "first"))
        .reset_index()
    )


def draw_weights(axes: Axes, rows: pd.DataFrame, label_name: str = "") -> None:
    """Draw the usages of all samples of a fit, sorted by label, a line a topic.

    Each topic is scaled by the largest of the 99th percentiles of its magnitudes, so that a few
    outliers do not make the rest white; signed usages are drawn from purple to orange.
    """
    labels = rows["label"].astype(str).to_numpy()
    names = sorted(set(labels), key=natural)
    order = np.concatenate([np.flatnonzero(labels == name) for name in names])
    columns = [column for column in topic_columns(rows) if rows[column].notna().all()]
    usage = rows[columns].to_numpy(dtype=float)[order].T
    scale = np.quantile(np.abs(usage), 0.99, axis=1, keepdims=True)
    usage = usage / np.where(scale > 0, scale, 1.0)
    signed = is_signed(rows)
    n_topics, n = usage.shape
    axes.imshow(
        # Samples are averaged where there are more than dots; topics must not run together.
        np.repeat(usage, 40, axis=0),
        cmap="PuOr_r" if signed else "gray_r",
        vmin=-1 if signed else 0,
        vmax=1,
        aspect="auto",
        extent=(-0.5, n - 0.5, n_topics - 0.5, -0.5),
        interpolation="antialiased",
    )
    sizes = np.array([(labels == name).sum() for name in names])
    edges = np.cumsum(sizes)
    for edge in edges[:-1]:
        axes.axvline(edge - 0.5, color=INK, linewidth=0.5)
    axes.set_xticks(edges - sizes / 2, distinct(list(names), 8))
    every = 1 if len(columns) <= 4 else 5
    places = np.arange(every - 1, len(columns), every) if every > 1 else np.arange(len(columns))
    axes.set_yticks(places, [str(place + 1) for place in places])
    axes.set_ylabel("Component" if signed else "Topic")
    axes.set_xlabel(f"Samples by {label_name}" if label_name else "Samples")
    axes.tick_params(axis="x", length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=OTHER)


def _examples(block: Any, examples: pd.DataFrame, shape: tuple[int, ...], letter: str) -> None:
    """Draw two lines of targets, named by their label, and two of backgrounds."""
    columns = _EXAMPLES // 2
    panels = block.subplots(4, columns, squeeze=False)
    for axes in panels.ravel():
        bare(axes)
        axes.set_frame_on(False)
    for side, lines in (("target", panels[:2]), ("background", panels[2:])):
        of_side = examples[examples["side"] == side]
        for axes, (_, image) in zip(lines.ravel(), of_side.groupby("place"), strict=False):
            pixels = image["value"].to_numpy().reshape(shape)
            axes.imshow(
                pixels, cmap="gray", vmin=0, vmax=pixels.max() or 1.0, interpolation="nearest"
            )
            if side == "target":
                axes.set_title(str(image["label"].iloc[0]), fontsize=SMALL, pad=1.5)
        # One name for both lines, between them, in the room of a label that is empty.
        lines[0, 0].set_ylabel(" ", fontsize=SMALL)
        lines[0, 0].annotate(
            f"{side.capitalize()}s", (0, 0), (-4, -4), xycoords="axes fraction",
            textcoords="offset points", rotation=90, ha="right", va="center", fontsize=SMALL,
            in_layout=False,
        )  # fmt: skip
    panel_letter(panels[0, 0], letter)


def _bars(block: Any, means: pd.DataFrame, labels: Mapping[str, str] | None, letter: str) -> None:
    """Draw the mean over splits, and the splits, a bar a method, K and alpha."""
    methods = methods_in(means, list(labels) if labels else None, "scores")
    marks = method_marks(methods)
    lines = setting_rows(means[means["method"].isin(methods)], methods, labels, between=", ")
    shown = [score for score in SCORES if score in set(means["score"])]
    panels = block.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, score in zip(panels, shown, strict=True):
        of_score = means[means["score"] == score]
        for place, ((method, setting), _) in enumerate(lines):
            rows = of_score[(of_score["method"] == method) & (of_score["setting"] == setting)]
            _bar(axes, place, rows, marks[method], min(0.62, 0.1 * len(lines)))
        axes.set_title(SCORES[score])
        axes.set_xlabel("Adjusted Rand index")
        axes.set_xlim(min(0.0, means["value"].min()) - 0.02, 1.02)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(lines)), [text for _, text in lines])
    panels[0].set_ylim(len(lines) - 0.4, -0.6)
    panel_letter(panels[0], letter)


def _bar(axes: Axes, place: int, rows: pd.DataFrame, mark: Mark, height: float) -> None:
    values = rows["value"].dropna().to_numpy(dtype=float)
    if not len(values):
        return
    mean = values.mean()
    axes.barh(place, mean, height=height, color=mark.colour, alpha=0.55, linewidth=0, gid="mean")
    if len(values) > 1:
        axes.scatter(
            values, np.full(len(values), place), s=6, color=mark.colour, edgecolors="white",
            linewidths=0.2, zorder=3, gid="splits",
        )  # fmt: skip
    reported = rows["reported"].dropna()
    if len(reported):
        axes.scatter(
            reported.iloc[0], place, s=16, marker="D", facecolors="white", edgecolors=INK,
            linewidths=0.9, zorder=5, gid="reported",
        )  # fmt: skip


def _basis(
    block: Any,
    chosen: Sequence[Chosen],
    loadings: pd.DataFrame,
    shape: tuple[int, ...],
    labels: Mapping[str, str] | None,
    letter: str,
    grid: tuple[int, int],
) -> None:
    """Draw the components of each method, a block of images a method."""
    parts = np.atleast_1d(block.subfigures(1, len(chosen), squeeze=True))
    for place, (part, one) in enumerate(zip(parts, chosen, strict=True)):
        images = component_images(one.rows(loadings, "loadings"), shape)
        panels = part.subplots(*grid, squeeze=False).ravel()
        for axes in panels[len(images) :]:
            axes.set_axis_off()
        for axes, (topic, image) in zip(panels, images.items(), strict=False):
            draw_picture(axes, image, topic)
        part.suptitle(f"{method_label(one.method, labels)}\n{one.setting}", fontsize=SMALL + 1)
        if place == 0:
            # Above the first name; no part of the layout, or the first block would be smaller.
            panels[0].annotate(
                letter, (0, 1), (-2, 14), xycoords="axes fraction", textcoords="offset points",
                fontweight="bold", fontsize=TEXT + 2, va="bottom", in_layout=False,
            )  # fmt: skip
