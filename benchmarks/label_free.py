"""Settings recommended without labels, beside what the labels would have picked: the beta series.

    python benchmarks/label_free.py      half an hour, one thread

For each data set `bcnmf.selection.select` recommends K and alpha from log1p of counts per 10,000.
Then every setting is fitted to all of the data and scored by the adjusted Rand index of k-means
with two clusters (random_state 42, n_init 10) on its usages.
"""

from __future__ import annotations

import argparse
import warnings
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf.selection import select
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels
from bcnmf_pipeline.record.tables import write_table
from contrast_grid import SIDES, log_values


def main() -> None:
    """Write one row a setting and data set, and print a table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    tables: list[pd.DataFrame] = []
    for beta, data_seed in product(arguments.betas, arguments.data_seeds):
        tables.append(_settings(beta, data_seed, arguments))
        write_table(pd.concat(tables), arguments.out)
        print(f"beta {beta:g}, data seed {data_seed}", flush=True)
    print(_markdown(pd.concat(tables)))


def _settings(beta: float, data_seed: int, arguments: argparse.Namespace) -> pd.DataFrame:
    data = simulate_counts(beta, random_state=data_seed)
    target, background = (log_values(data[data.obs["side"] == side]) for side in SIDES)
    labels = data.obs["target_program"][data.obs["side"] == "target"].to_numpy()
    common = {"max_iter": 200, "device": "cpu"}
    found = select(
        target, background, n_components=arguments.ks, alphas=arguments.alphas,
        n_splits=arguments.splits, random_state=data_seed, **common,
    )  # fmt: skip
    table = found.summary.assign(beta=beta, data_seed=data_seed)
    table["ari"] = [
        adjusted_rand(
            labels,
            kmeans_labels(
                BCNMF(int(row.k), alpha=row.alpha, **common).fit_transform(
                    target, background=background
                ),
                2,
            ),
        )
        for row in table.itertuples()
    ]
    return table


def _markdown(table: pd.DataFrame) -> str:
    lines = [
        "| beta | data seed | recommended K, alpha | stability | specificity | ARI | best ARI |",
        "|---|---|---|---|---|---|---|",
    ]
    for (beta, seed), part in table.groupby(["beta", "data_seed"]):
        chosen = part[part["recommended"]]
        cells = (
            ["none", "", "", ""]
            if chosen.empty
            else [
                f"{row.k}, {row.alpha:g}" if name == "setting" else format(getattr(row, name), form)
                for row in chosen.itertuples()
                for name, form in (
                    ("setting", ""), ("stability", ".3f"), ("specificity", ".1f"), ("ari", ".3f"),
                )
            ]
        )  # fmt: skip
        cells = [f"{beta:g}", str(seed), *cells, f"{part['ari'].max():.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0, 8.0, 16.0])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ks", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.0, 1.0, 1.5, 2.0, 3.0, 5.0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/bench/label_free.tsv"))
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
