"""YAML as it is meant: no key twice, and texts such as no, 010 and 2024-01-01 stay texts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import yaml

from bcnmf.delimited import read_text
from bcnmf.errors import InputError

_MAPPING, _LIST = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Scalars as in YAML 1.2 (PyYAML's are of 1.1: no is false, 1e-5 a text, 010 is 8)."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(name := self.construct_object(key, deep=True), str):
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {name!r} is no text; put it into quotes",
                    problem_mark=key.start_mark,
                )
            if name in lines:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {name!r} stands in line {lines[name]} already; keep one",
                    problem_mark=key.start_mark,
                )
            lines[name] = key.start_mark.line + 1
        made: dict[Any, Any] = super().construct_mapping(node, deep=True)
        return made

    def construct_list(self, node: yaml.SequenceNode) -> list[Any]:
        made: list[Any] = self.construct_sequence(node, deep=True)
        return made


for _kind, _pattern, _first in (
    ("merge", "<<", "<"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([.][0-9]+|(0|[1-9][0-9]*)([.][0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?[.]inf|[.]nan",
     "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
# At once, so that what holds itself is refused: it could neither be checked nor written.
_Loader.add_constructor(_MAPPING, _Loader.construct_mapping)
_Loader.add_constructor(_LIST, _Loader.construct_list)


def parse_yaml(text: str, where: str) -> Any:
    """Return what YAML (or JSON, which is YAML but for tabs) says.

    Raises
    ------
    InputError
        The text is not valid, or has a key twice; names line and column.
    """
    if text.lstrip().startswith("{"):
        text = text.expandtabs()
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        tab = "; indent with blanks, not with tabs" if "\\t" in f"{error.problem}" else ""
        raise InputError(f"{where}: not valid YAML: {place}{error.problem}{tab}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML: {error}") from error


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    InputError
        The file is missing, is not YAML, has a key twice, or does not hold a mapping.
    """
    content = parse_yaml(_text_of(path), str(path))
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise InputError(
            f"{path}: holds {found}; expected `key: value` lines, with a blank behind the colon"
        )
    return content


def line_of(path: str | os.PathLike[str], keys: Sequence[str | int]) -> int | None:
    """Return the line of a file in which a key, or a member of a list, stands; None if nowhere."""
    node = _Loader(_text_of(path)).get_single_node()
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            named = [pair for pair in node.value if pair[0].value == key]
        elif isinstance(node, yaml.SequenceNode):
            named = [(value, value) for value in node.value][int(key) :]
        else:
            return None
        if not named:
            return None
        line, node = named[0][0].start_mark.line + 1, named[0][1]
    return line


def _text_of(path: str | os.PathLike[str]) -> str:
    try:
        return read_text(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
