"""The methods sheet: which row of a method is for which study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.sheets import as_list, load_sheet, load_yaml, nearest
from bcnmf_pipeline.plan.studies import Row, is_own

# Their results do not depend on a seed, so one run is enough.
DETERMINISTIC = frozenset({"pca", "cpca"})
# Those of whose starts there is a consensus.
WITH_CONSENSUS = ("bcnmf", "nmf", "shared")
# Columns that are parameters of the algorithm `shared` alone.
OF_SHARED = ("shared_from", "second_round", "offsets")
AUTOMATIC_ALPHAS = ("auto1", "auto2", "auto3")
# Scopes of a row besides studies and groups: the user's own data; whatever has no row of its own.
OWN, OTHERS = "own", "*"


class Methods:
    """A checked methods sheet.

    Parameters
    ----------
    path : Path
        The sheet.
    schemas : Path
        Folder of the JSON schemas.

    Raises
    ------
    InputError
        A row that cannot be used.
    """

    def __init__(self, path: Path, schemas: Path) -> None:
        self.path = path
        self._rows: dict[str, list[dict[str, str]]] = {}
        sheet = load_sheet(path, load_yaml(schemas / "methods.schema.yaml"))
        self._scopes: list[tuple[str, str]] = []
        taken = set()
        for line, row in zip(sheet.lines, sheet.rows, strict=True):
            where = f"{path}, line {line} ({row['method']!r})"
            _check_numbers(row, where)
            self._scopes += [(where, name) for name in as_list(row["studies"])]
            key = (row["method"], row["studies"], row["values"])
            if key in taken:
                raise InputError(
                    f"{path}: two rows for method {row['method']!r}, studies {row['studies']!r}; "
                    "give one of them another method name"
                )
            taken.add(key)
            self._rows.setdefault(row["method"], []).append(row)

    @property
    def names(self) -> list[str]:
        """All methods, in the order of the sheet."""
        return list(self._rows)

    def check_scopes(self, studies: Iterable[str]) -> None:
        """Refuse rows for studies and groups that there are not.

        Raises
        ------
        InputError
            A name in the column `studies` that is none of these.
        """
        known = sorted({OWN, OTHERS, *studies})
        for where, name in self._scopes:
            if name not in known:
                raise InputError(
                    f"{where}, column studies: {name!r} is no study or group"
                    f"{nearest(name, known)}; {OWN} stands for all data of your own, {OTHERS} for "
                    "every study without a row"
                )

    def chosen(self, wanted: Iterable[str], where: str) -> list[str]:
        """Return the methods that are asked for, each once.

        Raises
        ------
        InputError
            One that the sheet does not have; `where` is what asks for it.
        """
        for name in wanted:
            if name not in self._rows:
                raise InputError(
                    f"{where}: {name!r} is not in {self.path}{nearest(name, self.names)}; "
                    f"known: {', '.join(self.names)}"
                )
        return list(dict.fromkeys(wanted))

    def row(self, study: Row, method: str) -> dict[str, str] | None:
        """Return the settings of a method for a study, None where it has none.

        A study's own row comes before its group's, that of the user's own data (`own`), and `*`. A
        row that fits counts is for studies that have them, and comes before one that does not.
        """
        for scope in _scopes(study):
            rows = [row for row in self._of(scope, method) if _suits(row, study)]
            if rows:
                return dict(max(rows, key=lambda row: row["values"] == "counts"))
        return None

    def why_not(self, study: Row, method: str) -> str:
        """Return why a method without a row for a study has none."""
        if any(self._of(scope, method) for scope in _scopes(study)):
            return f"fits counts, but the study's values are {study['values']}"
        return f"no row in {self.path.name}"

    def _of(self, scope: str, method: str) -> list[dict[str, str]]:
        return [row for row in self._rows[method] if scope in as_list(row["studies"])]


def alphas(row: Mapping[str, str]) -> list[str]:
    """Return the alphas of a methods row as they appear in paths; "none" where there is none."""
    if row["alpha"] == "auto":
        return list(AUTOMATIC_ALPHAS)
    return as_list(row["alpha"]) or ["none"]


def _scopes(study: Row) -> list[str]:
    own = [OWN] if is_own(study["dataset"]) else []
    return [study["study"], study["group"], *own, OTHERS]


def _suits(row: Mapping[str, str], study: Row) -> bool:
    # Values of files that were not looked into are not known.
    return row["values"] != "counts" or study["values"] in ("counts", "")


def _check_numbers(row: Mapping[str, str], where: str) -> None:
    for column in ("k", "alpha"):
        numbers = as_list(row[column]) if row[column] != "auto" else []
        found = Counter(map(Decimal, numbers))
        if repeated := [text for text in numbers if found[Decimal(text)] > 1]:
            raise InputError(
                f"{where}, column {column}: {', '.join(repeated)} in {row[column]!r} are one "
                "value, whose fit would count several times; name it once"
            )
    if row["starts"] and row["algorithm"] not in WITH_CONSENSUS:
        raise InputError(
            f"{where}, column starts: {row['starts']}, but there is no consensus of algorithm "
            f"{row['algorithm']}; leave the cell empty, or take {', '.join(WITH_CONSENSUS)}"
        )
    for column in OF_SHARED:
        if row.get(column) and row["algorithm"] != "shared":
            raise InputError(
                f"{where}, column {column}: {row[column]}, but algorithm {row['algorithm']} has no "
                "such choice; leave the cell empty, or take shared"
            )
    if row["tol"] and float(row["tol"]) >= 1:
        raise InputError(
            f"{where}, column tol: {row['tol']}; a tolerance is the relative change at which "
            "iterations stop, from 0 (run all of max_iter) to below 1, such as 1e-5"
        )
