"""Samples in the plane of the two topics that are most associated with the label, or most used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import FuncScale

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.figures.embedding import Colouring, coloured
from bcnmf_pipeline.figures.representative import AUTOMATIC, representative_runs
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    SINGLE_COLUMN,
    Mark,
    grid_columns,
    natural,
    new_figure,
    scatter,
    styled,
)
from bcnmf_pipeline.figures.tables import (
    component_noun,
    distinct,
    has_label,
    method_label,
    order_topics,
    p_text,
    power_of_ten,
    require_columns,
    shorten,
    stability_of,
    stability_text,
    topic_columns,
    with_unit,
)

SCALES = ("auto", "linear", "sqrt")
_SKEWED = 8.0  # largest over median: above it a linear axis presses most samples onto zero


@styled
def plot_usages(
    samples: pd.DataFrame,
    topics: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    label_name: str = "",
    scale: str = "auto",
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Scatter the two most label-associated topics of the representative fit of each method.

    Parameters
    ----------
    samples : DataFrame
        Rows of one study: method, k, alpha, replicate, seed, sample, label, usage_1 ... usage_K;
        target_score if there is no label.
    topics : DataFrame
        method, k, alpha, replicate, seed, topic, p_value; `statistic` breaks ties, `mean_usage` is
        needed without a label.
    methods : sequence of str, optional
        Methods in the order of the panels.
    labels : mapping, optional
        Names of methods.
    label_name : str
        What the label is, for the legend's title.
    scale : {"auto", "linear", "sqrt"}
        Scale of the axes; "auto" takes square roots of skewed non-negative usages. Square-root axes
        say so.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        One panel per method; with a single topic its usage by class. Axes name the topic and the p
        value of its association. Without a label: the two topics that are used most, coloured by
        the target score.

    Raises
    ------
    InputError
        A column is missing, or `scale` is unknown.
    """
    require_columns(samples, ("sample", "label", "usage_1"), "samples")
    require_columns(topics, ("topic", "p_value"), "topics")
    if scale not in SCALES:
        raise InputError(f"scale={scale!r} is not known; allowed: {', '.join(SCALES)}")
    chosen = representative_runs(samples, methods, automatic=automatic)
    columns = grid_columns(len(chosen), 3)
    lines = -(-len(chosen) // columns)
    width = {1: SINGLE_COLUMN, 2: 2 / 3 * DOUBLE_COLUMN}.get(columns, DOUBLE_COLUMN)
    figure = new_figure(width, lines * (width / columns + 0.05) + 0.35)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    labelled = has_label(samples["label"])
    samples, colouring, label_name = coloured(samples, label_name)
    for axes, one in zip(panels, chosen, strict=False):
        rows = one.rows(samples, "samples")
        of_fit = one.rows(topics, "topics")
        stability = stability_of(of_fit)
        draw_usages(axes, rows, top_topics(of_fit, 2), colouring, scale, labelled, stability)
        axes.set_title(f"{shorten(method_label(one.method, labels), 28)}\n{one.setting}")
    for axes in panels[len(chosen) :]:
        axes.remove()
    colouring.legend(figure, label_name, width, list(panels[: len(chosen)]))
    return figure


def top_topics(topics: pd.DataFrame, n: int) -> dict[int, float]:
    """Return the n topics of a fit with the smallest p values (else the most used), and these."""
    ordered = order_topics(topics).head(n)
    return dict(zip(ordered["topic"].astype(int), ordered["p_value"].astype(float), strict=True))


def is_signed(rows: pd.DataFrame) -> bool:
    """Return whether the usages of a fit are signed, as those of PCA are."""
    return bool((rows[topic_columns(rows)] < 0).any(axis=None))


def draw_usages(
    axes: Axes,
    rows: pd.DataFrame,
    top: Mapping[int, float],
    colouring: Colouring,
    scale: str = "auto",
    labelled: bool = True,
    stability: Mapping[int, float] | None = None,
) -> None:
    """Scatter one or two topics of a fit (a strip by class where there is one).

    Unless samples are `labelled`, the colouring is no label's, and no p value is named. Where the
    stability of a topic is known, its axis says it.
    """
    signed = is_signed(rows)
    columns = [rows[f"usage_{topic}"].to_numpy(dtype=float) for topic in top]
    exponents = [power_of_ten(values) for values in columns]
    values = [value / 10.0**exponent for value, exponent in zip(columns, exponents, strict=True)]
    # Both axes or none: a plane with two different scales is easily misread.
    root = any(_takes_root(value, scale, signed) for value in values)
    texts = [
        axis_text(
            topic,
            p_value if labelled else None,
            exponent,
            signed,
            root,
            (stability or {}).get(topic),
        )
        for (topic, p_value), exponent in zip(top.items(), exponents, strict=True)
    ]
    marks = colouring.marks_of(rows["label"])
    if len(values) == 1:
        classes = rows["label"] if labelled else pd.Series("", rows.index)
        _strip(axes, values[0], classes, marks)
        set_scale(axes, "y", values[0], root)
        axes.set_ylabel(texts[0])
    else:
        scatter(axes, values[0], values[1], marks)
        for axis, value in zip("xy", values, strict=True):
            set_scale(axes, axis, value, root)
        axes.set_xlabel(texts[0])
        axes.set_ylabel(texts[1])
    axes.set_box_aspect(1)


def axis_text(
    topic: int,
    p_value: float | None,
    exponent: int,
    signed: bool,
    root: bool,
    stability: float | None = None,
) -> str:
    """Return the label of an axis that shows one topic: p of its association, and stability."""
    what = "score" if signed else "usage"
    text = with_unit(f"{component_noun(signed)} {topic} {what}", exponent)
    text += ", √ scale" if root else ""
    facts = [] if p_value is None else [p_text(p_value)]
    facts += [] if stability is None else [stability_text(stability)]
    return f"{text}\n{', '.join(facts)}" if facts else text


def set_scale(axes: Axes, axis: str, values: np.ndarray, root: bool) -> None:
    """Make an axis linear, or a square-root one that starts at zero with few round ticks."""
    if not root:
        return
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    scale = FuncScale(
        None, (lambda x: np.sqrt(np.clip(x, 0, None)), lambda x: np.square(np.clip(x, 0, None)))
    )
    getattr(axes, f"set_{axis}scale")(scale)
    limits = (-0.0, top * 1.08)
    getattr(axes, f"set_{axis}lim")(limits)
    ticks = _root_ticks(top)
    getattr(axes, f"set_{axis}ticks")(ticks, [f"{tick:g}" for tick in ticks])


def _root_ticks(top: float) -> list[float]:
    """Return 0 and up to three round numbers that are about even on a square-root axis."""
    ticks = [0.0]
    for share in (1 / 3, 2 / 3, 1.0):
        value = top * share**2
        unit = 10.0 ** np.floor(np.log10(value)) if value > 0 else 1.0
        step = unit / 2 if value < 3 * unit else unit
        rounded = float(np.floor(value / step) * step)
        if rounded not in ticks:
            ticks.append(rounded)
    return ticks


def _takes_root(values: np.ndarray, scale: str, signed: bool) -> bool:
    finite = values[np.isfinite(values)]
    if signed or not finite.size or finite.max() <= 0:
        return False
    if scale == "auto":
        return bool(finite.max() > _SKEWED * np.median(finite))
    return scale == "sqrt"


def _strip(axes: Axes, values: np.ndarray, label: pd.Series, marks: Sequence[Mark]) -> None:
    """Draw one topic by class, the samples of a class spread sideways."""
    names = label.astype(object).where(label.notna(), None)
    classes = sorted({str(name) for name in names if name is not None}, key=natural)
    places = {name: place for place, name in enumerate(classes)}
    centre = np.array([places.get(str(name), len(classes)) for name in names], dtype=float)
    spread = np.random.default_rng(derive_seed("strip")).uniform(-0.3, 0.3, len(values))
    scatter(axes, centre + spread, values, marks)
    ticks = [*classes, "(no label)"] if centre.max(initial=-1) == len(classes) else classes
    if len(ticks) <= 12:
        axes.set_xticks(
            range(len(ticks)), distinct(ticks, 14),
            rotation=0 if len(ticks) <= 4 else 90,
        )  # fmt: skip
    else:
        axes.set_xticks([])
    axes.set_xlim(-0.6, len(ticks) - 0.4)
