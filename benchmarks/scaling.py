"""Time of an iteration against cells, genes, stored values and topics, and a rule for all of them.

    python benchmarks/scaling.py --out results/bench          five minutes, one thread

One thing is varied at a time around 8000 + 2000 cells of 3000 genes, a tenth stored, K = 20. The
time of an iteration is that of s + 1 iterations less that of one, over s, the
median over rounds. `mu` is fitted, squared error and Poisson, and `safeguarded`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf_pipeline.record.tables import write_table

BASE = {"cells": 10_000, "genes": 3000, "density": 0.1, "k": 20}
VARIED = {
    "cells": (5000, 10_000, 20_000, 40_000),
    "genes": (1000, 3000, 10_000, 30_000),
    "density": (0.03, 0.1, 0.3),
    "k": (5, 10, 20, 40),
}
SOLVERS = {
    "mu, squared error": {"solver": "mu", "loss": "squared_error"},
    "mu, Poisson": {"solver": "mu", "loss": "poisson"},
    "safeguarded": {"solver": "safeguarded"},
}


def main() -> None:
    """Measure, write the table, print it."""
    arguments = _arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings = [
        {**BASE, name: value, "varied": name} for name, values in VARIED.items() for value in values
    ]
    for one in settings:
        if one["varied"] == "genes":  # as many stored values as the others
            one["density"] = BASE["density"] * BASE["genes"] / one["genes"]
    rows = []
    for one in settings:
        target, background = _data(one)
        for name, solver in SOLVERS.items():
            each = [
                _seconds(target, background, one["k"], solver, arguments.iterations)
                for _ in range(arguments.rounds)
            ]
            stored = target.nnz + background.nnz
            rows.append(
                {**one, "solver": name, "stored_values": stored,
                 "ms_per_iteration": 1e3 * float(np.median(each)),
                 "ns_per_stored_value": 1e9 * float(np.median(each)) / stored}
            )  # fmt: skip
        write_table(pd.DataFrame(rows), arguments.out / "scaling_all.tsv")
    print(pd.DataFrame(rows).round(2).to_string(index=False))


def _data(one: dict) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    rng = np.random.default_rng(0)
    sides = []
    for share in (0.8, 0.2):
        matrix = sp.random(
            int(share * one["cells"]), one["genes"], one["density"], "csr", np.float32, rng
        )
        matrix.data = 1 + rng.poisson(1, matrix.nnz).astype(np.float32)
        sides.append(matrix)
    return sides[0], sides[1]


def _seconds(
    target: sp.csr_matrix, background: sp.csr_matrix, k: int, solver: dict, iterations: int
) -> float:
    spent = []
    for n in (1, 1 + iterations):
        model = BCNMF(k, alpha=1.0, init="random", max_iter=n, tol=0, device="cpu", **solver)
        began = time.perf_counter()
        model.fit(target, background=background)
        spent.append(time.perf_counter() - began)
    return (spent[1] - spent[0]) / iterations


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
