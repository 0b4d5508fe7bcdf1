"""Every named target can be planned, and style holds."""

import re
import subprocess
import sys
from functools import cache

import pytest

from bcnmf_pipeline.plan.runs import Plan
from bcnmf_pipeline.plan.sheets import load_yaml, merge
from conftest import ROOT, Workflow

TARGETS = [
    "all", "quick", "paper", "simulations", "drivers", "digits", "mouse", "figures", "select",
    "figure_beta", "figure_drivers", "figure_digits", "figure_mouse",
    "leukemia", "mixseq", "mdd", "figure_leukemia", "figure_mixseq", "figure_mdd",
]  # fmt: skip


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Return a function that plans targets in an empty folder, each choice of them once."""
    run = Workflow(ROOT, tmp_path_factory.mktemp("planned"))

    @cache
    def plan(*arguments):
        done = run("-n", *arguments)
        assert done.returncode == 0, done.output
        return done.stdout

    return plan


def runs_of(name, study, replicate=0):
    """Return the fits of a study in a configuration of the repository."""
    settings = merge(*(load_yaml(ROOT / "config" / f"{part}.yaml") for part in ("config", name)))
    plan = Plan(settings, lambda path: ROOT / path, ROOT / "workflow" / "schemas", name)
    return plan.runs(study, replicate)


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_of_every_named_target_works(planned, target):
    assert re.search(rf"^{target} +1$", planned(*TARGETS), re.MULTILINE)


def test_quick_needs_no_download_and_paper_does(planned):
    assert "rule download:" not in planned("quick")
    assert "resources/downloads/mice_protein" in planned("paper")


def put_mnist(folder, *names):
    for name in names:
        for kind in ("images-idx3", "labels-idx1"):
            path = folder / "mnist" / f"{name}-{kind}-ubyte.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"not read while a run is planned")


@pytest.mark.parametrize(
    ("in_mirror", "sets", "train"),
    [
        (None, "auto", True),
        ([], "auto", True),
        (["t10k"], "auto", False),
        (["t10k", "train"], "auto", True),
        (["t10k"], "all", True),
        (["t10k", "train"], "test", False),
    ],
)
def test_digits_are_drawn_from_all_images_unless_the_mirror_holds_the_test_set_alone(
    workflow, in_mirror, sets, train
):
    mirror = workflow.folder / "mirror"
    if in_mirror is not None:
        mirror.mkdir()
        put_mnist(mirror, *in_mirror)
    settings = {"name": "d", "title": "d", "studies": ["digits_two"], "mnist": {"sets": sets}}
    settings["mirror"] = "" if in_mirror is None else str(mirror)
    done = workflow("-n", "results/d/datasets/digits_on_images_two/0.h5ad", settings=settings)
    assert done.returncode == 0, done.output
    assert "mnist/t10k-images-idx3-ubyte.gz" in done.stdout
    assert ("mnist/train-labels-idx1-ubyte.gz" in done.stdout) is train
    assert "grass/bcnmf-e1be4b1.zip" in done.stdout


def test_the_digits_figures_are_those_of_the_chosen_studies(planned):
    assert "figures/digits_two/digits.pdf" in planned("figure_digits")
    texture = planned("figure_digits", "--config", "studies=digits_texture")
    assert "figures/digits_texture/basis.pdf" in texture
    assert "digits_two" not in texture


def test_drivers_run_by_name_and_not_with_the_paper(planned):
    assert "drivers_base" not in planned("paper")
    configuration = ROOT / "config" / "drivers.yaml"
    drivers = planned("figure_drivers", "--configfile", str(configuration))
    for replicate in range(5):
        assert f"results/drivers/datasets/simulation_rare5_beta8/{replicate}.h5ad" in drivers
    assert "results/drivers/figures/drivers/drivers.pdf" in drivers
    assert "results/drivers/figures/drivers/drivers_auroc.pdf" in drivers
    assert "results/drivers/fits/drivers_rare5/4/fits_0.json" in drivers
    # Alpha is varied on the base simulation alone.
    base, rare = (
        {(run.k, run.alpha, run.seed) for run in runs_of("drivers", study)
         if run.method == "bcnmf_safeguarded"}
        for study in ("drivers_base", "drivers_rare5")
    )  # fmt: skip
    assert (10, "5", 0) in base
    assert (10, "2", 0) in rare
    assert "5" not in {alpha for _, alpha, _ in rare}


def test_a_fit_can_be_asked_for_alone(planned):
    fits = [f"results/paper/fits/mouse/0/bcnmf/k15_alpha1_seed{seed}.npz" for seed in range(5)]
    plan = planned(*fits, "--config", "studies=mouse")
    assert [fit for fit in fits if fit in plan] == fits
    assert "simulation" not in plan
    assert "fits_0.json" not in plan


def test_the_chosen_studies_alone_are_planned(planned):
    plan = planned("paper", "--config", "studies=mouse")
    assert "results/paper/evaluation/mouse/0/scores.tsv" in plan
    assert "simulation" not in plan


@pytest.mark.parametrize(("fits_per_job", "jobs"), [(20, 2), (1, 25)])
def test_a_job_makes_as_many_fits_of_a_pair_as_the_configuration_says(workflow, fits_per_job, jobs):
    settings = {"name": "m", "title": "m", "studies": ["mouse"]}
    settings["compute"] = {"fits_per_job": fits_per_job}
    done = workflow("-n", settings=settings)
    assert done.returncode == 0, done.output
    for part in range(jobs):
        assert f"output: results/m/fits/mouse/0/fits_{part}.json" in done.stdout
    assert f"fits_{jobs}.json" not in done.stdout


def test_a_conda_run_can_be_planned_from_the_environments():
    """Every rule names an environment file that exists (conda itself is not needed)."""
    for rule in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for line in rule.read_text().splitlines():
            if "envs/" in line:
                assert (rule.parent / line.strip().strip('",')).resolve().is_file(), line


@pytest.mark.slow
def test_the_workflow_is_lint_free():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Congratulations" in done.stdout + done.stderr
