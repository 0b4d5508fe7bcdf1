"""What a reader sees first: the answers of a run, on the page and on the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bcnmf.agreement import UNSTABLE
from bcnmf.errors import InputError
from bcnmf_pipeline.report.answer import Answer, headline, percent, sentences, untold
from bcnmf_pipeline.report.answer_tables import (
    answers_table,
    program_line,
    programs_table,
    shown,
)
from bcnmf_pipeline.report.evidence import Evidence, overall
from bcnmf_pipeline.report.reported import Reproduced
from bcnmf_pipeline.report.tables import Cell, Table, aligned
from bcnmf_pipeline.report.topic_words import Topic

ANSWER = "answer.txt"
_WHOLE = 3  # Up to so many studies each has its answer in full on the first screen.
_WIDTH, _CELL = 100, 24


@dataclass(frozen=True)
class Answered:
    """A study with its answer.

    Attributes
    ----------
    row : mapping
        Its row of the studies sheet.
    place : str
        Where the page says more of it.
    answer : Answer
        How much is new.
    topics : list of Topic
        Its programs.
    with_sets : bool
        Whether topics were tested against gene sets.
    figure : mapping, optional
        The figure `answer`.
    evidence : Evidence
        How sure it is.
    """

    row: Mapping[str, str]
    place: str
    answer: Answer
    topics: Sequence[Topic]
    with_sets: bool = False
    figure: Mapping[str, Any] | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def headline(self) -> str:
        """The sentence that stands first."""
        return headline(self.answer)

    @property
    def sentences(self) -> list[str]:
        """What stands below it; how sure it is comes last, in two sentences at most."""
        return [*sentences(self.answer), *self.evidence.first]

    @property
    def programs(self) -> Table:
        """The table of programs."""
        return programs_table(self.topics, f"Programs: {self.answer.method}", self.with_sets)

    @property
    def note(self) -> str:
        """What there is to know of the table of programs."""
        if any(pd.notna(topic.stability) for topic in self.topics):
            stable = (
                "Stability is the mean cosine of a topic with its best match in fits from other "
                "starts (of a consensus, 0 for starts that do not find it): 1 is the same "
                "topic every time."
            )
        else:
            stable = (
                "How stable the topics are is not known, because there was one start. "
                "Several seeds in the configuration would tell."
            )
        if any(topic.unstable for topic in self.topics):
            stable += f" Below {UNSTABLE:g} a topic is flagged as unstable."
        if any(topic.used for topic in self.topics):
            stable += " Times: mean usage there, in units of the mean of all other samples."
        return stable


@dataclass(frozen=True)
class Part:
    """One part of the first screen: a table of answers, or answers in full.

    Attributes
    ----------
    title : str
        Empty: the answers have titles of their own.
    words : str
        What the table says, in a sentence.
    notes : list of str
        What holds of all its studies.
    table : Table or None
        One row a study.
    trouble : list of (str, str)
        Of its studies that are not in order: name, and what is wrong.
    figures : list of mapping
        Figures across its studies.
    whole : list of Answered
        Answers in full.
    """

    title: str = ""
    words: str = ""
    notes: Sequence[str] = ()
    table: Table | None = None
    trouble: Sequence[tuple[str, str]] = ()
    figures: Sequence[Mapping[str, Any]] = ()
    whole: Sequence[Answered] = field(default_factory=list)


def parts_of(answered: Sequence[Answered], figures: Sequence[Mapping[str, Any]] = ()) -> list[Part]:
    """Return the first screen, from the answers of a run in their order.

    Studies that one row of the sheet asked for (`each`) share a table, and the figures of their
    group. Of the others each has its answer in full where they are few, else they share a table.
    """
    groups: dict[str, list[Answered]] = {}
    alone = []
    for one in answered:
        if one.row["each"]:
            groups.setdefault(one.row["group"], []).append(one)
        else:
            alone.append(one)
    parts = [_part_of_group(name, group, figures) for name, group in groups.items()]
    if len(alone) <= _WHOLE:
        return [*parts, *([Part(whole=alone)] if alone else [])]
    rows = [(Cell(one.row["title"], href=one.place), one) for one in alone]
    caption = f"Target samples that hold something the background does not; {_chance(alone)}"
    return [
        *parts,
        Part(
            table=answers_table(rows, caption, "Study"), notes=_of_all(alone),
            trouble=_trouble(alone, [one.row["title"] for one in alone]),
        ),
    ]  # fmt: skip


def _trouble(answered: Sequence[Answered], names: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (name, " ".join(overall(one.evidence)))
        for name, one in zip(names, answered, strict=True)
        if one.evidence.worst
    ]


def _chance(answered: Sequence[Answered]) -> str:
    """Return what chance alone gives; more where a background is small."""
    low, high = (percent(end(one.answer.whole.chance for one in answered)) for end in (min, max))
    return f"chance alone gives {low if low == high else f'{low} to {high}'}"


def _of_all(answered: Sequence[Answered]) -> list[str]:
    """Return what too few units cannot tell, where it is the same of all studies."""
    said = {tuple(untold(one.answer)) for one in answered}
    return list(said.pop()) if len(said) == 1 else []


def _part_of_group(
    name: str, group: Sequence[Answered], figures: Sequence[Mapping[str, Any]]
) -> Part:
    column = group[0].row["each"].partition("=")[0]
    values = [one.row["each"].partition("=")[2] for one in group]
    rows = [(Cell(value, href=one.place), one) for value, one in zip(values, group, strict=True)]
    above = sum(one.answer.whole.above_chance for one in group)
    best = max(range(len(group)), key=lambda place: group[place].answer.whole.share)
    share = percent(group[best].answer.whole.share)
    return Part(
        title=group[0].row["title"].removesuffix(f": {values[0]}"),
        words=(
            f"In {above} of {len(group)} values of {column} more target samples than by chance "
            f"hold something that the background does not; most in {values[best]} ({share}); "
            f"{_chance(group)}."
        ),
        notes=_of_all(group),
        table=answers_table(rows, f"Each {column} by itself", column),
        trouble=_trouble(group, values),
        figures=[one for one in figures if one["study"] == name],
    )


def text_of(parts: Sequence[Part], reproduced: Reproduced | None = None) -> str:
    """Return the first screen as plain text for a terminal, with all that is not in order."""
    blocks = []
    for part in parts:
        if part.table is not None:
            rows = [
                [textwrap.shorten(cell.text, _CELL, placeholder=" …") for cell in row]
                for row in part.table.rows
            ]
            words = [textwrap.fill(text, _WIDTH) for text in (part.words, *part.notes)]
            lines = aligned([part.table.columns, *rows])
            troubled = [_wrapped(f"{name}: {text}") for name, text in part.trouble]
            blocks.append("\n".join(filter(None, [part.title, *words, lines, *troubled])))
        blocks += [_text_of_one(one) for one in part.whole]
    if reproduced is not None and reproduced.compared.rows:
        beside = [reproduced.words, *reproduced.outside]
        blocks.append("\n".join(["Reported against reproduced", *map(_wrapped, beside)]))
    return "\n\n".join(blocks) + "\n"


def _text_of_one(one: Answered) -> str:
    tests = one.evidence.tests
    words = [one.headline, *sentences(one.answer), *one.evidence.words]
    words += [" ".join(filter(None, found)) for found in one.evidence.findings]
    words += [program_line(topic, tests.get(topic.number, "")) for topic in shown(one.topics)]
    return "\n".join([one.row["title"], *map(_wrapped, words)])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ")


def answer_text(folder: Path) -> str:
    """Return the answers of a finished run as plain text.

    Parameters
    ----------
    folder : Path
        For instance ``results/quick``.

    Raises
    ------
    InputError
        The run has not got so far.
    """
    path = folder / "tables" / ANSWER
    if not path.exists():
        raise InputError(f"{path}: no such file; run `snakemake {folder.name}` first")
    return path.read_text(encoding="utf-8")
