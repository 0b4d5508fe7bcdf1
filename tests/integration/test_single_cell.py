"""MIX-seq and depression, from a mirror to the scores, on miniatures in the published formats."""

import shutil

import pytest

import miniatures
from bcnmf_pipeline.acquire.registry import load_registry
from bcnmf_pipeline.record.tables import read_table
from conftest import ROOT, TINY, Workflow
from method_rows import with_method

pytestmark = pytest.mark.slow

# As many topics as programs were planted, beside the sheet's own rows.
TWO = {
    "method": "two", "label": "bcNMF, K=2", "algorithm": "bcnmf", "values": "default", "k": 2,
    "alpha": 2, "contrast": "relative", "loss": "squared_error", "solver": "safeguarded",
    "max_iter": 500, "tol": "1e-5",
}  # fmt: skip


def registered(dataset, part):
    """Return the preferred file of a part in the registry."""
    registry = load_registry(ROOT / "config" / "datasets.tsv")
    return registry.choose(dataset, part, ROOT / "nowhere").file


def put(mirror, dataset, part, path):
    """Copy a file into the mirror under the name that the registry has."""
    folder = mirror / dataset
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / registered(dataset, part))


def run(folder, mirror, study, rename):
    """Run a study with fewer variable genes than the miniatures have."""
    sheet = (ROOT / "config" / "studies.tsv").read_text()
    (folder / "studies.tsv").write_text(sheet.replace(*rename))
    (folder / "methods.tsv").write_text(with_method(**TWO, studies=study))
    settings = TINY | {
        "name": study, "studies": [study], "seeds": {"default": [0]},
        "methods": ["bcnmf_safeguarded", "two"], "mirror": str(mirror),
        "sheets": {"studies": "studies.tsv", "methods": "methods.tsv"},
        "enrichment": {
            "collections": dict.fromkeys(("core", "hallmark", "go_bp"), str(planted_sets(folder))),
            "methods": ["two"], "n_top": 25, "permutations": 100,
        },
    }  # fmt: skip
    scores = f"results/{study}/tables/scores.tsv"
    figures = [f"results/{study}/figures/{study}/{name}.png" for name in (study, "enrichment")]
    done = Workflow(ROOT, folder)(scores, *figures, settings=settings)
    assert done.returncode == 0, done.output
    for path in figures:
        assert (folder / path).stat().st_size > 20_000
    return read_table(folder / scores)


def planted_sets(folder):
    """Write a GMT file with the genes of the planted target programs, and others."""
    blocks = {"PROGRAM_1": range(100, 125), "PROGRAM_2": range(125, 150), "SHARED": range(20)}
    lines = [
        "\t".join([name, "planted", *(f"GENE{i}" for i in block)]) for name, block in blocks.items()
    ]
    path = folder / "planted.gmt"
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_planted_sets_lead(folder, study):
    """The most significant sets are planted target programs, in both tests."""
    found = folder / "results" / study / "enrichment" / study
    for table in ("ora", "gsea"):
        rows = read_table(found / f"{table}.tsv")
        best = rows[rows["p_adjusted"] == rows["p_adjusted"].min()]
        if table == "gsea":
            best = best[best["nes"] > 0]
        assert best["term"].str.startswith("PROGRAM").any()
        assert best["p_adjusted"].iloc[0] < 0.05
    genes = read_table(found / "genes.tsv")
    assert genes["contrast_specificity"].between(0, 1).all()


def best(scores, study):
    chosen = scores[(scores["study"] == study) & (scores["method"] == "two")]
    return chosen[chosen["score"] == "ari_usage"]["value"].max()


def test_mixseq(tmp_path):
    zips, mutations, lines = miniatures.mixseq(tmp_path)
    mirror = tmp_path / "mirror"
    for arm, path in zips.items():
        put(mirror, "mixseq", arm, path)
    put(mirror, "depmap_19q3", "mutations", mutations)
    put(mirror, "depmap_19q3", "cell_lines", lines)
    scores = run(tmp_path, mirror, "mixseq", ("counts\t10000", "counts\t150"))
    assert best(scores, "mixseq") > 0.8
    assert_planted_sets_lead(tmp_path, "mixseq")
    assert set(scores["study"]) == {"mixseq", "mixseq_normal"}
    of_cross_fits = scores["score"] == "share_above"
    assert set(scores.loc[~of_cross_fits, "label"]) == {"TP53"}
    assert set(scores.loc[of_cross_fits, "label"]) == {""}
    # Lines are the unit.
    assert scores["score"].str.endswith("_units").any()
    quality = read_table(tmp_path / "results/mixseq/datasets/mixseq/0.qc.tsv")
    assert quality["arm"].tolist() == ["idasanutlin", "dmso"]


@pytest.mark.long
def test_mdd(tmp_path):
    paths = miniatures.mdd(tmp_path)
    mirror = tmp_path / "mirror"
    for part in ("matrix", "genes", "cells", "donors"):
        put(mirror, "mdd", part, paths[part])
    put(mirror, "gencode", "annotation", paths["gencode"])
    scores = run(tmp_path, mirror, "mdd", ("counts\t3000", "counts\t150"))
    assert set(scores["study"]) == {"mdd", "mdd_other_donors"}
    assert_planted_sets_lead(tmp_path, "mdd")
    of_cross_fits = scores["score"] == "share_above"
    assert set(scores.loc[~of_cross_fits, "label"]) == {"diagnosis"}
    assert set(scores.loc[of_cross_fits, "label"]) == {""}
    assert scores["score"].str.endswith("_units").any()
    log = (tmp_path / "results/mdd/logs/datasets/mdd/0.log").read_text()
    assert "its donors are not published" in log
