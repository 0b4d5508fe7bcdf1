"""Shares of samples above the background's 95% point, group by group, with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bcnmf_pipeline.figures.style import FAINT, INK, SMALL, Mark, natural
from bcnmf_pipeline.figures.tables import Classes, distinct, known

CLASSIFIER = "classifier"  # of target against background, in place of a method
_CHANCE: dict[str, Any] = {"color": INK, "linewidth": 0.7, "linestyle": (0, (3, 2))}
_DIAMOND: dict[str, Any] = {
    "linestyle": "none", "marker": "D", "markersize": 6.0, "markerfacecolor": "none",
    "markeredgecolor": INK, "markeredgewidth": 0.7,
}  # fmt: skip
_GAP = 0.4  # rows between groups of several classes
_MOST_CLASSES = 4  # side by side; more are pooled
_MOST_GROUPS = 30


def group_shares(rows: pd.DataFrame, groups: pd.Series, shares: pd.DataFrame) -> pd.DataFrame:
    """Return the share above of each group, of several classes side by side.

    Parameters
    ----------
    rows : DataFrame
        label, above: a row a sample.
    groups : Series
        The group of each sample; those without one are left out.
    shares : DataFrame
        group, low, high: intervals, for groups that hold one class or none.

    Returns
    -------
    DataFrame
        group, label (missing where there is none, or more than four classes), n, share, low, high
        (missing where a group was divided), place (from top to bottom). Of more than 30 groups
        those with the most samples, and as the last one the rest.
    """
    groups = known(groups).map(lambda value: None if value is None else str(value))
    labels = known(rows["label"])
    divided = labels.groupby(groups).nunique().max() > 1
    if divided and labels.nunique() > _MOST_CLASSES:
        labels, divided = pd.Series(None, index=labels.index, dtype=object), False
    counts = groups.value_counts()
    ranked = sorted(counts.index, key=lambda name: (-counts[name], natural(name)))
    rest = set(ranked[_MOST_GROUPS - 1 :] if len(ranked) > _MOST_GROUPS else [])
    last = f"{len(rest)} others"
    of_rest = groups.isin(rest)
    groups, labels = groups.mask(of_rest, last), labels.mask(of_rest, None)
    table = pd.DataFrame({"group": groups, "label": labels, "above": rows["above"].astype(bool)})
    found = table.groupby(["group", "label"], dropna=False)["above"].agg(n="size", share="mean")
    found = found.reset_index().dropna(subset="group")
    return _placed(with_intervals(found, shares.iloc[:0] if divided else shares), last)


def with_intervals(table: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """Add the intervals that are known to a table of groups."""
    limits = shares.set_index("group")
    return table.assign(**{end: table["group"].map(limits[end]) for end in ("low", "high")})


def _placed(table: pd.DataFrame, last: str) -> pd.DataFrame:
    """Sort shares and place them in blocks: of a class if each group has one, else of a group."""
    names = table.fillna("").astype({"group": str, "label": str})
    single = not names["group"].duplicated().any()
    first, second = ("label", "group") if single else ("group", "label")
    order = sorted(
        names.index,
        key=lambda row: (
            names["group"][row] == last, natural(names[first][row]), natural(names[second][row])
        ),
    )  # fmt: skip
    blocks = names.loc[order, first]
    gaps = (blocks != blocks.shift(fill_value=blocks.iloc[0])).cumsum().to_numpy()
    return table.loc[order].reset_index(drop=True).assign(place=np.arange(len(table)) + _GAP * gaps)


def draw_shares(
    axes: Axes, table: pd.DataFrame, mark: Callable[[object], Mark], *, names: bool = True
) -> None:
    """Draw shares with their intervals against places from top to bottom, and what chance makes.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    table : DataFrame
        What `group_shares` returns, and chance: the share that is expected where target and
        background do not differ. A group without a share was not cross-fitted.
    mark : callable
        The mark of a class, or of no class.
    names : bool
        Whether groups are named at the left.
    """
    chance = table.dropna(subset="share")
    edges = np.add.outer(chance["place"].to_numpy(), [-0.5, 0.5]).ravel()
    axes.plot(np.repeat(chance["chance"], 2), edges, **_CHANCE, zorder=1, gid="chance")
    for row in table.itertuples():
        if np.isnan(row.share):
            axes.text(0.0, row.place, "not cross-fitted", va="center", fontsize=SMALL, color=FAINT)
            continue
        one = mark(row.label)
        if np.isfinite(row.low):
            axes.plot(
                [row.low, row.high], [row.place] * 2, color=one.colour, linewidth=1.1,
                solid_capstyle="butt", zorder=2, gid="interval",
            )  # fmt: skip
        axes.plot(
            row.share, row.place, linestyle="none", marker=one.marker, markersize=3.8,
            markerfacecolor=one.colour, markeredgecolor="white", markeredgewidth=0.3, zorder=3,
            gid="share", clip_on=False,
        )  # fmt: skip
        axes.annotate(
            f"{row.n}", (1, row.place), (4, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", fontsize=SMALL, color=FAINT, va="center_baseline",
            gid="n",
        )  # fmt: skip
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])
    axes.set_xlabel("Share above")
    axes.xaxis.grid(True, color="#E4E4E4", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.annotate(
        "n", (1, 1), (4, 2), xycoords="axes fraction", textcoords="offset points", fontsize=SMALL,
        color=FAINT, va="bottom",
    )  # fmt: skip
    if names:
        centres = table.groupby("group", sort=False)["place"].mean()
        axes.set_yticks(list(centres), distinct(list(centres.index), 22))
        axes.set_ylim(table["place"].max() + 0.8, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def class_mark(classes: Classes | None) -> Callable[[object], Mark]:
    """Return the mark of a class; dark where there is no label, or classes are pooled."""

    def mark(label: object) -> Mark:
        return Mark(INK, "o") if classes is None or pd.isna(label) else classes.mark(label)

    return mark


def draw_classifier(axes: Axes, groups: pd.DataFrame, shares: pd.DataFrame) -> None:
    """Add the shares that the classifier finds, where it was asked.

    Parameters
    ----------
    axes : Axes
        Where `draw_shares` has drawn.
    groups : DataFrame
        group, place.
    shares : DataFrame
        group, share.
    """
    found = groups["group"].map(shares.set_index("group")["share"])
    axes.plot(found, groups["place"], **_DIAMOND, clip_on=False, gid="classifier")


def line_handles(shares: pd.DataFrame) -> list[Line2D]:
    """Return the legend's entries for the line of chance, and for the classifier if any."""
    chances = shares["chance"].dropna().unique()
    share = f" ({chances[0]:.0%})" if len(chances) == 1 else ""
    handles = [Line2D([], [], **_CHANCE, label=f"expected by chance{share}")]
    if (shares["method"] == CLASSIFIER).any():
        handles.append(Line2D([], [], **_DIAMOND, label="found by a classifier"))
    return handles


def panel_height(table: pd.DataFrame) -> float:
    """Return the height in inches that shares need, without the axis."""
    return 0.118 * float(table["place"].max() + 1.6)
