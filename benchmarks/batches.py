"""Whether weights keep batches out of the topics: the tables of docs/background_evidence.md.

    python benchmarks/batches.py                                         simulations, one thread
    python benchmarks/batches.py --kang FOLDER/kang/kang.h5ad            and real cells
    python benchmarks/batches.py --draws 2 --betas 8 --cells 300         fewer

Simulated cells are those of the beta series, measured in three batches: 70, 20 and 10% of the
target, 10, 20 and 70% of the background. A batch captures each gene by a factor of its own,
log-normal with log-sd 0.3, and takes that part of its counts. Real cells are blood cells of two
donors before and after interferon beta (Kang et al. 2018), a donor being a batch: the target has
stimulated and other cells of donor 101 and few of 107, the background the other way round.

A fit is scored by the adjusted Rand index of k-means with two clusters against what is to be found:
on usages divided by their sum, for SharedTargetNMF on the square root of shares, of real cells on
the target score. Areas under the ROC curve are those of the topic that tells best what is to be
found (of real cells, of the target score), and of the topic that tells a batch of the target best.
False programs are topics that tell a batch better than what is to be found. `weights` says whether
batches counted alike (`bcnmf.balanced_weights`). Prints Markdown.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.metrics import roc_auc_score

from bcnmf import BCNMF, ConvergenceWarning, SharedTargetNMF, balanced_weights
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels, usage_share

BETAS, SIZES = (2.0, 8.0, 16.0), (2, 5)
SHARES = {"target": (0.7, 0.2, 0.1), "background": (0.1, 0.2, 0.7)}
LOG_SD, FEW = 0.3, 20


class Pair(NamedTuple):
    """Counts of both sides, their batches, and what is to be found in the target."""

    counts: tuple[Any, Any]
    batch: tuple[np.ndarray, np.ndarray]
    label: np.ndarray


def simulated(beta: float, cells: int, draw: int, log_sd: float) -> Pair:
    """Return cells of the beta series as three batches capture them."""
    seed = derive_seed("batches", draw)
    data = simulate_counts(beta, n_target=cells, n_background=cells, random_state=seed)
    rng = np.random.default_rng(derive_seed("batches", "capture", draw))
    capture = np.exp(rng.normal(0, log_sd, (3, data.n_vars)))
    # Counts of a part of the molecules are Poisson again.
    capture /= capture.max(0)
    side = data.obs["side"].to_numpy()
    batch = np.empty(data.n_obs, dtype=int)
    for name, shares in SHARES.items():
        sizes = np.round(cells * np.cumsum((0, *shares))).astype(int)
        batch[side == name] = rng.permutation(np.repeat(np.arange(3), np.diff(sizes)))
    counts = sp.csr_matrix(data.X)
    row = np.repeat(np.arange(data.n_obs), np.diff(counts.indptr))
    kept = rng.binomial(counts.data.astype(int), capture[batch[row], counts.indices])
    counts.data = kept.astype(np.float32)
    counts.eliminate_zeros()
    target = side == "target"
    return Pair(
        (counts[target], counts[~target]),
        (batch[target], batch[~target]),
        data.obs["target_program"][target].to_numpy(),
    )


def real(data: ad.AnnData, draw: int) -> Pair:
    """Return both donors on both sides, in unequal numbers."""
    rng = np.random.default_rng(derive_seed("batches", "kang", draw))
    donor = data.obs["donor"].astype(str).to_numpy()
    stimulated = (data.obs["group_id"] == "stim").to_numpy()

    def cells(of: str, group: bool) -> np.ndarray:
        return rng.permutation(np.flatnonzero((donor == of) & (stimulated == group)))

    first, second = cells("101", False), cells("107", False)
    treated = cells("101", True)[: len(first) - FEW], cells("107", True)[:FEW]
    target = np.concatenate([*treated, first[:-FEW], second[:FEW]])
    background = np.concatenate([second[FEW:], first[-FEW:]])
    counts = data.X.toarray().astype(np.float32)
    return Pair(
        (counts[target], counts[background]), (donor[target], donor[background]), stimulated[target]
    )


def log_values(counts: Any) -> Any:
    """Return log1p of counts per 10,000."""
    if sp.issparse(counts):
        scale = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel())
        return sp.csr_matrix(scale @ counts).log1p().astype(np.float32)
    return np.log1p(1e4 * counts / counts.sum(1, keepdims=True))


def fits(pair: Pair, sizes: list[int], real_cells: bool) -> Iterator[dict]:
    """Fit both models with and without weights; yield a score a fit."""
    logs = [log_values(side) for side in pair.counts]
    for k, weighted in product(sizes, (False, True)):
        weights = {}
        if weighted:
            names = ("sample_weight", "background_weight")
            weights = {
                name: balanced_weights(batch) for name, batch in zip(names, pair.batch, strict=True)
            }
        for name, model, sides in (
            ("BCNMF", BCNMF(k, alpha=1.5, max_iter=200, device="cpu"), logs),
            ("SharedTargetNMF", SharedTargetNMF(10, k, max_iter=100, device="cpu"), pair.counts),
        ):
            model.fit(sides[0], background=sides[1], **weights)
            usage = clustered = model.usage_
            if name == "SharedTargetNMF":
                usage = clustered = np.sqrt(model.target_share())
            elif not real_cells:
                clustered = usage_share(usage)
            if real_cells:
                clustered = model.target_score(sides[0])[:, None]
            found = [telling(topic, pair.label) for topic in usage.T]
            batch = [telling(topic, pair.batch[0]) for topic in usage.T]
            yield {
                "model": name,
                "K": k,
                "weights": "yes" if weighted else "no",
                "ari": adjusted_rand(pair.label, kmeans_labels(clustered, 2)),
                "auroc": telling(clustered[:, 0], pair.label) if real_cells else max(found),
                "auroc_batch": max(batch),
                "false": int((np.array(batch) > found).sum()),
            }


def telling(values: np.ndarray, groups: np.ndarray) -> float:
    """Return the area under the ROC curve, of 0.5 at least, for the group told best."""
    areas = [roc_auc_score(groups == group, values) for group in np.unique(groups)]
    return max(max(area, 1 - area) for area in areas)


def main() -> None:
    """Fit every draw and print a table: means over draws, standard deviations of the ARI."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--betas", type=float, nargs="*", default=list(BETAS))
    parser.add_argument("-k", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--cells", type=int, default=1000, help="of a side")
    parser.add_argument("--log-sd", type=float, default=LOG_SD, help="0: no batch effects")
    parser.add_argument("--kang", type=Path, help="the real cells")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for beta, draw in product(arguments.betas, range(arguments.draws)):
        pair = simulated(beta, arguments.cells, draw, arguments.log_sd)
        found = fits(pair, arguments.k, real_cells=False)
        rows += [{"data": f"beta {beta:g}", "draw": draw} | row for row in found]
    if arguments.kang is not None:
        data = ad.read_h5ad(arguments.kang)
        for draw in range(arguments.draws):
            found = fits(real(data, draw), arguments.k, real_cells=True)
            rows += [{"data": "kang", "draw": draw} | row for row in found]
    groups = pd.DataFrame(rows).groupby(["data", "model", "K", "weights"], sort=False)
    print("| data | model | K | weights | ARI | AUROC, program | AUROC, batch | false programs |")
    print("|---|---|---|---|---|---|---|---|")
    for (data, model, k, weights), part in groups:
        ari = f"{part['ari'].mean():.2f} ± {part['ari'].std(ddof=0):.2f}"
        areas = f"{part['auroc'].mean():.3f} | {part['auroc_batch'].mean():.3f}"
        print(
            f"| {data} | {model} | {k} | {weights} | {ari} | {areas} | "
            f"{part['false'].mean():.1f} of {k} |"
        )


if __name__ == "__main__":
    main()
