"""The studies sheet: which rows there are, which are of the user's own data, which are chosen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.drivers import SIMULATION, VARIANTS, check_series
from bcnmf_pipeline.plan.sheets import load_sheet, load_yaml, nearest

Row = dict[str, str]

# What the rules of workflow/rules/preprocess.smk draw anew for each replicate, and can make at all.
_DRAWN = rf"{SIMULATION.pattern}|digits_texture|digits_on_images_(?:two|ten)(?:_published)?"
DRAWN = re.compile(_DRAWN)
DATASETS = re.compile(
    rf"{_DRAWN}|pbmc68k_reduced|mice_protein|leukemia_aml(027|035)(_donor2)?|mixseq|mdd"
)
# What names columns and classes of a file; a path is taken as it is.
_NAMES = ("target", "background", "label", "unit", "batch", "each", "colours")
# A folder in the name, or an ending such as .h5ad; a number such as beta0.5 is none.
_PATH = re.compile(r"[/\\~]|\.[0-9]*[A-Za-z]\w*$")


def is_own(dataset: str) -> bool:
    """Whether a cell of the column `dataset` is the path of the user's own file or folder."""
    if DATASETS.fullmatch(dataset):
        return False
    return bool(_PATH.search(dataset)) or Path(dataset).exists()


def load_studies(path: Path, schemas: Path) -> dict[str, Row]:
    """Read the sheet and check what needs no look into data.

    Parameters
    ----------
    path : Path
        The sheet.
    schemas : Path
        Folder of the JSON schemas.

    Returns
    -------
    dict of str to dict
        Study -> its row with all columns; group and title are the study's name where they are
        empty, `values` is empty where it has to be found out.

    Raises
    ------
    InputError
        A row that cannot be used, whatever the data are.
    """
    sheet = load_sheet(path, load_yaml(schemas / "studies.schema.yaml"))
    rows: dict[str, Row] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for line, row in zip(sheet.lines, sheet.rows, strict=True):
        name = row["study"]
        first = lines.setdefault(name.lower(), line)
        if first != line:
            faults.append(
                f"{path}, line {line}, column study: {name!r} stands in line {first} already; "
                "every study needs a name of its own, not in capitals alone: it is a folder's, "
                "which are alike on some machines"
            )
        row |= {key: row[key] or name for key in ("group", "title")}
        # Macs write an accent as a character of its own, and what looks the same is the same.
        row |= {key: unicodedata.normalize("NFC", row[key]) for key in _NAMES}
        # In a quoted cell a title may have several lines.
        row["title"] = " ".join(row["title"].split())
        row["values"] = row["values"].removeprefix("auto")
        where = f"{path}, study {name!r}"
        for check in (_check_dataset, check_series):
            try:
                check(row, where)
            except InputError as error:
                faults.append(str(error))
        rows[name] = row
    if faults:
        raise InputError("\n".join(faults))
    return rows


def _check_dataset(row: Row, where: str) -> None:
    if is_own(row["dataset"]):
        if set("{}") & set(row["dataset"]):
            raise InputError(
                f"{where}, column dataset: {row['dataset']!r} holds braces, in which Snakemake "
                "looks for names of wildcards; rename the file or its folder"
            )
        if row["each"] and row["group"] != row["study"]:
            raise InputError(
                f"{where}, column group: found {row['group']!r}, but the studies that the column "
                f"each makes are a group by themselves, {row['study']!r}; leave group empty"
            )
        return
    if not DATASETS.fullmatch(row["dataset"]):
        raise InputError(
            f"{where}, column dataset: {row['dataset']!r} "
            "is not a data set of the pipeline; allowed: simulation_beta<number>, "
            f"simulation_<variant>_beta<number> (variants: {', '.join(VARIANTS)}), "
            "digits_texture, pbmc68k_reduced, mice_protein, digits_on_images_two, "
            "digits_on_images_ten (both also with _published), "
            "leukemia_aml027, leukemia_aml035 (both also with _donor2), mixseq, mdd, or "
            "the path of a file or folder of your own, such as cells.h5ad"
        )
    for column in ("layer", "each"):
        if row[column]:
            raise InputError(
                f"{where}, column {column}: {row[column]!r} is for files of your own, which are "
                f"looked into before anything runs; the data set is {row['dataset']!r}: leave it "
                "empty"
            )
    if not row["values"]:
        raise InputError(
            f"{where}, column values: empty, but values are found out of files of your own alone; "
            "give counts, log or raw"
        )


def chosen(
    rows: Mapping[str, Row], wanted: Sequence[str], path: Path, where: str
) -> dict[str, Row]:
    """Return the rows of the studies and groups that a configuration names.

    Raises
    ------
    InputError
        A name that is neither.
    """
    found: dict[str, Row] = {}
    for name in wanted:
        named = {key: row for key, row in rows.items() if name in (key, row["group"])}
        if not named:
            known = sorted(names_of(rows))
            raise InputError(
                f"{where}, key studies: {name!r} is neither a study nor a group of "
                f"{path}{nearest(name, known)}; known: {', '.join(known)}"
            )
        found |= {key: row for key, row in named.items() if key not in found}
    return found


def names_of(rows: Mapping[str, Row]) -> set[str]:
    """Return the names of all studies and groups."""
    return {*rows, *(row["group"] for row in rows.values())}


def n_replicates(row: Row, counts: Mapping[str, int], where: str) -> int:
    """Return how many data sets are drawn for a study; measured data are one.

    Parameters
    ----------
    row : dict
        The study.
    counts : mapping
        `replicates` of the configuration, by study or group, and `default`.
    where : str
        Name of the configuration for the message.

    Raises
    ------
    InputError
        Several are asked for, by the study's name, of data that are not drawn.
    """
    study = row["study"]
    if DRAWN.fullmatch(row["dataset"]):
        return counts.get(study, counts.get(row["group"], counts["default"]))
    if counts.get(study, 1) > 1:
        raise InputError(
            f"{where}, key replicates.{study}: {counts[study]}, but {row['dataset']!r} is measured "
            "data, of which all replicates would be the same; drop the key (more fits of it are "
            "more `seeds`, and what was replicated is the column unit of the studies sheet)"
        )
    return 1
