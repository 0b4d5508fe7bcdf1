"""The most variable features of both sides of a pair together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf_pipeline.pair.sides import Side
from bcnmf_pipeline.pair.values import log_per_10k


def top_features(
    sides: Sequence[Side], features: np.ndarray, n_top: int, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `n_top` most variable of some features in both sides together, and dispersions.

    Dispersions are those of `scanpy.pp.highly_variable_genes`, flavour "seurat", to the last digit
    of what it computes on one thread. They take no more of the data than a block at a time.
    """
    mean, variance = (one[features] for one in _moments(sides, kind))
    mean[mean == 0] = 1e-12
    dispersion = variance / mean
    dispersion[dispersion == 0] = np.nan
    with np.errstate(invalid="ignore"):
        dispersion = pd.Series(np.log(dispersion))
    bins = pd.cut(pd.Series(np.log1p(mean)), bins=20)
    of_bin = dispersion.groupby(bins, observed=True).agg(["mean", "std"])
    alone = of_bin["std"].isna()  # One feature in its bin: its dispersion counts as 1.
    of_bin.loc[alone, "std"] = of_bin.loc[alone, "mean"]
    of_bin.loc[alone, "mean"] = 0
    of_bin = of_bin.loc[bins].set_index(dispersion.index)
    dispersions = (dispersion - of_bin["mean"]) / of_bin["std"]
    dispersions = dispersions.fillna(-np.inf).to_numpy()
    return np.argsort(-dispersions, kind="stable")[:n_top], dispersions


def _moments(sides: Sequence[Side], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each feature, of counts per 10,000 or of exp(x) - 1."""
    n, sums = 0, np.zeros((2, len(sides[0].in_columns)))
    for block in (block for side in sides for block in side.blocks()):
        n += block.shape[0]
        if kind == "counts":
            block = log_per_10k(block, copy=False)
        elif kind == "raw":
            block = np.log1p(block)  # And back: of all kinds, what has the rounding of logs.
        block = np.expm1(block)
        values = block.data if sp.issparse(block) else block
        for total, one in zip(sums, (values, values * values), strict=True):
            # Added one by one in the order of the samples, so that blocks change no digit.
            if sp.issparse(block):
                np.add.at(total, block.indices.astype(np.intp), one.astype(np.float64))
            else:
                total[:] = np.concatenate([total[None], one]).sum(axis=0)
    mean = sums[0] / n
    variance = sums[1] / n - mean**2
    if n > 1:
        variance *= n / (n - 1)
    return mean, variance
