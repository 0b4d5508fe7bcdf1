"""The beta series over numbers of topics and contrasts: the default solver and the published one.

    python benchmarks/contrast_grid.py                                      324 fits, half an hour
    python benchmarks/contrast_grid.py --betas 8 --data-seeds 0 --alphas 2 --out /tmp/grid.tsv

Log1p of counts per 10,000 of the paper's simulation; contrast relative. A fit is scored by the
adjusted Rand index of k-means with two clusters (random_state 42, n_init 10) on its usages against
the target programs. "mu" runs 200 iterations, "safeguarded" up to 500 with its own stopping rule;
both from the same random start. `reduced_objective` has usages that are exact for both.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.solvers.contrast import Term, evaluate, normalise
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels
from bcnmf_pipeline.record.tables import write_table

SOLVERS = {
    "safeguarded": {},
    "mu": {"max_iter": 200, "tol": 0},
}


def main() -> None:
    """Fit, write the table after each data set, print means and minima."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    rows: list[dict] = []
    for beta, data_seed in product(arguments.betas, arguments.data_seeds):
        data = simulate_counts(beta, random_state=data_seed)
        rows += [{"beta": beta, "data_seed": data_seed} | row for row in _fits(data, arguments)]
        write_table(pd.DataFrame(rows), arguments.out)
        print(f"beta {beta:g}, data seed {data_seed}: {len(rows)} fits so far", flush=True)
    print(_summary(pd.DataFrame(rows)))


def _fits(data: ad.AnnData, arguments: argparse.Namespace) -> Iterator[dict]:
    target, background = (log_values(data[data.obs["side"] == side]) for side in SIDES)
    labels = data.obs["target_program"][data.obs["side"] == "target"].to_numpy()
    for k, alpha, solver, seed in product(
        arguments.ks, arguments.alphas, SOLVERS, arguments.fit_seeds
    ):
        model = BCNMF(
            k, alpha=alpha, solver=solver, device="cpu", random_state=seed, **SOLVERS[solver]
        )
        started = time.process_time()
        usage = model.fit_transform(target, background=background)
        yield {
            "k": k, "alpha": alpha, "solver": solver, "fit_seed": seed,
            "ari": adjusted_rand(labels, kmeans_labels(usage, 2)),
            "reduced_objective": _reduced(model, target, background), "n_iter": model.n_iter_,
            "converged": int(model.converged_), "kkt_residual": model.kkt_residual_,
            "processor_seconds": time.process_time() - started,
        }  # fmt: skip


def _reduced(model: BCNMF, target: sp.csr_matrix, background: sp.csr_matrix) -> float:
    """Return the objective at exact usages, which "mu" does not have."""
    sides = [
        Term(as_matrix(data, name, torch.float32, torch.device("cpu")), weight)
        for data, name, weight in zip(
            (target, background), SIDES, (1.0, -model.alpha_), strict=True
        )
    ]
    usages = [torch.zeros((side.data.shape[0], model.n_components)) for side in sides]
    return evaluate(sides, normalise(torch.from_numpy(model.components_)), usages).objective


SIDES = ("target", "background")


def log_values(side: ad.AnnData) -> sp.csr_matrix:
    """Return log1p of counts per 10,000."""
    counts = sp.csr_matrix(side.X, dtype=np.float32)
    shares = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ counts
    return sp.csr_matrix(shares.log1p(), dtype=np.float32)


def _summary(table: pd.DataFrame) -> str:
    """Return, as Markdown, mean (minimum) of the scores and the share of converged fits."""
    lines = []
    for (beta, k), part in table.groupby(["beta", "k"]):
        for solver, fits in part.groupby("solver", sort=False):
            scores = fits.groupby("alpha")["ari"].agg(["mean", "min"])
            cells = [f"{row['mean']:.3f} ({row['min']:.3f})" for _, row in scores.iterrows()]
            done = f"{int(fits['converged'].sum())}/{len(fits)}" if solver != "mu" else ""
            lines.append(f"| {beta:g} | {k} | {solver} | " + " | ".join(cells) + f" | {done} |")
    wide = table.pivot_table(
        index=["beta", "data_seed", "k", "alpha", "fit_seed"], columns="solver",
        values="reduced_objective",
    )  # fmt: skip
    lower = int((wide["safeguarded"] < wide["mu"]).sum())
    lines.append(f"\nThe safeguarded fit has the lower objective in {lower} of {len(wide)} pairs.")
    alphas = sorted(table["alpha"].unique())
    head = "| beta | K | solver | " + " | ".join(f"alpha {a:g}" for a in alphas) + " | converged |"
    return "\n".join([head, "|---" * (len(alphas) + 4) + "|", *lines])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0, 8.0, 16.0])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fit-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ks", type=int, nargs="+", default=[2, 7, 10])
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 1.5, 2.0, 5.0, 10.0, 20.0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/bench/contrast_grid.tsv"))
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
