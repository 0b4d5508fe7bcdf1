"""What a schema does not allow, in words: the key or cell, what was found, what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from bcnmf.delimited import odd_character

_KINDS = {
    "string": "a text", "integer": "a whole number", "number": "a number",
    "array": "a list, such as [a, b]", "object": "keys and their values",
}  # fmt: skip
Place = tuple[str | int, ...]


def _pattern(
    _validator: object, pattern: str, found: object, _schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    # To `$` a line's end is the end; to a file's name it is not.
    if isinstance(found, str) and (found.endswith("\n") or not re.search(pattern, found)):
        yield ValidationError("not of this form")


Validator = extend(Draft202012Validator, {"pattern": _pattern})


def faults_of_cell(error: ValidationError) -> list[str]:
    """Return what is wrong with a row of a sheet."""
    return [f"column {_path(one.place)}: {one.text}" for one in _faults(error)]


def faults_of_key(error: ValidationError, line: Callable[[Place], str]) -> list[str]:
    """Return what is wrong with a configuration; `line` says where a key stands."""
    return [
        f"{line(one.place)}unknown key `{_path(one.place)}`{one.text}"
        if one.unknown
        else f"{line(one.place)}`{_path(one.place)}`: {one.text}"
        for one in _faults(error)
    ]


def nearest(name: str, allowed: Sequence[str]) -> str:
    """Return ' (did you mean ...?)' for a name that is close to an allowed one, else ''."""
    close = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class _Fault(NamedTuple):
    place: Place
    text: str
    unknown: bool = False


def _path(place: Place) -> str:
    return ".".join(map(str, place))


def _faults(error: ValidationError) -> list[_Fault]:
    place: Place = tuple(error.absolute_path)
    kind, value, found = error.validator, error.validator_value, error.instance
    hint = error.schema.get("description", "")
    behind = f" — {hint}" if hint else ""
    if kind == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        names = ", ".join(sorted(allowed))
        return [
            _Fault((*place, key), f"{nearest(str(key), allowed)}; allowed: {names}", unknown=True)
            for key in found
            if key not in allowed
        ]
    if kind == "oneOf":
        inner = [one for one in error.context or () if one.validator != "type"]
        if inner:
            return [fault for one in inner for fault in _faults(one)]
    if kind == "required":
        # There is an error for each name that is missing; it stands in the message alone.
        name = error.message.split("'")[1]
        hint = error.schema.get("properties", {}).get(name, {}).get("description", "")
        return [_Fault((*place, name), "is missing or empty" + (f" — {hint}" if hint else ""))]
    text = f"{error.message}{behind}"
    if kind == "oneOf":
        text = f"found {_shown(found)}{behind}"
    elif kind == "pattern":
        what = "the name " if "propertyNames" in error.absolute_schema_path else ""
        odd = f", of which {one}" if (one := odd_character(found)) else ""
        text = f"found {what}{found!r}{odd}; allowed: {hint}"
    elif kind == "enum":
        words = [str(one) for one in value]
        close = nearest(str(found), words)
        text = f"found {_shown(found)}{close}; allowed: {', '.join(words)}{behind}"
    elif kind == "type":
        as_text = value == "string" and isinstance(found, bool | int | float)
        remedy = " (put it into quotes where it is a text)" if as_text else ""
        text = f"found {_shown(found)}; expected {_KINDS[value]}{remedy}{behind}"
    return [_Fault(place, text)]


def _shown(found: object) -> str:
    return "nothing" if found is None else repr(found)
