"""UMAPs of the usages, one panel per method, coloured by the label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from bcnmf_pipeline.figures.representative import AUTOMATIC, representative_runs
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    MAX_CLASSES,
    OTHER,
    SINGLE_COLUMN,
    SMALL,
    Mark,
    bare,
    class_handles,
    grid_columns,
    new_figure,
    scatter,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    Classes,
    has_label,
    known,
    method_label,
    require_columns,
    shorten,
    unstable_text,
)

_COLUMNS = ("sample", "label", "umap_1", "umap_2")
_MAP = "viridis"
_TAIL = 0.01  # of the scores, at either end, has the colour of the end
SCORE_NAME = "Target score, from 0 to 1 in each panel"


@styled
def plot_embedding(
    samples: pd.DataFrame,
    topics: pd.DataFrame | None = None,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    label_name: str = "",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the UMAP of the representative fit of each method.

    Parameters
    ----------
    samples : DataFrame
        Rows of one study: method, k, alpha, replicate, seed, sample, label, umap_1, umap_2;
        target_score if there is no label.
    topics : DataFrame, optional
        method, k, alpha, replicate, seed, topic, stability: how many are unstable is said.
    methods : sequence of str, optional
        Methods in the order of the panels.
    labels : mapping, optional
        Names of methods.
    label_name : str
        What the label is, for the legend's title.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        One panel per method. A label with more than twelve classes is coloured by value where all
        are numbers, else its eleven largest classes have colours and the rest is grey. Without a
        label the colour is the target score, from low to high in each panel.

    Raises
    ------
    InputError
        A column is missing.
    """
    require_columns(samples, _COLUMNS, "samples")
    chosen = representative_runs(samples, methods, automatic=automatic)
    columns = grid_columns(len(chosen), 4)
    lines = -(-len(chosen) // columns)
    width = SINGLE_COLUMN if columns <= 2 else DOUBLE_COLUMN
    figure = new_figure(width, lines * (width / columns + 0.12) + 0.35)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    samples, colouring, label_name = coloured(samples, label_name)
    for axes, one in zip(panels, chosen, strict=False):
        rows = one.rows(samples, "samples")
        draw_umap(axes, rows, colouring)
        axes.set_title(shorten(method_label(one.method, labels), 28))
        note = "" if topics is None else unstable_text(one.rows(topics, "topics"))
        name_setting(axes, one.setting + note)
    for axes in panels[len(chosen) :]:
        axes.remove()
    colouring.legend(figure, label_name, width, list(panels[: len(chosen)]))
    return figure


def draw_umap(axes: Axes, rows: pd.DataFrame, colouring: Colouring) -> None:
    """Draw one UMAP into a square panel without ticks."""
    scatter(axes, rows["umap_1"], rows["umap_2"], colouring.marks_of(rows["label"]))
    bare(axes)
    axes.set_box_aspect(1)
    axes.margins(0.06)


def name_setting(axes: Axes, setting: str) -> None:
    """Put K and alpha below the left corner of a map."""
    axes.text(
        0.0, -0.02, setting, transform=axes.transAxes, ha="left", va="top", fontsize=SMALL,
        color=FAINT,
    )  # fmt: skip


def coloured(samples: pd.DataFrame, label_name: str) -> tuple[pd.DataFrame, Colouring, str]:
    """Return samples with what colours them as their label, the colours, and what they mean.

    Where no sample has a label that is the target score, in each fit from 0 to 1.
    """
    if has_label(samples["label"]):
        return samples, Colouring(samples["label"]), label_name
    require_columns(samples, ("target_score",), "samples")
    runs = samples.groupby(["method", "k", "alpha", "replicate", "seed"], dropna=False)
    score = known(runs["target_score"].transform(relative_score))
    return samples.assign(label=score), Colouring(score, scores=True), SCORE_NAME


def relative_score(scores: pd.Series) -> pd.Series:
    """Return scores from 0 to 1, the ends being the first and last hundredth of them."""
    low, high = scores.quantile([_TAIL, 1 - _TAIL])
    return (scores.clip(low, high) - low) / ((high - low) or 1.0)


class Colouring:
    """Colours of samples by a label: classes, or a scale for many numbers.

    Parameters
    ----------
    values : Series
        The label of every sample of the study.
    scores : bool
        The values are numbers however few there are.
    """

    def __init__(self, values: pd.Series, scores: bool = False) -> None:
        texts = values.dropna().astype(str).drop_duplicates()
        numbers = pd.to_numeric(texts, errors="coerce")
        enough = len(numbers) > (0 if scores else MAX_CLASSES)
        self.continuous = enough and bool(numbers.notna().all())
        self.classes = Classes(values)
        if self.continuous:
            self.scale = ScalarMappable(Normalize(numbers.min(), numbers.max()), _MAP)

    def marks_of(self, values: pd.Series) -> list[Mark]:
        """Return the mark of each sample."""
        if not self.continuous:
            lookup = {value: self.classes.mark(value) for value in values.unique()}
            return [lookup[value] for value in values]
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
        colours = self.scale.to_rgba(numbers)
        return [
            Mark(tuple(colour), "o") if np.isfinite(number) else Mark(OTHER, "o")
            for colour, number in zip(colours, numbers, strict=True)
        ]

    def legend(
        self, figure: Figure | SubFigure, title: str, width: float, panels: list[Axes]
    ) -> None:
        """Put the legend, or the colour bar, below the panels."""
        if self.continuous:
            bar = figure.colorbar(
                self.scale, ax=panels, location="bottom", shrink=0.5, aspect=35, pad=0.03
            )
            bar.set_label(shorten(title, 60))
            bar.outline.set_visible(False)
            return
        entries = self.classes.legend()
        longest = max(len(name) for name in entries)
        # About 0.055 inch a letter at this size, and 0.28 for marker and gap.
        columns = int(width // (0.055 * longest + 0.28))
        figure.legend(
            handles=class_handles(entries),
            loc="outside lower center",
            ncols=max(1, min(columns, len(entries))),
            title=shorten(title, 60) or None,
        )
