"""Bad input stops a run before any job, and says what to do."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, TINY, Workflow, faults_of

ROW = {
    "study": "mine", "group": "mine", "title": "Mine", "dataset": "mine.h5ad",
    "target": "arm=drug", "background": "arm=vehicle", "label": "kind", "values": "counts",
    "panels": "scores",
}  # fmt: skip


def own_data(folder, matrix=None, name="mine"):
    rng = np.random.default_rng(0)
    matrix = rng.poisson(2.0, (60, 30)).astype(np.float32) if matrix is None else matrix
    obs = pd.DataFrame(
        {"arm": ["drug", "vehicle"] * 30, "kind": ["a", "a", "b", "b"] * 15},
        index=[f"cell{i}" for i in range(60)],
    )
    ad.AnnData(matrix, obs=obs).write_h5ad(folder / f"{name}.h5ad")


def own_studies(folder, *changes):
    rows = [ROW | change for change in changes]
    lines = [list(ROW), *(row.values() for row in rows)]
    (folder / "mine.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return TINY | {
        "name": "mine", "studies": [row["study"] for row in rows], "methods": ["nmf"],
        "sheets": {"studies": "mine.tsv"},
    }  # fmt: skip


def test_an_unknown_key_is_named(workflow):
    done = workflow("-n", settings=TINY | {"sedes": [1]})
    assert done.returncode != 0
    assert "unknown key `sedes` (did you mean 'seeds'?)" in done.output


def test_an_unknown_study_is_named(workflow):
    done = workflow("-n", "--config", "studies=moose")
    assert done.returncode != 0
    assert "'moose' is neither a study nor a group" in done.output


def test_own_data_can_be_planned(workflow):
    own_data(workflow.folder)
    fit = "results/mine/fits/mine/0/nmf/k10_alphanone_seed0.npz"
    done = workflow("-n", "all", fit, settings=own_studies(workflow.folder, {}))
    assert done.returncode == 0, done.output
    assert fit in done.stdout
    assert "results/mine/report.html" in done.stdout


CASES = [
    ({"dataset": "none.h5ad"}, "none.h5ad"),
    ({"target": "arms=drug"}, "arms"),
    ({"target": "arm=durg"}, "durg"),
    ({"label": "kinds"}, "kinds"),
    ({"target": "arm=drug;kind=c"}, "kind"),
]


@pytest.mark.parametrize(("changes", "named"), CASES)
def test_a_faulty_row_stops_before_any_job(workflow, changes, named):
    own_data(workflow.folder)
    done = workflow(settings=own_studies(workflow.folder, changes))
    assert done.returncode != 0
    assert "mine.tsv" in done.output
    assert named in done.output
    assert not (workflow.folder / "results").exists()


def test_more_topics_than_samples_stops_before_any_job(workflow):
    own_data(workflow.folder)
    (workflow.folder / "methods.tsv").write_text(
        (ROOT / "config" / "methods.tsv").read_text().replace("\t10\t", "\t400\t")
    )
    settings = own_studies(workflow.folder, {})
    settings["sheets"]["methods"] = "methods.tsv"
    done = workflow(settings=settings)
    assert done.returncode != 0
    assert "400" in done.output
    assert "30" in done.output
    assert not (workflow.folder / "results").exists()


VALUES = {
    "missing": (lambda x: np.where(x == x.max(), np.nan, x), "NaN"),
    "below_zero": (lambda x: x - 3, "negative"),
    "logarithms": (lambda x: np.log1p(x), "log"),
}


@pytest.fixture(scope="module")
def bad_values(tmp_path_factory):
    """Return a run of one study a kind of bad values."""
    run = Workflow(ROOT, tmp_path_factory.mktemp("values"))
    counts = np.random.default_rng(0).poisson(2.0, (60, 30)).astype(np.float32)
    for name, (change, _) in VALUES.items():
        own_data(run.folder, change(counts), name)
    rows = [{"study": name, "dataset": f"{name}.h5ad"} for name in VALUES]
    run.done = run("--keep-going", settings=own_studies(run.folder, *rows))
    return run


@pytest.mark.parametrize("name", VALUES)
def test_bad_values_stop_before_any_fit(bad_values, name):
    assert bad_values.done.returncode != 0
    faults = faults_of(bad_values.done, "pair")
    (message,) = [fault for fault in faults if fault.startswith(f"mine.tsv, study {name}")]
    assert VALUES[name][1] in message
    assert "Traceback" not in message
    assert not list(bad_values.folder.glob("results/mine/fits/**/*.npz"))


def test_a_method_of_ones_own_needs_no_row_for_studies_that_are_not_run(workflow):
    cells = ["mine", "Mine", "bcnmf", "simulation_beta8", "default", "2", "", "2", "relative"]
    row = "\t".join([*cells, "squared_error", "mu", "9", "0", "", "", ""]) + "\n"
    sheet = (ROOT / "config" / "methods.tsv").read_text() + row
    (workflow.folder / "methods.tsv").write_text(sheet)
    settings = TINY | {
        "studies": ["simulation_beta8"], "methods": ["mine"], "sheets": {"methods": "methods.tsv"},
    }  # fmt: skip
    fit = "results/tiny/fits/simulation_beta8/1/mine/k2_alpha2_seed0.npz"
    done = workflow("-n", "all", fit, settings=settings)
    assert done.returncode == 0, done.output
    assert fit in done.stdout
