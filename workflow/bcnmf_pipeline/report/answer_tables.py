"""Tables of answers and topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from bcnmf_pipeline.report.answer import Answer, interval, percent
from bcnmf_pipeline.report.tables import Cell, Table, number_cell, p_cell
from bcnmf_pipeline.report.topic_words import Topic

if TYPE_CHECKING:
    from bcnmf_pipeline.report.front import Answered

_GENES, _PROGRAMS = 6, 6


def answers_table(answers: Sequence[tuple[Cell, Answered]], caption: str, first: str) -> Table:
    """Return one row per study: how much is new there, and what leads it.

    Parameters
    ----------
    answers : sequence of (Cell, Answered)
        What stands in the first column, and the answer of the study.
    caption, first : str
        Of the table, and of its first column.
    """
    with_units = any(one.answer.units for _, one in answers)
    sure = [one.evidence.cell for _, one in answers]
    with_evidence = any(cell.text for cell in sure)
    rows = [
        [
            name,
            Cell(
                percent(answer.whole.share), repr(answer.whole.share),
                (f"95% [{interval(answer.whole)}]",), number=True,
            ),
            number_cell(answer.whole.n, "d"),
            *([_units_cell(answer)] if with_units else []),
            number_cell(answer.whole.auroc, ".2f"),
            Cell("–", "", number=True) if answer.classifier is None else Cell(
                percent(answer.classifier.share), repr(answer.classifier.share),
                (f"AUROC {answer.classifier.auroc:.2f}",), number=True,
            ),
            *([cell if cell.text else Cell("–")] if with_evidence else []),
            Cell(", ".join(one.topics[0].leading[:_GENES]) if one.topics else "–"),
        ]
        for (name, one), cell in zip(answers, sure, strict=True)
        for answer in [one.answer]
    ]  # fmt: skip
    units = ["Units agreeing"] if with_units else []
    columns = [first, "Something new", "Samples", *units, "AUROC", "Classifier"]
    columns += ["How sure"] if with_evidence else []
    return Table(caption, [*columns, "First topic led by"], rows)


def _units_cell(answer: Answer) -> Cell:
    if not answer.units:
        return Cell("–", "", number=True)
    above = sum(one.above_chance for one in answer.units)
    return Cell(f"{above} of {len(answer.units)}", str(above), number=True)


def shown(topics: Sequence[Topic]) -> Sequence[Topic]:
    """Return the topics that the first screen names: those that stand first."""
    return topics[:_PROGRAMS]


def programs_table(topics: Sequence[Topic], caption: str, with_sets: bool) -> Table:
    """Return one row per topic: what leads it, what that is known for, where it is used.

    Where no stability is known, which the page says, there is no column of it.
    """
    with_stability = any(pd.notna(topic.stability) for topic in topics)
    rows = [
        [
            Cell(f"Topic {topic.number}", str(topic.number)),
            Cell(", ".join(topic.leading[:_GENES])),
            *([Cell(topic.sets[0][0] if topic.sets else "–")] if with_sets else []),
            Cell(_places(topic) or "–"),
            *([_stability_cell(topic)] if with_stability else []),
        ]
        for topic in shown(topics)
    ]
    columns = ["Program", "Led by", *(["Known for"] if with_sets else []), "Used most where"]
    return Table(caption, [*columns, *(["Stability"] if with_stability else [])], rows)


def _stability_cell(topic: Topic) -> Cell:
    cell = number_cell(topic.stability, ".2f")
    return replace(cell, notes=("unstable",)) if topic.unstable else cell


def program_line(topic: Topic, tests: str = "") -> str:
    """Return the same of one topic as a line of text, with its tests in words if there are any."""
    parts = [f"Topic {topic.number}: {', '.join(topic.leading[:_GENES])}"]
    parts += [f"known for {topic.sets[0][0]}"] if topic.sets else []
    parts += [f"used most where {_places(topic)}"] if topic.used else []
    flag = " (unstable)" if topic.unstable else ""
    parts += [] if pd.isna(topic.stability) else [f"stability {topic.stability:.2f}{flag}"]
    parts += [tests] if tests else []
    return "; ".join(parts)


def _places(topic: Topic) -> str:
    return "; ".join(f"{one.column} is {one.group} ({one.factor})" for one in topic.used)


def topics_table(topics: Sequence[Topic], label_name: str) -> Table:
    """Return one row per topic: who uses it, what leads it, what that is known for."""
    with_label = any(topic.favours for topic in topics)
    with_units = any(topic.p_units == topic.p_units for topic in topics)
    columns = ["Topic", "Part of all usage", "Stability"]
    if with_label:
        columns += [f"Used more where {label_name} is", "AUROC", "Adjusted p, samples"]
        columns += ["Adjusted p, units"] if with_units else []
    rows = [
        [
            Cell(f"Topic {topic.number}", str(topic.number)),
            Cell(percent(topic.share), repr(topic.share), number=True),
            _stability_cell(topic),
            *(_label_cells(topic, with_units) if with_label else []),
            Cell(", ".join(topic.leading), topic.leading[0] if topic.leading else ""),
            Cell("; ".join(name for name, _ in topic.sets) or "–", ""),
        ]
        for topic in topics
    ]
    return Table("Topics", [*columns, "Led by", "Over-represented gene sets"], rows)


def _label_cells(topic: Topic, with_units: bool) -> list[Cell]:
    cells = [
        Cell(topic.favours, topic.favours),
        number_cell(topic.auroc, ".2f"),
        p_cell(topic.p_adjusted),
    ]
    return [*cells, p_cell(topic.p_units)] if with_units else cells
