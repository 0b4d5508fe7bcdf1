"""Every named target can be planned, and style holds."""

import subprocess
import sys

import pytest

from conftest import ROOT

TARGETS = [
    "all", "quick", "paper", "simulations", "drivers", "digits", "mouse", "figures", "select",
    "figure_beta", "figure_drivers", "figure_digits", "figure_mouse",
    "leukemia", "mixseq", "mdd", "figure_leukemia", "figure_mixseq", "figure_mdd",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_of_every_named_target_works(workflow, target):
    done = workflow(target, "-n", "--quiet", "rules")
    assert done.returncode == 0, done.output
    assert "total" in done.stdout + done.stderr


def test_quick_needs_no_download_and_paper_does(workflow):
    assert "rule download:" not in workflow("-n", "quick").stdout
    assert "resources/downloads/mice_protein" in workflow("-n", "paper").stdout


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


def test_the_digits_figures_are_those_of_the_chosen_studies(workflow):
    assert "figures/digits_two/digits.pdf" in workflow("-n", "figure_digits").stdout
    texture = workflow("-n", "figure_digits", "--config", "studies=digits_texture").stdout
    assert "figures/digits_texture/basis.pdf" in texture
    assert "digits_two" not in texture


def test_drivers_run_by_name_and_not_with_the_paper(workflow):
    assert "drivers_base" not in workflow("-n", "paper").stdout
    done = workflow("-n", "figure_drivers", "--configfile", str(ROOT / "config" / "drivers.yaml"))
    assert done.returncode == 0, done.output
    for replicate in range(5):
        assert f"results/drivers/datasets/simulation_rare5_beta8/{replicate}.h5ad" in done.stdout
    assert "results/drivers/figures/drivers/drivers.pdf" in done.stdout
    assert "results/drivers/figures/drivers/drivers_auroc.pdf" in done.stdout
    assert "results/drivers/fits/drivers_rare5/4/fits_0.json" in done.stdout


@pytest.mark.parametrize(("fits_per_job", "jobs"), [(20, 2), (1, 25)])
def test_a_job_makes_as_many_fits_of_a_pair_as_the_configuration_says(workflow, fits_per_job, jobs):
    settings = {"name": "m", "title": "m", "studies": ["mouse"]}
    settings["compute"] = {"fits_per_job": fits_per_job}
    done = workflow("-n", settings=settings)
    assert done.returncode == 0, done.output
    for part in range(jobs):
        assert f"output: results/m/fits/mouse/0/fits_{part}.json" in done.stdout
    assert f"fits_{jobs}.json" not in done.stdout


def test_a_fit_can_be_asked_for_by_its_name(workflow):
    fit = "results/paper/fits/mouse/0/bcnmf/k15_alpha1_seed3.npz"
    done = workflow("-n", fit)
    assert done.returncode == 0, done.output
    assert f"output: {fit}" in done.stdout
    assert "fits_0.json" not in done.stdout


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
