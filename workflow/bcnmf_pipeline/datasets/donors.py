"""Which donors enter the depression study: named ones, or by a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import pandas as pd

from bcnmf.errors import InputError

# Nuclei of the paper's first version: cases and controls of the target; the controls are its
# background too.
N_CASE_NUCLEI, N_CONTROL_NUCLEI = 5241, 3645
ROLES = ("target case", "target control", "other control")


@dataclass(frozen=True)
class DonorRule:
    """Which donors enter the study where none are named; the default is the paper's rule.

    Attributes
    ----------
    sex : str
        "female" or "male".
    ages : tuple of float
        Youngest and oldest, both included.
    cases, controls : int
        How many of each are in the target.
    """

    sex: str = "female"
    ages: tuple[float, float] = (40.0, 60.0)
    cases: int = 4
    controls: int = 4


@dataclass(frozen=True)
class NamedDonors:
    """Donors that are named one by one, as F3.

    Attributes
    ----------
    cases, controls : sequence of str
        Those of the target.
    others : sequence of str
        Controls beside the target, for a background of other donors.
    """

    cases: Sequence[str]
    controls: Sequence[str]
    others: Sequence[str] = field(default=())


def choice_of(settings: Mapping[str, Any]) -> DonorRule | NamedDonors:
    """Return the choice that the configuration's section `mdd` describes."""
    named = settings["donors"]
    if named:
        return NamedDonors(named["cases"], named["controls"], named.get("others", ()))
    return DonorRule(
        settings["sex"], tuple(settings["ages"]), settings["cases"], settings["controls"]
    )


def choose_donors(
    donors: pd.DataFrame, nuclei: pd.Series, choice: DonorRule | NamedDonors, where: str
) -> tuple[pd.Series, list[str]]:
    """Return the role of each donor that enters, and what is to be said about the choice.

    Which donors the paper used is not published. By a `DonorRule`, the donors of that sex and age
    with nuclei of the wanted types are candidates. Cases and controls are paired by age: the pair
    with the smallest difference first, of equal ones that with the lowest numbers of case and
    control, until there are enough; where more of one kind are wanted, those with the lowest
    numbers. Controls that are candidates and not in the target are the other ones; if there are
    none, those of the same sex and any age.

    Parameters
    ----------
    donors : DataFrame
        As of `read_donors`.
    nuclei : Series
        Donor -> nuclei of the wanted types.
    choice : DonorRule or NamedDonors
    where : str
        File of the donors, for errors.

    Returns
    -------
    roles : Series
        Donor -> one of `ROLES`, in the order of `ROLES`, then of numbers.
    notes : list of str

    Raises
    ------
    InputError
        Too few candidates; a named donor that is unknown, has no nuclei, has another diagnosis or
        stands twice.
    """
    if isinstance(choice, NamedDonors):
        lists = (choice.cases, choice.controls, choice.others)
        _check_named(lists, donors, nuclei, where)
    else:
        lists = _by_rule(donors, nuclei, choice, where)
    notes = []
    if not lists[2]:
        notes.append("no control is left beside the target: there is no background of other donors")
    found = matching_donors(donors, nuclei)
    if found:
        sets = "; ".join(f"{', '.join(cases)} with {', '.join(controls)}" for cases, controls in
                         found[:3])  # fmt: skip
        notes.append(
            f"{len(found)} sets of 4 cases and 4 controls, women of 40 to 60, have as many nuclei "
            f"as the paper: {sets}{'; ...' if len(found) > 3 else ''}; chance matches are possible"
        )
    roles = {
        donor: role
        for role, listed in zip(ROLES, lists, strict=True)
        for donor in sorted(listed, key=donor_number)
    }
    return pd.Series(roles, name="role", dtype=object), notes


def matching_donors(
    donors: pd.DataFrame, nuclei: pd.Series
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the sets of donors by which the paper's rule gives as many nuclei as the paper has.

    A hint at the unpublished donors, no proof: other sets may have these numbers by chance, and the
    paper may have left nuclei out.

    Parameters
    ----------
    donors, nuclei
        As for `choose_donors`.

    Returns
    -------
    list of (cases, controls)
        Empty if there is none.
    """
    rule = DonorRule()
    people = _candidates(donors, nuclei, rule)
    sets = []
    for diagnosis, size, there in (
        ("case", rule.cases, N_CASE_NUCLEI), ("control", rule.controls, N_CONTROL_NUCLEI),
    ):  # fmt: skip
        names = sorted(people.index[people["diagnosis"] == diagnosis], key=donor_number)
        chosen = (one for one in combinations(names, size))
        sets.append([one for one in chosen if int(nuclei[list(one)].sum()) == there])
    return list(product(*sets))


def donor_number(donor: str) -> tuple[str, int]:
    """Return a sorting key that puts F2 before F10."""
    digits = donor[1:]
    return donor[:1], int(digits) if digits.isdigit() else 0


def _candidates(donors: pd.DataFrame, nuclei: pd.Series, rule: DonorRule) -> pd.DataFrame:
    fits = donors["age"].between(*rule.ages) & (donors["sex"] == rule.sex)
    return donors[fits & donors.index.isin(nuclei.index)]


def _by_rule(
    donors: pd.DataFrame, nuclei: pd.Series, rule: DonorRule, where: str
) -> tuple[list[str], list[str], list[str]]:
    if donors["age"].isna().all():
        raise InputError(
            f"{where}: states no age, by which donors are to be chosen; name the donors, or give a "
            "table with columns donor, diagnosis, sex and age in its place"
        )
    people = _candidates(donors, nuclei, rule)
    cases, controls = (people[people["diagnosis"] == one] for one in ("case", "control"))
    for what, found, wanted in (
        ("cases", cases, rule.cases), ("controls", controls, rule.controls),
    ):  # fmt: skip
        if len(found) < wanted:
            raise InputError(
                f"{where}: {len(found)} {what} are {rule.sex}, {rule.ages[0]:g} to "
                f"{rule.ages[1]:g} years old and have nuclei of the wanted types "
                f"({', '.join(found.index) or 'none'}), but {wanted} are wanted; widen the rule, "
                "or name the donors"
            )
    chosen = _matched(cases["age"], controls["age"], rule)
    others = [name for name in controls.index if name not in chosen[1]]
    if not others:
        same = (donors["sex"] == rule.sex) & (donors["diagnosis"] == "control")
        names = donors.index[same & donors.index.isin(nuclei.index)]
        others = [name for name in names if name not in chosen[1]]
    return *chosen, others


def _matched(cases: pd.Series, controls: pd.Series, rule: DonorRule) -> tuple[list[str], list[str]]:
    """Return cases and controls, paired by age; see `choose_donors`."""
    pairs = sorted(
        product(cases.index, controls.index),
        key=lambda pair: (abs(cases[pair[0]] - controls[pair[1]]), *map(donor_number, pair)),
    )
    chosen: tuple[list[str], list[str]] = ([], [])
    for case, control in pairs:
        if len(chosen[0]) == min(rule.cases, rule.controls):
            break
        if case not in chosen[0] and control not in chosen[1]:
            chosen[0].append(case)
            chosen[1].append(control)
    sides = zip(chosen, (cases, controls), (rule.cases, rule.controls), strict=True)
    for side, ages, wanted in sides:
        left = sorted(set(ages.index) - set(side), key=donor_number)
        side += left[: wanted - len(side)]
    return chosen


def _check_named(
    lists: tuple[Sequence[str], ...], donors: pd.DataFrame, nuclei: pd.Series, where: str
) -> None:
    named = [name for listed in lists for name in listed]
    for name in named:
        if named.count(name) > 1:
            raise InputError(f"donor {name} is named more than once; give it one role")
        if name not in donors.index:
            raise InputError(
                f"{where}: says nothing about donor {name}; known: {', '.join(donors.index)}"
            )
        if nuclei.get(name, 0) == 0:
            raise InputError(
                f"donor {name} has no nuclei of the wanted cell types; those with nuclei: "
                f"{', '.join(sorted(map(str, nuclei.index), key=donor_number))}"
            )
    for listed, wanted in zip(lists, ("case", "control", "control"), strict=True):
        for name in listed:
            if donors.loc[name, "diagnosis"] != wanted:
                raise InputError(
                    f"{where}: donor {name} is a {donors.loc[name, 'diagnosis']}, but is named "
                    f"among the {wanted}s"
                )
    for listed, what in zip(lists[:2], ("cases", "controls"), strict=True):
        if not listed:
            raise InputError(f"no {what} are named; name donors of both kinds, or none at all")
