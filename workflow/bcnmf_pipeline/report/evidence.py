"""How sure a study's answer is: tests on units, the null of the whole fit, diagnoses, selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bcnmf.agreement import UNSTABLE
from bcnmf_pipeline.figures.representative import Chosen, same_alpha
from bcnmf_pipeline.figures.tables import p_text
from bcnmf_pipeline.report.answer import of_one_fit
from bcnmf_pipeline.report.tables import Cell, Table, p_cell, require
from bcnmf_pipeline.report.topic_words import SIGNIFICANT, Topic

OF_SIDES = "target against background"
# Worst first.
_VERDICTS = ("fault", "batch", "none", "unclear")
_SHORT = {
    "": "in order", "fault": "faulty", "batch": "perhaps a batch", "none": "no evidence",
    "unclear": "unclear",
}  # fmt: skip
_KEYS = {
    "programs": ("program", "contrast", "effect", "low", "high", "n_units_first", "n_units_second",
                 "paired", "p_units", "q_units", "p_cells", "q_cells", "test", "tested"),
    "null": ("by", "contrast", "p_value", "sentence"),
    "diagnosis": ("program", "code", "verdict", "sentence", "remedy"),
}  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What a run knows of how sure the answer of a study is; empty tables: not asked for.

    Attributes
    ----------
    programs, null, diagnosis : DataFrame
        Rows of one fit of `evidence/<study>/*.tsv`.
    unit : str
        What is called a unit; empty: none.
    selection : str
        What the selection of K and alpha recommends or refuses, in words.
    topics : list of Topic
        Those that are described.
    same_fit : bool
        Whether the programs are those topics, number by number, and not those of another start.
    """

    programs: pd.DataFrame = field(default_factory=pd.DataFrame)
    null: pd.DataFrame = field(default_factory=pd.DataFrame)
    diagnosis: pd.DataFrame = field(default_factory=pd.DataFrame)
    unit: str = ""
    selection: str = ""
    topics: Sequence[Topic] = ()
    same_fit: bool = True

    @property
    def first(self) -> list[str]:
        """At most two sentences for the first screen: is there anything, and what is wrong."""
        return [*(null_words(self)[:1] or unit_words(self)[:1]), *overall(self)]

    @property
    def words(self) -> list[str]:
        """All there is to say, without the findings: tests, null, stability, selection."""
        said = [*null_words(self), *unit_words(self), *stability_words(self.topics)]
        return [*said, *([self.selection] if self.selection else [])]

    @property
    def findings(self) -> list[tuple[str, str]]:
        """(sentence, remedy) of what is not in order, worst first; or the all-clear alone.

        What is found alike in several programs is told of the first, and the others are named.
        """
        trouble = _trouble(self)
        if trouble.empty:
            return [(text, "") for text in overall(self)]
        return [
            (f"{rows['sentence'].iloc[0]}{_likewise(rows)}", str(remedy))
            for (_, _, remedy), rows in trouble.groupby(["code", "verdict", "remedy"], sort=False)
        ]

    @property
    def worst(self) -> str:
        """The worst verdict of the diagnosis; empty: all is in order, or was not asked."""
        trouble = _trouble(self)
        return "" if trouble.empty else str(trouble["verdict"].iloc[0])

    @property
    def cell(self) -> Cell:
        """The same in a few words, for a table of studies."""
        p_value = self._p_value
        words = "" if pd.isna(p_value) else p_text(p_value)
        verdict = "" if self.diagnosis.empty else _SHORT[self.worst]
        return Cell("; ".join(filter(None, (words, verdict))), repr(p_value) if words else "")

    @property
    def _p_value(self) -> float:
        """Of the null of the whole fit by units, else of the target score by units."""
        if not self.null.empty:
            by_units = self.null[self.null["by"] == "units"]
            return float(by_units["p_value"].iloc[0]) if len(by_units) else float("nan")
        if self.programs.empty:
            return float("nan")
        rows = self.programs
        found = rows.loc[(rows["program"] == 0) & (rows["contrast"] == OF_SIDES), "p_units"]
        return float(found.iloc[0]) if len(found) else float("nan")

    @property
    def tests(self) -> dict[int, str]:
        """The tests of each described topic of target against background, in words."""
        if self.programs.empty or not self.same_fit:
            return {}
        rows = self.programs
        rows = rows[(rows["contrast"] == OF_SIDES) & rows["p_units"].notna()]
        return {
            int(row.program): f"by {self.unit or 'unit'} {p_text(row.p_units)}, "
            f"{p_text(row.q_units).replace('p', 'q', 1)} (by sample {p_text(row.p_cells)})"
            for row in rows.itertuples()
        }

    @property
    def table(self) -> Table | None:
        """The tests of programs, of units and of samples side by side."""
        return None if self.programs.empty else tests_table(self.programs, self.unit)

    @property
    def note(self) -> str:
        """What the two tests of the table are."""
        return "" if self.programs.empty else tests_note(self.programs, self.unit)

    @property
    def empty(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.words or self.findings or self.table)


def evidence_of(
    tables: Mapping[str, pd.DataFrame],
    method: str,
    unit: str = "",
    topics: Sequence[Topic] = (),
    selection: str = "",
    fit: Chosen | None = None,
) -> Evidence:
    """Return the evidence of one method of a study.

    Parameters
    ----------
    tables : mapping
        "programs", "null", "diagnosis": tables as the run wrote them; those that were not asked for
        are left out.
    method : str
        The method that the report describes; another one stands in where a table has none of it.
    unit, topics, selection
        See `Evidence`.
    fit : Chosen, optional
        The fit whose topics are described.

    Raises
    ------
    InputError
        A table lacks a column.
    """
    found = {}
    for name, table in tables.items():
        require(table, ("method", "k", "alpha", "seed", *_KEYS[name]), f"evidence, {name}")
        found[name] = of_one_fit(table, method) if len(table) else table
    same = fit is None or all(_is_of(table, fit) for table in found.values() if len(table))
    return Evidence(**found, unit=unit, selection=selection, topics=topics, same_fit=same)


def _is_of(rows: pd.DataFrame, fit: Chosen) -> bool:
    first = rows.head(1)
    same = (first["method"] == fit.method) & (first["k"] == fit.k) & (first["seed"] == fit.seed)
    return bool(same.iloc[0] and same_alpha(first["alpha"], fit.alpha)[0])


def overall(evidence: Evidence) -> list[str]:
    """Return what the diagnosis says of the whole study, and the remedy of the worst finding."""
    rows = evidence.diagnosis
    if rows.empty:
        return []
    said = rows.loc[rows["code"] == "overall", "sentence"].astype(str).tolist()[:1]
    trouble = _trouble(evidence)
    remedies = [
        f"Program {int(row.program)}: {row.remedy}" if row.program else str(row.remedy)
        for row in trouble.itertuples()
        if row.remedy
    ]
    return [" ".join([*said, *remedies[:1]])] if said else []


def _likewise(rows: pd.DataFrame) -> str:
    others = [str(number) for number in rows["program"].iloc[1:]]
    if not others:
        return ""
    return f" Likewise program{'' if len(others) == 1 else 's'} {_joined(others)}."


def _trouble(evidence: Evidence) -> pd.DataFrame:
    rows = evidence.diagnosis
    if rows.empty:
        return rows
    # Where the study names no unit, the answer says so.
    said = ["overall"] if evidence.unit else ["overall", "units"]
    rows = rows[~rows["code"].isin(said) & rows["verdict"].isin(_VERDICTS)]
    rank = rows["verdict"].map(_VERDICTS.index)
    return rows.assign(_rank=rank).sort_values(["_rank", "program"], kind="stable")


def null_words(evidence: Evidence) -> list[str]:
    """Return the sentences of the null, that by units first."""
    rows = evidence.null
    if rows.empty:
        return []
    first = rows.sort_values("by", key=lambda by: by != "units", kind="stable")
    return [str(text) for text in first["sentence"] if str(text)]


def unit_words(evidence: Evidence) -> list[str]:
    """Return a sentence on the tests of every contrast, or why there is none.

    Nothing where the study names no unit: the answer says so.
    """
    if evidence.programs.empty or not (evidence.unit or evidence.programs["p_units"].notna().any()):
        return []
    contrasts = evidence.programs.groupby("contrast", sort=False)
    found = {str(name): _contrast_words(str(name), rows, evidence.unit) for name, rows in contrasts}
    return [found[name] for name in sorted(found, key=lambda name: name != OF_SIDES)]


def _contrast_words(contrast: str, rows: pd.DataFrame, unit: str) -> str:
    whole, programs = rows[rows["program"] == 0], rows[rows["program"] > 0]
    by = unit or "unit"
    tested = rows[rows["p_units"].notna()]
    if tested.empty:
        reasons = [text for text in rows["test"].astype(str) if text]
        why = f" ({reasons[0]})" if reasons else ""
        return f"By {by}, {contrast}: there is no p-value{why}."
    first, second = (int(tested[f"n_units_{side}"].iloc[0]) for side in ("first", "second"))
    parts = []
    if whole["p_units"].notna().any():
        parts.append(f"target score {p_text(float(whole['p_units'].iloc[0]))}")
    measured = programs[programs["q_units"].notna()]
    if len(measured):
        ours, theirs = (
            int((measured[name] <= SIGNIFICANT).sum()) for name in ("q_units", "q_cells")
        )
        parts.append(
            f"{ours or 'none'} of {len(measured)} programs {'have' if ours > 1 else 'has'} "
            f"q ≤ {SIGNIFICANT:g}, where a test that takes every sample for a replicate says "
            f"{theirs or 'none'}"
        )
    sizes = f"{first} pairs" if _paired(tested) else f"{first} against {second}"
    return f"By {by}, {contrast} ({sizes}): {'; '.join(parts)}."


def _paired(rows: pd.DataFrame) -> bool:
    return bool(rows["paired"].astype(str).isin(["True", "1", "1.0"]).all())


def stability_words(topics: Sequence[Topic]) -> list[str]:
    """Return which topics other starts do not find again."""
    unstable = [f"{topic.number}" for topic in topics if topic.unstable]
    if not unstable:
        return []
    named = f"Topic {unstable[0]} is" if len(unstable) == 1 else f"Topics {_joined(unstable)} are"
    return [
        f"{named} unstable: other starts find something else in their place "
        f"(stability below {UNSTABLE:g}). Read nothing into single features there; a consensus of "
        "many starts, or fewer topics, may settle it."
    ]


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def tests_table(programs: pd.DataFrame, unit: str) -> Table:
    """Return one row a program and contrast: the test of units, and that of samples beside it."""
    several = len(programs["contrast"].unique()) > 1
    # Without units, columns of dashes would say nothing; the last column gives the reason.
    by_units = bool(unit) or programs["p_units"].notna().any()
    rows = [
        [
            Cell("Target score" if row.program == 0 else f"Topic {int(row.program)}",
                 str(int(row.program))),
            *([Cell(str(row.contrast), str(row.contrast))] if several else []),
            _effect_cell(row),
            *([_units_cell(row), p_cell(row.p_units), p_cell(row.q_units)] if by_units else []),
            p_cell(row.p_cells), p_cell(row.q_cells),
            Cell(str(row.test) or "–", str(row.test), (str(row.tested),) if row.tested else ()),
        ]
        for row in programs.itertuples()
    ]  # fmt: skip
    name = unit or "units"
    columns = ["Program", *(["Contrast"] if several else []), "Effect"]
    columns += [f"Units ({name})", f"p, {name}", f"q, {name}"] if by_units else []
    columns += ["p, samples", "q, samples", "Test of units"]
    how = "by unit and, beside it, by sample" if by_units else "by sample"
    return Table(f"Tests of programs, {how}", columns, rows)


def tests_note(programs: pd.DataFrame, unit: str) -> str:
    """Return what sets the two tests apart, with this study's numbers."""
    name = unit or "donor or batch"
    beside = programs[programs["q_cells"].notna()]
    numbers = ""
    if len(beside) and programs["q_units"].notna().any():
        theirs, ours = (int((beside[f"q_{of}"] <= SIGNIFICANT).sum()) for of in ("cells", "units"))
        numbers = (
            f" Of {len(beside)} rows it calls {theirs} at q ≤ {SIGNIFICANT:g}; the test of units "
            f"calls {ours}."
        )
    return (
        f"q: p adjusted over programs. The test of samples takes every sample for a replicate, "
        f"though samples of one {name} resemble each other whatever the condition does: its "
        f"p-values are too small.{numbers} It stands here to show that, and not to be used."
    )


def _effect_cell(row: Any) -> Cell:
    effect, low, high = (float(getattr(row, name)) for name in ("effect", "low", "high"))
    if pd.isna(effect):
        return Cell("–", "", number=True)
    notes = () if pd.isna(low) else (f"95% [{low:.3g}, {high:.3g}]".replace("-", "−"),)
    return Cell(f"{effect:.3g}".replace("-", "−"), repr(effect), notes, number=True)


def _units_cell(row: Any) -> Cell:
    first, second = (getattr(row, f"n_units_{side}") for side in ("first", "second"))
    if pd.isna(first) or pd.isna(second) or not first + second:
        return Cell("–", "", number=True)
    paired = str(getattr(row, "paired", "")) in ("True", "1", "1.0")
    notes = ("paired",) if paired else ()
    return Cell(f"{int(first)} + {int(second)}", str(int(first + second)), notes, number=True)
