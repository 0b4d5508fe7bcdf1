"""What a configuration asks for: studies, replicates, methods and seeds, as a list of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf_pipeline.plan import own
from bcnmf_pipeline.plan.environments import fit_environment
from bcnmf_pipeline.plan.methods import DETERMINISTIC, Methods, alphas
from bcnmf_pipeline.plan.reported import check_reported, made_otherwise
from bcnmf_pipeline.plan.selection_syntax import parse_names
from bcnmf_pipeline.plan.sheets import (
    as_list,
    check_settings,
    load_sheet,
    load_yaml,
    nearest,
    read_sheet,
)
from bcnmf_pipeline.plan.studies import (
    Row,
    chosen,
    is_own,
    load_studies,
    n_replicates,
    names_of,
)

Unmatched = Callable[[str, tuple[int, int], own.Seen], str]
# Algorithms whose topics can be set beside those of the background.
_ANSWERING = ("bcnmf", "shared")


@dataclass(frozen=True)
class Run:
    """One fit: one (study, replicate, method, K, alpha, seed)."""

    study: str
    replicate: int
    method: str
    k: int
    alpha: str
    seed: int

    @property
    def file(self) -> str:
        """Where the fit is, below the folder of fits."""
        return (
            f"{self.study}/{self.replicate}/{self.method}/"
            f"k{self.k}_alpha{self.alpha}_seed{self.seed}.npz"
        )

    @classmethod
    def of_file(cls, file: str) -> Run:
        """Return the run whose `file` this is."""
        study, replicate, method, name = file.split("/")
        k, alpha, seed = name.removesuffix(".npz").split("_")
        return cls(
            study, int(replicate), method, int(k[1:]), alpha.removeprefix("alpha"), int(seed[4:])
        )


class Plan:
    """A checked configuration and its sheets.

    Parameters
    ----------
    settings : mapping
        The merged configuration.
    find : callable
        Turns a path as written in the configuration into one that exists.
    schemas : Path
        Folder of the JSON schemas.
    where : str
        Name of the configuration for error messages.
    look : callable, optional
        Looks into the file of a chosen study on own data; without it nothing is found out.
    fill : bool
        Whether what the sheet leaves empty is found out of such files.
    unmatched : callable, optional
        Says why the gene sets of a file are of no use for what was seen, given the path of the
        file, the smallest and largest size of a set, and what was seen.
    files : sequence of Path
        Files of the configuration, later ones first in rank, for errors.

    Attributes
    ----------
    studies : dict of str to dict
        The rows of the chosen studies by name.
    reported : list of dict
        Rows of the sheet of reported values.
    remarks : dict of str to list of str
        Study -> what was found out about it, for the terminal.

    Raises
    ------
    InputError
        Anything in the configuration or a sheet that cannot be used.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        find: Callable[[str], Path],
        schemas: Path,
        where: str = "config",
        look: own.Look | None = None,
        fill: bool = True,
        unmatched: Unmatched = lambda place, sizes, seen: "",
        files: Sequence[Path] = (),
    ) -> None:
        schema = load_yaml(schemas / "config.schema.yaml")
        check_settings(settings, schema, where, files)
        self.settings = dict(settings)
        self.name: str = settings["name"]
        self.where = where
        self.fit_environment = fit_environment(settings["compute"], where)
        self.sheet_paths = {name: find(path) for name, path in settings["sheets"].items()}
        self._match = unmatched
        self._rows = load_studies(self.sheet_paths["studies"], schemas)
        # Those of the repository stand in its own configuration and methods sheet.
        repository = schemas.parents[1] / "config"
        known = names_of(self._rows) | names_of(load_studies(repository / "studies.tsv", schemas))
        self._methods = Methods(self.sheet_paths["methods"], schemas)
        self.reported = load_sheet(
            self.sheet_paths["reported"], load_yaml(schemas / "reported.schema.yaml")
        ).rows
        check_reported(self.reported, self.settings, schema, self.sheet_paths["reported"])
        wanted = chosen(
            self._rows, as_list(settings["studies"]), self.sheet_paths["studies"], where
        )
        self.method_ids = self._methods.chosen(
            as_list(settings["methods"]), f"{where}, key methods"
        )
        finder = own.Finder(
            look, fill, self._rows_for, self._unmatched, self.sheet_paths["studies"]
        )
        self.remarks = finder.remarks
        kept: list[str] = []
        faults: list[str] = []
        for row in self._leave_out_studies(wanted.values()):
            self._check_gene_sets(row)
            made = [row]
            if is_own(row["dataset"]):
                del self._rows[row["study"]]
                try:
                    made = finder.rows(row, taken=self._rows)
                except InputError as error:
                    faults.append(str(error))
                    continue
            self._rows |= {one["study"]: one for one in made}
            kept += [one["study"] for one in made]
        if faults:
            raise InputError("\n".join(faults))
        self.studies = {study: self._rows[study] for study in kept}
        others = {row["method"] for row in read_sheet(repository / "methods.tsv").rows}
        self._methods.check_scopes(known | set(kept))
        self._check_names(known | set(kept), others | set(self._methods.names))
        for study in kept:
            self.method_rows(study)
            self.replicates(study)
            if is_own(self._rows[study]["dataset"]):
                self._remark_on_methods(study)

    def _remark_on_methods(self, study: str) -> None:
        """Name the methods that a study on own data is not fitted with, once for all of `each`."""
        by_reason: dict[str, list[str]] = {}
        for method, why in self.left_out(study).items():
            by_reason.setdefault(why, []).append(method)
        row = self._rows[study]
        remarks = self.remarks.setdefault(row["group"] if row["each"] else study, [])
        for why, methods in by_reason.items():
            remark = f"not fitted: {', '.join(methods)} ({why})"
            remarks += [remark] if remark not in remarks else []

    def _unmatched(self, name: str, seen: own.Seen) -> str:
        how = self.settings["enrichment"]
        if name not in how["collections"]:
            return f"{self.where} has no collection {name!r}"
        return self._match(how["collections"][name], (how["min_size"], how["max_size"]), seen)

    def _check_names(self, studies: set[str], methods: set[str]) -> None:
        """Refuse names of studies, groups and methods that stand in no sheet."""
        settings = self.settings
        asked = [
            *((f"{key}.{name}", name, studies) for key in ("seeds", "replicates")
              for name in settings[key] if name != "default"),
            *((f"{key}.methods", name, methods) for key in ("enrichment", "answer", "null_test",
                                                     "diagnosis")
              for name in settings[key]["methods"]),
            *(("null_test.studies", name, studies) for name in settings["null_test"]["studies"]),
        ]  # fmt: skip
        for key, name, known in asked:
            if name not in known:
                names = sorted(known)
                raise InputError(
                    f"{self.where}, key {key}: {name!r} stands in no sheet{nearest(name, names)}; "
                    f"known: {', '.join(names)}"
                )

    def _check_gene_sets(self, row: Row) -> None:
        known = list(self.settings["enrichment"]["collections"])
        for name in as_list(own.without_words(row)["gene_sets"]):
            if name not in known:
                raise InputError(
                    f"{self.sheet_paths['studies']}, study {row['study']!r}, column gene_sets: "
                    f"{name!r} is none of the collections of {self.where}{nearest(name, known)}; "
                    f"known: {', '.join(known) or 'none'} (enrichment.collections)"
                )

    def _methods_of(self, row: Row) -> list[str]:
        """Return the chosen methods that the studies sheet allows for a study."""
        wanted = self._methods.chosen(
            as_list(row["methods"]),
            f"{self.sheet_paths['studies']}, study {row['study']!r}, column methods",
        )
        return [name for name in self.method_ids if not wanted or name in wanted]

    def _leave_out_studies(self, rows: Iterable[Row]) -> list[Row]:
        """Return the chosen studies without those that are for none of the chosen methods."""
        kept = [row for row in rows if self._methods_of(row)]
        if not kept:
            row = next(iter(rows))
            raise InputError(
                f"{self.where}, key methods: {', '.join(self.method_ids)}, but study "
                f"{row['study']!r} is for {row['methods']} alone "
                f"({self.sheet_paths['studies']}, column methods)"
            )
        return kept

    @property
    def all_studies(self) -> Mapping[str, Row]:
        """The rows of all studies of the sheet by name, chosen or not."""
        return self._rows

    def study(self, name: str) -> Row:
        """Return the sheet's row of a study."""
        return self._rows[name]

    def replicates(self, study: str) -> list[int]:
        """Return the data replicates of a study: simulated data sets, or splits of the images."""
        counts = self.settings["replicates"]
        return list(range(n_replicates(self._rows[study], counts, self.where)))

    def seeds(self, study: str, algorithm: str) -> list[int]:
        """Return the fit seeds of a study; methods without randomness have one."""
        by_study = self.settings["seeds"]
        group = self._rows[study]["group"]
        seeds = by_study.get(study, by_study.get(group, by_study["default"]))
        return list(seeds[:1] if algorithm in DETERMINISTIC else seeds)

    def method_row(self, study: str, method: str) -> dict[str, str] | None:
        """Return the settings of a method for a study, None where it has none (`Methods.row`)."""
        return self._methods.row(self._rows[study], method)

    def method_rows(self, study: str) -> list[dict[str, str]]:
        """Return the rows of all chosen methods that apply to a study, in the order chosen.

        A method without a row for the study is left out (a Poisson method on protein levels, say),
        and so is one that is not among the `methods` of the studies sheet, where there are any.

        Raises
        ------
        InputError
            No method is left.
        """
        rows = self._rows_for(self._rows[study])
        if not rows:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.left_out(study).items())
            raise InputError(
                f"{self.sheet_paths['methods']}: none of the methods "
                f"{', '.join(self.method_ids)} has a row for study {study!r} ({reasons})"
            )
        return rows

    def _rows_for(self, row: Row) -> list[dict[str, str]]:
        found = [self._methods.row(row, method) for method in self._methods_of(row)]
        return [one for one in found if one is not None]

    def left_out(self, study: str) -> dict[str, str]:
        """Return the chosen methods that a study is not fitted with, and why.

        Those that the column `methods` of the studies sheet leaves out are not among them.
        """
        row = self._rows[study]
        return {
            method: self._methods.why_not(row, method)
            for method in self._methods_of(row)
            if self._methods.row(row, method) is None
        }

    def runs(self, study: str, replicate: int) -> list[Run]:
        """Return all fits of one replicate of a study."""
        return [
            Run(study, replicate, row["method"], int(k), alpha, seed)
            for row in self.method_rows(study)
            for k in as_list(row["k"])
            for alpha in alphas(row)
            for seed in self.seeds(study, row["algorithm"])
        ]

    def jobs_of_fits(self, study: str, replicate: int) -> list[list[Run]]:
        """Return the fits of one replicate, shared out to jobs (`compute.fits_per_job`).

        The first fit of every method comes first, so that what is made from these alone
        (`shown_run`) is in the same job whatever seeds, K and alphas are added.
        """
        runs = self.runs(study, replicate)
        shown = [self._first(runs, method) for method in dict.fromkeys(run.method for run in runs)]
        runs = shown + [run for run in runs if run not in shown]
        size = self.settings["compute"]["fits_per_job"]
        return [runs[start : start + size] for start in range(0, len(runs), size)]

    def gene_sets(self, study: str) -> list[str]:
        """Return the collections of gene sets that topics of a study are tested against."""
        return as_list(self._rows[study]["gene_sets"])

    def enriched_methods(self, study: str) -> list[str]:
        """Return the methods of a study whose topics are tested: non-negative ones."""
        wanted = self.settings["enrichment"]["methods"]
        return [method for method in self._iterative_methods(study) if method in wanted]

    def shown_run(self, study: str, method: str) -> Run:
        """Return the fit of a method that stands first: K, alpha and seed, of the first data."""
        return self._first(self.runs(study, 0), method)

    @staticmethod
    def _first(runs: list[Run], method: str) -> Run:
        return next(run for run in runs if run.method == method)

    def study_ids(self, group: str | None = None) -> list[str]:
        """Return the chosen studies, or those of one group."""
        return [name for name, row in self.studies.items() if group in (None, row["group"])]

    def as_in_paper(self, study: str) -> bool:
        """Whether values are reported of this study, and all of them of data made as here."""
        rows = [row for row in self.reported if row["study"] == study]
        dataset = self._rows[study]["dataset"]
        return len(rows) > 0 and not any(
            made_otherwise(row, dataset, self.settings) for row in rows
        )

    def panels(self, study: str) -> list[str]:
        """Return which figures the sheet asks for, but those that there is nothing to draw for.

        There are no scores without a label, and no objective where no method has one.
        """
        row = self._rows[study]
        empty = {
            "scores": not row["label"],
            "objective": not self._iterative_methods(study),
        }
        return [name for name in as_list(row["panels"]) if not empty.get(name)]

    def answered_runs(self, study: str, key: str = "answer") -> list[Run]:
        """Return the fits that are made again for each fold, to judge samples they have not seen.

        One of each method of `answer.methods` (or of another section of the configuration, `key`)
        that has topics: the fit that stands first. None of a study that is no more than a point
        in the figure of a series.
        """
        row = self._rows[study]
        if row["series"] and set(as_list(row["panels"])) <= {"scores"}:
            return []
        wanted = self.settings[key]["methods"]
        return [
            self.shown_run(study, one["method"])
            for one in self._rows_for(row)
            if one["method"] in wanted and one["algorithm"] in _ANSWERING
        ]

    def diagnosed_runs(self, study: str) -> list[Run]:
        """Return which of the answered fits are diagnosed: those of `diagnosis.methods`."""
        wanted = self.settings["diagnosis"]["methods"]
        return [run for run in self.answered_runs(study) if run.method in wanted]

    def _iterative_methods(self, study: str) -> list[str]:
        # Also asked of studies that were not chosen, which may have no method at all.
        rows = self._rows_for(self._rows[study])
        return [row["method"] for row in rows if row["algorithm"] not in DETERMINISTIC]

    def marked(self, study: str) -> list[str]:
        """Return the features whose names are bold in the study's own figure."""
        return parse_names(self._rows[study]["marked"])

    def colours(self, study: str) -> list[str]:
        """Return the further columns that colour maps of a study."""
        return parse_names(self._rows[study]["colours"])
