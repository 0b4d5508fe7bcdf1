"""How selections of samples are written, such as ``Behavior=S/C;Treatment=Saline``."""

from __future__ import annotations

from dataclasses import dataclass

from bcnmf.errors import InputError

# As a value: any, so that samples without one are left out.
ANY = "*"
_SYNTAX = (
    "expected column=value, column=value1,value2 or column!=value, joined by ; "
    "(a backslash before a comma, semicolon or equals sign that belongs to a name)"
)


@dataclass(frozen=True)
class Condition:
    """One condition on the samples.

    Attributes
    ----------
    column : str
        Column of obs.
    values : tuple of str
        Any of these values (`ANY`: any at all); the same values of a numeric column whatever way
        they are written.
    negated : bool
        None of the values instead of any.
    """

    column: str
    values: tuple[str, ...]
    negated: bool = False

    def __str__(self) -> str:
        values = ",".join(_escape(value) for value in self.values)
        return f"{_escape(self.column)}{'!=' if self.negated else '='}{values}"


def parse_selection(text: str, where: str) -> list[Condition]:
    """Read a selection.

    Parameters
    ----------
    text : str
        ``column=value[,value...]`` or ``column!=value[,value...]``, joined by ``;``; ``column=*``
        for all that have a value. Spaces around names do not count. A backslash makes the next
        comma, semicolon, equals sign, exclamation mark or backslash part of a name.
    where : str
        What to call the text in errors, for instance "config/studies.tsv, study mouse, column
        target".

    Returns
    -------
    list of Condition
        All of them must hold.

    Raises
    ------
    InputError
        The text is not of that form.
    """
    return [_condition(part, text, where) for part in _split(text, ";")]


def parse_names(text: str) -> list[str]:
    """Return names, such as those of columns, that commas separate; escapes as in selections."""
    return [name for name in map(_name, _split(text, ",")) if name]


def _condition(part: str, text: str, where: str) -> Condition:
    sides = _split(part, "=")
    if len(sides) != 2:
        found = f"{part.strip()!r} in {text!r}" if part.strip() != text.strip() else repr(text)
        raise InputError(f"{where}: cannot read {found}; {_SYNTAX}")
    # In "column!=" the last exclamation mark stands free and nothing follows it.
    head = _split(sides[0], "!")
    negated = len(head) > 1 and not head[-1].strip()
    column = _name("!".join(head[:-1]) if negated else sides[0])
    values = tuple(_name(value) for value in _split(sides[1], ","))
    if not column or "" in values:
        empty = "the column" if not column else "a value"
        raise InputError(f"{where}: {empty} is empty in {part.strip()!r}; {_SYNTAX}")
    return Condition(column, values, negated)


def _split(text: str, separator: str) -> list[str]:
    """Split at separators without a backslash before them; escapes stay as they are."""
    parts = [""]
    escaped = False
    for character in text:
        if character == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts


_SPECIAL = ",;=!\\"


def _name(text: str) -> str:
    """Strip spaces and resolve escapes; a backslash before any other character is itself."""
    text = text.strip()
    name, at = "", 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] and text[at + 1] in _SPECIAL:
            at += 1
        name += text[at]
        at += 1
    return name


def _escape(name: str) -> str:
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in name)
