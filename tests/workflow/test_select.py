"""`snakemake select`: what a longer grid makes again, and what it leaves behind."""

import re

import pandas as pd
import pytest

from conftest import TINY, Workflow, copy_repository

pytestmark = pytest.mark.slow

GRID = {"k": [2], "alpha": [2], "splits": 1, "max_iter": 20, "min_specificity": 2}
SETTINGS = {
    "name": "chosen", "title": "Chosen", "studies": ["simulation_beta8"], "selection": GRID,
    "simulation": TINY["simulation"],
}  # fmt: skip


@pytest.fixture(scope="module")
def selected(tmp_path_factory):
    """Return a run of `snakemake select` over a grid of one setting and split."""
    run = Workflow(*[copy_repository(tmp_path_factory.mktemp("selected") / "repository")] * 2)
    done = run("select", settings=SETTINGS)
    assert done.returncode == 0, done.output
    return run


def fits_planned(run, **change):
    """Return which fits of halves a dry run with another grid lists, and all its rules."""
    done = run("-n", "select", settings=SETTINGS | {"selection": GRID | change})
    assert done.returncode == 0, done.output
    rules = set(re.findall(r"^(?:local)?rule (\w+):", done.output, re.MULTILINE))
    files = re.findall(r"output: results/\S+/(k\S+)\.tsv", done.output)
    return sorted(files), rules


def test_nothing_is_left_to_do(selected):
    assert fits_planned(selected) == ([], set())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"k": [2, 3]}, ["k3_alpha2_split0"]),
        ({"alpha": [1.5, 2]}, ["k2_alpha1.5_split0"]),
        ({"alpha": [2.0, 3]}, ["k2_alpha3_split0"]),
        ({"splits": 2}, ["k2_alpha2_split1"]),
    ],
)
def test_more_of_a_grid_fits_the_new_alone(selected, change, expected):
    files, rules = fits_planned(selected, **change)
    assert files == expected
    assert rules <= {"select_split", "select_setting", "draw_selection", "select"}


def test_another_bound_fits_nothing(selected):
    files, rules = fits_planned(selected, min_specificity=3)
    assert files == []
    assert "select_setting" in rules


def test_more_iterations_fit_again(selected):
    assert fits_planned(selected, max_iter=30)[0] == ["k2_alpha2_split0"]


def test_a_sentence_goes_with_the_tables(selected):
    folder = selected.folder / "results" / "chosen" / "selection" / "simulation_beta8"
    summary = pd.read_csv(folder / "summary.tsv", sep="\t", keep_default_na=False)
    advice = (folder / "advice.txt").read_text()
    assert advice.startswith("recommended" if summary["recommended"].any() else "no setting is")
    assert (summary["eligible"] == (summary["reason"] == "")).all()
