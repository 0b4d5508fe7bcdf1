"""How surely shared and target topics find the target programs of the count simulation.

    python benchmarks/shared_target.py                                      540 fits, an hour or two
    python benchmarks/shared_target.py --betas 1 16 --data-seeds 0 --fit-seeds 0 --out /tmp/st.tsv

Each fit of `SharedTargetNMF` to raw counts is scored by the adjusted Rand index of k-means with two
clusters (random_state 42, n_init 10) against the target programs, on: the square root of the share
of each cell's fitted counts that each target topic has (`ari`); that share itself (`ari_share`);
the usages (`ari_usage`); and the usages divided by their sum over target topics (`ari_usage_sum`).
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
import torch

from bcnmf import ConvergenceWarning
from bcnmf.estimators.shared_target import SharedTargetNMF
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels, usage_share
from bcnmf_pipeline.record.tables import write_table

BETAS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
OUT = Path("results/bench/shared_target.tsv")
_SETTING = ["n_shared", "n_target", "beta"]


def main() -> None:
    """Fit, print a line a fit, write the table after each data set, print means and minima."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    rows: list[dict] = []
    for beta, data_seed in product(arguments.betas, arguments.data_seeds):
        data = simulate_counts(beta, random_state=data_seed)
        for row in _fits(data, arguments):
            rows.append({"beta": beta, "data_seed": data_seed} | row)
            print(" ".join(f"{name}={value:g}" for name, value in rows[-1].items()), flush=True)
        write_table(pd.DataFrame(rows), arguments.out)
    print(_summary(pd.DataFrame(rows)).to_string(float_format="%.4f"))


def _fits(data: ad.AnnData, arguments: argparse.Namespace) -> Iterator[dict]:
    in_target = (data.obs["side"] == "target").to_numpy()
    target, background = data.X[in_target], data.X[~in_target]
    labels = data.obs["target_program"][in_target].to_numpy()
    sizes = zip(arguments.n_shared, arguments.n_target, strict=True)
    for (n_shared, n_target), seed in product(sizes, arguments.fit_seeds):
        model = SharedTargetNMF(
            n_shared, n_target, init=arguments.init, n_init=arguments.n_init, tol=arguments.tol,
            max_iter=arguments.max_iter, device="cpu", random_state=seed,
        )  # fmt: skip
        wall, processor = time.perf_counter(), time.process_time()
        model.fit(target, background=background)
        yield {
            "n_shared": n_shared,
            "n_target": n_target,
            "fit_seed": seed,
            **_scores(model, labels),
            "objective": model.objective_[-1],
            "n_iter": model.n_iter_,
            "converged": int(model.converged_),
            "seconds": time.perf_counter() - wall,
            "processor_seconds": time.process_time() - processor,
        }


def _scores(model: SharedTargetNMF, labels: np.ndarray) -> dict[str, float]:
    share = model.target_share()
    spaces = {
        "ari": np.sqrt(share),
        "ari_share": share,
        "ari_usage": model.usage_,
        "ari_usage_sum": usage_share(model.usage_),
    }
    return {name: adjusted_rand(labels, kmeans_labels(space, 2)) for name, space in spaces.items()}


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    grouped = table.groupby(_SETTING)
    return pd.DataFrame(
        {
            "fits": grouped.size(),
            "mean": grouped["ari"].mean(),
            "least": grouped["ari"].min(),
            "failed": grouped["ari"].agg(lambda values: int((values < 0.9).sum())),
            "mean_share": grouped["ari_share"].mean(),
            "mean_usage": grouped["ari_usage"].mean(),
            "mean_usage_sum": grouped["ari_usage_sum"].mean(),
            "seconds": grouped["processor_seconds"].median(),
        }
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    parser.add_argument("--data-seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--fit-seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--n-shared", type=int, nargs="+", default=[10, 10, 6], help="one number a model"
    )
    parser.add_argument(
        "--n-target", type=int, nargs="+", default=[2, 5, 2], help="one number a model"
    )
    defaults = SharedTargetNMF().get_params()
    parser.add_argument("--init", choices=["seeded", "random"], default=defaults["init"])
    parser.add_argument("--n-init", type=int, default=defaults["n_init"])
    parser.add_argument("--tol", type=float, default=defaults["tol"])
    parser.add_argument("--max-iter", type=int, default=defaults["max_iter"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if len(arguments.n_shared) != len(arguments.n_target):
        parser.error("--n-shared and --n-target: give as many numbers of one as of the other")
    return arguments


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
