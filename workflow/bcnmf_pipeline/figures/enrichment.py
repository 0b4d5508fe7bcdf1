"""Gene sets against topics: size for the overlap, colour for the adjusted p-value."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcnmf_pipeline.figures.representative import representative_runs, setting_text
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    SINGLE_COLUMN,
    SMALL,
    new_figure,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    method_label,
    name_topics,
    require_columns,
    stability_of,
    topics_title,
)

SIGNIFICANT = 0.05
_COLUMNS = (
    "method",
    "k",
    "alpha",
    "topic",
    "collection",
    "term",
    "overlap",
    "set_size",
    "p_adjusted",
)
_WIDTH = 44  # characters of a line of a term
_SMALL_WORDS = frozenset(
    ["OF", "AND", "TO", "IN", "BY", "THE", "FOR", "VIA", "OR", "A", "ON", "AT", "NON", "CELL"]
)
_AREA = 60.0  # of the dot of a set that lies wholly among the top genes
_STRONGEST = 10.0  # -log10 of the adjusted p-value that gets the darkest colour


@styled
def plot_enrichment(
    ora: pd.DataFrame,
    topics: pd.DataFrame | None = None,
    *,
    method: str,
    labels: Mapping[str, str] | None = None,
    per_topic: int = 3,
) -> Figure:
    """Draw the most significant sets of each topic as dots.

    Parameters
    ----------
    ora : DataFrame
        method, k, alpha, topic, collection, term, overlap, set_size, p_adjusted; one fit a method.
    topics : DataFrame, optional
        method, k, alpha, replicate, seed, topic, stability: of each topic that is shown.
    method : str
        Which method.
    labels : mapping, optional
        Names of methods.
    per_topic : int
        How many sets of each topic are shown, of those with an adjusted p-value of at most 0.05.

    Returns
    -------
    Figure
        Rows are sets, gathered by the topic in which they are strongest; columns the topics that
        have any. Sets that are shown for one topic have a pale dot in others where they are not
        significant. Where no set is significant, the figure says so.

    Raises
    ------
    InputError
        A column is missing.
    """
    if len(ora):
        require_columns(ora, _COLUMNS, "enrichment")
    ora = ora[ora["method"] == method]
    title = method_label(method, labels)
    if len(ora):
        title += f", {setting_text(ora['k'].iloc[0], ora['alpha'].iloc[0])}"
    shown = top_terms(ora, per_topic)
    if shown.empty:
        return _nothing(title)
    terms = list(dict.fromkeys(zip(shown["collection"], shown["term"], strict=True)))
    numbers = [int(topic) for topic in sorted(shown["topic"].unique())]
    stability = {} if topics is None else _stability(topics, method)
    names = [clean_term(term) for _, term in terms]
    lines = sum(name.count("\n") + 1 for name in names)
    width = min(DOUBLE_COLUMN, SINGLE_COLUMN + 0.9 + 0.28 * len(numbers))
    figure = new_figure(width, 0.9 + 0.16 * max(lines, 6))
    axes = figure.subplots()
    rows = ora.set_index(["collection", "term"]).loc[terms].reset_index()
    rows = rows[rows["topic"].isin(numbers)]
    points = _dots(axes, rows, terms, numbers)
    name_topics(axes, numbers, stability)
    axes.set_yticks(range(len(terms)), names)
    axes.set_xlim(-0.6, len(numbers) - 0.4)
    axes.set_ylim(len(terms) - 0.4, -0.6)
    axes.set_xlabel(topics_title("Topic", stability))
    axes.set_title(title)
    axes.grid(color="#EEEEEE", linewidth=0.5)
    axes.set_axisbelow(True)
    bar = figure.colorbar(points, ax=axes, shrink=0.5, aspect=12, pad=0.02)
    bar.set_label("−log₁₀ adjusted p")
    bar.outline.set_linewidth(0.4)
    figure.legend(
        handles=_sizes(), title="Share of the set", loc="outside lower right", ncols=3,
    )  # fmt: skip
    return figure


def top_terms(ora: pd.DataFrame, per_topic: int) -> pd.DataFrame:
    """Return the rows to show: the best sets of each topic, topic by topic."""
    if ora.empty:
        return ora
    found = ora[ora["p_adjusted"] <= SIGNIFICANT]
    found = found.sort_values(["topic", "p_adjusted", "overlap", "term"], ascending=[1, 1, 0, 1])
    return found.groupby("topic").head(per_topic)


def _stability(topics: pd.DataFrame, method: str) -> dict[int, float]:
    """Return the stability of the topics of the fit whose sets are shown."""
    (one,) = representative_runs(topics, [method])
    return stability_of(one.rows(topics, "topics"))


def clean_term(term: str) -> str:
    """Return a name for an axis: no prefix of a collection, no underscores, broken into lines."""
    name = term.removeprefix("HALLMARK_").removeprefix("GOBP_")
    name = name.replace("_", " ")
    if name.isupper():
        words = [word if _is_acronym(word) else word.lower() for word in name.split()]
        name = " ".join(words)
        name = name[:1].upper() + name[1:]
    return textwrap.fill(name, _WIDTH)


def _is_acronym(word: str) -> bool:
    short = len(word) <= 3 and word not in _SMALL_WORDS
    return short or any(letter.isdigit() for letter in word)


def _dots(
    axes: Axes, rows: pd.DataFrame, terms: list[tuple[str, str]], topics: list[int]
) -> PathCollection:
    places = {term: place for place, term in enumerate(terms)}
    y = [places[pair] for pair in zip(rows["collection"], rows["term"], strict=True)]
    x = [topics.index(topic) for topic in rows["topic"]]
    strength = -np.log10(rows["p_adjusted"].clip(lower=10.0**-_STRONGEST))
    share = rows["overlap"] / rows["set_size"]
    sure = (rows["p_adjusted"] <= SIGNIFICANT).to_numpy()
    return axes.scatter(
        x, y, s=_AREA * share.clip(lower=0.03), c=strength, cmap="viridis_r", vmin=0,
        vmax=_STRONGEST, linewidths=0.5,
        edgecolors=["#222222" if one else "#DDDDDD" for one in sure], zorder=3,
    )  # fmt: skip


def _sizes() -> list[Line2D]:
    return [
        Line2D(
            [], [], linestyle="none", marker="o", markerfacecolor="#BDBDBD",
            markeredgecolor="#222222", markeredgewidth=0.5,
            markersize=float(np.sqrt(_AREA * share)), label=f"{share:.0%}",
        )
        for share in (0.1, 0.3, 1.0)
    ]  # fmt: skip


def _nothing(title: str) -> Figure:
    figure = new_figure(SINGLE_COLUMN, 0.8)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(title)
    axes.text(
        0.5, 0.5, f"No gene set has an adjusted p-value of {SIGNIFICANT} or less",
        ha="center", va="center", transform=axes.transAxes, color=FAINT, fontsize=SMALL,
    )  # fmt: skip
    return figure
