"""What a configuration asks for: studies, replicates, methods and seeds, as a list of runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.drivers import SIMULATION, VARIANTS, check_series
from bcnmf_pipeline.plan.environments import fit_environment
from bcnmf_pipeline.plan.reported import check_reported, made_alike
from bcnmf_pipeline.plan.sheets import check_settings, load_sheet, load_yaml, nearest

# Their results do not depend on a seed, so one run is enough.
DETERMINISTIC = frozenset({"pca", "cpca"})
# What the rules of workflow/rules/preprocess.smk can make.
DATASETS = re.compile(
    rf"{SIMULATION.pattern}|"
    r"digits_texture|pbmc68k_reduced|mice_protein|"
    r"digits_on_images_(two|ten)(_published)?|"
    r"leukemia_aml(027|035)(_donor2)?|mixseq|mdd"
)
AUTOMATIC_ALPHAS = ("auto1", "auto2", "auto3")


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
    ) -> None:
        schema = load_yaml(schemas / "config.schema.yaml")
        check_settings(settings, schema, where)
        self.settings = dict(settings)
        self.name: str = settings["name"]
        self.where = where
        self.fit_environment = fit_environment(settings["compute"], where)
        self.sheet_paths = {name: find(path) for name, path in settings["sheets"].items()}
        self.all_studies = self._load("studies", schemas).set_index("study", drop=False)
        self.all_methods = self._load("methods", schemas)
        self.all_methods["order"] = range(len(self.all_methods))
        # Rules look rows up thousands of times.
        self._study_rows: dict[str, dict[str, str]] = {
            row["study"]: row for row in self.all_studies.to_dict("records")
        }
        self._method_rows: dict[str, list[dict[str, str]]] = {}
        for row in self.all_methods.to_dict("records"):
            self._method_rows.setdefault(row["method"], []).append(row)
        self.reported = self._load("reported", schemas)
        check_reported(self.reported, self.settings, schema, self.sheet_paths["reported"])
        self._check_unique()
        self._check_datasets()
        for study in self.all_studies.index:
            check_series(self.study(study), f"{self.sheet_paths['studies']}, study {study!r}")
        self.studies = self._chosen_studies()
        self.method_ids = self._chosen_methods()
        self.studies = self._leave_out_studies()
        for study in self.studies.index:
            self.method_rows(study)
            self._check_gene_sets(study)

    def _load(self, sheet: str, schemas: Path) -> pd.DataFrame:
        return load_sheet(self.sheet_paths[sheet], load_yaml(schemas / f"{sheet}.schema.yaml"))

    def _check_unique(self) -> None:
        repeated = self.all_studies.index[self.all_studies.index.duplicated()]
        if len(repeated):
            raise InputError(
                f"{self.sheet_paths['studies']}, column study: {repeated[0]!r} stands twice; "
                "every study needs a name of its own"
            )
        keys = self.all_methods[["method", "studies"]]
        if keys.duplicated().any():
            method, studies = keys[keys.duplicated()].iloc[0]
            raise InputError(
                f"{self.sheet_paths['methods']}: two rows for method {method!r}, "
                f"studies {studies!r}; give one of them another method name"
            )

    def _check_datasets(self) -> None:
        for study, dataset in self.all_studies["dataset"].items():
            if not (dataset.endswith(".h5ad") or DATASETS.fullmatch(dataset)):
                raise InputError(
                    f"{self.sheet_paths['studies']}, study {study!r}, column dataset: {dataset!r} "
                    "is not a data set of the pipeline; allowed: simulation_beta<number>, "
                    f"simulation_<variant>_beta<number> (variants: {', '.join(VARIANTS)}), "
                    "digits_texture, pbmc68k_reduced, mice_protein, digits_on_images_two, "
                    "digits_on_images_ten (both also with _published), "
                    "leukemia_aml027, leukemia_aml035 (both also with _donor2), mixseq, mdd, or "
                    "the path of an .h5ad file"
                )

    def _check_gene_sets(self, study: str) -> None:
        known = list(self.settings["enrichment"]["collections"])
        for name in self.gene_sets(study):
            if name not in known:
                raise InputError(
                    f"{self.sheet_paths['studies']}, study {study!r}, column gene_sets: {name!r} "
                    f"is none of the collections of {self.where}{nearest(name, known)}; "
                    f"known: {', '.join(known) or 'none'} (enrichment.collections)"
                )

    def _methods_of(self, study: str) -> list[str]:
        """Return the chosen methods that the studies sheet allows for a study."""
        wanted = as_list(self._study_rows[study]["methods"])
        known = list(self._method_rows)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise InputError(
                f"{self.sheet_paths['studies']}, study {study!r}, column methods: {unknown[0]!r} "
                f"is not in {self.sheet_paths['methods']}{nearest(unknown[0], known)}; "
                f"known: {', '.join(known)}; empty for all"
            )
        return [name for name in self.method_ids if not wanted or name in wanted]

    def _leave_out_studies(self) -> pd.DataFrame:
        """Return the chosen studies without those that are for none of the chosen methods."""
        kept = [study for study in self.studies.index if self._methods_of(study)]
        if not kept:
            study = self.studies.index[0]
            raise InputError(
                f"{self.where}, key methods: {', '.join(self.method_ids)}, but study {study!r} is "
                f"for {self._study_rows[study]['methods']} alone "
                f"({self.sheet_paths['studies']}, column methods)"
            )
        return self.studies.loc[kept]

    def _chosen_studies(self) -> pd.DataFrame:
        wanted = as_list(self.settings["studies"])
        known = self.all_studies
        chosen: list[str] = []
        for name in wanted:
            rows = known.index[(known.index == name) | (known["group"] == name)]
            if rows.empty:
                names = sorted({*known.index, *known["group"]})
                raise InputError(
                    f"{self.where}, key studies: {name!r} is neither a study nor a group of "
                    f"{self.sheet_paths['studies']}{nearest(name, names)}; "
                    f"known: {', '.join(names)}"
                )
            chosen += [row for row in rows if row not in chosen]
        return known.loc[chosen]

    def _chosen_methods(self) -> list[str]:
        known = list(self._method_rows)
        wanted = as_list(self.settings["methods"])
        for name in wanted:
            if name not in known:
                raise InputError(
                    f"{self.where}, key methods: {name!r} is not in {self.sheet_paths['methods']}"
                    f"{nearest(name, known)}; known: {', '.join(known)}"
                )
        return wanted

    def study(self, name: str) -> dict[str, str]:
        """Return the sheet's row of a study."""
        return self._study_rows[name]

    def replicates(self, study: str) -> list[int]:
        """Return the data replicates of a study: simulated data sets, or splits of the images."""
        counts = self.settings["replicates"]
        group = self._study_rows[study]["group"]
        return list(range(counts.get(study, counts.get(group, counts["default"]))))

    def seeds(self, study: str, algorithm: str) -> list[int]:
        """Return the fit seeds of a study; methods without randomness have one."""
        by_study = self.settings["seeds"]
        group = self._study_rows[study]["group"]
        seeds = by_study.get(study, by_study.get(group, by_study["default"]))
        return list(seeds[:1] if algorithm in DETERMINISTIC else seeds)

    def method_row(self, study: str, method: str) -> dict[str, str] | None:
        """Return the settings of a method for a study: its own row, its group's, or that of `*`."""
        for scope in (study, self._study_rows[study]["group"], "*"):
            for row in self._method_rows[method]:
                if scope in as_list(row["studies"]):
                    return dict(row)
        return None

    def method_rows(self, study: str) -> list[dict[str, str]]:
        """Return the rows of all chosen methods that apply to a study, in the order chosen.

        A method without a row for the study is left out (a Poisson method on protein levels, say),
        and so is one that is not among the `methods` of the studies sheet, where there are any.

        Raises
        ------
        InputError
            No method is left.
        """
        rows = [self.method_row(study, method) for method in self._methods_of(study)]
        chosen = [row for row in rows if row is not None]
        if not chosen:
            raise InputError(
                f"{self.sheet_paths['methods']}: none of the methods "
                f"{', '.join(self.method_ids)} has a row for study {study!r}"
            )
        return chosen

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
        return as_list(self._study_rows[study]["gene_sets"])

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
        if group is None:
            return list(self.studies.index)
        return list(self.studies.index[self.studies["group"] == group])

    def check_sizes(self, study: str, n: int, features: int) -> None:
        """Refuse more topics than the target has samples or features, before anything is fitted.

        Raises
        ------
        InputError
            A row of the methods sheet asks for too many.
        """
        kept = self._study_rows[study]["n_top_features"]
        features = min(features, int(kept)) if kept else features
        for row in self.method_rows(study):
            largest = max(int(k) for k in as_list(row["k"]))
            if largest > min(n, features):
                raise InputError(
                    f"{self.sheet_paths['methods']}, method {row['method']!r}, column k: {largest} "
                    f"topics are more than study {study!r} can give: its target has {n} samples "
                    f"and {features} features; choose at most {min(n, features)}"
                )

    def as_in_paper(self, study: str) -> bool:
        """Whether values are reported of this study, and all of them of data made as here."""
        rows = self.reported[self.reported["study"] == study]
        dataset = self.all_studies.loc[study, "dataset"]
        return len(rows) > 0 and all(
            made_alike(row, dataset, self.settings) for row in rows.to_dict("records")
        )

    def panels(self, study: str) -> list[str]:
        """Return which figures the sheet asks for: no objective where no method has one."""
        wanted = as_list(self._study_rows[study]["panels"])
        return [name for name in wanted if name != "objective" or self._iterative_methods(study)]

    def _iterative_methods(self, study: str) -> list[str]:
        # Also asked of studies that were not chosen, which may have no method at all.
        rows = [self.method_row(study, method) for method in self._methods_of(study)]
        return [row["method"] for row in rows if row and row["algorithm"] not in DETERMINISTIC]

    def marked(self, study: str) -> list[str]:
        """Return the features whose names are bold in the study's own figure."""
        names = self.all_studies.loc[study, "marked"].split(",")
        return [name.strip() for name in names if name]


def alphas(row: Mapping[str, str]) -> list[str]:
    """Return the alphas of a methods row as they appear in paths; "none" where there is none."""
    if row["alpha"] == "auto":
        return list(AUTOMATIC_ALPHAS)
    return as_list(row["alpha"]) or ["none"]


def as_list(value: str | list[str]) -> list[str]:
    """Return a list from a list, or from a string of words (as --config hands them over)."""
    return value.replace(",", " ").split() if isinstance(value, str) else list(value)
