"""The mouse study in one figure: maps, topics, their proteins, and the mice themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcnmf_pipeline.figures.embedding import Colouring, draw_umap
from bcnmf_pipeline.figures.loadings import LEVEL, adjusted_p, feature_tests
from bcnmf_pipeline.figures.representative import AUTOMATIC, Chosen, representative_runs
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    FAINT,
    INK,
    SMALL,
    class_handles,
    new_figure,
    panel_letter,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    component_noun,
    distinct,
    method_label,
    minus_log10,
    power_of_ten,
    require_columns,
    shorten,
    with_unit,
)
from bcnmf_pipeline.figures.usages import draw_usages, is_signed, top_topics

N_PROTEINS = 10


@styled
def plot_mouse(
    samples: pd.DataFrame,
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    features: pd.DataFrame,
    *,
    methods: Sequence[str] = ("nmf", "bcnmf"),
    labels: Mapping[str, str] | None = None,
    label_name: str = "Genotype",
    unit: str = "mouse",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw what the paper shows of the mouse study, and the mice as units beside it.

    Parameters
    ----------
    samples : DataFrame
        method, k, alpha, replicate, seed, sample, label, unit, umap_1, umap_2, usage_1 ...
    topics : DataFrame
        method, k, alpha, replicate, seed, topic, p_value.
    loadings : DataFrame
        method, k, alpha, replicate, seed, topic, feature, loading, rank.
    features : DataFrame
        feature, q_cells, favours, and q_units where there are units: each protein's own test.
    methods : sequence of str
        The last is shown in full; the map of the first stands beside.
    labels : mapping, optional
        Names of methods.
    label_name, unit : str
        What the label and the unit are.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        Panels a, b: UMAPs of the first and the last method; c: rows in the plane of the two topics
        most associated with the label; d: the same by unit (mean and standard deviation of its
        rows); e and f: the ten features with the largest loadings on each of the two topics, with
        each feature's own -log10 adjusted p, of the test of units where there is one.

    Raises
    ------
    InputError
        A column or a method is missing.
    """
    require_columns(samples, ("label", "unit", "umap_1", "umap_2", "usage_1"), "samples")
    require_columns(topics, ("topic", "p_value"), "topics")
    require_columns(loadings, ("topic", "feature", "loading", "rank"), "loadings")
    require_columns(features, ("feature", "q_cells", "favours"), "features")
    (shown,) = representative_runs(samples, [methods[-1]], automatic=automatic)
    (beside,) = representative_runs(samples, [methods[0]], automatic=automatic)
    rows = shown.rows(samples, "samples")
    top = top_topics(shown.rows(topics, "topics"), 2)
    colouring = Colouring(samples["label"])

    figure = new_figure(DOUBLE_COLUMN, 4.55)
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.05, 1.0], squeeze=False)[:, 0]
    a, b, c, d = upper.subplots(1, 4)
    for axes, one in ((a, beside), (b, shown)):
        draw_umap(axes, one.rows(samples, "samples"), colouring)
        axes.set_title(f"{shorten(method_label(one.method, labels), 22)}\n{one.setting}")
        axes.set_xlabel("UMAP 1")
        axes.set_ylabel("UMAP 2")
    draw_usages(c, rows, top, colouring, scale="linear")
    c.set_title(f"{method_label(shown.method, labels)}\n{len(rows)} samples")
    draw_units(d, rows, list(top), colouring)
    d.set_title(f"{method_label(shown.method, labels)}\nmean ± s.d. of each {unit}")
    figure.legend(
        handles=class_handles(colouring.classes.legend()),
        loc="outside upper center",
        ncols=6,
        title=label_name or None,
    )
    blocks = lower.subplots(1, 2 * len(top), squeeze=False, width_ratios=[1.0, 0.6] * len(top))[0]
    for place, topic in enumerate(top):
        pair = blocks[2 * place], blocks[2 * place + 1]
        _proteins(pair, shown, topic, loadings, features, colouring, is_signed(rows), unit)
    for axes, letter in zip([a, b, c, d, *blocks[::2]], "abcdef", strict=False):
        panel_letter(axes, letter)
    return figure


def unit_means(rows: pd.DataFrame, topics: list[int]) -> pd.DataFrame:
    """Return mean and sd of usages over the rows of each unit.

    Parameters
    ----------
    rows : DataFrame
        The samples of one fit: label, unit, usage_k.
    topics : list of int
        Which topics.

    Returns
    -------
    DataFrame
        unit, label, then mean_k and sd_k per topic, sorted by label and unit.
    """
    named = {f"mean_{t}": (f"usage_{t}", "mean") for t in topics}
    named |= {f"sd_{t}": (f"usage_{t}", "std") for t in topics}
    return rows.groupby(["label", "unit"], sort=True).agg(**named).reset_index()


def draw_units(axes: Axes, rows: pd.DataFrame, topics: list[int], colouring: Colouring) -> None:
    """Draw each unit once, at the means of its samples with their standard deviation."""
    means = unit_means(rows, topics)
    signed = is_signed(rows)
    exponents = [power_of_ten(rows[f"usage_{topic}"]) for topic in topics]
    units = [10.0**exponent for exponent in exponents]
    texts = [
        with_unit(f"{component_noun(signed)} {topic}, mean {'score' if signed else 'usage'}", power)
        for topic, power in zip(topics, exponents, strict=True)
    ]
    places = {name: place for place, name in enumerate(sorted(means["label"].unique()))}
    within = (
        means.groupby("label").cumcount() - means.groupby("label")["unit"].transform("size") / 2
    )
    for row, shift in zip(means.itertuples(), within, strict=True):
        mark = colouring.marks_of(pd.Series([row.label]))[0]
        x, y = (
            (
                (
                    getattr(row, f"mean_{topic}") / unit,
                    np.nan_to_num(getattr(row, f"sd_{topic}") / unit),
                )
                for topic, unit in zip(topics, units, strict=True)
            )
            if len(topics) > 1
            else (
                (places[row.label] + 0.06 * shift, None),
                (
                    getattr(row, f"mean_{topics[0]}") / units[0],
                    np.nan_to_num(getattr(row, f"sd_{topics[0]}") / units[0]),
                ),
            )
        )
        axes.errorbar(
            x[0], y[0], xerr=x[1], yerr=y[1], linestyle="none", marker=mark.marker, markersize=4.6,
            markerfacecolor=mark.colour, markeredgecolor="white", markeredgewidth=0.3,
            ecolor=mark.colour, elinewidth=0.6, alpha=0.9, gid="unit",
        )  # fmt: skip
    if len(topics) > 1:
        axes.set_xlabel(texts[0])
        axes.set_ylabel(texts[1])
    else:
        axes.set_xticks(list(places.values()), distinct(list(map(str, places)), 14))
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.set_ylabel(texts[0])
    axes.set_box_aspect(1)


def _proteins(
    pair: tuple[Axes, Axes],
    shown: Chosen,
    topic: int,
    loadings: pd.DataFrame,
    features: pd.DataFrame,
    colouring: Colouring,
    signed: bool,
    unit: str,
) -> None:
    rows = shown.rows(loadings, "loadings")
    rows = rows[rows["topic"] == topic].nsmallest(N_PROTEINS, "rank")
    own = feature_tests(features, shown.replicate).reindex(rows["feature"])
    exponent = power_of_ten(rows["loading"])
    bars, significance = pair
    places = np.arange(len(rows))
    bars.barh(places, rows["loading"] / 10.0**exponent, height=0.68, color="#6B6B6B", gid="loading")
    bars.set_yticks(places, distinct(list(rows["feature"].astype(str)), 16))
    bars.set_xlabel(with_unit("Loading", exponent))
    bars.set_title(f"{component_noun(signed)} {topic}: largest loadings", loc="left")
    if signed:
        bars.axvline(0, color=INK, linewidth=0.6)
    p, by = adjusted_p(own, "q_units", "q_cells")
    length = minus_log10(p)
    colours = [colouring.classes.mark(name).colour for name in own["favours"]]
    significance.hlines(places, 0, np.nan_to_num(length), color=colours, linewidth=1.2)
    for name in dict.fromkeys(own["favours"].dropna()):
        mark = colouring.classes.mark(name)
        here = (own["favours"] == name).to_numpy()
        significance.plot(
            length[here], places[here], linestyle="none", marker=mark.marker, markersize=4,
            color=mark.colour, markeredgecolor="white", markeredgewidth=0.3, gid="protein",
            clip_on=False,  # most lie at zero
        )  # fmt: skip
    for place in np.flatnonzero(np.isnan(length)):
        significance.text(0, float(place), " not tested", va="center", fontsize=SMALL, color=FAINT)
    significance.axvline(-np.log10(LEVEL), color=INK, linewidth=0.6, linestyle=(0, (3, 2)))
    significance.set_xlim(0, 1.08 * max(np.nanmax(length, initial=0.0), 2.0))
    by = unit if by == "units" else "sample"
    significance.set_xlabel(f"Own −log₁₀ adj. p,\nby {shorten(by, 14)}")
    significance.set_yticks([])
    for axes in pair:
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
