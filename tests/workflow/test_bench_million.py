"""The benchmark of a large fit draws what it says, fits it out of core, and watches its memory."""

import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from conftest import ROOT

FOLDER = ROOT / "benchmarks"
GENES, DENSITY, K, CELLS = 300, 0.2, 3, 400


@pytest.fixture
def large_data(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import large_data

    return large_data


def test_a_file_is_what_was_drawn_block_by_block(large_data, tmp_path, monkeypatch):
    monkeypatch.setattr(large_data, "_CELLS_AT_A_TIME", 150)
    programs = large_data.Programs(GENES, DENSITY)
    large_data.draw(tmp_path / "t.h5ad", "target", CELLS, programs)
    x = ad.read_h5ad(tmp_path / "t.h5ad").X
    assert x.shape == (CELLS, GENES)
    assert x.dtype == np.float32
    assert x.nnz / np.prod(x.shape) == pytest.approx(DENSITY, rel=0.1)
    counts = [programs.counts("target", i, n) for i, n in enumerate((150, 150, 100))]
    for i, block in enumerate(counts):
        part = x[150 * i : 150 * i + block.shape[0]]
        assert (part.indices == block.indices).all()
        # log1p of counts per 10,000, so that the totals of exp(x) - 1 are 10,000.
        np.testing.assert_allclose(np.expm1(part.toarray()).sum(1), 1e4, rtol=1e-4)


def test_the_target_alone_holds_the_new_programs(large_data):
    programs = large_data.Programs(3000, 0.05)
    leading = programs.new.argsort(1)[:, -10:]
    sides = {side: programs.counts(side, 0, 500) for side in ("target", "background")}
    share = {side: x[:, leading.ravel()].sum() / x.sum() for side, x in sides.items()}
    assert share["target"] > 2 * share["background"]


@pytest.mark.long
def test_it_runs_and_writes_its_tables_and_its_plot(tmp_path):
    command = [
        sys.executable, FOLDER / "million.py", "--folder", tmp_path / "data", "--out", tmp_path,
        "--cells", CELLS, "--genes", GENES, "--density", DENSITY, "-k", K, "--batch-size", 100,
        "--max-iter", 4, "--iterations", 1, "--dense-cells", 200, "--threads", 1,
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "million.tsv", sep="\t")
    assert list(table["who"]) == [
        "bcnmf safeguarded out of core",
        *(sparse := ["bcnmf mu out of core", "bcnmf mu", "scikit-learn mu sparse"]),
        "published loop", "published updates only", *sparse,
    ]  # fmt: skip
    fitted = table.iloc[0]
    assert fitted["iterations"] == 4
    assert fitted["passes"] > 4
    assert (table["peak_GB"] > 0.1).all()
    memory = pd.read_csv(tmp_path / "million_memory.tsv", sep="\t")
    assert (memory["seconds"] > 0).any()
    assert memory["bytes"].max() == pytest.approx(1e9 * fitted["peak_GB"])
    assert (tmp_path / "million.png").read_bytes().startswith(b"\x89PNG")
