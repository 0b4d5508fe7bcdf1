"""Topics of a fit in words: who uses them, what leads them, what that is known for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bcnmf_pipeline.figures.representative import Chosen, representative_runs, same_alpha
from bcnmf_pipeline.figures.tables import method_label, order_topics, p_text

SIGNIFICANT = 0.05
_LEADING, _SETS, _SENTENCES = 8, 3, 5


@dataclass(frozen=True)
class Topic:
    """What is known of one topic.

    Attributes
    ----------
    number : int
        From 1.
    favours : str
        The class with the higher mean usage.
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
    """

    number: int
    favours: str
    auroc: float
    p_adjusted: float
    p_units: float
    leading: list[str]
    sets: list[tuple[str, float]]


def topics_of(
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    *,
    method: str,
    genes: pd.DataFrame | None = None,
    ora: pd.DataFrame | None = None,
) -> tuple[Chosen, list[Topic]]:
    """Return the topics of the fit of a method that figures show, most associated first.

    Parameters
    ----------
    topics, loadings : DataFrame
        Tables of the evaluation.
    method : str
        Which method.
    genes, ora : DataFrame, optional
        Tables of the enrichment of the study.
    """
    (one,) = representative_runs(topics, [method])
    rows = order_topics(one.rows(topics, "topics"))
    by_loading = one.rows(loadings, "loadings").sort_values("rank", kind="stable")
    scored, tested = (_of_fit(table, one) for table in (genes, ora))
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
                int(row.topic), str(row.favours), float(row.auroc), float(row.p_adjusted),
                float(getattr(row, "p_adjusted_units", float("nan"))), leading,
                list(zip(sets["term"], sets["p_adjusted"], strict=True))[:_SETS]
                if len(sets) else [],
            )
        )  # fmt: skip
    return one, found


def sentences(found: list[Topic], label_name: str) -> list[str]:
    """Return a sentence on each of the topics most associated with the label."""
    return [_sentence(topic, label_name) for topic in found[:_SENTENCES]]


def introduction(one: Chosen, labels: Mapping[str, str] | None, ranked_by: str) -> str:
    """Return which fit the sentences are about, and how features were chosen."""
    return (
        f"{method_label(one.method, labels)} with {one.setting}, seed {one.seed}. Topics by their "
        f"association with the label, which no fit has seen; features {ranked_by}."
    )


def _sentence(topic: Topic, label_name: str) -> str:
    sure = topic.p_adjusted <= SIGNIFICANT
    adjusted = p_text(topic.p_adjusted).replace("p ", "adjusted p ", 1)
    if sure:
        who = (
            f"Topic {topic.number} is used more where {label_name} is {topic.favours} "
            f"(AUROC {topic.auroc:.2f}, {adjusted})"
        )
    else:
        who = f"Topic {topic.number} shows no clear association with {label_name} ({adjusted})"
    if topic.p_units == topic.p_units:
        who += f"; on means of units {p_text(topic.p_units).replace('p ', 'adjusted p ', 1)}"
    text = f"{who}. It is led by {', '.join(topic.leading)}."
    if topic.sets:
        names = [f"{name} ({p_text(p).replace('p ', 'adjusted p ', 1)})" for name, p in topic.sets]
        text += f" Over-represented: {'; '.join(names)}."
    return text


def _of_fit(table: pd.DataFrame | None, one: Chosen) -> pd.DataFrame:
    if table is None or table.empty:
        return pd.DataFrame()
    same = (table["method"] == one.method) & (table["k"] == one.k) & (table["seed"] == one.seed)
    return table[same & same_alpha(table["alpha"], one.alpha)]
