"""What a consensus of many starts tells, recovers and costs.

    python benchmarks/consensus.py programs     stability of true and of superfluous programs
    python benchmarks/consensus.py halves       stability and reproduction in other cells
    python benchmarks/consensus.py time         50 starts beside fits one by one

`programs`: the beta series at 1000 genes and 300 + 300 cells, log1p of counts per 10,000; NMF of
the target, which holds five shared and two target programs, and bcNMF, for which the two are left.
Topics are assigned one to one to the simulated programs (largest sum of cosines). A program is true
if one is assigned to it with a cosine of at least 0.7; superfluous if none is left for it.
`halves`: a file of cells (`--kang`) with the columns donor and group_id: donor 101 against control
cells of donor 107. The cells of both are cut into halves at random, and the programs of one half
assigned to those of the other.
`time`: log values of counts with structure, of which a tenth is stored.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scipy.optimize import linear_sum_assignment

from bcnmf import BCNMF, NMF, ConvergenceWarning, consensus
from bcnmf.agreement import UNSTABLE, Agreement, agreement
from bcnmf.seeds import derive_seed, seed_of_start
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import write_table
from contrast_grid import SIDES, log_values

_TRUE = 0.7
# The defaults of `consensus`.
_OUTLIERS = 0.3, 0.5


def main() -> None:
    """Run what is asked for, write its table, and print a summary."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    table = {"programs": programs, "halves": halves, "time": times}[arguments.what](arguments)
    write_table(table, arguments.out / f"consensus_{arguments.what}.tsv")


def programs(arguments: argparse.Namespace) -> pd.DataFrame:
    """Return one row a program of each data set, method and K."""
    parts: list[pd.DataFrame] = []
    for beta, data_seed in product(arguments.betas, arguments.data_seeds):
        data = simulate_counts(
            beta, n_genes=1000, n_target=300, n_background=300, shared_block=100, target_block=80,
            random_state=data_seed,
        )  # fmt: skip
        X, Y = (log_values(data[data.obs["side"] == side]) for side in SIDES)
        target = data.uns["target_programs"]
        all_programs = np.concatenate([data.uns["shared_programs"], target])
        for make, truth in (
            *((NMF(k, max_iter=200), all_programs) for k in (7, 10, 14)),
            *((BCNMF(k, alpha=2.0, max_iter=200), target) for k in (2, 3, 5)),
        ):
            found, spectra, objectives = _starts(make, X, Y, arguments.starts)
            row = {"beta": beta, "data_seed": data_seed, "method": type(make).__name__}
            parts.append(_of_programs(found, spectra, objectives, truth).assign(**row))
        print(f"beta {beta:g}, data seed {data_seed}", flush=True)
    table = pd.concat(parts, ignore_index=True)
    print(_summary(table))
    return table


def halves(arguments: argparse.Namespace) -> pd.DataFrame:
    """Return one row a program of each half and K."""
    cells = ad.read_h5ad(arguments.kang)
    donor, control = cells.obs["donor"].astype(str), cells.obs["group_id"] == "ctrl"
    sides = [log_values(cells[rows]) for rows in (donor == "101", (donor == "107") & control)]
    parts = []
    for k in arguments.ks:
        found = []
        for half in (0, 1):
            rng = np.random.default_rng(derive_seed("halves"))
            parts_of = [rng.permutation(side.shape[0]) % 2 == half for side in sides]
            X, Y = (side[rows] for side, rows in zip(sides, parts_of, strict=True))
            found.append(_starts(BCNMF(k, alpha=1.5, max_iter=200), X, Y, arguments.starts)[0])
        for one, other in (found, found[::-1]):
            cosine, _ = _assigned(one.programs, other.programs)
            parts.append(
                pd.DataFrame({"k": k, "stability": one.stability, "cosine_other_half": cosine})
            )
        print(f"K = {k}", flush=True)
    table = pd.concat(parts, ignore_index=True)
    bands = pd.cut(table["stability"], [-0.01, 0.4, UNSTABLE, 0.9, 1.0])
    print(table.groupby(bands, observed=True)["cosine_other_half"].describe().to_string())
    by_k = table.assign(unstable=table["stability"] < UNSTABLE).groupby("k")
    print(by_k[["stability", "unstable", "cosine_other_half"]].mean().to_string())
    return table


def times(arguments: argparse.Namespace) -> pd.DataFrame:
    """Return seconds, and seconds of the processors, of a consensus and of fits one by one."""
    rows, make = [], BCNMF(10, alpha=1.5, tol=arguments.tol)
    for cells in arguments.cells:
        n, m = (int(part) for part in cells.split("+"))
        X, Y = _tenth(n, 12, 0), _tenth(m, 7, 1)
        make.fit(X, background=Y)  # compiled code is loaded
        _, alone = _timed(partial(_fits, make, X, Y, arguments.singles))
        found, together = _timed(partial(consensus, make, X, Y, arguments.starts))
        rows.append(
            {
                "cells": cells,
                "tol": arguments.tol,
                "stored": (X.nnz + Y.nnz) / (n + m) / X.shape[1],
                "threads": arguments.threads,
                "starts": arguments.starts,
                "seconds": together[0],
                "cpu_seconds": together[1],
                "cpu_seconds_a_single_fit": alone[1] / arguments.singles,
                "ratio": together[1] / (alone[1] / arguments.singles * arguments.starts),
                "stable": int(found.stable_.sum()),
            }
        )
        print(pd.DataFrame(rows).to_string(), flush=True)
    return pd.DataFrame(rows)


def _fits(make: NMF, X: sp.csr_matrix, Y: sp.csr_matrix, n: int) -> list[NMF]:
    return [
        type(make)(**make.get_params() | {"random_state": seed_of_start(0, i)}).fit(X, background=Y)
        for i in range(n)
    ]


def _starts(
    make: NMF, X: sp.csr_matrix, Y: sp.csr_matrix, n: int
) -> tuple[Agreement, np.ndarray, np.ndarray]:
    """Return what `consensus` makes of starts, and their topics and objectives."""
    fits = _fits(make, X, Y, n)
    spectra = np.stack([fit.components_ for fit in fits])
    objectives = np.array([fit.objective_[-1] for fit in fits])
    return agreement(spectra, *_OUTLIERS, derive_seed("consensus", 0)), spectra, objectives


def _of_programs(
    found: Agreement, spectra: np.ndarray, objectives: np.ndarray, truth: np.ndarray
) -> pd.DataFrame:
    """Return stability and the cosine with the truth of each program, and of the rivals there."""
    k = len(found.programs)
    cosine, which = _assigned(found.programs, truth)
    best, _ = _assigned(truth, spectra[objectives.argmin()])
    single = np.mean([_assigned(truth, one)[0] for one in spectra], axis=0)
    least = np.mean([_assigned(truth, one)[0].min() for one in spectra])
    return pd.DataFrame(
        {
            "k": k,
            "stability": found.stability,
            "true_program": which,
            "cosine": cosine,
            "best_of_n": [best[i] if i >= 0 else np.nan for i in which],
            "single": [single[i] if i >= 0 else np.nan for i in which],
            "single_least": least,
        }
    )


def _assigned(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of each row with that assigned to it, and which; NaN, -1 for none."""
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    rows, columns = linear_sum_assignment(one @ other.T, maximize=True)
    cosine, which = np.full(len(first), np.nan), np.full(len(first), -1)
    cosine[rows], which[rows] = (one @ other.T)[rows, columns], columns
    return cosine, which


def _summary(table: pd.DataFrame) -> str:
    lines = [
        "| method, K | true: stability, below 0.7 | superfluous: stability, below 0.7 "
        "| cosine to the truth: consensus, best, single | least: consensus, best, single |",
        "|---|---|---|---|---|",
    ]
    for (method, k), part in table.groupby(["method", "k"], sort=False):
        true = part[part["cosine"] >= _TRUE]
        rest = part[part["true_program"] < 0]
        assigned = part[part["true_program"] >= 0]
        runs = assigned.groupby(["beta", "data_seed"])
        cells = [f"{method} {k}"]
        cells += [_flagged(true), _flagged(rest)]
        kinds = ["cosine", "best_of_n", "single"]
        cells.append(", ".join(f"{assigned[kind].mean():.3f}" for kind in kinds))
        least = [runs["cosine"].min(), runs["best_of_n"].min(), runs["single_least"].first()]
        cells.append(", ".join(f"{one.mean():.3f}" for one in least))
        lines.append(f"| {' | '.join(cells)} |")
    nmf = table[table["method"] == "NMF"]
    for threshold in (0.4, 0.5, 0.6, UNSTABLE, 0.8):
        flagged = nmf["stability"] < threshold
        true, rest = nmf["cosine"] >= _TRUE, nmf["true_program"] < 0
        lines.append(
            f"NMF, below {threshold}: {flagged[true].mean():.1%} of {true.sum()} true, "
            f"{flagged[rest].mean():.1%} of {rest.sum()} superfluous"
        )
    return "\n".join(lines)


def _flagged(part: pd.DataFrame) -> str:
    if part.empty:
        return ""
    stability = part["stability"]
    return f"{stability.mean():.2f}, {(stability < UNSTABLE).sum()} of {len(part)}"


def _timed(call: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, (time.perf_counter() - wall, time.process_time() - cpu)


def _tenth(cells: int, used: int, seed: int, genes: int = 3000) -> sp.csr_matrix:
    """Draw log values of counts: so many of twelve programs are used, a tenth is stored."""
    profiles = np.random.default_rng(derive_seed("profiles")).gamma(0.15, 1.0, (12, genes))
    rng = np.random.default_rng(derive_seed("cells", seed))
    rates = rng.gamma(0.5, 1.0, (cells, used)) @ profiles[:used]
    rates *= 0.12 * genes / rates.sum(axis=1, keepdims=True)
    return sp.csr_matrix(np.log1p(rng.poisson(rates).astype(np.float32)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("programs", "halves", "time"))
    parser.add_argument("--starts", type=int, default=50)
    parser.add_argument("--singles", type=int, default=5, help="fits that are timed one by one")
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0, 4.0, 8.0, 16.0])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--ks", type=int, nargs="+", default=[2, 5, 10, 15])
    parser.add_argument("--tol", type=float, default=1e-5)
    parser.add_argument("--cells", nargs="+", default=["1000+1000", "2000+2000"])
    parser.add_argument("--kang", type=Path, help="cells, .h5ad with counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
