"""What helps where the background does not fit the target, on the settings of the drivers study.

    python benchmarks/misfit.py                                        all, some hours
    python benchmarks/misfit.py --cells 250 --data-seeds 0 1 2 --out /tmp/misfit.tsv
    python benchmarks/misfit.py --read /tmp/misfit.tsv                 tables of runs of before

Raw counts for SharedTargetNMF (10 shared topics, 2 of the target), log1p of counts per 10,000 for
bcNMF ("bcnmf K, alpha"). `ari`: adjusted Rand index of two means on the square root of
`target_share` (bcNMF: on its usages) against the target programs. `auroc`: mean over the two
programs of the AUROC of the best topic's share (bcNMF: usage); `auroc_rarest`: the same of the
program of the fewest cells alone. `absent`: topics held for a second round. Tables give means over
data sets with 95% intervals (bootstrap over data sets).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scipy.stats import bootstrap

from bcnmf import BCNMF, SharedTargetNMF
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.association import auroc_per_class
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels
from bcnmf_pipeline.plan.drivers import BASE, VARIANTS
from bcnmf_pipeline.record.tables import write_table

# Name -> (beta, variant).
SETTINGS = {
    "nothing": (8.0, BASE),
    "lacks1": (8.0, "lacks1"),
    "rare5": (8.0, "rare5"),
    "background30": (8.0, "background30"),
    "capture20": (8.0, "capture20"),
    "sigma10": (8.0, "sigma10"),
    "own1": (8.0, "own1"),
    "beta1": (1.0, BASE),
    "beta0": (0.0, BASE),
}
SHARED: dict[str, dict[str, Any]] = {
    "never": {"second_round": "never"},
    "auto": {"second_round": "auto"},
    "always": {"second_round": "always"},
    "one, always": {"n_target": 1, "second_round": "always"},
    "five topics": {"n_target": 5, "second_round": "never"},
    "both": {"shared_from": "both", "second_round": "auto"},
    "both, one, always": {"n_target": 1, "shared_from": "both", "second_round": "always"},
    "both, always": {"shared_from": "both", "second_round": "always"},
    "both, five topics": {"n_target": 5, "shared_from": "both", "second_round": "auto"},
    "offsets": {"offsets": "side", "second_round": "never"},
}
CONTRAST: dict[str, dict[str, Any]] = {
    f"bcnmf {k}, {alpha:g}": {"n_components": k, "alpha": alpha}
    for k, alpha in ((2, 2.0), (7, 2.0), (7, 5.0))
}
MODELS = {name: (SharedTargetNMF, chosen) for name, chosen in SHARED.items()}
MODELS |= {name: (BCNMF, chosen | {"solver": "mu"}) for name, chosen in CONTRAST.items()}
_RUN = ["setting", "cells", "model", "data_seed"]
_SCORES = ("ari", "auroc", "auroc_rarest")
OUT = Path("results/bench/misfit.tsv")


def main() -> None:
    """Fit, print a line a fit, write the table after each data set, print means and intervals."""
    arguments = _arguments()
    if arguments.read:
        table = pd.concat([pd.read_csv(path, sep="\t") for path in arguments.read])
        print(_summary(table.drop_duplicates(_RUN, keep="last")))
        return
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed, setting in product(arguments.data_seeds, arguments.settings):
        for row in _fits(setting, seed, arguments.cells, arguments.models):
            rows.append({"setting": setting, "cells": arguments.cells, "data_seed": seed} | row)
            print(" ".join(f"{name}={value}" for name, value in rows[-1].items()), flush=True)
        write_table(pd.DataFrame(rows), arguments.out)
    print(_summary(pd.DataFrame(rows)))


def _fits(setting: str, seed: int, cells: int, models: list[str]) -> Iterator[dict[str, Any]]:
    beta, variant = SETTINGS[setting]
    sizes = {"n_target": cells, "n_background": cells} | VARIANTS.get(variant, {})
    data = simulate_counts(beta, random_state=seed, **sizes)
    in_target = (data.obs["side"] == "target").to_numpy()
    labels = data.obs["target_program"][in_target].to_numpy()
    for name in models:
        kind, chosen = MODELS[name]
        values = data.X if kind is SharedTargetNMF else _log(data.X)
        model = kind(device="cpu", random_state=0, **chosen)
        started = time.process_time()
        model.fit(values[in_target], background=values[~in_target])
        seconds = time.process_time() - started
        space = np.sqrt(model.target_share()) if kind is SharedTargetNMF else model.usage_
        classes, areas = auroc_per_class(space, labels)
        best = dict(zip(classes, areas.max(axis=1), strict=True))
        yield {
            "model": name,
            "ari": adjusted_rand(labels, kmeans_labels(space, 2)),
            "auroc": float(np.mean(list(best.values()))),
            "auroc_rarest": float(best[pd.Series(labels).value_counts().idxmin()]),
            "absent": getattr(model, "n_absent_", 0),
            "seconds": seconds,
        }


def _log(counts: sp.csr_matrix) -> sp.csr_matrix:
    totals = np.maximum(np.asarray(counts.sum(1)), 1)
    return sp.csr_matrix(counts.multiply(1e4 / totals)).log1p()


def _summary(table: pd.DataFrame) -> str:
    grouped = table.groupby(["setting", "cells", "model"], sort=False)
    columns = {score: grouped[score].apply(_interval) for score in _SCORES}
    columns |= {
        "data_sets": grouped.size(),
        "second_rounds": grouped["absent"].agg(lambda values: int((values > 0).sum())),
        "seconds": grouped["seconds"].median().round(2),
    }
    return pd.DataFrame(columns).to_string()


def _interval(values: pd.Series) -> str:
    values = values.dropna()
    if values.empty:
        return ""
    mean = f"{values.mean():.3f}"
    if len(values) < 2 or np.ptp(values) == 0:
        return mean
    found = bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    return f"{mean} ({found.low:.3f} to {found.high:.3f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    settings: Mapping[str, Any] = SETTINGS
    parser.add_argument("--settings", nargs="+", choices=settings, default=list(settings))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cells", type=int, default=1000, help="cells a side")
    parser.add_argument("--data-seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--read", type=Path, nargs="+", help="tables of runs of before")
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
