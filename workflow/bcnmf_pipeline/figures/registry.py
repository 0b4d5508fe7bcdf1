"""What figures there are and what each is drawn from, as workflow/report/figures.yaml says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import load_yaml, nearest

ASKED = ("panels", "figure", "series", "gene_sets", "select", "answer", "null_test", "each")


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes
    ----------
    name, title, alt : str
        Name of its files and of its caption; heading; what is told who cannot see it.
    asked : str
        How a study asks for it, one of `ASKED`.
    plot : str
        Drawn by ``plot_<plot>`` of ``bcnmf_pipeline/figures/<plot>.py``.
    series : str
        Name of the series that it draws, else empty.
    reads, told : sequence of str
        Tables, and what else `plot` takes from the plan.
    given : mapping
        Fixed arguments of `plot`.
    methods : sequence of str or of sequences
        Methods that it shows, see `shown_methods`.
    """

    name: str
    title: str
    alt: str
    asked: str
    plot: str
    series: str = ""
    reads: Sequence[str] = ()
    told: Sequence[str] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[str | Sequence[str]] = ()

    @property
    def of_group(self) -> bool:
        """Whether it shows several studies, and stands in the folder of their group."""
        return bool(self.series) or self.asked == "each"


def read_drawings(path: Path) -> dict[str, Drawing]:
    """Read the figures by name, in their order.

    Raises
    ------
    InputError
        A figure has an unknown key, lacks one, or has an unknown way of being asked for.
    """
    allowed = ["title", "alt", "asked", "plot", "series", "reads", "told", "with", "methods"]
    drawings = {}
    for name, entry in load_yaml(path).items():
        for key in entry:
            if key not in allowed:
                raise InputError(
                    f"{path}, figure {name!r}: unknown key {key!r}{nearest(key, allowed)}; "
                    f"allowed: {', '.join(allowed)}"
                )
        missing = [key for key in ("title", "alt", "asked") if not entry.get(key)]
        if missing:
            raise InputError(f"{path}, figure {name!r}: missing key {missing[0]!r}; give a text")
        if entry["asked"] not in ASKED:
            raise InputError(
                f"{path}, figure {name!r}, key asked: found {entry['asked']!r}"
                f"{nearest(entry['asked'], list(ASKED))}; allowed: {', '.join(ASKED)}"
            )
        drawings[name] = Drawing(
            name=name,
            given=entry.get("with", {}),
            **{"plot": name} | {key: entry[key] for key in entry if key != "with"},
        )
    return drawings


def shown_methods(drawing: Drawing, known: Sequence[str]) -> list[str]:
    """Return the methods that a figure shows, of those that a study has.

    Of alternatives the first that the study has. Where it has none at all, as many of its last
    methods; all of them for a figure that names none.
    """
    wanted = [[one] if isinstance(one, str) else one for one in drawing.methods]
    if not wanted:
        return list(known)
    found = [[name for name in names if name in known][:1] for names in wanted]
    return [name for names in found for name in names] or list(known)[-len(wanted) :]
