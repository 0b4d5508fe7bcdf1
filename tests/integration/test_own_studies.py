"""Own studies under names of the paper: they get their own figures, and none of the paper's."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf_pipeline.record.tables import read_table
from conftest import ROOT, TINY, Workflow

pytestmark = pytest.mark.long

ROW = {
    "study": "", "group": "", "title": "Mine", "dataset": "mine.h5ad", "target": "arm=drug",
    "background": "arm=vehicle", "label": "kind", "values": "counts", "panels": "scores",
    "figure": "", "series": "", "marked": "",
}  # fmt: skip
STUDIES = [
    {"study": "mouse", "group": "leukemia"},
    {"study": "dose_beta1", "group": "simulation", "series": "beta"},
    {"study": "other", "group": "drivers", "figure": "single_cell", "marked": "gene1"},
]

METHODS = [
    ["method", "label", "algorithm", "studies", "values", "k", "alpha", "contrast", "loss",
     "solver", "max_iter", "tol"],
    ["bcnmf", "bcNMF", "bcnmf", "*", "default", "2", "1", "relative", "squared_error", "mu", "20",
     "0"],
]  # fmt: skip


def own_data(path):
    rng = np.random.default_rng(0)
    kind = np.repeat(["a", "b"], 20)
    matrix = rng.poisson(2.0, (40, 30)).astype(np.float32)
    matrix[kind == "a", :8] += 9
    obs = pd.DataFrame(
        {"arm": np.tile(["drug", "vehicle"], 20), "kind": kind}, index=[f"c{i}" for i in range(40)]
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(30)])
    ad.AnnData(matrix, obs=obs, var=var).write_h5ad(path)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the results of a run of own data in the paper's groups, one of them named `mouse`."""
    run = Workflow(ROOT, tmp_path_factory.mktemp("own"))
    own_data(run.folder / "mine.h5ad")
    rows = pd.DataFrame([ROW | study for study in STUDIES])
    rows.to_csv(run.folder / "mine.tsv", sep="\t", index=False)
    (run.folder / "methods.tsv").write_text("".join("\t".join(cells) + "\n" for cells in METHODS))
    settings = TINY | {
        "name": "own", "studies": [study["study"] for study in STUDIES], "methods": ["bcnmf"],
        "sheets": {"studies": "mine.tsv", "methods": "methods.tsv"},
        "replicates": {"default": 1, "simulation": 1, "drivers": 1}, "compute": {"device": "cpu"},
        "evaluation": {"umap_neighbors": 5, "bootstrap": 100},
    }  # fmt: skip
    done = run(settings=settings)
    assert done.returncode == 0, done.output
    return run.folder / "results" / "own"


def test_figures_are_those_that_the_sheet_names(results):
    drawn = {str(path.relative_to(results / "figures")) for path in results.glob("figures/*/*.png")}
    assert drawn == {
        "mouse/scores.png", "mouse/answer.png", "dose_beta1/scores.png", "other/scores.png",
        "other/single_cell.png", "other/answer.png", "simulation/beta.png",
    }  # fmt: skip


def test_the_report_says_nothing_of_the_paper_s_figures(results):
    report = (results / "report.html").read_text()
    assert "figure of the paper" not in report
    assert "Scores against beta" in report
    assert "Maps, scores and genes" in report
    assert "No reported values stand beside studies of other data" in report


def test_what_the_paper_reports_of_a_name_does_not_stand_beside_other_data(results):
    scores = read_table(results / "tables" / "scores.tsv")
    assert set(scores["study"]) == {study["study"] for study in STUDIES}
    assert scores["reported"].isna().all()
