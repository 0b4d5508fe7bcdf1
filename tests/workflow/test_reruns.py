"""What a change makes Snakemake do again: no less, no more."""

import json
import math
import os
import re
import shutil
import subprocess

import pytest

from conftest import TINY, Workflow, copy_repository

pytestmark = pytest.mark.slow

MAKES_DATA = {"simulate", "pair"}
RECORDS = {"environment", "environment_of_fits", "provenance"}
NO_NUMBER = {"all", "report", "methods_text", *RECORDS}


def planned(run, settings=TINY) -> set[str]:
    done = run("-n", settings=settings)
    assert done.returncode == 0, done.output
    if "Nothing to be done" in done.output:
        return set()
    starts = ("rule ", "localrule ", "checkpoint ")
    lines = [line for line in done.output.splitlines() if line.startswith(starts)]
    return {line.split()[1].rstrip(":") for line in lines}


@pytest.fixture
def changed(tiny_run):
    """Return a function that edits files of the copy and plans; undone after the test."""
    before = {}

    def change(edit, *paths: str) -> set[str]:
        for path in paths:
            file = tiny_run.root / path
            before[file] = (file.read_text(), file.stat())
            text = edit(file.read_text())
            assert text != before[file][0], f"{path} is as it was"
            file.write_text(text)
        return planned(tiny_run)

    yield change
    for file, (text, stat) in before.items():
        file.write_text(text)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def statement(text):
    return f"{text}\nchanged = 1\n"


def comment(text):
    return f"# Changed.\n{text}"


def docstring(text):
    return text.replace('"""', '"""Changed: ', 1)


def formatting(text):
    """Return the text with a line broken and blank lines added: as another formatter might."""
    return re.sub(r"^(from \S+ import )(\w+)$", r"\n\n\1\\\n    \2", text, flags=re.MULTILINE)


CODE = (
    "workflow/bcnmf/solvers/multiplicative.py",
    "workflow/bcnmf/estimators/contrast.py",
    "workflow/bcnmf_pipeline/plan/environments.py",
    "workflow/bcnmf_pipeline/evaluate/metrics.py",
    "workflow/bcnmf_pipeline/figures/beta.py",
    "workflow/bcnmf_pipeline/record/tables.py",
    "workflow/scripts/fit.py",
    "workflow/scripts/evaluate.py",
    "workflow/scripts/pair.py",
)


def test_a_second_run_has_nothing_to_do(tiny_run):
    assert planned(tiny_run) == set()


def test_comments_docstrings_and_formatting_rerun_nothing(changed):
    edits = [formatting, docstring, comment]
    assert changed(lambda text: edits[2](edits[1](edits[0](text))), *CODE) == set()


def test_a_change_of_what_moves_no_number_reruns_nothing(changed):
    plumbing = (
        "plan/environments.py", "plan/runs.py", "record/job.py", "record/made_with.py",
        "fit/gpus.py",
    )  # fmt: skip
    files = [f"workflow/bcnmf_pipeline/{file}" for file in plumbing]
    assert changed(statement, *files, "workflow/bcnmf/progress.py") == set()


def test_another_version_of_a_package_makes_the_record_again_and_no_fit(changed):
    """Here: another list of the packages that are recorded."""
    made_with = "workflow/bcnmf_pipeline/record/made_with.py"
    assert changed(lambda text: text.replace('"gseapy", ', ""), made_with) == NO_NUMBER


def test_a_commit_makes_nothing_again(tiny_run):
    try:
        git = ["git", "-C", str(tiny_run.root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
        for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Change nothing"]):
            subprocess.run([*git, *words], check=True)
        assert planned(tiny_run) == set()
    finally:
        shutil.rmtree(tiny_run.root / ".git", ignore_errors=True)


def test_jobs_ask_for_more_the_larger_their_input_is(tiny_run):
    done = tiny_run("-n", "--forceall", "results/tiny/tables/scores.tsv", settings=TINY)
    assert done.returncode == 0, done.output
    pair = tiny_run.folder / "results/tiny/pairs/simulation_beta8/0"
    size = sum((pair / f"{side}.h5ad").stat().st_size for side in ("target", "background")) / 1e6
    assert f"mem_mb={math.ceil(4000 + 8 * size)}," in done.output
    assert f"runtime={math.ceil(120 + 2 * size)}," in done.output
    data = tiny_run.folder / "results/tiny/datasets/simulation_beta8/0.h5ad"
    # Pairs are read by rows.
    assert f"mem_mb={math.ceil(1000 + 8 * data.stat().st_size / 1e6)}," in done.output


def test_a_change_of_a_solver_refits_and_makes_all_after(changed):
    rules = changed(statement, "workflow/bcnmf/solvers/multiplicative.py")
    assert {"fit", "evaluate", "answer", "diagnose", "draw_beta", "tables", "report"} <= rules
    assert not rules & MAKES_DATA


def test_a_change_of_an_estimator_that_is_not_used_refits_nothing(changed):
    others = ("shared_target", "combined_basis")
    files = [f"workflow/bcnmf/estimators/{name}.py" for name in others]
    assert changed(statement, *files, "workflow/bcnmf/solvers/staged.py") == set()


def test_a_change_of_the_scores_refits_nothing(changed):
    rules = changed(statement, "workflow/bcnmf_pipeline/evaluate/metrics.py")
    assert "evaluate" in rules
    assert not rules & {"fit", *MAKES_DATA}


def test_a_change_of_a_figure_redraws_it_alone(changed):
    rules = changed(statement, "workflow/bcnmf_pipeline/figures/beta.py")
    assert rules == {"draw_beta", "report", "all"}


def test_a_change_of_a_caption_touches_the_report_alone(changed):
    rules = changed(lambda text: f"{text}\nMore.\n", "workflow/report/beta.rst")
    assert rules <= {"report", "all"}


def test_a_further_seed_and_k_change_no_fit_that_stands(tiny_run):
    """The jobs of the pairs run again, and find their fits: see test_batch.py."""
    more = TINY | {"seeds": {"default": [0], "simulation": [0, 1]}}
    rules = planned(tiny_run, more)
    assert {"fit", "evaluate"} <= rules
    # The fit that is cross-fitted, and diagnosed, stands.
    assert not rules & {"answer", "diagnose", *MAKES_DATA}
    done = tiny_run("-n", settings=more).output
    assert "Params have changed" in done.split("rule fit:")[1]
    assert not planned(tiny_run)


def test_the_order_of_a_configuration_changes_no_number(tiny_run):
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in TINY.items()
    }
    assert list(turned["simulation"]) != list(TINY["simulation"])
    assert planned(tiny_run, turned) <= NO_NUMBER


def test_results_in_another_place_rerun_nothing_but_what_holds_the_path(tiny_run, tmp_path):
    """As a fresh clone with the results of another: its files are newer than the results."""
    other = copy_repository(tmp_path / "other")
    for name in ("results", ".snakemake"):
        subprocess.run(["cp", "-a", str(tiny_run.folder / name), str(other / name)], check=True)
    for file in other.rglob("*.*"):
        if "results" not in file.parts and ".snakemake" not in file.parts:
            os.utime(file)
    assert planned(Workflow(other, other)) <= NO_NUMBER


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
    fits = list((tiny_run.folder / "results" / "tiny" / "fits").glob("*/*/*/*_seed0.json"))
    assert len(fits) == len(list((tiny_run.folder / "results/tiny/fits").glob("*/*/*/*.npz")))
    for path in fits:
        info = json.loads(path.read_text())
        assert {"method", "k", "seed", "versions", "input_sha256", "code"} <= info.keys()
