"""Configuration, sheets and the functions by which rules look things up in them."""

import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.sourcecache import HostingProviderFile, LocalSourceFile


def repository() -> Path:
    """Return the folder of this repository, which another workflow may have imported as a module.

    From a hosted repository Snakemake fetches rules and scripts one by one, as they are named. The
    library that they import is a folder: of a commit, all is unpacked once, beside their cache.
    """
    source = workflow.current_basedir
    if isinstance(source, LocalSourceFile):
        return Path(source.get_path_or_uri(secret_free=True)).parents[1]
    if not isinstance(source, HostingProviderFile):
        raise WorkflowError(
            f"{source}: this workflow can be imported from a folder, or with `snakefile: github(...)` "
            "or gitlab(...), but not from another address"
        )
    clone = source.hosted_repo.repo
    commit = clone.commit(source.ref).hexsha
    folder = Path(workflow.sourcecache.cache_path) / "bcnmf" / commit
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            packed, whole = Path(unfinished, "tar"), Path(unfinished, "whole")
            with packed.open("wb") as file:
                clone.archive(file, commit)
            with tarfile.open(packed) as archive:
                archive.extractall(whole, filter="data")
            try:
                whole.rename(folder)
            except OSError:
                if not folder.exists():  # else a job beside this one was faster
                    raise
    return folder


# Imported by `module`: the configuration is the one that the parent gives, and paths of rules may get a prefix.
AS_MODULE = not workflow.modifier.is_main_snakefile()
ROOT = repository()
WORKFLOW = ROOT / "workflow"
SCRIPTS = WORKFLOW / "scripts"
sys.path.insert(0, str(WORKFLOW))

from bcnmf_pipeline.plan.paths import check_path
from bcnmf_pipeline.plan.drivers import VARIANTS, simulation_arguments, variant_of
from bcnmf.errors import InputError
from bcnmf_pipeline.methods.estimators import CONSENSUS, ESTIMATORS
from bcnmf_pipeline.plan.runs import Plan, Run
from bcnmf_pipeline.plan.standing import is_made_with
from bcnmf_pipeline.record.job import import_first_from
from bcnmf_pipeline.record.made_with import versions
from bcnmf_pipeline.record.provenance import code_digest
from bcnmf_pipeline.acquire.registry import load_registry, local_folder
from bcnmf_pipeline.plan.sheets import as_list, find_file, given_settings, load_yaml, merge
from bcnmf_pipeline.plan.studies import is_own

import_first_from(WORKFLOW)


def find(path: str) -> Path:
    """Return a file in the working directory, or else in the repository."""
    found = find_file(path, ROOT)
    # A prefix is for what rules make. It is put before relative paths alone.
    return found.absolute() if AS_MODULE else found


if AS_MODULE:
    # The working directory's config/config.yaml is the parent's.
    DEFAULT_CONFIG = ROOT / "config" / "config.yaml"
    config = merge(load_yaml(DEFAULT_CONFIG), config)
else:
    DEFAULT_CONFIG = find("config/config.yaml")

    configfile: DEFAULT_CONFIG


# Inputs, outputs and logs get a prefix from Snakemake; what rules look up beside them does not.
DOWNLOADS = workflow.modifier.path_modifier.replace_prefix("resources/downloads")


# What a look into own data imports, wherever Snakemake is installed.
LOOKING_NEEDS = "anndata scanpy"


def own_file(dataset: str) -> Path:
    return Path(dataset).expanduser()


def look_into(row: dict, where: str):
    """Look into the file of one of the user's own studies before any job starts."""
    # A file that a rule of the parent workflow makes is checked when it is there, by `pair`.
    if AS_MODULE and not own_file(row["dataset"]).exists():
        return None
    return seen_once(tuple(row.items()), where)


@cache
def seen_once(cells: tuple, where: str):
    try:
        from bcnmf_pipeline.pair.own_data import look
    except ModuleNotFoundError as error:
        raise WorkflowError(
            f"{where}: your own data are looked into before any job, for which Snakemake's own Python "
            f"needs more, here {error.name}: {sys.executable} -m pip install {LOOKING_NEEDS}; "
            "or run the .venv/bin/snakemake that `make setup` makes"
        ) from None

    row = dict(cells)
    return look(own_file(row["dataset"]), row, where)


def unmatched(place: str, sizes: tuple, seen) -> str:
    """Return why the gene sets of a file are of no use for features; empty if they are of use."""
    from bcnmf_pipeline.enrich.gene_sets import why_of_no_use

    return why_of_no_use((find(place), Path(DOWNLOADS, place)), sizes, seen.features)


def load_plans() -> dict[str, Plan]:
    """Return the plan of the active configuration, and those of `paper` and `quick` beside it.

    All of them are known at once because `snakemake quick` and `snakemake paper` are targets like
    any other, whatever configuration is active.
    """
    by_hand = given(())
    base = load_yaml(DEFAULT_CONFIG)
    quick = merge(base, load_yaml(find("config/quick.yaml")), by_hand)
    settings = {"paper": merge(base, by_hand), "quick": quick, str(config["name"]): config}
    plans = {
        name: Plan(
            one,
            find,
            WORKFLOW / "schemas",
            where=f"configuration {name!r}",
            files=CONFIG_FILES if one is config else (),
            look=look_into,
            # Whether a file is there yet must not decide what is made of it.
            fill=not AS_MODULE,
            unmatched=unmatched,
        )
        for name, one in settings.items()
    }
    if seen_once.cache_info().currsize:
        from bcnmf_pipeline.pair.source import forget

        forget()  # data that had to be read whole
    return plans


# Read again: Snakemake takes the last of a key that stands twice, and a text such as no for false.
CONFIG_FILES = () if AS_MODULE else tuple(workflow.config_settings.configfiles)


def given(files) -> dict:
    """Return what configuration files and --config change."""
    entries = () if AS_MODULE else workflow.config_settings.config_args or ()
    return given_settings(files, entries, load_yaml(WORKFLOW / "schemas" / "config.schema.yaml"))


try:
    check_path(ROOT, "the folder of this workflow")
    if not AS_MODULE:
        config = merge(load_yaml(DEFAULT_CONFIG), given(CONFIG_FILES))
    PLANS = load_plans()
    REGISTRY = load_registry(PLANS[config["name"]].sheet_paths["datasets"])
except (InputError, WorkflowError) as error:
    raise WorkflowError(str(error)) from None

ACTIVE = PLANS[config["name"]]
MIRROR = ACTIVE.settings["mirror"]

if workflow.is_main_process:
    for study, remarks in ACTIVE.remarks.items():
        logger.info("\n  ".join([f"Study {study}:", *remarks]))


def plan_of(wildcards) -> Plan:
    return PLANS[wildcards.config]


def in_order(value):
    """Return a mapping by the order of its keys: that of a configuration file changes nothing."""
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def setting(*keys: str):
    """Return a function of the wildcards that looks up a key of the configuration."""

    def look_up(wildcards):
        value = plan_of(wildcards).settings
        for key in keys:
            value = value[key]
        return in_order(value)

    return look_up


def arithmetic(wildcards) -> dict:
    """Return what a fit computes with: neither the environment of its software, nor its job."""
    compute = plan_of(wildcards).settings["compute"]
    return {key: compute[key] for key in ("device", "dtype")}


def fit_env(wildcards) -> Path:
    """Return the conda environment of fits, for the CPU or for CUDA."""
    return ROOT / "envs" / f"{plan_of(wildcards).fit_environment}.yaml"


def study_row(wildcards) -> dict:
    return plan_of(wildcards).study(wildcards.study)


def method_row(wildcards) -> dict:
    return plan_of(wildcards).method_row(wildcards.study, wildcards.method)


def code(script: str) -> str:
    """Return the digest of a script and all that it imports from the packages."""
    return code_digest(SCRIPTS / script)


def pair_files(wildcards) -> dict:
    folder = f"results/{wildcards.config}/pairs/{wildcards.study}/{wildcards.replicate}"
    return {
        "target": f"{folder}/target.h5ad",
        "background": f"{folder}/background.h5ad",
    }


def files_of_fits(wildcards) -> list[str]:
    """Return the fits of one replicate, below the folder of fits, in the order of the plan."""
    return [run.file for run in plan_of(wildcards).runs(wildcards.study, int(wildcards.replicate))]


def files_of_job(wildcards) -> list[str]:
    """Return the fits of one job, below the folder of fits."""
    jobs = plan_of(wildcards).jobs_of_fits(wildcards.study, int(wildcards.replicate))
    return [run.file for run in jobs[int(wildcards.part)]]


def lists_of_fits(wildcards) -> list[str]:
    """Return what tells that all fits of one replicate of a study are there."""
    folder = f"results/{wildcards.config}/fits/{wildcards.study}/{wildcards.replicate}"
    jobs = plan_of(wildcards).jobs_of_fits(wildcards.study, int(wildcards.replicate))
    return [f"{folder}/fits_{part}.json" for part in range(len(jobs))]


def list_with_shown_fit(wildcards):
    run = plan_of(wildcards).shown_run(wildcards.study, wildcards.method)
    return unless_made_anew(list_of_shown_fit(wildcards), wildcards, [run])


def list_of_shown_fit(wildcards) -> str:
    """Return the list that holds the fit of a method which stands first."""
    run = plan_of(wildcards).shown_run(wildcards.study, wildcards.method)
    jobs = plan_of(wildcards).jobs_of_fits(wildcards.study, 0)
    part = next(part for part, job in enumerate(jobs) if run in job)
    return f"results/{wildcards.config}/fits/{wildcards.study}/0/fits_{part}.json"


@cache
def code_of_fits(algorithm: str, consensus: bool = False) -> str:
    """Return the digest of what computes the fits of one algorithm, and of no other."""
    more = [CONSENSUS] if consensus else []
    return code_digest("bcnmf_pipeline.fit.run", ESTIMATORS[algorithm][0], *more)


def recipe(wildcards, method: str) -> dict:
    """Return what a fit depends on besides its pair: cells of the methods sheet, and code."""
    row = plan_of(wildcards).method_row(wildcards.study, method)
    # Neither what is shown, nor which K and alpha there are: each fit has its own in its name.
    others = {"method", "label", "studies", "description", "k", "alpha"}
    # A fit of one start is the same whether the sheet has a column for more or not.
    others |= set() if row["starts"] else {"starts"}
    cells = {column: cell for column, cell in row.items() if column not in others}
    return {"row": cells, "code": code_of_fits(row["algorithm"], bool(row["starts"]))}


def recipes(wildcards) -> dict:
    methods = {Run.of_file(file).method for file in files_of_job(wildcards)}
    return {method: recipe(wildcards, method) for method in sorted(methods)}


def evaluation_folders(config_name: str, studies: list[str]) -> list[str]:
    plan = PLANS[config_name]
    return [
        f"results/{config_name}/evaluation/{study}/{replicate}"
        for study in studies
        for replicate in plan.replicates(study)
    ]


def unless_made_anew(lists, wildcards, runs: list[Run]):
    """Return lists of fits, as no reason to do anything again where the fits that are read stand.

    Below a job that runs again Snakemake skips a job with `ancient` input, whatever else of it has
    changed. So the input must not be that where a fit, and hence this job, is due.
    """
    fits = Path("results", wildcards.config, "fits")
    stand = all(
        is_made_with(
            fits / run.file,
            recipe(wildcards, run.method) | {"compute": arithmetic(wildcards)},
        )
        for run in runs
    )
    return ancient(lists) if stand else lists


def answered_files(wildcards, key="answer") -> list[str]:
    return [run.file for run in plan_of(wildcards).answered_runs(wildcards.study, key)]


def lists_with_answered_fits(wildcards, key="answer"):
    """Return the lists that hold the fits which are cross-fitted, or diagnosed."""
    runs = plan_of(wildcards).answered_runs(wildcards.study, key)
    where = {"config": wildcards.config, "study": wildcards.study}
    lists = {list_of_shown_fit(SimpleNamespace(**where, method=run.method)) for run in runs}
    return unless_made_anew(sorted(lists), wildcards, runs)


def simulated_as(wildcards) -> dict:
    """Return what a data set is simulated with: the configuration's sizes, changed by its variant."""
    sizes = plan_of(wildcards).settings["simulation"]
    return in_order(simulation_arguments(sizes, wildcards.variant.removeprefix("_")))


def dataset_file(wildcards) -> str:
    dataset = study_row(wildcards)["dataset"]
    if is_own(dataset):
        file = str(own_file(dataset))
        return local(file) if AS_MODULE else file
    return f"results/{wildcards.config}/datasets/{dataset}/{wildcards.replicate}.h5ad"


def files_beside(wildcards) -> list[str]:
    """Return what is read besides the file of the user's own data, where it is there."""
    dataset = study_row(wildcards)["dataset"]
    if not is_own(dataset) or not own_file(dataset).exists():
        return []
    # Late: only data of one's own need what reads files.
    from bcnmf.readers import files_of

    others = [str(file) for file in files_of(own_file(dataset))[1:]]
    return [local(file) for file in others] if AS_MODULE else others


def tables_of_replicates(wildcards, table: str) -> list[str]:
    folders = evaluation_folders(wildcards.config, [wildcards.study])
    return [f"{folder}/{table}" for folder in folders]


def gene_set_files(wildcards) -> dict:
    """Return the file of each collection that the study is tested against."""
    plan = plan_of(wildcards)
    try:
        return {
            name: gene_set_file(plan.settings["enrichment"]["collections"][name])
            for name in plan.gene_sets(wildcards.study)
        }
    except InputError as error:
        raise WorkflowError(str(error)) from None


def gene_set_file(place: str) -> str:
    """Return a path: of a file as it stands, else of one of the registry, <dataset>/<file>."""
    if place.endswith(".gmt") and find(place).exists():
        check_path(find(place), "configuration, enrichment.collections")
        return str(find(place))
    dataset, _, file = place.rpartition("/")
    REGISTRY.entry(dataset, file)
    return f"resources/downloads/{place}"


def described_method(wildcards) -> str:
    """Return the method whose topics the report describes: the contrast, else the last one."""
    return described([row["method"] for row in plan_of(wildcards).method_rows(wildcards.study)])


wildcard_constraints:
    config="|".join(PLANS),
    study="[A-Za-z][A-Za-z0-9_-]*",
    dataset="[A-Za-z][A-Za-z0-9_.-]*",
    method="[a-z][a-z0-9_]*",
    replicate="[0-9]+",
    k="[0-9]+",
    alpha="none|auto[0-9]+|[0-9.]+",
    seed="[0-9]+",
    part="[0-9]+",
