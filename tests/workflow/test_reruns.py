"""What a change makes Snakemake do again: no less, no more."""

import json
import os
import shutil

import pytest

from conftest import TINY

pytestmark = pytest.mark.slow


def planned(run) -> set[str]:
    done = run("-n", settings=TINY)
    assert done.returncode == 0, done.output
    if "Nothing to be done" in done.output:
        return set()
    starts = ("rule ", "localrule ", "checkpoint ")
    lines = [line for line in done.output.splitlines() if line.startswith(starts)]
    return {line.split()[1].rstrip(":") for line in lines}


@pytest.fixture
def changed(tiny_run):
    """Return a function that adds a line to a file of the copy, undone after the test."""
    before = {}

    def change(path: str, line: str = "# changed") -> set[str]:
        file = tiny_run.root / path
        before[file] = (file.read_text(), file.stat())
        file.write_text(file.read_text() + f"\n{line}\n")
        return planned(tiny_run)

    yield change
    for file, (text, stat) in before.items():
        file.write_text(text)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_second_run_has_nothing_to_do(tiny_run):
    assert planned(tiny_run) == set()


@pytest.mark.parametrize("module", ["model", "solvers/mu", "matrix", "init", "__init__"])
def test_a_change_of_the_estimator_refits(changed, module):
    assert {"fit", "evaluate"} <= changed(f"workflow/bcnmf/{module}.py")


def test_a_change_of_the_scores_refits_nothing(changed):
    rules = changed("workflow/bcnmf_pipeline/evaluate/metrics.py")
    assert "evaluate" in rules
    assert not rules & {"fit", "baseline", "pair", "simulate"}


def test_a_change_of_a_figure_redraws_it_alone(changed):
    rules = changed("workflow/bcnmf_pipeline/figures/beta.py")
    assert "draw_beta" in rules
    assert not rules & {"fit", "baseline", "pair", "evaluate", "draw_embedding"}


def test_a_change_of_a_caption_touches_the_report_alone(changed):
    assert changed("workflow/report/beta.rst", "A further sentence.") <= {"report", "all"}


def test_a_lost_file_is_made_again_without_the_rest(tiny_run):
    folder = tiny_run.folder / "results" / "tiny"
    lost = folder / "figures" / "simulation" / "beta.png"
    kept = lost.read_bytes()
    lost.unlink()
    try:
        assert planned(tiny_run) == {"draw_beta", "report", "all"}
        assert tiny_run(settings=TINY).returncode == 0
        assert lost.read_bytes() == kept
    finally:
        lost.write_bytes(kept)


@pytest.mark.long
def test_a_run_from_scratch_gives_the_same_tables(tiny_run):
    folder = tiny_run.folder / "results" / "tiny"
    before = (folder / "tables" / "scores.tsv").read_bytes()
    kept = folder.with_name("kept")
    shutil.move(folder, kept)
    try:
        done = tiny_run("results/tiny/tables/scores.tsv", settings=TINY)
        assert done.returncode == 0, done.output
        assert (folder / "tables" / "scores.tsv").read_bytes() == before
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(kept, folder)


def test_every_fit_states_how_it_was_made(tiny_run):
    for path in (tiny_run.folder / "results" / "tiny" / "fits").glob("*/*/*/*_seed0.json"):
        info = json.loads(path.read_text())
        assert {"method", "k", "seed", "versions", "input_sha256", "code"} <= info.keys()
