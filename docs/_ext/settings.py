"""The reference of keys and columns, made from the schemas that they are checked against.

The line ``<!-- settings of config -->`` of a page becomes the keys of
workflow/schemas/config.schema.yaml, each with its default in config/config.yaml;
``<!-- settings of studies -->`` the columns of that sheet, ``<!-- needs of methods -->`` which
columns of it others need.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bcnmf_pipeline.plan.yaml_loader import load_yaml

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_HERE = Path(__file__).resolve().parents[2]
_PLACE = re.compile(r"<!-- (settings|needs) of (\w+) -->")
_KINDS = {"integer": "whole number", "number": "number", "string": "text"}


class Setting(NamedTuple):
    """A key of the configuration, or a column of a sheet."""

    name: str
    meaning: str
    allowed: str
    default: str


def settings(schema: str) -> list[Setting]:
    """Return all keys of a schema, those inside others as ``outer.inner``."""
    known = load_yaml(_HERE / "workflow" / "schemas" / f"{schema}.schema.yaml")
    if schema == "config":
        return list(_keys(known, load_yaml(_HERE / "config" / "config.yaml"), ""))
    return [
        Setting(
            f"{schema}.tsv: {name}",
            _meaning(one),
            _allowed(one),
            "" if name in known["required"] else "empty",
        )
        for name, one in known["properties"].items()
    ]


def _keys(schema: Mapping[str, Any], default: Any, outer: str) -> Iterator[Setting]:
    for name, one in schema["properties"].items():
        value = default.get(name)
        shown = "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
        inner = "properties" in one
        yield Setting(
            outer + name, _meaning(one), "" if inner else _allowed(one), "" if inner else shown
        )
        if inner:
            yield from _keys(one, value, f"{outer}{name}.")


def _meaning(schema: Mapping[str, Any]) -> str:
    return schema.get("title") or schema.get("description", "")


def _allowed(schema: Mapping[str, Any]) -> str:
    if "oneOf" in schema:
        return "; or ".join(_allowed(one) for one in schema["oneOf"])
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        size = f" of {least}" if least == most else f" of {least} or more" * bool(least)
        return f"list{size}, each: {_inner(schema['items'])}"
    if schema["type"] == "object":
        return f"any names, each: {_inner(schema['additionalProperties'])}"
    if "title" in schema and schema["type"] == "string":
        # Beside a title the description says what a text has to look like.
        return schema.get("description", "text")
    limits = [("from", "minimum"), ("above", "exclusiveMinimum"), ("to", "maximum")]
    given = [f" {word} {schema[limit]:g}" for word, limit in limits if limit in schema]
    return _KINDS[schema["type"]] + "".join(given)


def _inner(schema: Mapping[str, Any]) -> str:
    return schema.get("description") or _allowed(schema)


def needs(schema: str) -> str:
    """Return what a sheet's columns ask for besides, by the values of one of them."""
    lines = []
    for rule in load_yaml(_HERE / "workflow" / "schemas" / f"{schema}.schema.yaml")["allOf"]:
        ((column, value),) = rule["if"]["properties"].items()
        wanted = ", ".join(f"`{name}`" for name in rule["then"]["required"])
        lines.append(f"- `{column}` `{value['const']}`: {wanted}")
    return "\n".join(lines)


def as_markdown(schema: str) -> str:
    """Return all keys of a schema as directives of Sphinx."""
    return "\n".join(map(_as_directive, settings(schema)))


def _as_directive(one: Setting) -> str:
    # What looks like a tag, such as <dataset>, is text.
    facts = [("Allowed", one.allowed.replace("<", "\\<")), ("Default", one.default)]
    said = [f"{what}: {fact}.\n" for what, fact in facts if fact]
    meaning = (one.meaning[:1].upper() + one.meaning[1:]).replace("<", "\\<")
    return f"````{{confval}} {one.name}\n\n{meaning}.\n\n{''.join(said)}````\n"


def _fill(app: Sphinx, name: str, source: list[str]) -> None:
    made = {"settings": as_markdown, "needs": needs}
    source[0] = _PLACE.sub(lambda found: made[found[1]](found[2]), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
