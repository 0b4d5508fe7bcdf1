"""What drives success: departures from the count simulation, and the panels they are drawn in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bcnmf.errors import InputError

# Arguments of `simulate_counts` by the name in `simulation_<variant>_beta<number>`; they stand
# above the sizes of the configuration.
VARIANTS: dict[str, dict[str, Any]] = {
    "cells250": {"n_target": 250, "n_background": 250},
    "cells500": {"n_target": 500, "n_background": 500},
    "cells1000": {"n_target": 1000, "n_background": 1000},
    "cells2000": {"n_target": 2000, "n_background": 2000},
    "background30": {"n_background": 30},
    "background200": {"n_background": 200},
    "depth3": {"target_depth": 3.0},
    "depth10": {"target_depth": 10.0},
    "sigma07": {"library_sigma": 0.7},
    "sigma10": {"library_sigma": 1.0},
    "lacks1": {"n_missing": 1},
    "own1": {"n_background_programs": 1},
    "capture20": {"n_captured": 20, "capture": 3.0},
    "rare5": {"n_target_programs": 2, "target_shares": [0.05, 0.95]},
}
# The simulation as the configuration has it.
BASE = ""
SIMULATION = re.compile(rf"simulation(?:_({'|'.join(VARIANTS)}))?_beta([0-9]+(?:[.][0-9]+)?)")


@dataclass(frozen=True)
class Driver:
    """One thing that is varied, all else as in the base simulation.

    Attributes
    ----------
    title, axis : str
        Title of the panel and name of its axis.
    levels : mapping of str to str
        Variant -> its tick, from left to right; `BASE` is the simulation itself.
    """

    title: str
    axis: str
    levels: Mapping[str, str]


DRIVERS = (
    Driver(
        "Number of cells",
        "cells per side",
        {"cells250": "250", "cells500": "500", "cells1000": "1000", "cells2000": "2000"},
    ),
    Driver(
        "Fewer background cells",
        "background cells",
        {"background30": "30", "background200": "200", BASE: "as target"},
    ),
    Driver(
        "Deeper target",
        "depth, target over background",
        {BASE: "1", "depth3": "3", "depth10": "10"},
    ),
    Driver(
        "Spread of library sizes",
        "s.d. of log library size",
        {BASE: "0.35", "sigma07": "0.7", "sigma10": "1.0"},
    ),
    Driver(
        "Background lacks a program",
        "shared programs it lacks",
        {BASE: "0", "lacks1": "1"},
    ),
    Driver(
        "Background has its own",
        "programs of its own",
        {BASE: "0", "own1": "1"},
    ),
    Driver(
        "Unequal capture",
        "genes captured 3 times as well",
        {BASE: "0", "capture20": "20"},
    ),
    Driver(
        "Rare target program",
        "share of the target's cells",
        {BASE: "50%", "rare5": "5%"},
    ),
)

# Where the number of topics is varied, and the title of the panel.
TOPICS_AT = {
    BASE: "Number of topics",
    "lacks1": "Topics, background lacks one",
    "rare5": "Topics, rare program",
}


def variant_of(dataset: str) -> str | None:
    """Return the variant in the name of a data set; None if it is no simulation."""
    found = SIMULATION.fullmatch(dataset)
    return (found[1] or BASE) if found else None


def beta_of(study: str) -> float | None:
    """Return the number after "beta" at the end of a study's name; None if there is none."""
    found = re.search(r"beta[_-]?(\d+(?:\.\d+)?)$", study)
    return float(found[1]) if found else None


def check_series(row: Mapping[str, str], where: str) -> None:
    """Refuse a study in a series in which it has no place.

    Raises
    ------
    InputError
        In the series `beta` without a beta, in `drivers` without a simulation; in the figure
        `mouse` without a unit.
    """
    found = f"found study {row['study']!r} with the data set {row['dataset']!r}"
    if row["series"] == "beta" and beta_of(row["study"]) is None:
        raise InputError(
            f"{where}, column series: beta is drawn over the number at the end of the study's "
            f"name, <name>_beta<number>; {found}; name it so, or leave the cell empty"
        )
    if row["series"] == "drivers" and variant_of(row["dataset"]) is None:
        raise InputError(
            f"{where}, column series: drivers is drawn of data sets simulation_beta<number> and "
            f"simulation_<variant>_beta<number>; {found}; leave the cell empty"
        )
    if row["figure"] == "mouse" and not row["unit"]:
        raise InputError(
            f"{where}, column figure: mouse draws the units beside their samples, but the column "
            "unit is empty; name the column of the unit, or leave the cell of figure empty"
        )


def simulation_arguments(sizes: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Return arguments of `simulate_counts`: given sizes, and what the variant changes."""
    return {**sizes, **(VARIANTS[variant] if variant != BASE else {})}
