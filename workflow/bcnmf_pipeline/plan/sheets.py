"""Settings and sheets, checked against strict schemas with errors that say what to do."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from bcnmf.errors import InputError


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes
    ----------
    columns : list of str
    rows : list of dict
        Column -> cell; empty cells are "".
    lines : list of int
        Line of the file in which each row stands.
    """

    columns: list[str]
    rows: list[dict[str, str]]
    lines: list[int]


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    InputError
        The file is missing, is not YAML, or does not hold a mapping.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}; expected `key: value` lines")
    return content


def find_file(path: str | os.PathLike[str], root: Path) -> Path:
    """Return a path in the working directory, or else in `root`, the repository."""
    path = Path(path).expanduser()
    return path if os.path.exists(path) else root / path  # also where a folder is locked


def as_list(value: str | list[str]) -> list[str]:
    """Return a list from a list, or from a string of words (as --config hands them over)."""
    return value.replace(",", " ").split() if isinstance(value, str) else list(value)


def merge(base: Mapping[str, Any], *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key, later ones first in rank; lists are replaced whole."""
    merged = dict(base)
    for override in overrides:
        for key, value in override.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            else:
                merged[key] = value
    return merged


def check_settings(settings: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    """Check settings against a JSON schema.

    Parameters
    ----------
    settings : mapping
        The merged configuration.
    schema : mapping
        JSON schema.
    where : str
        File name(s) for the message.

    Raises
    ------
    InputError
        Lists every fault: the key, what was found, what is allowed.
    """
    errors = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(settings),
        key=lambda error: [str(part) for part in error.absolute_path],
    )
    if errors:
        faults = "\n".join(f"  - {line}" for error in errors for line in _explain(error))
        raise InputError(
            f"{where}: the configuration cannot be used:\n{faults}\n"
            "  config/README.md explains every key."
        )


def load_sheet(path: str | os.PathLike[str], schema: Mapping[str, Any]) -> Sheet:
    """Read a tab-separated sheet of strings and check every cell.

    Parameters
    ----------
    path : path
        Sheet with a header line; lines starting with # are comments; empty cells are "".
    schema : mapping
        JSON schema of one row: `properties` are the allowed columns, `required` the needed ones.

    Returns
    -------
    Sheet
        All columns of the schema, in its order.

    Raises
    ------
    InputError
        Missing file, wrong columns, or a cell that the schema does not allow; names the line.
    """
    sheet = read_sheet(path)
    allowed = list(schema["properties"])
    _check_columns(Path(path), sheet.columns, allowed, schema["required"])
    rows = [{column: row.get(column, "") for column in allowed} for row in sheet.rows]
    validator = jsonschema.Draft202012Validator(schema)
    faults = []
    for number, cells in zip(sheet.lines, rows, strict=True):
        for error in validator.iter_errors({k: v for k, v in cells.items() if v != ""}):
            faults += [
                f"  - line {number} ({cells[allowed[0]]!r}): {line}" for line in _explain(error)
            ]
    if faults:
        raise InputError(f"{path}: cannot be used:\n" + "\n".join(faults))
    return Sheet(allowed, rows, sheet.lines)


def read_sheet(path: str | os.PathLike[str]) -> Sheet:
    """Read a tab-separated sheet of strings, without comment lines.

    Cells may stand in quotes, as spreadsheet programs write those with a comma or a quote in them.

    Raises
    ------
    InputError
        Missing file, not a table, or a line with too many or too few cells.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; set its path under `sheets` in the config"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text: {error}; save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    # Line by line: a quote that is not closed spoils its own line, and no other.
    split = enumerate((_cells(line) for line in text.splitlines()), start=1)
    # Only whole lines are comments: a cell may hold a #.
    lines = [(n, cells) for n, cells in split if any(cells) and not cells[0].startswith("#")]
    if not lines:
        raise InputError(f"{path}: holds no header line; expected a tab-separated table")
    header = lines[0][1]
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells under {len(header)} columns; "
                "cells are separated by one tab each, empty cells included"
            )
    rows = [dict(zip(header, cells, strict=True)) for _, cells in lines[1:]]
    return Sheet(header, rows, [number for number, _ in lines[1:]])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cells in csv.reader([line], delimiter="\t") for cell in cells]


def nearest(name: str, allowed: list[str]) -> str:
    """Return ' (did you mean ...?)' for a name that is close to an allowed one, else ''."""
    close = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_columns(path: Path, found: list[str], allowed: list[str], required: list[str]) -> None:
    unknown = [column for column in found if column not in allowed]
    missing = [column for column in required if column not in found]
    if unknown or missing:
        parts = [f"unknown column {name!r}{nearest(name, allowed)}" for name in unknown]
        parts += [f"missing column {name!r}" for name in missing]
        raise InputError(
            f"{path}: {'; '.join(parts)}. Found: {', '.join(found)}. "
            f"Allowed: {', '.join(allowed)} (tab-separated)"
        )


def _explain(error: jsonschema.ValidationError) -> list[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    name = f"`{where}`" if where else "the top level"
    if error.validator == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in allowed]
        prefix = f"{where}." if where else ""
        return [
            f"unknown key `{prefix}{key}`{nearest(str(key), allowed)}; "
            f"allowed: {', '.join(sorted(allowed))}"
            for key in unknown
        ]
    if error.validator == "required":
        return [f"{name}: {error.message}"]
    hint = error.schema.get("description", "")
    allowed = [str(one) for one in error.validator_value] if error.validator == "enum" else []
    found = f"{error.message}{nearest(str(error.instance), allowed)}"
    return [f"{name}: {found}" + (f" — {hint}" if hint else "")]
