"""Nuclei of the prefrontal cortex of donors with major depression and controls (Maitra 2023)."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import BinaryIO

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.data.gencode import protein_coding
from bcnmf.data.matrix_market import STREAM_FAULTS, read_counts
from bcnmf.data.single_cell import cell_sizes, opened, read_columns, unique_names
from bcnmf.errors import InputError

# The published files, and protein-coding genes among theirs by the paper.
N_GENES, N_NUCLEI, N_CODING = 36588, 160711, 18716
# Nuclei of the paper's first version: cases and controls of the target; the controls are its
# background too.
N_CASE_NUCLEI, N_CONTROL_NUCLEI = 5241, 3645
CELL_TYPES = ("Ast", "Oli")
ROLES = ("target case", "target control", "other control")
_SOURCE = {
    "citation": (
        "Maitra et al. 2023, Cell type specific transcriptomic differences in depression show "
        "similar patterns between males and females but implicate distinct cell types and genes, "
        "Nature Communications 14:2912, doi:10.1038/s41467-023-38530-5; GEO GSE213982; "
        "protein-coding genes: GENCODE 48"
    ),
    "licence": "GEO, no licence stated; the article: CC BY 4.0",
}
_AGAIN = "delete the file and fetch it again, or take the one that config/datasets.tsv names"
_DONOR = re.compile(r"(?<![A-Za-z0-9])([FM])[ _-]?0*([1-9][0-9]?)(?![A-Za-z0-9])")
# Keys of the characteristics, and columns of a table of donors, without case and punctuation.
_KEYS = {
    "donor": ("donor", "donorid", "sample", "samplename", "sampleid", "subject", "individual"),
    "diagnosis": (
        "diagnosis", "condition", "group", "status", "disease", "diseasestate", "diseasestatus",
        "phenotype", "casecontrol",
    ),
    "sex": ("sex", "gender"),
    "age": ("age", "ageyears", "ageatdeath"),
}  # fmt: skip
_CONTROL = ("control", "ctrl", "healthy", "neurotypical", "unaffected")
_CASE = ("case", "mdd", "depress", "suicide")
_SHOWN = 8


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


def read_mdd(
    matrix: str | os.PathLike,
    genes: str | os.PathLike,
    cells: str | os.PathLike,
    donors: str | os.PathLike,
    gencode: str | os.PathLike,
    choice: DonorRule | NamedDonors | None = None,
    cell_types: Sequence[str] = CELL_TYPES,
    progress: Callable[[int, int], None] | None = None,
) -> ad.AnnData:
    """Read the nuclei of some donors and cell types, in one stream over the matrix.

    Parameters
    ----------
    matrix : path
        GSE213982_combined_counts_matrix.mtx.gz, genes x nuclei.
    genes, cells : path
        ..._genes_rows.csv.gz and ..._cells_columns.csv.gz, column x: symbols, and
        donor.barcode.broad.cluster.
    donors : path
        GEO series matrix of GSE213982, or a table of donors; see `read_donors`.
    gencode : path
        GTF of GENCODE; genes whose symbol it does not call protein-coding are left out.
    choice : DonorRule or NamedDonors, optional
        Donors; by default the paper's rule, see `choose_donors`.
    cell_types : sequence of str
        Broad cell types.
    progress : callable, optional
        Called with entries read and entries in all.

    Returns
    -------
    AnnData
        X: counts, float32 CSR, nuclei x protein-coding genes.
        obs: `donor`, `diagnosis` (case, control), `sex`, `age`, `role` (target case, target
        control, other control), `in_target` (yes, no), `cell_type`, `cluster`, `n_counts`,
        `n_genes`. var: index symbols; `symbol`.
        uns: `source`, `warnings`, `qc` (one row a donor: `role`, `nuclei` in the file,
        `nuclei_kept`, `genes`, `protein_coding`, `median_counts`), `file_shape` (nuclei, genes).

    Raises
    ------
    InputError
        A file that is missing, damaged or not of that form, files that do not fit each other, or
        donors that cannot be chosen.

    Notes
    -----
    The published pairing is ``role=target case,target control`` against ``role=target control``:
    the background is part of the target, so that the label enters the fit. ``role=other control``
    is a background of donors that are not in the target.
    """
    symbols = _column_x(genes, "the names of the genes, .csv.gz with column x")
    nuclei = _nuclei(cells)
    people = read_donors(donors)
    wanted = _of_types(nuclei, cell_types, cells)
    sizes = nuclei["donor"][wanted].value_counts()
    roles, notes = choose_donors(people, sizes, choice or DonorRule(), str(donors))
    samples = wanted & nuclei["donor"].isin(roles.index).to_numpy()
    coding = symbols.isin(set(protein_coding(gencode).values())).to_numpy()
    if not coding.any():
        raise InputError(
            f"{gencode}: none of its protein-coding genes is among those of {genes}, the first of "
            f"which is {symbols.iloc[0]!r}; expected human symbols"
        )
    with opened(matrix, "the counts, .mtx.gz") as stream:
        counts = read_counts(stream, str(matrix), samples, coding, progress)
    names, repeated = unique_names(symbols[coding].reset_index(drop=True))
    if repeated:
        notes.append(f"{repeated} symbols stand for several genes: a number was added to them")
    obs = _about(nuclei[samples], people, roles)
    qc = _quality(nuclei, obs, roles, counts, (len(symbols), int(coding.sum())))
    return ad.AnnData(
        counts,
        obs=obs.assign(**cell_sizes(counts)),
        var=pd.DataFrame({"symbol": symbols[coding].to_numpy()}, index=names),
        uns={
            "source": _SOURCE | {"description": _description(qc, cell_types, choice, symbols)},
            "warnings": np.array(notes, dtype=object),
            "qc": qc,
            "file_shape": np.array([len(nuclei), len(symbols)]),
        },
    )


def changed(data: ad.AnnData) -> list[str]:
    """Return what is not as in the files and groups that the paper used."""
    found = []
    for what, here, there in (
        ("nuclei", int(data.uns["file_shape"][0]), N_NUCLEI),
        ("genes", int(data.uns["file_shape"][1]), N_GENES),
    ):
        if here != there:
            found.append(f"{here} {what}, the published file has {there}")
    roles = data.obs["role"].value_counts()
    for role, there in (("target case", N_CASE_NUCLEI), ("target control", N_CONTROL_NUCLEI)):
        if roles.get(role, 0) != there:
            found.append(
                f"{role}: {roles.get(role, 0)} nuclei, the paper has {there}; its donors are not "
                "published"
            )
    if data.n_vars != N_CODING:
        found.append(f"{data.n_vars} protein-coding genes, the paper has {N_CODING}")
    return found


def read_donors(path: str | os.PathLike) -> pd.DataFrame:
    """Read diagnosis, sex and age of the donors.

    Parameters
    ----------
    path : path
        GEO series matrix (.txt.gz), or a table (.csv, .tsv) with columns such as `donor` (or
        `Sample`), `diagnosis` (or `Condition`), `sex` and `age`. In a series matrix the donor, as
        F3, is looked for in the characteristics called donor, sample or individual, then in the
        title, then in the other lines about samples; the rest in ``key: value`` characteristics,
        and the diagnosis in the title where they do not tell it.

    Returns
    -------
    DataFrame
        Index: donor (F3). `diagnosis` (case, control), `sex` (female, male; by the letter of the
        donor where it is not stated), `age` (years, NaN if not stated).

    Raises
    ------
    InputError
        The file is missing, damaged or of another form, names no donor, or contradicts itself.
    """
    path = Path(path)
    with opened(path, "a GEO series matrix, .txt.gz, or a table of donors") as stream:
        try:
            if stream.peek(2)[:2].lstrip(b'"')[:1] == b"!":
                return _merged(_of_series(_sample_lines(stream, path)), path)
            return _merged(_of_table(stream, path), path)
        except (*STREAM_FAULTS, UnicodeError) as error:
            raise InputError(f"{path}: damaged or cut short ({error}); {_AGAIN}") from error


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
        for donor in sorted(listed, key=_number)
    }
    return pd.Series(roles, name="role", dtype=object), notes


def matching_donors(
    donors: pd.DataFrame, nuclei: pd.Series, rule: DonorRule | None = None
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the sets of donors by which the rule gives as many nuclei as the paper has.

    A hint at the unpublished donors, no proof: other sets may have these numbers by chance, and the
    paper may have left nuclei out.

    Parameters
    ----------
    donors, nuclei
        As for `choose_donors`.
    rule : DonorRule, optional
        The paper's by default.

    Returns
    -------
    list of (cases, controls)
        Empty if there is none.
    """
    rule = rule or DonorRule()
    people = _candidates(donors, nuclei, rule)
    sets = []
    for diagnosis, size, there in (
        ("case", rule.cases, N_CASE_NUCLEI), ("control", rule.controls, N_CONTROL_NUCLEI),
    ):  # fmt: skip
        names = sorted(people.index[people["diagnosis"] == diagnosis], key=_number)
        chosen = (one for one in combinations(names, size))
        sets.append([one for one in chosen if int(nuclei[list(one)].sum()) == there])
    return list(product(*sets))


def _column_x(path: str | os.PathLike, expected: str) -> pd.Series:
    with opened(path, expected) as stream:
        return read_columns(stream, str(path), {"x": ["x"]})["x"]


def _nuclei(path: str | os.PathLike) -> pd.DataFrame:
    """Return donor, barcode, cell type and cluster of each nucleus; the index is the full name."""
    names = _column_x(path, "the names of the nuclei, .csv.gz with column x")
    parts = names.str.split(".", n=3, expand=True).reindex(columns=range(4))
    wrong = parts.isna().any(axis=1) | (parts == "").any(axis=1)
    if len(names) == 0 or wrong.any():
        shown = repr(names[wrong].iloc[0]) if len(names) else "nothing"
        raise InputError(
            f"{path}, column x: {shown}; expected donor.barcode.broad.cluster, as "
            f"F1.AAACCCACACCTCTGT-1.Mic.Mic1; {_AGAIN}"
        )
    if names.duplicated().any():
        raise InputError(
            f"{path}, column x: {names[names.duplicated()].iloc[0]!r} stands more than once; "
            f"{_AGAIN}"
        )
    parts.columns = ["donor", "barcode", "cell_type", "cluster"]
    return parts.set_axis(pd.Index(names.to_numpy(dtype=object)), axis=0)


def _of_types(
    nuclei: pd.DataFrame, cell_types: Sequence[str], path: str | os.PathLike
) -> np.ndarray:
    known = sorted(nuclei["cell_type"].unique())
    unknown = [name for name in cell_types if name not in known]
    if unknown or not cell_types:
        raise InputError(
            f"{path}: no nucleus of the cell type {', '.join(unknown) or '(none was asked for)'}; "
            f"those that there are: {', '.join(known[:20])}"
        )
    return nuclei["cell_type"].isin(list(cell_types)).to_numpy()


def _sample_lines(stream: BinaryIO, path: Path) -> list[tuple[str, list[str]]]:
    """Return key and cells of the lines of a series matrix that are about samples."""
    lines = []
    for raw in stream:
        line = raw.decode("utf-8").strip()
        if line.lstrip('"').startswith("!Sample_"):
            key, *cells = next(csv.reader([line], delimiter="\t"))
            lines.append((key.removeprefix("!Sample_"), [cell.strip() for cell in cells]))
    if not lines:
        raise InputError(
            f"{path}: no line begins with !Sample_; expected the series matrix of GSE213982, or a "
            f"table of donors; {_AGAIN}"
        )
    wide = max(len(cells) for _, cells in lines)
    short = [key for key, cells in lines if key in ("title", "characteristics_ch1")
             and len(cells) != wide]  # fmt: skip
    if short:
        raise InputError(
            f"{path}: a line !Sample_{short[0]} has not one cell for each of {wide} samples; "
            f"{_AGAIN}"
        )
    return [(key, cells + [""] * (wide - len(cells))) for key, cells in lines]


def _of_series(lines: list[tuple[str, list[str]]]) -> list[dict[str, str]]:
    """Return what is told about each sample: donor, diagnosis, sex, age, as far as it is told."""
    records = []
    for at in range(len(lines[0][1])):
        record: dict[str, str] = {}
        title, rest = "", []
        for key, cells in lines:
            if key == "characteristics_ch1":
                name, _, value = cells[at].partition(":")
                _note(record, name, value.strip())
            title = cells[at] if key == "title" else title
            rest.append(cells[at])
        texts = (record.get("donor", ""), title, *rest)
        record["donor"] = next((found for text in texts if (found := _donor(text))), "")
        if "diagnosis" not in record:
            record["diagnosis"] = title
        records.append(record | {"shown": title})
    return records


def _of_table(stream: BinaryIO, path: Path) -> list[dict[str, str]]:
    head = stream.peek(2**16).split(b"\n")[0].decode("utf-8-sig").strip()
    separator = "\t" if head.count("\t") > head.count(",") else ","
    names = next(csv.reader([head], delimiter=separator), [])
    columns = {}
    for name in names:
        for wanted, known in _KEYS.items():
            if _plain(name) in known:
                columns.setdefault(wanted, [name])
    for wanted in ("donor", "diagnosis"):
        columns.setdefault(wanted, [wanted])  # refused by name, where it is missing
    table = read_columns(stream, str(path), columns)
    records = table.to_dict("records")
    return [one | {"shown": one["donor"], "donor": _donor(one["donor"])} for one in records]


def _note(record: dict[str, str], name: str, value: str) -> None:
    for wanted, known in _KEYS.items():
        if _plain(name) in known and value and (wanted != "diagnosis" or _diagnosis(value)):
            record.setdefault(wanted, value)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", re.sub(r"\(.*?\)", "", name.lower()))


def _donor(text: str) -> str:
    found = _DONOR.search(text)
    return f"{found[1]}{found[2]}" if found else ""


def _diagnosis(text: str) -> str:
    lowered = text.lower()
    if any(word in lowered for word in _CONTROL):
        return "control"
    return "case" if any(word in lowered for word in _CASE) else ""


def _merged(records: Iterable[dict[str, str]], path: Path) -> pd.DataFrame:
    """Return one row a donor; several libraries of one donor have to agree."""
    people: dict[str, tuple[str, str, float]] = {}
    shown = []
    for record in records:
        shown.append(record["shown"])
        donor = record["donor"]
        if not donor:
            continue
        diagnosis = _diagnosis(record["diagnosis"])
        if not diagnosis:
            raise InputError(
                f"{path}: {donor} has the diagnosis {record['diagnosis']!r}; expected a word for "
                "control, or case, MDD or depression. A table with columns donor, diagnosis, sex "
                "and age can take the place of the file"
            )
        sex = record.get("sex", "").strip().lower()[:1] or donor[0].lower()
        if sex not in "fm":
            raise InputError(f"{path}: {donor} has the sex {record['sex']!r}; allowed: F, M")
        years = re.search(r"[0-9]+(?:[.][0-9]+)?", record.get("age", ""))
        row = (diagnosis, {"f": "female", "m": "male"}[sex], float(years[0]) if years else np.nan)
        if str(people.setdefault(donor, row)) != str(row):
            raise InputError(
                f"{path}: contradicts itself about {donor}: {_said(people[donor])}, and "
                f"{_said(row)}; {_AGAIN}"
            )
    if not people:
        listed = ", ".join(repr(text) for text in shown[:_SHOWN])
        raise InputError(
            f"{path}: names no donor (F1 to F38, M1 to M34); samples: {listed or 'none'}. A table "
            "with columns donor, diagnosis, sex and age can take the place of the file"
        )
    columns = ["diagnosis", "sex", "age"]
    table = pd.DataFrame.from_dict(people, orient="index", columns=columns)
    return table.loc[sorted(table.index, key=_number)].rename_axis("donor")


def _said(row: tuple[str, str, float]) -> str:
    return f"{row[0]}, {row[1]}, age {row[2]:g}"


def _number(donor: str) -> tuple[str, int]:
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
        key=lambda pair: (abs(cases[pair[0]] - controls[pair[1]]), *map(_number, pair)),
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
        left = sorted(set(ages.index) - set(side), key=_number)
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
                f"{', '.join(sorted(map(str, nuclei.index), key=_number))}"
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


def _about(nuclei: pd.DataFrame, people: pd.DataFrame, roles: pd.Series) -> pd.DataFrame:
    role = nuclei["donor"].map(roles)
    columns = {"donor": nuclei["donor"]}
    columns |= {name: nuclei["donor"].map(people[name]) for name in ("diagnosis", "sex", "age")}
    columns |= {"role": role, "in_target": np.where(role == ROLES[2], "no", "yes")}
    columns |= {"cell_type": nuclei["cell_type"], "cluster": nuclei["cluster"]}
    table = pd.DataFrame(columns, index=nuclei.index)
    names = [name for name in table if name != "age"]
    return table.astype(dict.fromkeys(names, "category"))


def _quality(
    nuclei: pd.DataFrame,
    obs: pd.DataFrame,
    roles: pd.Series,
    counts: sp.csr_matrix,
    genes: tuple[int, int],
) -> pd.DataFrame:
    here, kept = nuclei["donor"].value_counts(), obs["donor"].value_counts()
    totals = pd.Series(cell_sizes(counts)["n_counts"]).groupby(obs["donor"].to_numpy()).median()
    return pd.DataFrame(
        {
            "role": roles,
            "nuclei": [int(here[name]) for name in roles.index],
            "nuclei_kept": [int(kept[name]) for name in roles.index],
            "genes": genes[0],
            "protein_coding": genes[1],
            "median_counts": [float(totals[name]) for name in roles.index],
        },
        index=pd.Index(roles.index, name="donor"),
    )


def _description(
    qc: pd.DataFrame,
    cell_types: Sequence[str],
    choice: DonorRule | NamedDonors | None,
    symbols: pd.Series,
) -> str:
    listed = {role: ", ".join(qc.index[qc["role"] == role]) or "none" for role in ROLES}
    how = "as named in the configuration" if isinstance(choice, NamedDonors) else (
        "chosen here by sex and age, since those of the paper are not published"
    )  # fmt: skip
    base = symbols.str.rpartition(".")
    repeats = int((base[2].str.isdigit() & base[0].isin(set(symbols))).sum())
    return (
        f"nuclei of the dorsolateral prefrontal cortex, cell types {', '.join(cell_types)}; donors "
        f"{how}: cases {listed[ROLES[0]]}, controls {listed[ROLES[1]]}, other controls "
        f"{listed[ROLES[2]]}; {int(qc['protein_coding'].iloc[0])} protein-coding of {len(symbols)} "
        f"genes by symbol ({repeats} repeated symbols, marked .1 by the source, match none)"
    )
