"""How well topics are the programs that data were simulated from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bcnmf_pipeline.datasets.simulation import BLOCK, PROFILE, SHARED, TARGET


def true_programs(var: pd.DataFrame) -> np.ndarray | None:
    """Return the profiles (programs, features) of the target programs; None for other data.

    Parameters
    ----------
    var : DataFrame
        Features, with columns ``block`` and ``program_target_1``, ... where they were simulated.
    """
    if BLOCK not in var:
        return None
    names = [name for name in var.columns if str(name).startswith(PROFILE + TARGET)]
    return var[names].to_numpy(dtype=np.float64).T if names else None


def shared_genes(var: pd.DataFrame) -> np.ndarray:
    """Return which features are in the block of a shared program."""
    return np.asarray(var[BLOCK].astype(str).str.startswith(SHARED))


def program_cosine(components: np.ndarray, programs: np.ndarray) -> np.ndarray:
    """Return how like each program is to the component that is assigned to it.

    Components and programs are assigned one to one such that the sum of cosines is largest.

    Parameters
    ----------
    components : ndarray of shape (K, features)
        Loadings; of a signed one the better of both signs counts.
    programs : ndarray of shape (programs, features)
        True profiles.

    Returns
    -------
    ndarray of shape (programs,)
        Cosines in [0, 1]; 0 for a program without a component, where there are fewer of these.
    """
    cosines = _cosines(programs, components)
    found = np.zeros(len(programs))
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    found[rows] = cosines[rows, columns]
    return found


def best_cosine(components: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how like each component is to that of another fit which is most like it.

    Parameters
    ----------
    components, others : ndarray of shape (K, features)
        Loadings; of signed ones the better of both signs counts.

    Returns
    -------
    ndarray of shape (K,)
        Cosines in [0, 1]; 0 for a component without loadings.
    """
    return np.asarray(_cosines(components, others).max(axis=1))


def shared_leakage(components: np.ndarray, usage: np.ndarray, shared: np.ndarray) -> float:
    """Return what part of the energy that topics explain one by one lies on shared genes.

    The energy of a topic on a feature is ||h||^2 c^2: loadings alone would count topics that
    hardly any sample uses.

    Parameters
    ----------
    components, usage : ndarray of shape (K, features), (samples, K)
        Of the fit.
    shared : ndarray of bool, shape (features,)
        Which features are in the block of a shared program.

    Returns
    -------
    float
        In [0, 1]; NaN where the topics explain nothing.
    """
    energy = np.square(usage, dtype=np.float64).sum(axis=0) @ np.square(
        components, dtype=np.float64
    )
    total = energy.sum()
    return float(energy[shared].sum() / total) if total > 0 else float("nan")


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(_unit(first) @ _unit(second).T))


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))
