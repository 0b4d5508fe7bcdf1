"""Rows for the methods sheet that name their columns, whatever columns the sheet has."""

from __future__ import annotations

from pathlib import Path

SHEET = Path(__file__).resolve().parents[2] / "config" / "methods.tsv"


def with_method(**cells: object) -> str:
    """Return the text of the repository's methods sheet with one more row."""
    text = SHEET.read_text()
    header = next(line for line in text.splitlines() if not line.startswith("#")).split("\t")
    assert set(cells) <= set(header), sorted(set(cells) - set(header))
    return text + "\t".join(str(cells.get(name, "")) for name in header) + "\n"
