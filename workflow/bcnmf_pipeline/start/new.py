"""`bcnmf-pipeline new`: look into a file of one's own, write its sheet and configuration."""

from __future__ import annotations

import csv
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from bcnmf.errors import InputError
from bcnmf.files import atomic_path, check_writable
from bcnmf_pipeline.pair.own_data import Look, samples_of
from bcnmf_pipeline.plan.selected import select
from bcnmf_pipeline.plan.selection_syntax import parse_selection
from bcnmf_pipeline.plan.sheets import find_file
from bcnmf_pipeline.plan.studies import load_studies, names_of
from bcnmf_pipeline.start.check import NAME, ROOT, SCHEMAS, plan_of, remarks_text
from bcnmf_pipeline.start.columns import columns_text, likely_batches, likely_sides
from bcnmf_pipeline.start.found import found_text

_SIDES = ("target", "background")
# The models that answer, and baselines to compare with; those that take long are left out.
_METHODS = ("pca", "nmf", "cpca_auto", "bcnmf", "bcnmf_safeguarded", "shared_target")
# Columns of the sheet by the names that they have as options.
_OPTIONS = {"study": "NAME", "dataset": "--data", "gene_sets": "--gene-sets"} | {
    name: f"--{name}"
    for name in (*_SIDES, "label", "unit", "batch", "each", "layer", "values", "title")
}


def start(
    name: str | None,
    data: str | None,
    cells: Mapping[str, str | None],
    *,
    title: str | None = None,
    force: bool = False,
) -> str:
    """Look into a file, and write the sheet and the configuration of a study of it.

    Parameters
    ----------
    name : str or None
        Of the study; the files are `<name>.tsv` and `<name>.yaml` in the working directory.
    data : str or None
        File or folder that `bcnmf.readers.read` reads.
    cells : mapping
        Cells of the studies sheet as they were given, `target` and `background` among them. Without
        either nothing is written: what the file holds is told.
    title : str, optional
        Of the report.
    force : bool
        Write over files that are there.

    Returns
    -------
    str
        What was found, and what to type next.

    Raises
    ------
    InputError
        Whatever cannot be used, in the words of the command's options.
    """
    name = _checked(name)
    if not data:
        raise InputError("--data: give the file that holds your samples, such as cells.h5ad")
    given = {column: cell for column, cell in {**cells, "title": title}.items() if cell}
    row = {"study": name, "dataset": data, **given}
    with tempfile.TemporaryDirectory() as folder:
        try:
            if not all(row.get(side) for side in _SIDES):
                return _columns(row)
            return _written(row, Path(folder), force)
        except InputError as error:
            raise InputError(_in_options(str(error), row, folder)) from None


def _checked(name: str | None) -> str:
    if not name or not NAME.fullmatch(name):
        raise InputError(
            f"NAME: found {name or ''!r}; give your study a name of letters, digits, _ and -, a "
            "letter first, such as mine"
        )
    paper = load_studies(find_file("config/studies.tsv", ROOT), SCHEMAS)
    if name in {"paper", "quick", *names_of(paper)}:
        raise InputError(
            f"NAME: {name!r} is a study or run of the paper, with its own settings; choose another"
        )
    return name


def _columns(row: Mapping[str, str]) -> str:
    """Return what the table of samples holds, and an example of the next command."""
    obs = samples_of(row["dataset"], f"{row['study']}.tsv, study {row['study']}")
    for side in _SIDES:
        if row.get(side):
            select(obs, parse_selection(row[side], f"column {side}"), f"column {side}")
    example = {side: str(one) for side, one in zip(_SIDES, likely_sides(obs) or (), strict=False)}
    sides = {side: example.get(side, "COLUMN=VALUE") for side in _SIDES}
    wanted = {"dataset": row["dataset"], **sides, **row}
    options = [
        part
        for column, cell in wanted.items()
        if column != "study"
        for part in (_OPTIONS[column], cell)
    ]
    lines = [
        f"{row['dataset']}: {len(obs):,} samples. Their columns, with the numbers of samples:",
        columns_text(obs),
        "Next, say which samples hold what you look for (--target) and which are the comparison "
        "(--background), for instance",
        f"  {shlex.join([*_program('bcnmf-pipeline'), 'new', row['study'], *options])}",
    ]
    return "\n".join(lines)


def _written(row: dict[str, str], folder: Path, force: bool) -> str:
    """Write both files if the pipeline would run them, and return what was found."""
    name = row["study"]
    sheet, configuration = Path(f"{name}.tsv"), Path(f"{name}.yaml")
    for path in (sheet, configuration):
        if path.absolute() == Path(row["dataset"]).expanduser().absolute():
            raise InputError(
                f"NAME: {name!r} would write over your data, {path}; choose another name"
            )
        if path.exists() and not force:
            raise InputError(f"{path}: is there already; choose another name, or add --force")
        check_writable(path)
    settings = {
        "name": name,
        "title": row.get("title") or _title(row),
        "studies": [name],
        "sheets": {"studies": str(sheet)},
        "methods": list(_METHODS),
    }
    _write_sheet(folder / sheet, row)
    seen: list[Look] = []
    plan = plan_of(
        settings | {"sheets": {"studies": str(folder / sheet)}}, str(configuration), seen
    )
    with atomic_path(sheet) as table, atomic_path(configuration) as text:
        _write_sheet(table, row)
        text.write_text(
            "# What is not here is as in config/config.yaml; config/README.md explains every key.\n"
            + yaml.safe_dump(
                settings, sort_keys=False, default_flow_style=None, allow_unicode=True
            ),
            "utf-8",
        )
    return "\n".join(
        [
            found_text(seen[0], row),
            remarks_text(plan),
            *_batch_hint(row),
            f"Written: {sheet} and {configuration}. Run",
            f"  {run_line(configuration)}",
            f"and read results/{name}/report.html.",
        ]
    )


def _batch_hint(row: Mapping[str, str]) -> list[str]:
    """Return a line on columns that may hold batches, where the row names none."""
    if row.get("batch"):
        return []
    obs = samples_of(row["dataset"], f"{row['study']}.tsv, study {row['study']}")
    named = {one.column for side in _SIDES for one in parse_selection(row[side], f"column {side}")}
    named |= {row.get(name, "") for name in ("label", "unit", "each")}
    found = [name for name in likely_batches(obs) if name not in named]
    if not found:
        return []
    return [
        f"Not used: {', '.join(found)}. If samples were measured in batches that this tells apart, "
        f"--batch {shlex.quote(found[0])} lets every batch count alike."
    ]


def _title(row: Mapping[str, str]) -> str:
    """Return "drug against vehicle" where the sides differ in one column alone."""
    sides = [set(parse_selection(row[side], f"column {side}")) for side in _SIDES]
    own = [list(sides[0] - sides[1]), list(sides[1] - sides[0])]
    if all(len(side) == 1 and not side[0].negated for side in own):
        (target,), (background,) = own
        if target.column == background.column:
            return f"{', '.join(target.values)} against {', '.join(background.values)}"
    return f"{row['target']} against {row['background']}"


def _write_sheet(path: Path, row: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([row.keys(), row.values()])


def run_line(configuration: Path) -> str:
    """Return the command that runs a configuration, with the Snakemake of this installation."""
    rules = [] if Path.cwd() == ROOT else ["--snakefile", str(ROOT / "Snakefile")]
    options = [*rules, "--configfile", str(configuration), "--cores", "4"]
    return shlex.join([*_program("snakemake"), *options])


def _program(name: str) -> list[str]:
    """Return how a program of this installation is called from the working directory."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        module = {"snakemake": "snakemake", "bcnmf-pipeline": "bcnmf_pipeline"}[name]
        return [sys.executable, "-m", module]
    inside = path.is_relative_to(Path.cwd())
    return [str(path.relative_to(Path.cwd()) if inside else path)]


def _in_options(text: str, row: Mapping[str, str], folder: str) -> str:
    """Return a message about a sheet in the words of the options that stand for its columns."""
    text = text.replace(f"{folder}{os.sep}", "")
    text = re.sub(rf"{row['study']}\.tsv, study '?{row['study']}[\w-]*'?, ", "", text)
    return re.sub(r"\bcolumn (\w+)", lambda found: _OPTIONS.get(found[1], found[0]), text)
