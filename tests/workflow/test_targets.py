"""Every named target can be planned, and style holds."""

import subprocess
import sys

import pytest

from conftest import ROOT

TARGETS = [
    "all", "quick", "paper", "simulations", "mouse", "figures", "figure_beta", "figure_digits",
    "figure_mouse",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_of_every_named_target_works(workflow, target):
    done = workflow(target, "-n", "--quiet", "rules")
    assert done.returncode == 0, done.output
    assert "total" in done.stdout + done.stderr


def test_quick_needs_no_download_and_paper_does(workflow):
    assert "rule download:" not in workflow("-n", "quick").stdout
    assert "resources/downloads/mice_protein" in workflow("-n", "paper").stdout


def test_one_job_is_one_fit(workflow):
    done = workflow("-n", "paper", "--config", "studies=mouse")
    for seed in range(5):
        assert f"fits/mouse/0/bcnmf/k15_alpha1_seed{seed}.npz" in done.stdout
    assert "results/paper/fits/simulation" not in done.stdout


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
