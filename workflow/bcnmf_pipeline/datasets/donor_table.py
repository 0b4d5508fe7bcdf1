"""Diagnosis, sex and age of donors: a GEO series matrix, or a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, STREAM_FAULTS, listed, opened
from bcnmf_pipeline.datasets.donors import donor_number
from bcnmf_pipeline.datasets.single_cell import read_columns

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
_MEANING = {name: meaning for meaning, names in _KEYS.items() for name in names}
_CONTROL = ("control", "ctrl", "healthy", "neurotypical", "unaffected")
_CASE = ("case", "mdd", "depress", "suicide")


def read_donors(path: str | Path) -> pd.DataFrame:
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
            text = stream.read().decode("utf-8-sig")
        except (*STREAM_FAULTS, UnicodeError) as error:
            raise InputError(f"{path}: damaged or cut short ({error}); {AGAIN}") from error
    series = text.lstrip('"').startswith("!")
    return _merged(_of_series(text, path) if series else _of_table(text, path), path)


def _of_series(text: str, path: Path) -> list[dict[str, str]]:
    """Return what is told about each sample: donor, diagnosis, sex, age, as far as it is told."""
    about = [line for line in text.splitlines() if line.lstrip('"').startswith("!Sample_")]
    rows = [(key.removeprefix("!Sample_"), [cell.strip() for cell in cells])
            for key, *cells in csv.reader(about, delimiter="\t")]  # fmt: skip
    if not rows:
        raise InputError(
            f"{path}: no line begins with !Sample_; expected the series matrix of GSE213982, or a "
            f"table of donors; {AGAIN}"
        )
    wide = max(len(cells) for _, cells in rows)
    for key, cells in rows:
        if key in ("title", "characteristics_ch1") and len(cells) != wide:
            raise InputError(
                f"{path}: a line !Sample_{key} has not one cell for each of {wide} samples; {AGAIN}"
            )
    records = []
    for sample in zip_longest(*(cells for _, cells in rows), fillvalue=""):
        told: dict[str, str] = {}
        title = ""
        for (key, _), cell in zip(rows, sample, strict=True):
            name, _, value = cell.partition(":")
            meaning = _MEANING.get(_plain(name)) if key == "characteristics_ch1" else None
            if meaning and value.strip() and (meaning != "diagnosis" or _diagnosis(value)):
                told.setdefault(meaning, value.strip())
            title = cell if key == "title" else title
        texts = (told.get("donor", ""), title, *sample)
        donor = next((found for text in texts if (found := _donor(text))), "")
        records.append({"diagnosis": title} | told | {"donor": donor, "shown": title})
    return records


def _of_table(text: str, path: Path) -> list[dict[str, str]]:
    head = text.partition("\n")[0].strip()
    separator = "\t" if head.count("\t") > head.count(",") else ","
    columns: dict[str, list[str]] = {}
    for name in next(csv.reader([head], delimiter=separator), []):
        if meaning := _MEANING.get(_plain(name)):
            columns.setdefault(meaning, [name])
    for wanted in ("donor", "diagnosis"):
        columns.setdefault(wanted, [wanted])  # refused by name, where it is missing
    table = read_columns(io.BytesIO(text.encode()), str(path), columns)
    records = table.to_dict("records")
    return [one | {"shown": one["donor"], "donor": _donor(one["donor"])} for one in records]


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
                f"{_said(row)}; {AGAIN}"
            )
    if not people:
        raise InputError(
            f"{path}: names no donor (F1 to F38, M1 to M34); samples: "
            f"{listed(list(map(repr, shown)))}. "
            "A table with columns donor, diagnosis, sex and age can take the place of the file"
        )
    columns = ["diagnosis", "sex", "age"]
    table = pd.DataFrame.from_dict(people, orient="index", columns=columns)
    return table.loc[sorted(table.index, key=donor_number)].rename_axis("donor")


def _said(row: tuple[str, str, float]) -> str:
    return f"{row[0]}, {row[1]}, age {row[2]:g}"
