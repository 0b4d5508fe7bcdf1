"""Whether what the paper reports of a study holds for the data that a run makes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import check_settings, merge
from bcnmf_pipeline.plan.yaml_loader import parse_yaml


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


def made_alike(row: Mapping[str, str], dataset: str, settings: Mapping[str, Any]) -> bool:
    """Whether a value was reported of this data set, made with these settings.

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
        return False
    asked = _mapping(row["settings"], "column settings") if row["settings"] else {}
    return merge(settings, asked) == dict(settings)


def _mapping(cell: str, where: str) -> dict[str, Any]:
    content = parse_yaml(cell, f"{where}, {cell!r}")
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: found {cell!r}; expected keys of the configuration and their values, such "
            "as `mnist: {share: 0.1}`, or an empty cell"
        )
    return content
