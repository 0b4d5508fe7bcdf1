"""One study with names as people have them, from its file to report and figures."""

from __future__ import annotations

import csv

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from markupsafe import escape

from bcnmf_pipeline.plan.selection_syntax import Condition
from bcnmf_pipeline.record.tables import read_table
from bcnmf_pipeline.start.new import start
from conftest import ROOT, TINY, Workflow

pytestmark = pytest.mark.long

FOLDER = 'Uni — it\'s "mine" & 50% #1 [x] $HOME; a, b+c=d'
FILE = "-My çells 薬 e\u0301 (1).h5ad"
ARM = 'The <arm> = "x"; 50% {y}, a/b'
DRUG, VEHICLE = 'drug; 5 µM, "A=1" & <b>{x}</b> 50%', "vehicle\\'s $ 薬 🧬 (no)"
KIND = "Cell's $type_1$ & <i>kind</i>!"
KINDS = ["<b>a</b> & $x_1^2$ 'q' {k}", "=cmd|' /C calc'!A0 ü 50% #2"]
DONOR = "donor/ID #\\ שלום"
TITLE = "Drug <b>&</b> 50% $x_1$ {t} 'q' \"d\" _u_ 薬 \\alpha #1"
LONG = "long " * 60
GENES = [
    "<b>", "=cmd", "A/B", "$x_1$", "a_b^c", "50%", "{gene}", "G, 1", "-dash", 'q"uote', "q'uote",
    "back\\slash", "1-Mar", "NA", "ñ", "基因", LONG, "a\tb", "new\nline", "</script>", "$", "&amp;",
    "", "#hash",
]  # fmt: skip
COLOURS = ["sample", "unit", "score", "topic_1", "index", LONG.strip()]


def awkward_cells(n=80):
    number = np.arange(n)
    arm = np.where(number % 2 == 0, DRUG, VEHICLE)
    kind = np.where(number // 2 % 2 == 0, *KINDS)
    matrix = np.random.default_rng(0).poisson(2.0, (n, len(GENES))).astype(np.float32)
    matrix[(arm == DRUG) & (kind == KINDS[0]), :6] += 9
    matrix[(arm == DRUG) & (kind == KINDS[1]), 6:12] += 9
    donors = [f"d<{i // 4 % 4}> & $x_{i // 4 % 4}$" for i in number]
    obs = pd.DataFrame({ARM: arm, KIND: kind, DONOR: donors}).assign(
        **{name: [f"{name} {i % 3}" for i in number] for name in COLOURS}
    )
    obs.index = [f"{('=', '<c>', chr(9), '{c}')[i % 4]}{i}" for i in number]
    data = ad.AnnData(sp.csr_matrix(matrix), obs=obs, var=pd.DataFrame(index=GENES))
    data.uns["later"] = np.ones(2)
    return data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run in a folder with an awkward name, its results behind a link."""
    run = Workflow(ROOT, tmp_path_factory.mktemp("names") / FOLDER)
    run.folder.mkdir()
    (run.folder.parent / "else where").mkdir()
    (run.folder / "results").symlink_to("../else where")
    (run.folder / "data <B>").mkdir()
    path = run.folder / "data <B>" / FILE
    awkward_cells().write_h5ad(path)
    row = {
        "study": "mine_", "title": TITLE, "dataset": str(path.relative_to(run.folder)),
        "target": str(Condition(ARM, (DRUG,))), "background": str(Condition(ARM, (VEHICLE,))),
        "label": KIND, "unit": DONOR, "colours": ",".join(COLOURS), "figure": "single_cell",
        "marked": "<b>,$x_1$,A/B", "description": TITLE, "gene_sets": "mine",
    }  # fmt: skip
    with (run.folder / "mine.tsv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t").writerows([row, row.values()])
    sets = "Set <b>1</b> & $x_1$\t\t" + "\t".join(GENES[:8])
    (run.folder / "my sets & 50%, $x.gmt").write_text(sets, encoding="utf-16")
    settings = TINY | {
        "name": "mine_", "title": TITLE, "studies": ["mine_"], "methods": ["nmf", "bcnmf"],
        "seeds": {"default": [0]}, "replicates": {"default": 1}, "sheets": {"studies": "mine.tsv"},
        "enrichment": {"collections": {"mine": "my sets & 50%, $x.gmt"}},
        "evaluation": {"umap_neighbors": 5, "bootstrap": 100}, "compute": {"device": "cpu"},
    }  # fmt: skip
    run.done = run(settings=settings)
    assert run.done.returncode == 0, run.done.output
    run.results = run.folder.parent / "else where" / "mine_"
    return run


def test_tables_hold_the_names_as_they_are(run):
    scores = read_table(run.results / "tables" / "scores.tsv")
    assert set(scores["label"]) - {""} == {KIND}
    assert set(scores["title"]) == {TITLE}
    shares = read_table(run.results / "tables" / "shares.tsv")
    assert {ARM, KIND, DONOR, *COLOURS} - {ARM} <= set(shares["column"])
    assert set(shares.loc[shares["column"] == KIND, "group"]) == {"", *KINDS}
    features = read_table(run.results / "evaluation" / "mine_" / "0" / "features.tsv")
    assert set(features["feature"]) == set(GENES)


def test_the_report_shows_names_and_takes_none_for_markup(run):
    page = (run.results / "report.html").read_text(encoding="utf-8")
    for name in (TITLE, KIND, DONOR, *KINDS):
        assert str(escape(name)) in page
    assert "<b>a</b>" not in page
    assert "<i>kind</i>" not in page
    assert len(list(run.results.glob("figures/mine_/*.png"))) >= 7


def test_snakemake_s_report_is_made(run):
    # Not below the folder: a $ in this path is a variable to Snakemake.
    page = run.folder.parent / "report & 50%.html"
    done = run("all", "--configfile", str(run.folder / "mine_.yaml"), "--report", str(page))
    assert done.returncode == 0, done.output
    assert "Unknown target name" not in done.output + page.read_text(encoding="utf-8")


def test_the_first_step_takes_the_same_names(run, monkeypatch):
    monkeypatch.chdir(run.folder)
    cells = {
        "target": str(Condition(ARM, (DRUG,))), "background": str(Condition(ARM, (VEHICLE,))),
        "label": KIND, "unit": DONOR,
    }  # fmt: skip
    said = start("first", f"data <B>/{FILE}", cells, title=TITLE)
    assert f"40 samples, 4 of {DONOR}" in said
    done = run("-n", "--configfile", "first.yaml")
    assert done.returncode == 0, done.output
