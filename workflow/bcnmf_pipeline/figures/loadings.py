"""Top features of the most associated topics, with the significance of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage

from bcnmf_pipeline.figures.representative import AUTOMATIC, Chosen, representative_runs
from bcnmf_pipeline.figures.style import (
    FAINT,
    INK,
    OTHER,
    SINGLE_COLUMN,
    SMALL,
    Mark,
    class_handles,
    new_figure,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    Classes,
    component_noun,
    distinct,
    method_label,
    minus_log10,
    name_topics,
    order_topics,
    require_columns,
    shorten,
    stability_of,
    topics_title,
)

LEVEL = 0.05  # the dashed line, in adjusted p


@styled
def plot_loadings(
    loadings: pd.DataFrame,
    topics: pd.DataFrame,
    features: pd.DataFrame,
    *,
    method: str,
    labels: Mapping[str, str] | None = None,
    samples: pd.DataFrame | None = None,
    n_features: int = 10,
    n_topics: int = 5,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw a heatmap of top features x most associated topics of one method.

    Parameters
    ----------
    loadings : DataFrame
        method, k, alpha, replicate, seed, topic, feature, loading, rank.
    topics : DataFrame
        method, k, alpha, replicate, seed, topic, p_value, p_adjusted, favours; p_adjusted_units
        where there are units; mean_usage is needed without a label.
    features : DataFrame
        feature, q_cells, favours; q_units where there are units; `replicate` if there are several.
    method : str
        Which method; its representative fit is shown.
    labels : mapping, optional
        Names of methods.
    samples : DataFrame, optional
        Column label: all classes, so that colours agree with the other figures; by default those
        that some topic or feature favours.
    n_features, n_topics : int
        How many features per topic and how many topics at most.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        Heatmap (each topic divided by its largest absolute loading; grey where a feature is not
        among those stored for the topic), below it -log10 of the topics' adjusted p, beside it that
        of each feature's own test, both coloured by the class with the higher mean. Tests are of
        units where there are any, else of samples, which the axes say. Where the study has no
        label, the topics that are used most, and below it their mean usages.

    Raises
    ------
    InputError
        A column is missing, or the method has no rows.
    """
    classes = None if samples is None else samples["label"].unique()
    parts = loading_parts(
        loadings, topics, features, method=method, classes=classes, n_features=n_features,
        n_topics=n_topics, automatic=automatic,
    )  # fmt: skip
    entries = parts.entries()
    columns = 2 if len(entries) <= 4 else 3
    legend_height = 0.13 * -(-len(entries) // columns)
    figure = new_figure(SINGLE_COLUMN + 0.2, parts.height + 1.5 + legend_height)
    heat = draw_loadings(figure, parts)
    one = parts.chosen
    heat.set_title(f"{shorten(method_label(one.method, labels), 26)}, {one.setting}", loc="left")
    if entries:
        figure.legend(handles=class_handles(entries), loc="outside lower center", ncols=columns)
    return figure


@dataclass(frozen=True)
class LoadingParts:
    """What the heatmap shows.

    Attributes
    ----------
    chosen : Chosen
        The fit.
    grid : DataFrame
        See `loading_grid`.
    topics, own : DataFrame
        The topics' and the features' tests, in the order of the grid.
    marks : Classes
        Of the label.
    """

    chosen: Chosen
    grid: pd.DataFrame
    topics: pd.DataFrame
    own: pd.DataFrame
    marks: Classes

    @property
    def tested(self) -> bool:
        """Whether there is a label that anything was tested against."""
        return bool(self.topics["p_value"].notna().any() or self.own["q_cells"].notna().any())

    @property
    def height(self) -> float:
        """Height of the heatmap in inches."""
        return 0.125 * len(self.grid)

    def entries(self) -> dict[str, Mark]:
        """Return the entries of a legend."""
        if not self.tested:
            return {}
        return {f"higher in {name}": mark for name, mark in self.marks.legend(20).items()}


def loading_parts(
    loadings: pd.DataFrame,
    topics: pd.DataFrame,
    features: pd.DataFrame,
    *,
    method: str,
    classes: Sequence[str] | None = None,
    n_features: int = 10,
    n_topics: int = 5,
    automatic: Collection[str] = AUTOMATIC,
) -> LoadingParts:
    """Return what `plot_loadings` shows; parameters and errors are those of it."""
    require_columns(loadings, ("topic", "feature", "loading", "rank"), "loadings")
    require_columns(topics, ("topic", "p_value", "p_adjusted", "favours"), "topics")
    require_columns(features, ("feature", "q_cells", "favours"), "features")
    (one,) = representative_runs(loadings, [method], automatic=automatic)
    shown = order_topics(one.rows(topics, "topics")).head(n_topics)
    grid = loading_grid(one.rows(loadings, "loadings"), shown["topic"].astype(int), n_features)
    own = feature_tests(features, one.replicate).reindex(grid.index)
    marks = Classes(
        classes if classes is not None else [*own["favours"].dropna(), *shown["favours"].dropna()]
    )
    return LoadingParts(one, grid, shown, own, marks)


def draw_loadings(
    figure: Figure | SubFigure, parts: LoadingParts, marked: Collection[str] = ()
) -> Axes:
    """Draw the heatmap with both significances into a figure, or a part of one.

    Features in `marked` have bold names. Returns the axes of the heatmap.
    """
    grid = parts.grid
    signed = bool((grid.to_numpy() < 0).any())
    cells = figure.add_gridspec(
        2, 2, height_ratios=[parts.height, 0.5], width_ratios=[1.0, 0.6], hspace=0.0, wspace=0.0
    )
    heat = figure.add_subplot(cells[0, 0])
    below = figure.add_subplot(cells[1, 0])
    beside = figure.add_subplot(cells[0, 1], sharey=heat)
    corner = figure.add_subplot(cells[1, 1])
    image = _heatmap(heat, grid, signed)
    if parts.tested:
        _topic_bars(below, parts.topics, parts.marks, signed)
        _feature_bars(beside, parts.own, parts.marks)
    else:
        _usage_bars(below, parts.topics, signed)
        beside.remove()
    _scale(corner, image, signed)
    for name, text in zip(grid.index, heat.get_yticklabels(), strict=True):
        if name in marked:
            text.set_fontweight("bold")
    return heat


def loading_grid(loadings: pd.DataFrame, topics: Sequence[int], n_features: int) -> pd.DataFrame:
    """Return relative loadings of the top features (rows) on the topics (columns).

    Features stand in blocks, those of the first topic first, each once; a loading that is not
    stored is missing.
    """
    of_topics = loadings[loadings["topic"].isin(list(topics))]
    wide = of_topics.pivot_table(index="feature", columns="topic", values="loading")
    wide = wide / wide.abs().max().replace(0, np.nan)
    order: list[str] = []
    for topic in topics:
        of_topic = of_topics[of_topics["topic"] == topic].nsmallest(n_features, "rank")
        order += [feature for feature in of_topic["feature"] if feature not in order]
    return wide.reindex(index=order, columns=list(topics))


def feature_tests(features: pd.DataFrame, replicate: int) -> pd.DataFrame:
    """Return the features' own tests of one replicate, by feature name."""
    if "replicate" in features:
        features = features[features["replicate"] == replicate]
    features = features.assign(feature=features["feature"].astype(str))
    return features.drop_duplicates("feature").set_index("feature")


def adjusted_p(table: pd.DataFrame, units: str, samples: str) -> tuple[pd.Series, str]:
    """Return adjusted p of units where there are any, else of samples, and which of both.

    `units` and `samples` are the names of the columns.
    """
    if units in table and table[units].notna().any():
        return table[units], "units"
    return table[samples], "samples"


def _heatmap(axes: Axes, grid: pd.DataFrame, signed: bool) -> AxesImage:
    image = axes.imshow(
        np.ma.masked_invalid(grid.to_numpy(dtype=float)),
        aspect="auto",
        cmap="PuOr_r" if signed else "Purples",
        norm=Normalize(-1 if signed else 0, 1),
        interpolation="nearest",
    )
    axes.set_yticks(range(len(grid)), distinct(list(map(str, grid.index)), 22))
    axes.tick_params(axis="both", length=0)
    axes.tick_params(axis="x", labelbottom=False)
    axes.set_xticks(np.arange(0.5, grid.shape[1] - 1), minor=True)
    axes.grid(which="minor", axis="x", color="white", linewidth=1.2)
    axes.tick_params(which="minor", length=0)
    axes.set_facecolor("#E8E8E8")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _scale(axes: Axes, image: ScalarMappable, signed: bool) -> None:
    """Put the colour bar into the corner between the two significances."""
    axes.set_axis_off()
    inner = axes.inset_axes((0.08, 0.30, 0.84, 0.20))
    ticks = [-1, 0, 1] if signed else [0, 0.5, 1]
    bar = axes.figure.colorbar(image, cax=inner, orientation="horizontal", ticks=ticks)
    bar.ax.set_xticklabels([f"{tick:g}".replace("-", "−") for tick in ticks])
    bar.ax.set_title("Loading, relative\nto its largest", fontsize=SMALL, pad=3)
    bar.outline.set(linewidth=0.4, edgecolor=OTHER)


def _topic_bars(axes: Axes, topics: pd.DataFrame, marks: Classes, signed: bool) -> None:
    p, by = adjusted_p(topics, "p_adjusted_units", "p_adjusted")
    height = minus_log10(p)
    axes.bar(
        range(len(topics)), np.nan_to_num(height), width=0.62,
        color=[_colour(marks, name) for name in topics["favours"]], gid="topics",
    )  # fmt: skip
    axes.axhline(-np.log10(LEVEL), color=INK, linewidth=0.6, linestyle=(0, (3, 2)))
    noun = component_noun(signed)
    _name(axes, topics, noun)
    axes.set_ylabel(f"{noun}'s own\n−log₁₀ adj. p,\nby {by}", rotation=0, ha="right", va="center")
    axes.set_ylim(0, _head(height))
    axes.set_xlim(-0.5, len(topics) - 0.5)


def _usage_bars(axes: Axes, topics: pd.DataFrame, signed: bool) -> None:
    axes.bar(range(len(topics)), topics["mean_usage"], width=0.62, color=FAINT, gid="usages")
    _name(axes, topics, component_noun(signed))
    axes.set_ylabel("Mean usage", rotation=0, ha="right", va="center")
    axes.set_xlim(-0.5, len(topics) - 0.5)


def _name(axes: Axes, topics: pd.DataFrame, noun: str) -> None:
    stability = stability_of(topics)
    name_topics(axes, [int(topic) for topic in topics["topic"]], stability)
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel(topics_title(noun, stability))


def _feature_bars(axes: Axes, own: pd.DataFrame, marks: Classes) -> None:
    p, by = adjusted_p(own, "q_units", "q_cells")
    length = minus_log10(p)
    axes.barh(
        range(len(own)), np.nan_to_num(length), height=0.7,
        color=[_colour(marks, name) for name in own["favours"]], gid="features",
    )  # fmt: skip
    for place in np.flatnonzero(np.isnan(length)):
        axes.text(0, float(place), " not tested", va="center", fontsize=SMALL, color=FAINT)
    axes.axvline(-np.log10(LEVEL), color=INK, linewidth=0.6, linestyle=(0, (3, 2)))
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.spines["top"].set_visible(True)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(f"Feature's own\n−log₁₀ adj. p,\nby {by}")
    axes.set_xlim(0, _head(length))
    axes.spines["left"].set_linewidth(0.4)


def _head(values: np.ndarray) -> float:
    """Return the upper limit of an axis of -log10 p: room for the bars and for the dashed line."""
    finite = values[np.isfinite(values)]
    return 1.06 * max(float(finite.max(initial=0.0)), -1.5 * float(np.log10(LEVEL)))


def _colour(marks: Classes, name: object) -> str:
    mark: Mark = marks.mark(name)
    return mark.colour if isinstance(mark.colour, str) else OTHER
