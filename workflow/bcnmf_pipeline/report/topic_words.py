"""Topics of a fit in words: who uses them, what leads them, what that is known for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bcnmf.agreement import UNSTABLE
from bcnmf_pipeline.figures.representative import Chosen, representative_runs, same_alpha
from bcnmf_pipeline.figures.tables import method_label, order_topics, p_text, short_number

SIGNIFICANT = 0.05
_LEADING, _SETS, _SENTENCES = 8, 3, 5
_MORE = 1.5  # Times the mean usage of the others from which a group is named.


@dataclass(frozen=True)
class Use:
    """Where a topic is used most.

    Attributes
    ----------
    column, group : str
        Of the groups of this column, the one with the highest mean usage.
    times : float
        That mean, in units of the mean of all other samples; infinite where they use none.
    """

    column: str
    group: str
    times: float

    @property
    def factor(self) -> str:
        """The ratio in words."""
        return "only there" if np.isinf(self.times) else f"{short_number(self.times, 2)} times"


@dataclass(frozen=True)
class Topic:
    """What is known of one topic.

    Attributes
    ----------
    number : int
        From 1.
    favours : str
        The class that the topic tells best; empty without a label.
    auroc : float
        Of the usage, for that class.
    p_adjusted : float
        Of the test of the usage between classes, adjusted over topics.
    p_units : float
        The same on means of units; missing without units.
    leading : list of str
        Features: by gene score where there is one, else by loading.
    sets : list of (str, float)
        Over-represented gene sets and their adjusted p-values, best first.
    share : float
        Of all usage of the fit, the part of this topic.
    stability : float
        How well other starts find it again, as in `topics.tsv`; missing with one start.
    used : list of Use
        By the label and by further columns; those without a clear place are left out.
    """

    number: int
    favours: str
    auroc: float
    p_adjusted: float
    p_units: float
    leading: list[str]
    sets: list[tuple[str, float]]
    share: float = 0.0
    stability: float = float("nan")
    used: list[Use] = field(default_factory=list)

    @property
    def unstable(self) -> bool:
        """Whether other starts give another topic in its place."""
        return self.stability < UNSTABLE

    @property
    def p_value(self) -> float:
        """The p-value on units where there is one, else that over samples."""
        return self.p_adjusted if pd.isna(self.p_units) else self.p_units


def topics_of(
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    *,
    method: str,
    genes: pd.DataFrame | None = None,
    ora: pd.DataFrame | None = None,
    samples: pd.DataFrame | None = None,
    columns: Mapping[str, pd.Series] | None = None,
) -> tuple[Chosen, list[Topic]]:
    """Return the topics of the fit of a method that figures show, most associated first.

    Without a label, those that are used most come first.

    Parameters
    ----------
    topics, loadings : DataFrame
        Tables of the evaluation.
    method : str
        Which method.
    genes, ora : DataFrame, optional
        Tables of the enrichment of the study.
    samples : DataFrame, optional
        The evaluation's table of usages.
    columns : mapping of str to Series, optional
        Name of a column and its value of each sample (the index), to say where topics are used.
    """
    (one,) = representative_runs(topics, [method])
    rows = order_topics(one.rows(topics, "topics"))
    if rows["p_value"].isna().all():
        rows = rows.sort_values("mean_usage", ascending=False, kind="stable")
    by_loading = one.rows(loadings, "loadings").sort_values("rank", kind="stable")
    scored, tested = (_of_fit(table, one) for table in (genes, ora))
    usage = None if samples is None else one.rows(samples, "samples").set_index("sample")
    total = rows["mean_usage"].abs().sum() or 1.0
    found = []
    for row in rows.itertuples():
        here = by_loading[by_loading["topic"] == row.topic]
        leading = here["feature"].astype(str).head(_LEADING).tolist()
        if len(scored):
            ranked = scored[scored["topic"] == row.topic].sort_values("rank", kind="stable")
            leading = ranked["feature"].astype(str).head(_LEADING).tolist() or leading
        sets = tested[tested["topic"] == row.topic] if len(tested) else tested
        if len(sets):
            sets = sets[sets["p_adjusted"] <= SIGNIFICANT].sort_values(
                ["p_adjusted", "term"], kind="stable"
            )
        found.append(
            Topic(
                int(row.topic), "" if pd.isna(row.favours) else str(row.favours), float(row.auroc),
                float(row.p_adjusted), float(getattr(row, "p_adjusted_units", float("nan"))),
                leading,
                list(zip(sets["term"], sets["p_adjusted"], strict=True))[:_SETS]
                if len(sets) else [],
                share=abs(float(row.mean_usage)) / total,
                stability=float(getattr(row, "stability", float("nan"))),
                used=[] if usage is None else _used(usage[f"usage_{row.topic}"], columns or {}),
            )
        )  # fmt: skip
    return one, found


def _used(usage: pd.Series, columns: Mapping[str, pd.Series]) -> list[Use]:
    if usage.min() < 0:
        return []  # A ratio of signed means says nothing.
    found = []
    for name, values in columns.items():
        groups = usage.groupby(values.reindex(usage.index))
        sums, sizes = groups.sum(), groups.size()
        if len(sums) < 2:
            continue
        best = (sums / sizes).idxmax()
        rest = (sums.sum() - sums[best]) / (sizes.sum() - sizes[best])
        times = (sums[best] / sizes[best]) / rest if rest > 0 else np.inf
        if sums[best] > 0 and times >= _MORE:
            found.append(Use(name, str(best), float(times)))
    return found


def sentences(found: list[Topic], label_name: str) -> list[str]:
    """Return a sentence on each of the topics that stand first."""
    return [_sentence(topic, label_name) for topic in found[:_SENTENCES]]


def introduction(
    one: Chosen, labels: Mapping[str, str] | None, ranked_by: str, found: list[Topic]
) -> str:
    """Return which fit the sentences are about, and how topics and features were chosen."""
    text = f"{method_label(one.method, labels)} with {one.setting}, seed {one.seed}. "
    if all(pd.isna(topic.p_adjusted) for topic in found):
        text += "Topics by how much they are used"
    else:
        text += "Topics by their association with the label, which no fit has seen"
    text += f"; features {ranked_by}."
    if any(pd.notna(topic.p_adjusted) and pd.isna(topic.p_units) for topic in found):
        text += (
            " There is no test on means of units, so p-values are over samples. Samples of one "
            "donor or batch are not independent, and these p-values are too small: they rank "
            "topics and prove nothing."
        )
    return text


def _sentence(topic: Topic, label_name: str) -> str:
    text = f"{_who(topic, label_name)}. It is led by {', '.join(topic.leading)}."
    if topic.sets:
        names = [f"{name} ({p_text(p).replace('p ', 'adjusted p ', 1)})" for name, p in topic.sets]
        text += f" Over-represented: {'; '.join(names)}."
    return text


def _who(topic: Topic, label_name: str) -> str:
    if pd.notna(topic.p_value):
        of_units = pd.notna(topic.p_units)
        adjusted = p_text(topic.p_value).replace("p ", "adjusted p ", 1)
        adjusted += " on means of units" if of_units else " over samples"
        if topic.p_value <= SIGNIFICANT:
            return (
                f"Topic {topic.number} is used more where {label_name} is {topic.favours} "
                f"(AUROC {topic.auroc:.2f}, {adjusted})"
            )
        return f"Topic {topic.number} shows no clear association with {label_name} ({adjusted})"
    places = [f"where {one.column} is {one.group} ({one.factor})" for one in topic.used]
    most = f", most {' and '.join(places)}" if places else ""
    return f"Topic {topic.number} is {100 * topic.share:.0f}% of all usage{most}"


def _of_fit(table: pd.DataFrame | None, one: Chosen) -> pd.DataFrame:
    if table is None or table.empty:
        return pd.DataFrame()
    same = (table["method"] == one.method) & (table["k"] == one.k) & (table["seed"] == one.seed)
    return table[same & same_alpha(table["alpha"], one.alpha)]
