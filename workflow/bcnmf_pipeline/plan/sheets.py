"""Settings and sheets, checked against strict schemas with errors that say what to do."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bcnmf.delimited import SEPARATORS, read_text, separator_of, stripped
from bcnmf.errors import InputError
from bcnmf_pipeline.plan.faults import Place, Validator, faults_of_cell, faults_of_key
from bcnmf_pipeline.plan.faults import nearest as nearest
from bcnmf_pipeline.plan.yaml_loader import line_of, parse_yaml
from bcnmf_pipeline.plan.yaml_loader import load_yaml as load_yaml

# Stands behind the last line of a sheet: a cell that swallows it was never closed.
_END = "# end of the sheet"


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


def given_settings(
    files: Sequence[Path], entries: Sequence[str], schema: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what --configfile and --config change, the latter last.

    Parameters
    ----------
    files : sequence of Path
        YAML files, later ones first in rank.
    entries : sequence of str
        ``key=value``. Where the schema asks for text, the value is text whatever it looks like.
    schema : mapping
        JSON schema of the configuration.

    Raises
    ------
    InputError
        A file is not valid.
    """
    given = [load_yaml(path) for path in files]
    for entry in entries:
        key, _, text = entry.partition("=")
        asked = schema["properties"].get(key, {})
        kinds = {one.get("type") for one in (asked, *asked.get("oneOf", ()))}
        value: Any = text
        if kinds != {"string"}:
            value = parse_yaml(text, f"--config {key}")
        if "string" in kinds and not isinstance(value, list):
            value = text
        given.append({key: value})
    return merge({}, *given)


def check_settings(
    settings: Mapping[str, Any],
    schema: Mapping[str, Any],
    where: str,
    files: Sequence[Path] = (),
) -> None:
    """Check settings against a JSON schema.

    Parameters
    ----------
    settings : mapping
        The merged configuration.
    schema : mapping
        JSON schema.
    where : str
        File name(s) for the message.
    files : sequence of Path
        Files that it was merged from, later ones first in rank: faults are looked up in them.

    Raises
    ------
    InputError
        Lists every fault: the key and its line, what was found, what is allowed.
    """

    def line(place: Place) -> str:
        # A part that is missing has no line, but what it is missing in.
        for path in reversed(files):
            for stop in range(len(place), 0, -1):
                if number := line_of(path, place[:stop]):
                    return f"{path}, line {number}, "
        return ""

    errors = sorted(
        Validator(schema).iter_errors(settings),
        key=lambda error: [str(part) for part in error.absolute_path],
    )
    if errors:
        faults = "\n".join(f"  - {one}" for error in errors for one in faults_of_key(error, line))
        raise InputError(
            f"{where}: the configuration cannot be used:\n{faults}\n"
            "  config/README.md explains every key."
        )


def load_sheet(path: str | os.PathLike[str], schema: Mapping[str, Any]) -> Sheet:
    """Read a sheet (`read_sheet`) and check every cell.

    Parameters
    ----------
    path : path
        The sheet.
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
    validator = Validator(schema)
    faults = [
        f"line {number} ({cells[allowed[0]]!r}), {fault}"
        for number, cells in zip(sheet.lines, rows, strict=True)
        for error in validator.iter_errors({k: v for k, v in cells.items() if v != ""})
        for fault in faults_of_cell(error)
    ]
    _refuse(Path(path), faults)
    return Sheet(allowed, rows, sheet.lines)


def read_sheet(path: str | os.PathLike[str]) -> Sheet:
    """Read a sheet of strings as editors and spreadsheet programs write it.

    Cells are separated by tabs, or by semicolons or commas where the header is; they may stand in
    quotes. Names of columns may be in capitals, with blanks for `_`. Lines that start with # are
    comments. Empty lines, and empty cells beyond the header, do not count.

    Raises
    ------
    InputError
        Missing file, no text, or lines that do not fit the header; names all of them.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; set its path under `sheets` in the config"
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path}: is a folder, not a sheet (Numbers: export the sheet as TSV)"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    header, records = _records(path, text)
    separator = SEPARATORS[header.separator]
    columns = [re.sub(r"[\s-]+", "_", name).lower() for name in header.cells]
    while columns and not columns[-1]:
        columns.pop()
    faults = [
        f"line {header.line}: the column {name!r} stands twice; drop one"
        for name, times in Counter(columns).items()
        if name and times > 1
    ]
    rows, lines = [], []
    for line, cells in records:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()
        if len(cells) != len(columns):
            faults.append(
                f"line {line}: {len(cells)} cells under {len(columns)} columns; cells are "
                f"separated by one of the {separator} of the header each, empty cells included "
                "(an editor may have removed those at the end of the line)"
                + (f"; a cell that holds {separator} stands in quotes" * (separator != "tabs"))
            )
            continue
        faults += [
            f"line {line}, cell {at}: {cell!r} stands in a column without a name; name it in line "
            f"{header.line}, or empty it"
            for at, (name, cell) in enumerate(zip(columns, cells, strict=True), 1)
            if cell and not name
        ]
        rows.append({name: cell for name, cell in zip(columns, cells, strict=True) if name})
        lines.append(line)
    _refuse(path, faults)
    return Sheet([name for name in columns if name], rows, lines)


class _Header(NamedTuple):
    line: int
    separator: str
    cells: list[str]


def _records(path: Path, text: str) -> tuple[_Header, list[tuple[int, list[str]]]]:
    """Return the header, and of each row the line where it starts and its cells."""
    lines = text.split("\n")
    first = next(
        (line for line in lines if stripped(line.strip('";,\t')) and not _comment(line)), ""
    )
    separator = separator_of(first)
    found = list(_split(lines, separator))
    last, cells = found.pop()
    if cells != [_END]:
        raise InputError(
            f"{path}, line {last}: a cell begins with a quote that is "
            "never closed; close it, or double every quote of the cell and put it into quotes"
        )
    records = [(n, cells) for n, cells in found if any(cells) and not _comment(cells[0])]
    if not records:
        raise InputError(
            f"{path}: holds no header line; expected a table with a header, tab-separated"
        )
    return _Header(records[0][0], separator, records[0][1]), records[1:]


def _split(lines: list[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each record starts, and its cells; the last one is `_END`."""
    inside = False

    def fed() -> Iterator[str]:
        nonlocal inside
        for line in [*lines, _END]:
            # A quote in a comment opens no cell.
            yield "#\n" if _comment(line) and not inside else f"{line}\n"
            inside = True

    start = 1
    reader = csv.reader(fed(), delimiter=separator)
    for cells in reader:
        yield start, [stripped(cell) for cell in cells]
        start, inside = reader.line_num + 1, False


def _comment(text: str) -> bool:
    return text.lstrip(" ").startswith(("#", '"#'))


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if len(faults) == 1:
        raise InputError(f"{path}, {faults[0]}")
    if faults:
        raise InputError(f"{path}: cannot be used:\n" + "\n".join(f"  - {one}" for one in faults))


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
