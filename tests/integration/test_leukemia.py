"""The leukemia study from the web to the figures, on miniatures in the published formats."""

import pytest

import miniatures
from bcnmf_pipeline.record.tables import read_table
from conftest import ROOT, TINY
from loopback import Answer, Loopback
from method_rows import with_method

pytestmark = pytest.mark.long

COLUMNS = (
    "study", "group", "title", "dataset", "target", "background", "label", "unit", "values",
    "n_top_features", "panels", "figure", "description",
)  # fmt: skip
ROW = (
    "leukemia", "leukemia", "Leukemia", "leukemia_aml027", "sample=pre,post", "sample=healthy",
    "stage", "", "counts", "150", "scores,loadings", "leukemia", "",
)  # fmt: skip
# As many topics as programs were planted, beside the sheet's own rows.
TWO = {
    "method": "two", "label": "bcNMF, K=2", "algorithm": "bcnmf", "values": "default", "k": 2,
    "alpha": 2, "contrast": "relative", "loss": "squared_error", "solver": "safeguarded",
    "max_iter": 500, "tol": "1e-5",
}  # fmt: skip
SETTINGS = TINY | {
    "name": "leukemia", "studies": ["leukemia"], "seeds": {"default": [0]},
    "methods": ["nmf", "bcnmf_safeguarded", "two"],
    "sheets": {"studies": "studies.tsv", "methods": "methods.tsv"},
    "download": {"retries": 2, "timeout": 60},
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the miniatures, a server that hands them out, and a folder to run in."""
    folder = tmp_path_factory.mktemp("leukemia")
    paths, gencode = miniatures.leukemia(folder)
    (folder / "studies.tsv").write_text("\t".join(COLUMNS) + "\n" + "\t".join(ROW) + "\n")
    (folder / "methods.tsv").write_text(with_method(**TWO, studies="leukemia"))
    with pytest.MonkeyPatch.context() as patch, Loopback() as server:
        patch.setenv("no_proxy", "127.0.0.1")
        for path in paths.values():
            server.give(f"/leukemia/{path.name}", Answer(path.read_bytes()))
        server.give(f"/gencode/{gencode.name}", Answer(gencode.read_bytes()))
        yield folder, paths, server


@pytest.fixture(scope="module")
def run(served):
    from conftest import Workflow

    folder, paths, server = served
    # One file moved to another address, one is there at the second attempt, one comes cut short.
    moved = server.give("/elsewhere", Answer(paths["pre"].read_bytes()))
    server.give(f"/leukemia/{paths['pre'].name}", Answer(status=302, headers={"Location": moved}))
    whole = paths["post"].read_bytes()
    server.give(f"/leukemia/{paths['post'].name}", Answer(status=503), Answer(whole))
    donor = paths["healthy"].read_bytes()
    short = Answer(donor[:-100], length=len(donor))
    server.give(f"/leukemia/{paths['healthy'].name}", short, Answer(donor))
    done = Workflow(ROOT, folder)("leukemia", settings=SETTINGS | {"mirror": server.address})
    assert done.returncode == 0, done.output
    return folder, done


def test_planted_programs_are_found(run):
    scores = read_table(
        run[0] / "results" / "leukemia" / "tables" / "studies" / "leukemia.scores.tsv"
    )
    best = scores[scores["score"] == "ari_usage"].groupby("method")["value"].max()
    assert best["two"] > 0.8
    assert best["nmf"] < 0.2
    assert "bcnmf_safeguarded" in best


def test_what_is_not_as_published_is_said(run):
    folder, done = run
    assert "were not checked" in done.output or "no checksum" in done.output, done.output
    log = (folder / "results/leukemia/logs/datasets/leukemia_aml027/0.log").read_text()
    assert "aml027_pre_transplant: 60 cells, the published file has 3933" in log
    quality = read_table(folder / "results/leukemia/datasets/leukemia_aml027/0.qc.tsv")
    assert quality["sample"].tolist() == ["pre", "post", "healthy"]
    assert quality["protein_coding"].tolist() == [200] * 3


def test_figures_are_drawn(run):
    for name in ("scores", "loadings", "leukemia"):
        assert (run[0] / f"results/leukemia/figures/leukemia/{name}.png").stat().st_size > 10_000
