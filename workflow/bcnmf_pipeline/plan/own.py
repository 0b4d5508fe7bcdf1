"""The user's own data: what empty cells of a row mean, and one study for each value of a column."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.selection_syntax import Condition, parse_selection
from bcnmf_pipeline.plan.sheets import as_list
from bcnmf_pipeline.plan.studies import Row

if TYPE_CHECKING:
    import pandas as pd

# Highly variable features that are kept of more, where the sheet does not say.
TOP_FEATURES = 3000
PANELS = ("scores", "embedding", "usages", "loadings", "objective")
PANELS_OF_IMAGES = ("scores", "embedding", "usages", "basis", "objective")
GENE_SETS = "core"
# Below 20 samples the 95% point of a side is its largest value: nothing could be called above it.
LEAST_SAMPLES = 20
MOST_VALUES = 100
_SHOWN = 5


class Seen(Protocol):
    """What a look into a file found, for one row of the studies sheet.

    Attributes
    ----------
    n_target, n_background, n_features : int
        Selected samples of each side, and features of the file.
    values : str
        "counts", "log" or "raw".
    label : str
        Column of the label; empty where there is none, or one class alone.
    obs : DataFrame
        The columns that the row names, of all samples of the file.
    features : Index
        Names of the features.
    image_shape : list of int, optional
        Rows and columns where the features are pixels.
    remarks : list of str
        What is worth a second thought.
    """

    n_target: int
    n_background: int
    n_features: int
    values: str
    label: str
    obs: pd.DataFrame
    features: pd.Index
    image_shape: list[int] | None
    remarks: list[str]


# Looks into the file of a row; None where another workflow has yet to make it.
Look = Callable[[Row, str], Seen | None]


class Finder:
    """Finds out of files what rows on own data leave open.

    Parameters
    ----------
    look : callable or None
        Looks into the file of a row; None where nothing is to be found out.
    fill : bool
        Whether what is empty is filled by what was seen; else that is only checked.
    methods : callable
        Rows of the methods sheet for a row.
    unmatched : callable
        Why a collection of gene sets is of no use for what was seen; empty if it is of use.
    sheet : Path
        Where the rows stand, for errors.

    Attributes
    ----------
    remarks : dict of str to list of str
        Study -> what was found, for the terminal.
    """

    def __init__(
        self,
        look: Look | None,
        fill: bool,
        methods: Callable[[Row], list[dict[str, str]]],
        unmatched: Callable[[str, Seen], str],
        sheet: Path,
    ) -> None:
        self._look, self._fill = look, fill
        self._methods, self._unmatched = methods, unmatched
        self._sheet = sheet
        self.remarks: dict[str, list[str]] = {}

    def rows(self, row: Row, taken: Collection[str]) -> list[Row]:
        """Return the row with nothing left open, or those that `each` makes of it.

        Raises
        ------
        InputError
            The file and the row do not go together, or a name that `each` makes is taken.
        """
        where = self._where(row)
        if self._look is None:
            return [without_words(row)]
        seen = self._look(without_words(row), where)
        if seen is None or not self._fill:
            made = of_unseen(row, where)
            if seen is not None:
                self._check_sizes(made, seen)
            return [made]
        if not row["each"]:
            return [self._filled(row, seen)]
        largest = max((_largest(one) for one in self._methods(row)), default=1)
        # Values of the file are found out once, of all samples.
        row = row | {"values": seen.values}
        parts, self.remarks[row["study"]] = one_for_each(row, seen.obs, largest, where)
        known = {name.lower() for name in taken}
        if names := [part["study"] for part in parts if part["study"].lower() in known]:
            raise InputError(
                f"{where}, column each: it makes a study {names[0]!r}, which stands in the sheet "
                "already; give one of them another name"
            )
        looks = [(part, self._look(without_words(part), self._where(part))) for part in parts]
        return [self._filled(part, found) for part, found in looks if found is not None]

    def _where(self, row: Row) -> str:
        return f"{self._sheet}, study {row['study']}"

    def _filled(self, row: Row, seen: Seen) -> Row:
        filled, self.remarks[row["study"]] = complete(row, seen, self._unmatched, self._where(row))
        self._check_sizes(filled, seen)
        return filled

    def _check_sizes(self, row: Row, seen: Seen) -> None:
        """Refuse more topics than the target has samples or features, before anything is fitted."""
        kept = row["n_top_features"]
        features = min(seen.n_features, int(kept)) if kept else seen.n_features
        most = min(seen.n_target, features)
        for method in self._methods(row):
            if _largest(method) > most:
                raise InputError(
                    f"{self._where(row)}: method {method['method']!r} has {_largest(method)} "
                    f"topics (methods sheet, column k), which are more than the data can give: the "
                    f"target has {seen.n_target} samples and {features} features; choose at most "
                    f"{most}"
                )


def _largest(method: Mapping[str, str]) -> int:
    return max(map(int, as_list(method["k"])))


def of_unseen(row: Row, where: str) -> Row:
    """Return the row of a file of which nothing is found out.

    Raises
    ------
    InputError
        The row asks for what only the file can tell.
    """
    for column, remedy in (("values", "give counts, log or raw"), ("each", "leave it empty")):
        if (column == "values") != bool(row[column]):
            raise InputError(
                f"{where}, column {column}: {row['dataset']} may be made by a rule of the workflow "
                f"that imports this one, so nothing is found out of it; {remedy}"
            )
    return without_words(row)


def without_words(row: Row) -> Row:
    """Return a row in which the words that ask for nothing, or for all, are empty cells."""
    nothing = {"n_top_features": "all", "panels": "none", "gene_sets": "none"}
    return row | {key: "" for key, word in nothing.items() if row[key] == word}


def complete(
    row: Row, seen: Seen, unmatched: Callable[[str, Seen], str], where: str
) -> tuple[Row, list[str]]:
    """Fill the empty cells of a row on own data.

    Parameters
    ----------
    row : dict
        The row.
    seen : Seen
        What is in its file.
    unmatched : callable
        Why a collection of gene sets is of no use.
    where : str
        What to call the row in errors.

    Returns
    -------
    row : dict
        `values`, `n_top_features`, `panels` and `gene_sets` as they are used; `label` is empty
        where all target samples have the same one, and `figure` then is, too.
    remarks : list of str
        What was found and filled in, for the terminal.

    Raises
    ------
    InputError
        Gene sets that are named are of no use for the features.
    """
    filled = without_words(row) | {"values": seen.values, "label": seen.label}
    found = [
        f"{seen.n_target} target and {seen.n_background} background samples",
        f"values: {seen.values}" + ("" if row["values"] else " (found out)"),
    ]
    if not row["n_top_features"] and seen.image_shape is None and seen.n_features > TOP_FEATURES:
        filled["n_top_features"] = str(TOP_FEATURES)
    kept = filled["n_top_features"]
    found.append(f"features: {kept + ' of ' if kept else ''}{seen.n_features}")
    remarks = ["; ".join(found), *seen.remarks]
    if not row["panels"]:
        panels = PANELS_OF_IMAGES if seen.image_shape else PANELS
        filled["panels"] = ",".join(one for one in panels if seen.label or one != "scores")
    if row["figure"] and not seen.label:
        filled["figure"] = ""
        remarks.append(f"figure {row['figure']} is left out: it compares classes of a label")
    if not row["gene_sets"] and seen.image_shape is None:
        fault = unmatched(GENE_SETS, seen)
        filled["gene_sets"] = "" if fault else GENE_SETS
        if fault:
            names = ", ".join(map(repr, map(str, seen.features[:3])))
            remarks.append(
                f"tested against no gene sets: {GENE_SETS} has none for {names} and so on"
            )
    for name in as_list(filled["gene_sets"]) if row["gene_sets"] else []:
        if fault := unmatched(name, seen):
            raise InputError(f"{where}, column gene_sets: {fault}")
    return filled, remarks


def one_for_each(
    row: Row, obs: pd.DataFrame, largest: int, where: str
) -> tuple[list[Row], list[str]]:
    """Return a row for each value that the target has in the column `each`.

    Both selections get the value added, but where one names that column already: of the target the
    value takes its place, the background stays (several targets against one background).

    Parameters
    ----------
    row : dict
        The row, with `each`.
    obs : DataFrame
        The columns that the row names, of all samples of the file.
    largest : int
        Number of topics that a target has to be large enough for.
    where : str
        What to call the row in errors.

    Returns
    -------
    rows : list of dict
        In the order of the values; `each` is "column=value".
    remarks : list of str
        Which values there are, and which were left out because a side has too few samples.

    Raises
    ------
    InputError
        The column is missing or has too many values, or none has samples enough.
    """
    # Late: whoever has no data of their own plans without pandas.
    from bcnmf_pipeline.plan.selected import column_of, select

    column = row["each"]
    places = {side: f"{where}, column {side}" for side in ("target", "background")}
    sides = {side: parse_selection(row[side], place) for side, place in places.items()}
    masks = {side: select(obs, sides[side], place) for side, place in places.items()}
    cells = column_of(obs, column, f"{where}, column each")
    texts = cells.astype(str).where(cells.notna())
    n_target = texts[masks["target"]].value_counts().sort_index()
    n_background = texts[masks["background"]].value_counts()
    same_background = column in {one.column for one in sides["background"]}
    made: list[Row] = []
    few: list[str] = []
    least = max(LEAST_SAMPLES, largest)
    for value, name in zip(n_target.index, _names(n_target.index), strict=True):
        n = int(masks["background"].sum() if same_background else n_background.get(value, 0))
        if n_target[value] < least or n < LEAST_SAMPLES:
            few.append(f"{value} ({n_target[value]} target, {n} background)")
            continue
        wanted = str(Condition(column, (value,)))
        others = [str(one) for one in sides["target"] if one.column != column]
        changes = {
            "study": f"{row['study']}-{name}",
            "group": row["study"],
            "title": f"{row['title']}: {value}",
            "each": f"{column}={value}",
            "target": ";".join([*others, wanted]),
        }
        if not same_background:
            changes["background"] = f"{row['background']};{wanted}"
        made.append(row | changes)
    if not 0 < len(made) <= MOST_VALUES:
        found = f"{len(made)} of {len(n_target)} values of {column!r} have"
        raise InputError(
            f"{where}, column each: {found} {least} target and {LEAST_SAMPLES} background samples"
            + (f" ({_listed(few)})" if few else "")
            + f"; name a column with 1 to {MOST_VALUES} such values, or leave it empty"
        )
    remarks = [f"a study for each {column}: {', '.join(one['study'] for one in made)}"]
    if few:
        remarks.append(
            f"left out of {column}, for fewer than {least} target or {LEAST_SAMPLES} background "
            f"samples: {_listed(few)}"
        )
    if missing := int(masks["target"].sum() - n_target.sum()):
        remarks.append(f"{missing} target samples have no {column} and are in none of its studies")
    return made, remarks


def _names(values: Sequence[str]) -> list[str]:
    """Return values as parts of names; of those that would be alike each gets a digest of itself.

    Upper and lower case are alike, since they are to the file systems of some machines.
    """
    plain = [re.sub(r"[^A-Za-z0-9_]", "-", value) for value in values]
    alike = Counter(name.lower() for name in plain)
    digests = [hashlib.sha256(value.encode()).hexdigest()[:6] for value in values]
    return [
        f"{name}-{digest}" if alike[name.lower()] > 1 else name
        for name, digest in zip(plain, digests, strict=True)
    ]


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
