"""Configuration, sheets and the functions by which rules look things up in them."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(workflow.basedir)
WORKFLOW = ROOT / "workflow"
SCRIPTS = WORKFLOW / "scripts"
# Scripts get the search path of this process, inside conda environments too.
sys.path.insert(0, str(WORKFLOW))

from bcnmf_pipeline.plan.drivers import VARIANTS, simulation_arguments, variant_of
from bcnmf.errors import InputError
from bcnmf_pipeline.plan.runs import Plan, Run, as_list
from bcnmf_pipeline.record.provenance import code_digest
from bcnmf_pipeline.acquire.registry import load_registry, local_folder
from bcnmf_pipeline.plan.sheets import find_file, load_yaml, merge
from snakemake.exceptions import WorkflowError


def find(path: str) -> Path:
    return find_file(path, ROOT)


def check_own_data_of(plan: Plan) -> None:
    """Look into the files of the user's own studies before any job starts."""
    for study in plan.study_ids():
        row = plan.study(study)
        if row["dataset"].endswith(".h5ad"):
            from bcnmf_pipeline.pair.own_data import check_own_data

            where = f"{plan.sheet_paths['studies']}, study {study}"
            n, _, features = check_own_data(row["dataset"], row, where)
            plan.check_sizes(study, n, features)


def load_plans() -> dict[str, Plan]:
    """Return the plan of the active configuration, and those of `paper` and `quick` beside it.

    All of them are known at once because `snakemake quick` and `snakemake paper` are targets like
    any other, whatever configuration is active.
    """
    given = dict(workflow.config_settings.config)
    base = load_yaml(find("config/config.yaml"))
    quick = merge(base, load_yaml(find("config/quick.yaml")), given)
    settings = {"paper": merge(base, given), "quick": quick, config["name"]: config}
    return {
        name: Plan(one, find, WORKFLOW / "schemas", where=f"configuration {name!r}")
        for name, one in settings.items()
    }


try:
    PLANS = load_plans()
    check_own_data_of(PLANS[config["name"]])
    REGISTRY = load_registry(PLANS[config["name"]].sheet_paths["datasets"])
except InputError as error:
    raise WorkflowError(str(error)) from None

ACTIVE = PLANS[config["name"]]
MIRROR = ACTIVE.settings["mirror"]


def plan_of(wildcards) -> Plan:
    return PLANS[wildcards.config]


def setting(*keys: str):
    """Return a function of the wildcards that looks up a key of the configuration."""

    def look_up(wildcards):
        value = plan_of(wildcards).settings
        for key in keys:
            value = value[key]
        return value

    return look_up


def arithmetic(wildcards) -> dict:
    """Return what a fit computes with. The environment that holds the software is no part of it."""
    compute = plan_of(wildcards).settings["compute"]
    return {key: value for key, value in compute.items() if key != "environment"}


def fit_env(wildcards) -> Path:
    """Return the conda environment of fits, for the CPU or for CUDA."""
    return ROOT / "envs" / f"{plan_of(wildcards).fit_environment}.yaml"


def gpus_of(wildcards) -> int:
    """Return how many GPUs a fit asks for: one where the configuration names CUDA."""
    return int(plan_of(wildcards).settings["compute"]["device"].startswith("cuda"))


def study_row(wildcards) -> dict:
    return plan_of(wildcards).study(wildcards.study)


def method_row(wildcards) -> dict:
    return plan_of(wildcards).method_row(wildcards.study, wildcards.method)


def code(script: str) -> str:
    """Return the digest of all that a script imports from the package."""
    return code_digest(SCRIPTS / script)


def pair_files(wildcards) -> dict:
    folder = f"results/{wildcards.config}/pairs/{wildcards.study}/{wildcards.replicate}"
    return {
        "target": f"{folder}/target.h5ad",
        "background": f"{folder}/background.h5ad",
    }


def fit_path(config_name: str, run: Run) -> str:
    return (
        f"results/{config_name}/fits/{run.study}/{run.replicate}/{run.method}/"
        f"k{run.k}_alpha{run.alpha}_seed{run.seed}.npz"
    )


def fit_files(wildcards) -> list[str]:
    """Return the fits of one replicate of a study, in the order of the plan."""
    runs = plan_of(wildcards).runs(wildcards.study, int(wildcards.replicate))
    return [fit_path(wildcards.config, run) for run in runs]


def evaluation_folders(config_name: str, studies: list[str]) -> list[str]:
    plan = PLANS[config_name]
    return [
        f"results/{config_name}/evaluation/{study}/{replicate}"
        for study in studies
        for replicate in plan.replicates(study)
    ]


def methods_with(*algorithms: str) -> str:
    """Return a wildcard pattern of the methods that run these algorithms."""
    names = {
        row["method"]
        for plan in PLANS.values()
        for row in plan.all_methods.to_dict("records")
        if row["algorithm"] in algorithms
    }
    return "|".join(sorted(names)) or "$^"


def part_of(dataset: str, part: str):
    """Return an input function: the file of a registered part that can be had here."""

    def choose(wildcards):
        try:
            entry = REGISTRY.choose(dataset, part, Path("resources/downloads"), MIRROR)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        return f"resources/downloads/{dataset}/{entry.file}"

    return choose


def mnist_files(wildcards) -> dict:
    """Return the files of MNIST that a configuration asks for, images and labels pair by pair."""
    wanted = plan_of(wildcards).settings["mnist"]["sets"]
    places = ["resources/downloads", MIRROR] if local_folder(MIRROR) else []
    there = [REGISTRY.at_hand("mnist", f"{name}_images", *places) for name in ("train", "test")]
    test_alone = wanted == "test" or (wanted == "auto" and there == [False, True])
    names = ["test"] if test_alone else ["train", "test"]
    return {
        kind: [part_of("mnist", f"{name}_{kind}")(wildcards) for name in names]
        for kind in ("images", "labels")
    }


def registered(wildcards) -> dict:
    """Return size and checksum of a registered file."""
    try:
        entry = REGISTRY.entry(wildcards.dataset, wildcards.file)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    return {"bytes": entry.bytes, "sha256": entry.sha256}


def simulated_as(wildcards) -> dict:
    """Return what a data set is simulated with: the configuration's sizes, changed by its variant."""
    sizes = plan_of(wildcards).settings["simulation"]
    return simulation_arguments(sizes, wildcards.variant.removeprefix("_"))


def dataset_file(wildcards) -> str:
    dataset = study_row(wildcards)["dataset"]
    if dataset.endswith(".h5ad"):
        return dataset
    return f"results/{wildcards.config}/datasets/{dataset}/{wildcards.replicate}.h5ad"


def settings_of_fit(wildcards) -> dict:
    """Return the cells of the methods sheet that a fit depends on."""
    row = method_row(wildcards)
    return {k: v for k, v in row.items() if k not in {"label", "studies", "description", "order"}}


def baseline_input(wildcards) -> dict:
    files = pair_files(wildcards)
    if wildcards.alpha.startswith("auto"):
        files["alphas"] = (
            f"results/{wildcards.config}/fits/{wildcards.study}/{wildcards.replicate}/"
            f"{wildcards.method}/k{wildcards.k}_alphas.json"
        )
    return files


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
        return str(find(place))
    dataset, _, file = place.rpartition("/")
    REGISTRY.entry(dataset, file)
    return f"resources/downloads/{place}"


def described_method(wildcards) -> str:
    """Return the method whose topics the report describes: the contrast, else the last one."""
    methods = [row["method"] for row in plan_of(wildcards).method_rows(wildcards.study)]
    return "bcnmf" if "bcnmf" in methods else methods[-1]


wildcard_constraints:
    config="|".join(PLANS),
    study="[A-Za-z][A-Za-z0-9_-]*",
    dataset="[A-Za-z][A-Za-z0-9_.-]*",
    method="[a-z][a-z0-9_]*",
    replicate="[0-9]+",
    k="[0-9]+",
    alpha="none|auto[0-9]+|[0-9.]+",
    seed="[0-9]+",
