"""Reported against reproduced, on the page and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bcnmf_pipeline.evaluate.reproduced import (
    COMPARED,
    NOT_RUN,
    NOT_STATED,
    OTHERWISE,
    REPRODUCED_COLUMNS,
    WITHIN,
)
from bcnmf_pipeline.report.tables import (
    SCORE_TITLES,
    Cell,
    Table,
    alpha_cell,
    mean_sd,
    number_cell,
    plain,
    require,
)

DEFINITION = (
    "Within: our 95% interval (our mean, where there is none) and the range of the reported value "
    "share a point. That range is the authors' lowest and highest run where they are known, else "
    "value ± s.d., else the value as printed. Above, below: ours lies above or below it. The "
    "interval is of the mean over data sets where there are three or more, else over fit seeds, "
    "which holds for these data alone."
)
_VALUE = ["study", "method", "score"]


@dataclass(frozen=True)
class Reproduced:
    """What the paper reports against what a run gives.

    Attributes
    ----------
    words : str
        How many values are within, above, below, made otherwise, not run; empty: of none of the
        studies of the run is anything reported.
    compared : Table
        A row for each setting of each value that was compared.
    rest : Table
        The values that were not, and why.
    outside : list of str
        Lines for the terminal: values that no setting is within.
    """

    words: str
    compared: Table
    rest: Table
    outside: list[str]


def reproduced_of(table: pd.DataFrame, titles: Mapping[str, str]) -> Reproduced:
    """Return what a report says of `tables/reported_vs_reproduced.tsv`.

    Parameters
    ----------
    table : DataFrame
        Columns `bcnmf_pipeline.evaluate.reproduced.REPRODUCED_COLUMNS`.
    titles : mapping of study to str
        The studies of the run.
    """
    require(table, REPRODUCED_COLUMNS, "reported_vs_reproduced")
    known = table["verdict"].isin(list(COMPARED))
    nearest = _nearest(table)
    said = bool(table["study"].isin(list(titles)).any())
    return Reproduced(
        words=_words(nearest, several=known.sum() > nearest["verdict"].isin(COMPARED).sum())
        if said else "",
        compared=_compared(table[known], titles),
        rest=_rest(table[~known], titles),
        outside=[_line(row, titles) for row in nearest.itertuples() if row.verdict in COMPARED[1:]],
    )  # fmt: skip


def _nearest(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a value: of several settings one that is within, else the nearest."""
    distance = (table["ours"] - table["reported"]).abs().where(table["verdict"] != WITHIN, -1.0)
    ordered = table.assign(_far=distance.fillna(float("inf")))
    first = ordered.sort_values("_far", kind="stable").drop_duplicates(_VALUE)
    return first.sort_index()


def _words(values: pd.DataFrame, several: bool) -> str:
    n = values["verdict"].value_counts()
    compared = int(n.reindex(list(COMPARED)).sum())
    rest = [f"{n[name]} {words}" for name, words in ((OTHERWISE, "made otherwise"),
            (NOT_RUN, "not run")) if name in n]  # fmt: skip
    noun = "value" if len(values) == 1 else "values"
    text = f"Of {len(values)} reported {noun} {compared or 'none'} can be compared with this run"
    if compared:
        counts = [f"{n[name]} {name}" for name in COMPARED if name in n]
        text += f": {', '.join(counts)} what is reported"
    text += f" ({', '.join(rest)})." if rest else "."
    if several:
        text += " Where a method has several settings, the one that comes nearest counts here."
    return text


def _line(row: Any, titles: Mapping[str, str]) -> str:
    study, score = str(row.study), str(row.score)
    text = (
        f"{row.verdict}: {titles.get(study, study)}, {row.method_label}, "
        f"{SCORE_TITLES.get(score, score)}: reported {row.reported:.4g}, here {row.ours:.4g}"
    )
    if pd.isna(row.low):
        return f"{text} (no interval)"
    return f"{text}, 95% {_interval(row)} over {row.interval_over}"


def _interval(row: Any) -> str:
    return f"[{plain(row.low, 3)}, {plain(row.high, 3)}]"


def _compared(rows: pd.DataFrame, titles: Mapping[str, str]) -> Table:
    cells = [
        [
            *_who(row, titles),
            Cell(row.verdict, row.verdict),
            _reported_cell(row),
            Cell(mean_sd(row.ours, row.sd, 4), repr(float(row.ours)), number=True),
            Cell(
                "none" if pd.isna(row.low) else _interval(row),
                "" if pd.isna(row.low) else repr(float(row.low)),
                () if pd.isna(row.low) else (f"over {row.interval_over}",), number=True,
            ),
            _difference(float(row.ours - row.reported)),
            number_cell(row.k, "d"),
            alpha_cell(row.alpha, row.alpha_setting),
            number_cell(row.n_runs, "d"),
            Cell(str(row.source)),
            Cell(_remarks(row)),
        ]
        for row in rows.itertuples()
    ]  # fmt: skip
    columns = [
        "Study", "Method", "Score", "Verdict", "Reported", "This run (mean ± s.d.)",
        "95% interval", "Difference", "K", "Alpha", "Runs", "Where reported", "Remarks",
    ]  # fmt: skip
    return Table("Reported against reproduced", columns, cells)


def _rest(rows: pd.DataFrame, titles: Mapping[str, str]) -> Table:
    cells = [
        [
            *_who(row, titles), _reported_cell(row), Cell(row.verdict, row.verdict),
            Cell(str(row.why), str(row.why)), Cell(str(row.source)), Cell(_remarks(row)),
        ]
        for row in rows.itertuples()
    ]  # fmt: skip
    columns = ["Study", "Method", "Score", "Reported", "Verdict", "Why", "Where reported"]
    columns += ["Remarks"]
    return Table("Reported, not compared here", columns, cells)


def _who(row: Any, titles: Mapping[str, str]) -> list[Cell]:
    study, method, score = str(row.study), str(row.method_label), str(row.score)
    return [
        Cell(titles.get(study, study), study),
        Cell(method, method),
        Cell(SCORE_TITLES.get(score, score), score),
    ]


def _reported_cell(row: Any) -> Cell:
    """Return the value, of what representation it is, and the authors' own spread."""
    n = "" if pd.isna(row.reported_n) else f", {int(row.reported_n)} runs"
    notes = [
        f"of {row.representation}" if row.representation != NOT_STATED else "of what: not stated"
    ]
    if not pd.isna(row.reported_low):
        notes.append(f"{row.reported_low:.4g} to {row.reported_high:.4g}{n}")
    elif not pd.isna(row.reported_sd):
        notes.append(f"± {row.reported_sd:.3g}{n}")
    return Cell(f"{row.reported:.4g}", repr(float(row.reported)), tuple(notes), number=True)


def _remarks(row: Any) -> str:
    spread = f"spread from {row.spread_source}" if row.spread_source else ""
    why = row.why if row.verdict in COMPARED else ""
    return "; ".join(filter(None, (row.note, spread, why)))


def _difference(value: float) -> Cell:
    """Return a cell with an explicit sign."""
    text = plain(value, 4)
    positive = not text.startswith("−") and float(text) != 0
    return Cell(f"+{text}" if positive else text, repr(value), number=True)
