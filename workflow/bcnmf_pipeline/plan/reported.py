"""Whether what the paper reports of a study holds for the data that a run makes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import as_list, check_settings, merge
from bcnmf_pipeline.plan.yaml_loader import parse_yaml

if TYPE_CHECKING:
    from bcnmf_pipeline.plan.runs import Plan


def check_reported(
    reported: Iterable[Mapping[str, str]],
    settings: Mapping[str, Any],
    schema: Mapping[str, Any],
    path: str | os.PathLike[str],
) -> None:
    """Check the column `settings` of the sheet of reported values.

    Raises
    ------
    InputError
        A cell is no mapping, or has a key or value that no configuration can have.
    """
    checked = {""}
    for row in reported:
        if row["settings"] not in checked:
            checked.add(row["settings"])
            where = f"{path}, study {row['study']!r}, column settings"
            check_settings(merge(settings, _mapping(row["settings"], where)), schema, where)


def made_otherwise(row: Mapping[str, str], dataset: str, settings: Mapping[str, Any]) -> str:
    """Return in what data made here differ from those that a value was reported of; "" in nothing.

    Parameters
    ----------
    row : mapping
        A row of the sheet of reported values: `dataset`, `settings`; empty cells ask for nothing.
    dataset : str
        What the study has in its column `dataset`.
    settings : mapping
        The configuration.
    """
    if row["dataset"] not in ("", dataset):
        return f"the data set is {dataset}, reported of {row['dataset']}"
    asked = _mapping(row["settings"], "column settings") if row["settings"] else {}
    return "; ".join(_differences(asked, settings))


def standing(plan: Plan, absent: Collection[str] = ()) -> list[dict[str, str]]:
    """Return of every reported value whether a run makes it.

    Parameters
    ----------
    plan : Plan
        The run.
    absent : collection of str
        Data sets of the registry of which no file is here.

    Returns
    -------
    list of dict
        The rows of the sheet, with `verdict`: "" (it is made, as reported), "made otherwise" or
        "not run"; and `why`.
    """
    found = []
    for row in plan.reported:
        verdict, why = _standing(plan, row, absent)
        found.append(row | {"verdict": verdict, "why": why})
    return found


def _standing(plan: Plan, row: Mapping[str, str], absent: Collection[str]) -> tuple[str, str]:
    study, method = row["study"], row["method"]
    if study not in plan.studies:
        missing = [name for name in as_list(row["files"]) if name in absent]
        data = f", and its data are not here: no file of {', '.join(missing)}" if missing else ""
        return "not run", f"the study is not in this run{data}"
    if method not in plan.method_ids:
        return "not run", "the method was not asked for"
    fitted = {one["method"] for one in plan.method_rows(study)}
    if method not in fitted:
        why = plan.left_out(study).get(method, "the study is for other methods")
        return "not run", f"the method is not fitted on this study: {why}"
    if not plan.as_in_paper(study):
        dataset = plan.study(study)["dataset"]
        of_study = [one for one in plan.reported if one["study"] == study]
        differ = [made_otherwise(one, dataset, plan.settings) for one in (row, *of_study)]
        return "made otherwise", next(filter(None, differ))
    return "", ""


def _differences(asked: Mapping[str, Any], found: Mapping[str, Any], above: str = "") -> list[str]:
    differ = []
    for key, value in asked.items():
        here = found.get(key)
        if isinstance(value, Mapping) and isinstance(here, Mapping):
            differ += _differences(value, here, f"{above}{key}.")
        elif value != here:
            differ.append(f"{above}{key} is {here}, reported with {value}")
    return differ


def _mapping(cell: str, where: str) -> dict[str, Any]:
    content = parse_yaml(cell, f"{where}, {cell!r}")
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: found {cell!r}; expected keys of the configuration and their values, such "
            "as `mnist: {share: 0.1}`, or an empty cell"
        )
    return content
