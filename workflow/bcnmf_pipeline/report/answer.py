"""The answer of a study in words: how many target samples hold what the background does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bcnmf_pipeline.figures.tables import method_label

CLASSIFIER = "classifier"
_NAMED = 6  # Groups that a sentence names; of more it names the ends.
_FEW = 6  # Fewer units on a side leave one or two to a part: measured in docs/answer.md.
_MISSED = 0.05  # Difference of shares from which topics are said to miss something.


@dataclass(frozen=True)
class Share:
    """How many samples of a group stand above the threshold of the background.

    Attributes
    ----------
    group : str
        Value of the column; empty: all target samples.
    n, n_above : int
        Samples, and those above.
    share, low, high : float
        Their share with its 95% interval.
    n_units : int
        Units of replication in the group.
    auroc : float
        Target against background; missing for groups.
    chance : float
        The share to expect where there is nothing: 0.05, or more where the background is small.
    """

    group: str
    n: int
    n_above: int
    share: float
    low: float
    high: float
    n_units: int
    auroc: float
    chance: float

    @property
    def above_chance(self) -> bool:
        """Whether the interval lies above what chance gives."""
        return self.low > self.chance


@dataclass(frozen=True)
class Answer:
    """What a run answers about one study.

    Attributes
    ----------
    label, unit : str
        Columns of the studies sheet; empty: there is none.
    method : str
        Name of the method, with K and alpha.
    whole : Share
        Of all target samples.
    groups : mapping of column to list of Share
        By the label and by further columns.
    units : list of Share
        By the unit of replication.
    classifier : Share or None
        What a classifier of target against background finds; its `groups` likewise.
    classifier_groups : mapping of column to list of Share
        The same by group.
    n_background_units : int
        Units of the background; 0: not known.
    """

    label: str
    unit: str
    method: str
    whole: Share
    groups: Mapping[str, list[Share]] = field(default_factory=dict)
    units: list[Share] = field(default_factory=list)
    classifier: Share | None = None
    classifier_groups: Mapping[str, list[Share]] = field(default_factory=dict)
    n_background_units: int = 0


def answer_of(
    shares: pd.DataFrame,
    study: Mapping[str, str],
    method: str,
    labels: Mapping[str, str] | None = None,
    n_background_units: int = 0,
) -> Answer | None:
    """Return the answer of a study, or None where no method of it was cross-fitted.

    Parameters
    ----------
    shares : DataFrame
        `tables/shares.tsv`: study, method, k, alpha, seed, column, group, n, n_above, share, low,
        high, n_units, auroc, chance.
    study : mapping
        Its row of the studies sheet.
    method : str
        The method that the report describes; another one stands in where it was not cross-fitted.
    labels : mapping, optional
        Names of methods.
    n_background_units : int
        Units of the background; 0: not known.
    """
    rows = shares[shares["study"].astype(str) == study["study"]]
    ours = rows[rows["method"] != CLASSIFIER]
    if ours.empty:
        return None
    ours = of_one_fit(ours, method)
    first = ours.iloc[0]
    found = _by_column(ours)
    beside = _by_column(rows[rows["method"] == CLASSIFIER])
    alpha = "" if pd.isna(first["alpha"]) else f", α = {float(first['alpha']):g}"
    name = method_label(str(first["method"]), labels)
    return Answer(
        label=study["label"],
        unit=study["unit"],
        method=f"{name}, K = {int(first['k'])}{alpha}",
        whole=found.pop("")[0],
        units=found.pop(study["unit"], []) if study["unit"] else [],
        groups=found,
        classifier=beside.pop("", [None])[0],
        classifier_groups=beside,
        n_background_units=n_background_units,
    )


def of_one_fit(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the rows of the first fit of a method, or of the first one where it has none."""
    if method in set(rows["method"]):
        rows = rows[rows["method"] == method]
    setting = rows[["method", "k", "alpha", "seed"]].astype(object)
    setting = setting.where(setting.notna(), "")  # Missing alphas are equal.
    return rows[(setting == setting.iloc[0]).all(axis=1)]


def _by_column(rows: pd.DataFrame) -> dict[str, list[Share]]:
    found: dict[str, list[Share]] = {}
    for row in rows.itertuples():
        column, group = (_text(value) for value in (row.column, row.group))
        if column and not group:
            continue  # The AUROC of the score for the label; it stands among the scores.
        found.setdefault(column, []).append(
            Share(
                group, int(row.n), int(row.n_above), float(row.share), float(row.low),
                float(row.high), 0 if pd.isna(row.n_units) else int(row.n_units), float(row.auroc),
                float(row.chance),
            )
        )  # fmt: skip
    return {column: sorted(found[column], key=lambda one: -one.share) for column in found}


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def percent(share: float) -> str:
    """Return a share as a whole percentage that is never rounded to none or all."""
    if 0 < share < 0.005:
        return "less than 1%"
    if 0.995 <= share < 1:
        return "more than 99%"
    return f"{100 * share:.0f}%"


def interval(one: Share) -> str:
    """Return the ends of a share's interval."""
    return f"{100 * one.low:.0f}–{100 * one.high:.0f}%"


def headline(answer: Answer) -> str:
    """Return the sentence that stands first."""
    one = answer.whole
    count = f"{one.n_above:,} of {one.n:,} target samples"
    share = f"{percent(one.share)}, 95% interval {interval(one)}"
    if one.above_chance:
        return (
            f"{count} hold something that the background does not ({share}). "
            f"Chance alone would give {percent(one.chance)}."
        )
    return (
        "Nothing was found that the background does not hold. "
        f"{count} stand out ({share}), and chance alone would give {percent(one.chance)}."
    )


def sentences(answer: Answer) -> list[str]:
    """Return what stands below the headline: groups, units, what one unit cannot tell, coverage."""
    parts = [_groups(column, shares) for column, shares in answer.groups.items() if shares]
    return [*parts, *_agreement(answer), *untold(answer), *_coverage(answer)]


def _groups(column: str, shares: list[Share]) -> str:
    if len(shares) <= _NAMED:
        return f"By {column}: {', '.join(f'{one.group} {percent(one.share)}' for one in shares)}."
    top = ", ".join(f"{one.group} ({percent(one.share)})" for one in shares[:3])
    least = shares[-1]
    return (
        f"By {column}, most in {top}, and least in {least.group} ({percent(least.share)}); "
        f"{sum(one.above_chance for one in shares)} of {len(shares)} groups are above chance."
    )


def _agreement(answer: Answer) -> list[str]:
    if len(answer.units) < 2:
        return []
    above = sum(one.above_chance for one in answer.units)
    return [
        f"{above} of {len(answer.units)} units ({answer.unit}) agree: their own interval lies "
        f"above {percent(answer.whole.chance)}."
    ]


def untold(answer: Answer) -> list[str]:
    """Return what too few units cannot tell, as a sentence, or nothing."""
    same = "would look the same as the difference between target and background"
    unit = answer.unit
    if not unit:
        return [
            "No unit of replication is named. If target and background come from different donors "
            f"or batches, the difference between these {same}."
        ]
    target = len(answer.units) or answer.whole.n_units
    sizes = {"target": target, "background": answer.n_background_units}
    alone = [name for name, n in sizes.items() if n == 1]
    if len(alone) == 2:
        return [
            f"Target and background are one {unit} each. If they are different ones, the "
            f"difference between the two {same}. Only more of them can tell."
        ]
    if not alone and 1 < min(sizes.values()) < _FEW:
        return [
            f"The target holds {target} and the background {answer.n_background_units} of {unit}. "
            "With so few, the threshold rests on one or two of them: trust the interval, and not "
            "the share alone."
        ]
    return [
        f"The {name} is one {unit}. What sets this one apart {same}. Only more of them can tell."
        for name in alone
    ]


def _coverage(answer: Answer) -> list[str]:
    theirs, ours = answer.classifier, answer.whole
    if theirs is None:
        return []
    found = (
        f"A classifier that is told target from background finds {percent(theirs.share)}, "
        f"the topics find {percent(ours.share)}"
    )
    if theirs.share - ours.share <= _MISSED:
        return [f"{found}: the topics miss little of what can be seen."]
    missed = f"{found}: the topics miss what about {percent(theirs.share - ours.share)} hold"
    where = _most_missed(answer)
    return [f"{missed}{where}. More topics or a larger alpha may show it."]


def _most_missed(answer: Answer) -> str:
    """Return in which group the classifier is furthest ahead of the topics."""
    gaps = []
    for column, shares in answer.groups.items():
        beside = {one.group: one for one in answer.classifier_groups.get(column, [])}
        gaps += [
            (beside[one.group].share - one.share, column, one, beside[one.group])
            for one in shares
            if one.group in beside
        ]
    if not gaps:
        return ""
    gap, column, ours, theirs = max(gaps, key=lambda found: found[0])
    if gap <= _MISSED:
        return ""
    return (
        f", most where {column} is {ours.group} ({percent(theirs.share)} against "
        f"{percent(ours.share)})"
    )
