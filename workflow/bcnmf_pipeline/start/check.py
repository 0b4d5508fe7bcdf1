"""`bcnmf-pipeline new --check`: every problem of a sheet or configuration at once."""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf_pipeline.enrich.gene_sets import why_of_no_use
from bcnmf_pipeline.pair.own_data import Look, look
from bcnmf_pipeline.plan.own import Seen
from bcnmf_pipeline.plan.runs import Plan
from bcnmf_pipeline.plan.sheets import (
    as_list,
    check_settings,
    find_file,
    load_yaml,
    merge,
    read_sheet,
)

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT / "workflow" / "schemas"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# Stands for a configuration where there is a sheet alone.
_BARE = {"name": "check", "title": "check", "studies": ["check"]}


def plan_of(
    settings: Mapping[str, Any],
    where: str,
    seen: list[Look] | None = None,
    files: Sequence[Path] = (),
) -> Plan:
    """Return the plan of a configuration in the working directory, its own data looked into.

    Parameters
    ----------
    settings : mapping
        What differs from the defaults in `config/config.yaml`.
    where : str
        What to call the configuration in errors.
    seen : list, optional
        Gets what was found in each file that was looked into.
    files : sequence of Path
        Files that the settings stand in.

    Raises
    ------
    InputError
        Whatever the pipeline would refuse before its first job.
    """

    def look_into(row: Mapping[str, str], place: str) -> Look:
        found = look(Path(row["dataset"]).expanduser(), row, place)
        if seen is not None:
            seen.append(found)
        return found

    def unmatched(place: str, sizes: tuple[int, int], found: Seen) -> str:
        places = (_find(place), Path("resources/downloads", place))
        return why_of_no_use(places, sizes, found.features)

    return Plan(
        _with_defaults(settings),
        _find,
        SCHEMAS,
        where=where,
        look=look_into,
        unmatched=unmatched,
        files=files,
    )


def _find(path: str) -> Path:
    return find_file(path, ROOT)


def check_file(path: Path) -> str:
    """Check a configuration (.yaml) or a studies sheet (any other ending), all of its rows.

    Returns
    -------
    str
        What was found out about each study, where there is no problem.

    Raises
    ------
    InputError
        Every problem, a line each.
    """
    files = [path] if path.suffix in (".yaml", ".yml") else []
    if files:
        settings = load_yaml(path)
    else:
        settings = _BARE | {"sheets": {"studies": str(path)}}
        # Of names that cannot be used the sheet's own check tells.
        names = [
            row["study"] for row in read_sheet(path).rows if NAME.fullmatch(row.get("study", ""))
        ]
        settings |= {"studies": list(dict.fromkeys(names))} if names else {}
    try:
        plan = plan_of(settings, str(path), files=files)
        return f"{remarks_text(plan)}\n{path}: no problem in {len(plan.studies)} studies".lstrip()
    except InputError as error:
        lines = [*str(error).splitlines(), *_problems_of_rows(settings, str(path))]
        raise InputError("\n".join(dict.fromkeys(lines))) from None


def remarks_text(plan: Plan) -> str:
    """Return what was found out about each study of one's own; what holds for several, once."""
    # The first line of each says how large it is.
    times = Counter(line for lines in plan.remarks.values() for line in lines[1:])
    blocks = []
    for study, lines in plan.remarks.items():
        own = [line for line in lines[1:] if times[line] == 1]
        blocks.append("\n  ".join([f"{study}:", *lines[:1], *own]))
    blocks += [f"{n} of these studies: {line}" for line, n in times.items() if n > 1]
    return "\n".join(blocks)


def _with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    return merge(load_yaml(_find("config/config.yaml")), settings)


def _problems_of_rows(settings: Mapping[str, Any], where: str) -> list[str]:
    """Return the problems that each chosen row of a sheet has as if it were the only one."""
    try:
        check_settings(_with_defaults(settings), load_yaml(SCHEMAS / "config.schema.yaml"), where)
    except InputError:
        # What is wrong with other keys hides nothing of the sheet.
        settings = _BARE | {"studies": [], "sheets": settings.get("sheets")}
    try:
        sheet = _find(_with_defaults(settings)["sheets"]["studies"])
        table = read_sheet(sheet)
    except (InputError, TypeError):
        return []  # there is no sheet that could be read: the whole says so
    wanted = set() if where == str(sheet) else set(as_list(settings["studies"]))
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / sheet.name
        for number, row in zip(table.lines, table.rows, strict=True):
            name = row.get("study", "")
            if wanted and wanted.isdisjoint({name, row.get("group")}):
                continue
            with alone.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, delimiter="\t", lineterminator="\n")
                writer.writerow(table.columns)
                # So that the row keeps its number.
                file.write("\n" * (number - 2))
                writer.writerow(row.values())
            studies = [name] if NAME.fullmatch(name) else _BARE["studies"]
            one = {"studies": studies, "sheets": {"studies": str(alone)}}
            try:
                plan_of(merge(settings, one), where)
            except InputError as error:
                problems += str(error).replace(str(alone), str(sheet)).splitlines()
    return problems
