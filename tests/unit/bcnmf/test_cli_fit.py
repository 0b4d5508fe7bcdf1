"""What `bcnmf fit` says about a fit: where and why there, passes, memory, time."""

import re

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf.cli import main

COST = re.compile(
    r"^  cpu \((?P<why>.+)\): (?P<passes>\d+) passes over the data, "
    r"(?P<memory>\d+\.\d\d) GB of memory at most, \d+:\d\d$",
    re.M,
)


@pytest.fixture
def command(tmp_path):
    rng = np.random.default_rng(0)
    for name, n in (("t", 60), ("b", 40)):
        values = sp.csr_matrix(np.log1p(rng.poisson(0.7, (n, 12)).astype(np.float32)))
        ad.AnnData(values).write_h5ad(tmp_path / f"{name}.h5ad")
    return [
        "fit", "--target", str(tmp_path / "t.h5ad"), "--background", str(tmp_path / "b.h5ad"),
        "-k", "2", "--max-iter", "30", "--tol", "0", "--folds", "0", "--device", "cpu",
        "--out", str(tmp_path / "fit.h5ad"),
    ]  # fmt: skip


@pytest.mark.parametrize("more", [[], ["--batch-size", "16"]])
def test_a_fit_says_where_it_runs_and_what_it_took(command, capsys, more):
    assert main([*command, "--solver", "mu", *more]) == 0
    printed = capsys.readouterr()
    (cost,) = COST.finditer(printed.out)
    assert cost["why"] == "as asked for"
    # Before the first iteration and after the last the data are read as well, a few times.
    assert 30 < int(cost["passes"]) < 40
    assert 0.05 < float(cost["memory"]) < 50
    # Before it, slow machines say that they load libraries.
    said = [line for line in printed.err.splitlines() if not line.startswith("loading ")]
    assert said[0].startswith("computing on cpu (as asked for); ")
    assert "iteration 0/30  objective" in printed.err


def test_quiet_ones_print_results_alone(command, capsys):
    assert main([*command, "--quiet"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert COST.search(printed.out)


def test_of_many_starts_the_whole_is_said_once(command, capsys):
    assert main([*command, "--starts", "3"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("computing on cpu (as asked for); ") == 1
    assert re.search(r"^  cpu .*GB of memory at most, \d+:\d\d$", printed.out, re.M)
