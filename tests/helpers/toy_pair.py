"""A small pair with made-up fits, and rows of the tables of their evaluation."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.persistence import Fit

N, M, FEATURES = 36, 20, 12
STUDY = {"study": "toy", "label": "group", "unit": "mouse"}


def pair(sparse=True):
    """Return 12 mice x 3 replicates, two groups; the second has more of four features."""
    generator = np.random.default_rng(0)
    mouse = np.repeat(np.arange(12), 3)
    second = mouse >= 6
    rates = np.ones((N, FEATURES))
    rates[second, :4] = 4.0
    values = generator.poisson(rates).astype(np.float32)
    obs = pd.DataFrame(
        {
            "group": pd.Categorical(np.where(second, "treated", "control")),
            "mouse": [f"mouse{i:02}" for i in mouse],
        },
        index=[f"sample{i}" for i in range(N)],
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(FEATURES)])
    target = ad.AnnData(sp.csr_matrix(values) if sparse else values, obs=obs, var=var)
    background = ad.AnnData(
        generator.poisson(np.ones((M, FEATURES))).astype(np.float32),
        obs=pd.DataFrame(index=[f"control{i}" for i in range(M)]),
        var=var,
    )
    return target, background


def make_fit(target, background, *, method="bcnmf", k=3, alpha=1.5, seed=0, signed=False, **info):
    """Return a fit whose first topic follows the second group."""
    generator = np.random.default_rng(seed + 10 * k)
    usage = generator.random((target.n_obs, k)).astype(np.float32)
    if "group" in target.obs:
        usage[:, 0] += 3 * (target.obs["group"] == "treated").to_numpy()
    if signed:
        usage -= usage.mean(axis=0)
    return Fit(
        usage=usage,
        background_usage=np.empty((0, k)) if signed else generator.random((background.n_obs, k)),
        components=generator.normal(size=(k, target.n_vars)),
        objective=np.empty(0) if signed else np.array([9.0, 4.0, 3.0]),
        objective_name="" if signed else "squared error",
        sample_names=target.obs_names.to_numpy(dtype=str),
        background_names=background.obs_names.to_numpy(dtype=str),
        feature_names=target.var_names.to_numpy(dtype=str),
        info={"method": method, "k": k, "alpha": alpha, "seed": seed, "contrast": "relative"}
        | info,
    )


def positive(fit):
    """Return a fit whose loadings are non-negative, as those of all methods with topics."""
    fit.components = np.abs(fit.components)
    return fit


def rows_of(table, method, seed=0):
    return table[(table["method"] == method) & (table["seed"] == seed)]


def value_of(scores, method, score, seed=0):
    rows = rows_of(scores, method, seed)
    return rows.loc[rows["score"] == score, "value"].item()
