"""What a row of the studies sheet selects of a file, in words."""

from __future__ import annotations

from collections.abc import Mapping

from bcnmf_pipeline.pair.own_data import Look
from bcnmf_pipeline.start.columns import listed

_VALUES = {
    "counts": "counts, fitted as log1p of counts per 10,000",
    "log": "log values, fitted as they are",
    "raw": "neither counts nor logarithms, fitted as they are",
}


def found_text(seen: Look, row: Mapping[str, str]) -> str:
    """Return what is on each side, what is left out, and what the values are.

    Parameters
    ----------
    seen : Look
        What is in the row's file.
    row : mapping
        The row: `dataset`, `target`, `background` and, where they are given, `unit` and `label`.
    """
    units = {"target": seen.units_target, "background": seen.units_background}
    lines = []
    for side, n in (("target", seen.n_target), ("background", seen.n_background)):
        of = f", {len(units[side])} of {row['unit']}" if row.get("unit") else ""
        lines.append((side, f"{n:,} samples{of}: {row[side]}"))
    n_left = int((~(seen.target | seen.background)).sum())
    lines.append(("left out", f"{n_left:,} samples that are on neither side"))
    if row.get("unit"):
        both = [unit for unit in seen.units_target if unit in seen.units_background]
        lines.append((row["unit"], f"{len(both)} of them on both sides"))
    if row.get("label"):
        lines.append((row["label"], f"in the target {listed(seen.classes)}"))
    lines.append(("values", _VALUES[seen.values]))
    width = max(len(name) for name, _ in lines)
    head = f"{row['dataset']}: {len(seen.obs):,} samples x {seen.n_features:,} features"
    return "\n".join([head, *(f"  {name:<{width}}  {text}" for name, text in lines)])
