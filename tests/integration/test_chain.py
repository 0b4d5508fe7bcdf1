"""The whole chain on tiny data, report included."""

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf import BCNMF
from bcnmf_pipeline.record.provenance import file_digest
from bcnmf_pipeline.record.tables import read_table
from conftest import TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tiny_run):
    return tiny_run.folder / "results" / "tiny"


def test_the_score_table_keeps_its_contract(results):
    scores = read_table(results / "tables" / "scores.tsv")
    contract = [
        "study", "method", "k", "alpha", "contrast", "seed", "score", "label", "value", "n",
        "reported", "source",
    ]  # fmt: skip
    assert list(scores.columns[: len(contract)]) == contract
    assert set(scores["study"]) == set(TINY["studies"])
    assert set(scores["method"]) == set(TINY["methods"])
    assert scores.loc[scores["score"].str.startswith("ari"), "value"].between(-1, 1).all()
    of_programs = scores["score"].str.startswith("program_")
    assert (scores.loc[~of_programs, "n"] == TINY["simulation"]["n_target"]).all()
    assert (scores.loc[of_programs, "n"] == TINY["simulation"]["n_target_programs"]).all()


def test_every_fit_is_scored_against_the_truth(results):
    scores = read_table(results / "tables" / "scores.tsv")
    fits = scores[scores["score"] == "ari_usage"]
    for score in ("auroc_best", "program_cosine", "program_cosine_least", "shared_leakage"):
        of_score = scores[scores["score"] == score]
        assert len(of_score) == len(fits)
        assert of_score["value"].between(0, 1).all()


def test_a_smaller_simulation_has_no_reported_values_beside_it(results):
    assert read_table(results / "tables" / "scores.tsv")["reported"].isna().all()
    assert "has not the size of the paper" in (results / "report.html").read_text()


def test_without_shared_variation_every_method_finds_the_programs(results):
    scores = read_table(results / "tables" / "scores.tsv")
    chosen = scores[(scores["study"] == "simulation_beta0") & (scores["score"] == "ari_usage")]
    assert chosen[chosen["method"].isin(["pca", "nmf"])]["value"].mean() > 0.5


def test_a_fit_of_the_pipeline_is_the_estimators(results):
    path = results / "fits" / "simulation_beta8" / "0" / "bcnmf" / "k2_alpha1.5_seed0.npz"
    model = BCNMF.load(path)
    pair = results / "pairs" / "simulation_beta8" / "0"
    target, background = (ad.read_h5ad(pair / f"{side}.h5ad") for side in ("target", "background"))
    again = BCNMF(**model.get_params()).fit(target.X, background=background.X)
    np.testing.assert_allclose(again.components_, model.components_, rtol=1e-5)
    info = json.loads(path.with_suffix(".json").read_text())
    assert info["k"] == 2
    assert info["alpha"] == 1.5
    assert info["versions"]["torch"]


def test_summary_error_bars_come_from_the_runs(results):
    scores = read_table(results / "tables" / "scores.tsv")
    summary = read_table(results / "tables" / "summary.tsv")
    row = summary[
        (summary["study"] == "simulation_beta8")
        & (summary["method"] == "bcnmf")
        & (summary["alpha"] == 1.5)
        & (summary["score"] == "ari_usage")
    ].iloc[0]
    runs = scores[
        (scores["study"] == "simulation_beta8")
        & (scores["method"] == "bcnmf")
        & (scores["alpha"] == 1.5)
        & (scores["score"] == "ari_usage")
    ]["value"]
    assert row["n_runs"] == len(runs) == 2
    assert row["mean"] == pytest.approx(runs.mean())
    assert row["sd"] == pytest.approx(runs.std(ddof=1))


def test_figures_and_report_are_whole(results):
    report = (results / "report.html").read_text()
    figures = sorted(results.glob("figures/*/*.png"))
    assert len(figures) >= 6
    assert report.count("data:image/webp;base64,") == len(figures)
    assert not re.search(r"(src|href)=[\"']https?://(?!doi|arxiv)", report)
    for png in figures:
        assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert png.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-"


def test_provenance_says_what_was_run(results):
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["configuration"]["name"] == "tiny"
    used = {"python", "torch", "numpy", "scanpy", "umap-learn", "matplotlib", "snakemake"}
    assert used <= provenance["versions"].keys()
    assert provenance["environments"].keys() == {"analysis", "fit"}
    assert len(provenance["sheets_sha256"]) == 4
    assert provenance["workflow"]["commit"] == "unknown"  # a copy without git
    assert provenance["own_files"] == {}
    machines = provenance["machines"]
    assert sum(one["fits"] for one in machines) == len(list(results.glob("fits/*/*/*/*.npz")))
    assert all(one["cpu"] and one["threads"] and one["torch"] for one in machines)


def test_software_and_machine_stand_in_the_methods_text(results):
    text = (results / "tables" / "methods.md").read_text()
    assert "matplotlib 3." in text
    assert re.search(r"Fits were computed on \S.* \(\d+ fits, \d threads?, torch 2\.", text)


def test_own_counts_go_through_the_chain(workflow):
    """A user's own file: counts, a unit of replication, highly variable features."""
    rng = np.random.default_rng(1)
    counts = rng.poisson(1.0, (120, 80)).astype(np.float32)
    counts[:30, :10] += rng.poisson(4.0, (30, 10))
    obs = pd.DataFrame(
        {
            "arm": ["drug"] * 60 + ["vehicle"] * 60,
            "kind": (["a"] * 30 + ["b"] * 30) * 2,
            "donor": [f"d{i // 10}" for i in range(120)],
        },
        index=[f"cell{i}" for i in range(120)],
    )
    ad.AnnData(counts, obs=obs).write_h5ad(workflow.folder / "mine.h5ad")
    row = {
        "study": "mine", "group": "mine", "title": "Mine <b>", "dataset": "mine.h5ad",
        "target": "arm=drug", "background": "arm=vehicle", "label": "kind", "unit": "donor",
        "values": "counts", "n_top_features": "40", "panels": "scores,loadings",
    }  # fmt: skip
    (workflow.folder / "mine.tsv").write_text(
        "\t".join(row) + "\n" + "\t".join(row.values()) + "\n"
    )
    settings = TINY | {
        "name": "mine", "studies": ["mine"], "methods": ["nmf", "bcnmf"],
        "sheets": {"studies": "mine.tsv"},
    }  # fmt: skip
    done = workflow(settings=settings)
    assert done.returncode == 0, done.output
    folder = workflow.folder / "results" / "mine"
    scores = read_table(folder / "tables" / "scores.tsv")
    units = scores[scores["score"] == "ari_umap_units"]
    assert set(units["n"]) == {6}
    assert ad.read_h5ad(folder / "pairs" / "mine" / "0" / "target.h5ad").shape == (60, 40)
    report = (folder / "report.html").read_text()
    assert "Mine &lt;b&gt;" in report
    assert "Mine <b>" not in report
    file = workflow.folder / "mine.h5ad"
    stated = json.loads((folder / "provenance.json").read_text())["own_files"]["mine"]
    assert stated == [
        {"file": "mine.h5ad", "bytes": file.stat().st_size, "sha256": file_digest(file)}
    ]
    assert stated[0]["sha256"] in report
