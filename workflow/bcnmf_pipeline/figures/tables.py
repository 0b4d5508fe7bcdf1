"""What all figures need from the result tables: checks, names and numbers for axes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bcnmf.agreement import UNSTABLE
from bcnmf.errors import InputError
from bcnmf_pipeline.figures.style import ALARM, MAX_CLASSES, OTHER, Mark, class_marks, natural

METHOD_LABELS = {
    "pca": "PCA",
    "nmf": "NMF",
    "cpca": "cPCA",
    "cpca_auto": "cPCA (automatic alpha)",
    "cpca_grid": "cPCA (grid)",
    "bcnmf": "bcNMF",
    "bcnmf_older": "bcNMF (older setting)",
    "bcnmf_poisson": "bcNMF (Poisson)",
}
SCORE_LABELS = {
    "ari_usage": "ARI, usage",
    "ari_usage_share": "ARI, usage share",
    "ari_umap": "ARI, UMAP",
    "ari_usage_merged": "ARI, usage, clusters merged by label",
    "silhouette_usage": "Silhouette, usage",
    "silhouette_usage_share": "Silhouette, usage share",
    "silhouette_umap": "Silhouette, UMAP",
    "auroc_best": "AUROC of the best topic",
    "program_cosine": "Cosine to the true programs",
    "program_cosine_least": "Least cosine to a true program",
    "shared_leakage": "Energy on shared genes",
}
MISSING = "(no label)"
REST = "(other)"
_FLOOR = 1e-300
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def require_columns(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Check that a table has the columns that a figure reads, and at least one row.

    Raises
    ------
    InputError
        Names the table, the missing columns and those found.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"table {name}: missing column(s) {', '.join(missing)}; "
            f"found {', '.join(map(str, table.columns)) or 'none'}; "
            "run the evaluation of this study again"
        )
    if table.empty:
        raise InputError(
            f"table {name}: no rows to draw; found 0 rows, needed at least 1; "
            "run the evaluation of this study again"
        )


def methods_in(table: pd.DataFrame, wanted: Sequence[str] | None, name: str) -> list[str]:
    """Return the methods that a table holds, in the order wanted (by default that of the rows).

    Raises
    ------
    InputError
        None of the methods wanted is in the table.
    """
    found = [str(method) for method in pd.unique(table["method"])]
    if wanted is None:
        return found
    chosen = [method for method in wanted if method in found]
    if not chosen:
        raise InputError(
            f"table {name}, column method: found {', '.join(found)}; "
            f"wanted one of {', '.join(wanted)}; check the list of methods"
        )
    return chosen


def method_label(method: str, labels: Mapping[str, str] | None = None) -> str:
    """Return the name of a method in figures: of the sheet, else the usual one, else its id."""
    return (labels or {}).get(method) or METHOD_LABELS.get(method, method)


def method_handles(
    marks: Mapping[str, Mark], labels: Mapping[str, str] | None, size: float
) -> list[Line2D]:
    """Return a legend's entry for the line of each method, with markers of this size."""
    return [
        Line2D(
            [], [], color=mark.colour, marker=mark.marker, markersize=size,
            label=method_label(method, labels),
        )
        for method, mark in marks.items()
    ]  # fmt: skip


def data_sets(counts: pd.Series) -> str:
    """Return how many data sets the points of a figure are means over."""
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "one data set"
    return f"{low} data sets" if low == high else f"{low}–{high} data sets"


def range_lengths(means: pd.DataFrame) -> np.ndarray:
    """Return how far the lowest and the highest data set are from the mean, (2, points).

    Standard deviations would say little of a few data sets, and leave the range of a score.

    Parameters
    ----------
    means : DataFrame
        mean, low, high: a row a point.
    """
    below, above = means["mean"] - means["low"], means["high"] - means["mean"]
    return np.stack([below, above]).clip(min=0)


def short_number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and no exponent where that is readable."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:g}" if abs(rounded) < 1e6 else f"{rounded:.{digits - 1}e}"


def p_text(p_value: float) -> str:
    """Return a p value as text for an axis label, for instance ``p = 2×10⁻⁸``."""
    if not np.isfinite(p_value):
        return "p not defined"
    if p_value < _FLOOR:
        return "p < 10⁻³⁰⁰"
    if p_value >= 1e-3:
        return f"p = {short_number(p_value, 2)}"
    digit, exponent = f"{p_value:.0e}".split("e")
    return f"p = {digit}×10{superscript(int(exponent))}"


def superscript(exponent: int) -> str:
    """Return an integer in superscript digits."""
    return str(exponent).translate(_SUPERSCRIPT)


def minus_log10(p_values: Iterable[float]) -> np.ndarray:
    """Return -log10 of p values; zero, which only means too small to store, counts as 1e-300."""
    values = np.asarray(list(p_values), dtype=float)
    return np.asarray(-np.log10(np.clip(values, _FLOOR, None)))


def power_of_ten(values: Iterable[float]) -> int:
    """Return the exponent by which an axis is divided so that its ticks stay short; mostly 0."""
    finite = np.asarray(list(values), dtype=float)
    finite = np.abs(finite[np.isfinite(finite)])
    if not finite.size or finite.max() == 0:
        return 0
    exponent = int(np.floor(np.log10(finite.max())))
    return 0 if -2 <= exponent <= 3 else exponent


def with_unit(text: str, exponent: int) -> str:
    """Return an axis label that names the power of ten the axis was divided by."""
    return text if exponent == 0 else f"{text} (×10{superscript(exponent)})"


def topic_columns(samples: pd.DataFrame) -> list[str]:
    """Return usage_1, usage_2 ... of a samples table in numerical order."""
    found = [c for c in map(str, samples.columns) if re.fullmatch(r"usage_\d+", c)]
    return sorted(found, key=lambda column: int(column.removeprefix("usage_")))


def component_noun(signed: bool) -> str:
    """Return what one dimension is called: a topic, or a component where signs occur."""
    return "Component" if signed else "Topic"


def order_topics(topics: pd.DataFrame) -> pd.DataFrame:
    """Return topics by association with the label: smallest p first, then largest statistic.

    Where none was tested, those that the target uses most come first.
    """
    size = topics["statistic"].abs() if "statistic" in topics else pd.Series(0, topics.index)
    if topics["p_value"].isna().all() and "mean_usage" in topics:
        size = topics["mean_usage"]
    return (
        topics.assign(_size=size)
        .sort_values(
            ["p_value", "_size", "topic"], ascending=[True, False, True], na_position="last"
        )
        .drop(columns="_size")
    )


def stability_of(topics: pd.DataFrame) -> dict[int, float]:
    """Return the stability of those topics of a fit of which it is known, by their numbers."""
    if "stability" not in topics:
        return {}
    found = topics.dropna(subset="stability")
    return dict(zip(found["topic"].astype(int), found["stability"].astype(float), strict=True))


def stability_text(stability: float) -> str:
    """Return the stability of a topic in words that fit beside an axis."""
    return f"{'unstable' if stability < UNSTABLE else 'stability'} {stability:.2f}"


def unstable_text(topics: pd.DataFrame) -> str:
    """Return how many topics of a fit are unstable, as an addition to its setting; mostly ""."""
    unstable = sum(value < UNSTABLE for value in stability_of(topics).values())
    return f", {unstable} of {len(topics)} topics unstable" if unstable else ""


def name_topics(axes: Axes, topics: Sequence[int], stability: Mapping[int, float]) -> None:
    """Number the topics along an axis, each with its stability below, unstable ones in red."""
    texts = [
        f"{topic}\n{stability[topic]:.2f}" if topic in stability else str(topic)
        for topic in topics
    ]  # fmt: skip
    axes.set_xticks(range(len(topics)), texts)
    for topic, text in zip(topics, axes.get_xticklabels(), strict=True):
        if stability.get(topic, 1.0) < UNSTABLE:
            text.set(color=ALARM, fontweight="bold")


def topics_title(noun: str, stability: Mapping[int, float]) -> str:
    """Return what an axis numbered by `name_topics` is called."""
    if not stability:
        return noun
    flagged = any(value < UNSTABLE for value in stability.values())
    return f"{noun}, and its stability{' (red: unstable)' if flagged else ''}"


def shorten(text: str, length: int = 24) -> str:
    """Return a name that fits beside an axis, in one line: fonts have no sign for a tab."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def distinct(names: Sequence[str], length: int) -> list[str]:
    """Return names that fit beside an axis, as different as they are.

    Those that begin alike are shortened in the middle, those that end alike too are numbered.
    """
    tail = length // 2
    first = [shorten(name, length) for name in names]
    both = [
        one
        if first.count(one) == names.count(name)
        else shorten(f"{name[: length - tail - 1]}…{name[-tail:]}", length)
        for name, one in zip(names, first, strict=True)
    ]
    return [
        one if both.count(one) == names.count(name) else f"{at}: {shorten(name, length - 4)}"
        for at, (name, one) in enumerate(zip(names, both, strict=True), 1)
    ]


def known(values: pd.Series) -> pd.Series:
    """Return a column with its empty texts as missing values."""
    return values.astype(object).where(values.notna() & (values.astype(str) != ""), None)


def has_label(values: pd.Series) -> bool:
    """Return whether any sample has a label: without one it is missing or an empty text."""
    return bool(known(values).notna().any())


def _name(value: object) -> str:
    """Return a class as text; text tables turn the classes 0 and 1 into numbers, even into 0.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


class Classes:
    """The classes of a label, with a mark for each sample and entries for a legend.

    Parameters
    ----------
    values : iterable
        The label of each sample; missing ones become a class of their own, in grey. Of more than
        `MAX_CLASSES` classes the most frequent keep a colour and the rest is drawn in grey.
    """

    def __init__(self, values: Iterable[object]) -> None:
        names = pd.Series(list(values), dtype=object)
        self.missing = bool(names.isna().any())
        names = names.map(lambda value: MISSING if pd.isna(value) else _name(value))
        counts = names[names != MISSING].value_counts()
        kept = list(counts.index)
        if len(kept) > MAX_CLASSES:
            # Ties by name: value_counts leaves their order to the order of the rows.
            ranked = sorted(kept, key=lambda name: (-counts[name], natural(name)))
            kept = ranked[: MAX_CLASSES - 1]
        self.n_rest = len(counts) - len(kept)
        self.marks = class_marks(kept)

    def key(self, value: object) -> str:
        """Return the legend entry that a label value belongs to."""
        if pd.isna(value):
            return MISSING
        return _name(value) if _name(value) in self.marks else REST

    def mark(self, value: object) -> Mark:
        """Return the mark of a label value."""
        return self.marks.get(self.key(value), Mark(OTHER, "o"))

    def legend(self, length: int = 24) -> dict[str, Mark]:
        """Return all legend entries in order, with names that fit."""
        entries = self.entries()
        return dict(zip(distinct(list(entries), length), entries.values(), strict=True))

    def entries(self) -> dict[str, Mark]:
        """Return all legend entries in order."""
        entries = dict(self.marks)
        if self.n_rest:
            entries[f"{self.n_rest} other classes"] = Mark(OTHER, "o")
        if self.missing:
            entries[MISSING] = Mark(OTHER, "o")
        return entries
