"""Diagnosis, sex and age of donors: a GEO series matrix, or a table."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.donors import donor_number
from bcnmf_pipeline.datasets.matrix_market import STREAM_FAULTS
from bcnmf_pipeline.datasets.single_cell import opened, read_columns

_AGAIN = "delete the file and fetch it again, or take the one that config/datasets.tsv names"
_DONOR = re.compile(r"(?<![A-Za-z0-9])([FM])[ _-]?0*([1-9][0-9]?)(?![A-Za-z0-9])")
# Keys of the characteristics, and columns of a table, without case and punctuation.
_KEYS = {
    "donor": ("donor", "donorid", "sample", "samplename", "sampleid", "subject", "individual"),
    "diagnosis": (
        "diagnosis", "condition", "group", "status", "disease", "diseasestate", "diseasestatus",
        "phenotype", "casecontrol",
    ),
    "sex": ("sex", "gender"),
    "age": ("age", "ageyears", "ageatdeath"),
}  # fmt: skip
_CONTROL = ("control", "ctrl", "healthy", "neurotypical", "unaffected")
_CASE = ("case", "mdd", "depress", "suicide")
_SHOWN = 8


def read_donors(path: str | os.PathLike) -> pd.DataFrame:
    """Read diagnosis, sex and age of the donors.

    Parameters
    ----------
    path : path
        GEO series matrix (.txt.gz), or a table (.csv, .tsv) with columns such as `donor` (or
        `Sample`), `diagnosis` (or `Condition`), `sex` and `age`. In a series matrix the donor, as
        F3, is looked for in the characteristics called donor, sample or individual, then in the
        title, then in the other lines about samples; the rest in ``key: value`` characteristics,
        and the diagnosis in the title where they do not tell it.

    Returns
    -------
    DataFrame
        Index: donor (F3). `diagnosis` (case, control), `sex` (female, male; by the letter of the
        donor where it is not stated), `age` (years, NaN if not stated).

    Raises
    ------
    InputError
        The file is missing, damaged or of another form, names no donor, or contradicts itself.
    """
    path = Path(path)
    with opened(path, "a GEO series matrix, .txt.gz, or a table of donors") as stream:
        try:
            if stream.peek(2)[:2].lstrip(b'"')[:1] == b"!":
                return _merged(_of_series(_sample_lines(stream, path)), path)
            return _merged(_of_table(stream, path), path)
        except (*STREAM_FAULTS, UnicodeError) as error:
            raise InputError(f"{path}: damaged or cut short ({error}); {_AGAIN}") from error


def _sample_lines(stream: BinaryIO, path: Path) -> list[tuple[str, list[str]]]:
    """Return key and cells of the lines of a series matrix that are about samples."""
    lines = []
    for raw in stream:
        line = raw.decode("utf-8").strip()
        if line.lstrip('"').startswith("!Sample_"):
            key, *cells = next(csv.reader([line], delimiter="\t"))
            lines.append((key.removeprefix("!Sample_"), [cell.strip() for cell in cells]))
    if not lines:
        raise InputError(
            f"{path}: no line begins with !Sample_; expected the series matrix of GSE213982, or a "
            f"table of donors; {_AGAIN}"
        )
    wide = max(len(cells) for _, cells in lines)
    short = [key for key, cells in lines if key in ("title", "characteristics_ch1")
             and len(cells) != wide]  # fmt: skip
    if short:
        raise InputError(
            f"{path}: a line !Sample_{short[0]} has not one cell for each of {wide} samples; "
            f"{_AGAIN}"
        )
    return [(key, cells + [""] * (wide - len(cells))) for key, cells in lines]


def _of_series(lines: list[tuple[str, list[str]]]) -> list[dict[str, str]]:
    """Return what is told about each sample: donor, diagnosis, sex, age, as far as it is told."""
    records = []
    for at in range(len(lines[0][1])):
        record: dict[str, str] = {}
        title, rest = "", []
        for key, cells in lines:
            if key == "characteristics_ch1":
                name, _, value = cells[at].partition(":")
                _note(record, name, value.strip())
            title = cells[at] if key == "title" else title
            rest.append(cells[at])
        texts = (record.get("donor", ""), title, *rest)
        record["donor"] = next((found for text in texts if (found := _donor(text))), "")
        if "diagnosis" not in record:
            record["diagnosis"] = title
        records.append(record | {"shown": title})
    return records


def _of_table(stream: BinaryIO, path: Path) -> list[dict[str, str]]:
    head = stream.peek(2**16).split(b"\n")[0].decode("utf-8-sig").strip()
    separator = "\t" if head.count("\t") > head.count(",") else ","
    names = next(csv.reader([head], delimiter=separator), [])
    columns = {}
    for name in names:
        for wanted, known in _KEYS.items():
            if _plain(name) in known:
                columns.setdefault(wanted, [name])
    for wanted in ("donor", "diagnosis"):
        columns.setdefault(wanted, [wanted])  # refused by name, where it is missing
    table = read_columns(stream, str(path), columns)
    records = table.to_dict("records")
    return [one | {"shown": one["donor"], "donor": _donor(one["donor"])} for one in records]


def _note(record: dict[str, str], name: str, value: str) -> None:
    for wanted, known in _KEYS.items():
        if _plain(name) in known and value and (wanted != "diagnosis" or _diagnosis(value)):
            record.setdefault(wanted, value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", re.sub(r"\(.*?\)", "", name.lower()))


def _donor(text: str) -> str:
    found = _DONOR.search(text)
    return f"{found[1]}{found[2]}" if found else ""


def _diagnosis(text: str) -> str:
    lowered = text.lower()
    if any(word in lowered for word in _CONTROL):
        return "control"
    return "case" if any(word in lowered for word in _CASE) else ""


def _merged(records: Iterable[dict[str, str]], path: Path) -> pd.DataFrame:
    """Return one row a donor; several libraries of one donor have to agree."""
    people: dict[str, tuple[str, str, float]] = {}
    shown = []
    for record in records:
        shown.append(record["shown"])
        donor = record["donor"]
        if not donor:
            continue
        diagnosis = _diagnosis(record["diagnosis"])
        if not diagnosis:
            raise InputError(
                f"{path}: {donor} has the diagnosis {record['diagnosis']!r}; expected a word for "
                "control, or case, MDD or depression. A table with columns donor, diagnosis, sex "
                "and age can take the place of the file"
            )
        sex = record.get("sex", "").strip().lower()[:1] or donor[0].lower()
        if sex not in "fm":
            raise InputError(f"{path}: {donor} has the sex {record['sex']!r}; allowed: F, M")
        years = re.search(r"[0-9]+(?:[.][0-9]+)?", record.get("age", ""))
        row = (diagnosis, {"f": "female", "m": "male"}[sex], float(years[0]) if years else np.nan)
        if str(people.setdefault(donor, row)) != str(row):
            raise InputError(
                f"{path}: contradicts itself about {donor}: {_said(people[donor])}, and "
                f"{_said(row)}; {_AGAIN}"
            )
    if not people:
        listed = ", ".join(repr(text) for text in shown[:_SHOWN])
        raise InputError(
            f"{path}: names no donor (F1 to F38, M1 to M34); samples: {listed or 'none'}. A table "
            "with columns donor, diagnosis, sex and age can take the place of the file"
        )
    columns = ["diagnosis", "sex", "age"]
    table = pd.DataFrame.from_dict(people, orient="index", columns=columns)
    return table.loc[sorted(table.index, key=donor_number)].rename_axis("donor")


def _said(row: tuple[str, str, float]) -> str:
    return f"{row[0]}, {row[1]}, age {row[2]:g}"
