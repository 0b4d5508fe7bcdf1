"""How near `solver="stochastic"` comes to the full fit in a few passes over the data.

python benchmarks/few_passes.py --out results/bench

Data are the paper's simulation at a smaller number of genes, log1p(counts per 10,000). The full fit
is `solver="safeguarded"` from the same start; gaps are shares of the contrast that it explains. Its
passes include the published updates from which it starts.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import write_table
from time_to_objective import counted_passes

_SETTINGS = ((2, 1.0), (2, 2.0), (7, 0.5), (7, 1.0), (4, 1.5))
_PASSES = (3, 5, 8, 12)
_WITHIN = 0.01


def main() -> None:
    """Fit, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cells", type=int, nargs=2, default=(4000, 3000))
    chosen = parser.parse_args()
    data = _draw(*chosen.cells)
    rows = [row for k, alpha in _SETTINGS for row in _compare(data, k, alpha, range(chosen.seeds))]
    table = pd.DataFrame(rows)
    write_table(table, chosen.out / "few_passes.tsv")
    print(table.groupby(["k", "alpha"]).median(numeric_only=True).drop(columns="seed").to_string())


def _draw(target: int, background: int) -> list[sp.csr_matrix]:
    drawn = simulate_counts(
        beta=2, n_genes=600, n_target=target, n_background=background, shared_block=50,
        target_block=24, random_state=0,
    )  # fmt: skip
    sides = []
    for side in ("target", "background"):
        counts = sp.csr_matrix(drawn[drawn.obs["side"] == side].X, dtype=np.float32)
        shares = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ counts
        sides.append(sp.csr_matrix(shares.log1p(), dtype=np.float32))
    return sides


def _compare(data: list[sp.csr_matrix], k: int, alpha: float, seeds: range) -> list[dict]:
    nothing = (1 - alpha) * float(data[0].power(2).sum(dtype=np.float64))
    rows = []
    for seed in seeds:
        full = _fit(data, k, alpha, seed, solver="safeguarded", max_iter=150, tol=1e-6)
        reached, explained = full.objective_[-1], nothing - full.objective_[-1]
        needed = int(np.argmax(full.objective_ - reached <= _WITHIN * explained))
        with counted_passes() as read:
            _fit(data, k, alpha, seed, solver="safeguarded", max_iter=max(1, needed), tol=0)
        row = {"k": k, "alpha": alpha, "seed": seed, "full_passes_to_1_percent": read()}
        for passes in _PASSES:
            few = _fit(data, k, alpha, seed, solver="stochastic", max_iter=passes, tol=0)
            row[f"gap_after_{passes}"] = (few.objective_[-1] - reached) / explained
        rows.append(row)
    return rows


def _fit(data: list[sp.csr_matrix], k: int, alpha: float, seed: int, **settings: object) -> BCNMF:
    x, y = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BCNMF(k, alpha=alpha, random_state=seed, device="cpu", **settings).fit(
            x, background=y
        )


if __name__ == "__main__":
    main()
