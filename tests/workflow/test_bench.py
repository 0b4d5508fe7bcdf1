"""The benchmark runs, its tables are complete, and what it compares is the same computation."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT

FOLDER = ROOT / "benchmarks"
SCRIPTS = ("speed.py", "time_to_objective.py", "against_mu.py")
COLUMNS = {
    "speed.tsv": {
        "device", "genes", "target_cells", "background_cells", "stored_values", "k", "loss",
        "contestant", "threads", "ms_per_iteration", "processors_used", "rounds",
        "times_faster_than_published", "times_faster_than_published_updates_only", "status",
    },
    "speed_rounds.tsv": {"contestant", "threads", "round", "ms_per_iteration", "iterations"},
    "memory.tsv": {
        "contestant", "loss", "sparse_data_MB", "factors_MB", "data_loaded_MB", "peak_MB",
        "peak_of_sparse_data_and_factors", "peak_of_published", "status",
    },
    "scaling.tsv": {
        "series", "loss", "stored_values", "ms_per_iteration", "slope_ns_per_stored_value",
        "r_squared", "exponent",
    },
    "limits.tsv": {
        "loss", "k", "what", "ns_per_stored_value", "of_bare_loop", "memory_bandwidth_GB_per_s",
    },
    "time_to_objective.tsv": {
        "dataset", "contrast", "contestant", "start", "best_of", "gap_of", "within_percent",
        "reached", "iterations", "passes", "seconds", "final_gap_percent",
    },
    "against_mu.tsv": {
        "dataset", "k", "alpha", "start", "mu_seconds", "mu_above_best_percent", "default_seconds",
        "default_converged", "default_above_mu_percent", "default_seconds_to_mu",
        "default_seconds_to_best",
    },
    "time_to_objective_curves.tsv": {
        "iterations", "passes", "seconds", "objective", "gap_of_objective", "gap_of_explained",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the tables of a quick run."""
    folder = tmp_path_factory.mktemp("bench")
    for script in SCRIPTS:
        command = [sys.executable, str(FOLDER / script), "--quick", "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def modules(monkeypatch):
    """Let the benchmark's modules, which are no package, be imported."""
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.long
@pytest.mark.parametrize("name", COLUMNS)
def test_tables_have_their_columns(quick, name):
    table = pd.read_csv(quick / name, sep="\t")
    assert not table.empty
    assert set(table) >= COLUMNS[name]


@pytest.mark.long
def test_ratios_are_finite_wherever_something_was_measured(quick):
    speed = pd.read_csv(quick / "speed.tsv", sep="\t")
    measured = speed[speed["status"] == "measured"]
    assert {"published loop", "bcnmf mu", "scikit-learn mu sparse"} <= set(measured["contestant"])
    assert np.isfinite(measured["times_faster_than_published"]).all()
    memory = pd.read_csv(quick / "memory.tsv", sep="\t")
    assert (memory["status"] == "measured").all()
    assert np.isfinite(memory["peak_of_published"]).all()


@pytest.mark.long
@pytest.mark.parametrize("name", ["speed", "memory", "scaling", "time_to_objective"])
def test_figures_are_drawn(quick, name):
    assert (quick / f"{name}.pdf").stat().st_size > 1000
    assert (quick / f"{name}.png").stat().st_size > 1000


@pytest.mark.long
def test_the_check_reads_the_tables_and_misses_the_sizes_that_it_asks_for(quick):
    command = [sys.executable, str(FOLDER / "check.py"), str(quick)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "18x faster than published loop: not measured" in done.stdout
    assert "2 threads not slower than 1" in done.stdout
    assert "peak memory at most 1.3x" in done.stdout


def problem(loss, k=4, alpha=0.7):
    from dataclasses import replace

    from problems import Problem, parse_size, random_data

    drawn = Problem(random_data(parse_size("60+40x50"), loss), k, loss, alpha)
    return replace(drawn, start=drawn.draw_start(3))


def objective(task, fitted):
    """Evaluate densely, in double precision."""
    total = 0.0
    usages = (fitted.usage, fitted.background_usage)
    for side, usage, weight in zip(task.sides, usages, (1.0, -task.alpha), strict=True):
        data = side.toarray().astype(float)
        model = usage.astype(float) @ fitted.components.astype(float)
        if task.loss == "squared_error":
            total += weight * ((data - model) ** 2).sum()
        else:
            logs = np.log(data / model, out=np.zeros_like(data), where=data > 0)
            total += weight * (data * logs - data + model).sum()
    return total


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_contrastive_contestants_agree_after_the_same_iterations(loss):
    from contestants import CONTESTANTS, OURS, PUBLISHED, UPDATES_ONLY

    task = problem(loss)
    reached = {
        name: objective(task, CONTESTANTS[name].build(task)(15))
        for name in (PUBLISHED, UPDATES_ONLY, OURS)
    }
    assert reached[UPDATES_ONLY] == pytest.approx(reached[PUBLISHED], rel=1e-4)
    assert reached[OURS] == pytest.approx(reached[PUBLISHED], rel=1e-4)


@pytest.mark.usefixtures("modules")
def test_scikit_learn_does_the_same_updates_without_contrast():
    from dataclasses import replace

    from contestants import CONTESTANTS, PUBLISHED, SKLEARN_MU
    from problems import Data

    task = problem("squared_error", alpha=0.0)
    task = replace(task, data=Data(task.data.target, task.data.background[:0]))
    task = replace(task, start=(*task.start[:2], task.start[2][:0]))
    ours, theirs = (CONTESTANTS[name].build(task)(15) for name in (PUBLISHED, SKLEARN_MU))
    assert objective(task, theirs) == pytest.approx(objective(task, ours), rel=1e-4)


@pytest.mark.usefixtures("modules")
def test_passes_are_counted_by_what_is_read():
    from contestants import CONTESTANTS, OURS
    from time_to_objective import counted_passes

    run = CONTESTANTS[OURS].build(problem("squared_error"))
    with counted_passes() as passes:
        run(2)
    few = passes()
    with counted_passes() as passes:
        run(12)
    assert passes() - few == pytest.approx(10)


@pytest.mark.usefixtures("modules")
def test_the_reduced_objective_ignores_the_scale_of_components():
    from time_to_objective import reduced_objective

    task = problem("squared_error")
    components = task.start[0].numpy()
    scaled = components * np.array([[1e-8], [1.0], [1e6], [3.0]])
    assert reduced_objective(task, scaled) == pytest.approx(
        reduced_objective(task, components), rel=1e-9
    )


@pytest.mark.usefixtures("modules")
def test_a_line_through_proportional_times_has_exponent_one():
    from speed import fit_line

    line = fit_line([1000, 2000, 4000], [2e-6, 4e-6, 8e-6])
    assert line["slope_ns_per_stored_value"] == pytest.approx(2.0)
    assert line["exponent"] == pytest.approx(1.0)
    assert line["r_squared"] == pytest.approx(1.0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "arguments", "columns"),
    [
        (
            "few_passes.py",
            ["--seeds", "1", "--cells", "300", "200", "--out", "{out}"],
            {"k", "alpha", "seed", "full_passes_to_1_percent", "gap_after_3", "gap_after_12"},
        ),
        (
            "contrast_grid.py",
            ["--betas", "1", "--data-seeds", "0", "--ks", "2", "--alphas", "1.5",
             "--out", "{out}/contrast_grid.tsv"],
            {"beta", "k", "alpha", "solver", "ari", "converged", "kkt_residual"},
        ),
    ],
)  # fmt: skip
def test_comparisons_of_solvers_write_their_tables(tmp_path, script, arguments, columns):
    command = [sys.executable, str(FOLDER / script)]
    command += [argument.format(out=tmp_path) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / script.replace(".py", ".tsv"), sep="\t")
    assert columns <= set(table)
    assert len(table) > 1
