"""Which number of topics and which contrast, chosen without labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

from bcnmf.checks import (
    check_integer,
    check_number,
    check_same_names,
    feature_names,
    import_extra,
)
from bcnmf.errors import InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.matrices.inputs import host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed
from bcnmf.sklearn_errors import ConvergenceWarning

if TYPE_CHECKING:
    import pandas as pd

MIN_SPECIFICITY = 2.0
# Below it the halves' topics have hardly a feature in common, and specificity is chance.
_LEAST_STABILITY = 0.01


@dataclass(frozen=True)
class Selection:
    """What every number of topics and contrast came to, and which is recommended.

    Attributes
    ----------
    fits : DataFrame
        One row a fit of a half: k, alpha, split, half, stability (of both halves),
        explained_target, explained_background (of the samples left out), specificity, converged.
    summary : DataFrame
        One row a setting: k, alpha, stability, stability_sd (over splits), specificity,
        explained_target, explained_background, converged (share of fits), eligible, recommended.
    n_components, alpha : int, float, or None
        The recommended setting; None where no setting is eligible.
    """

    fits: pd.DataFrame
    summary: pd.DataFrame
    n_components: int | None
    alpha: float | None

    def advice(self) -> str:
        """Return the recommendation in a sentence."""
        if self.n_components is None:
            return (
                "no setting has topics specific to the target (specificity, see the table); "
                "try larger alphas, or another background"
            )
        row = self.summary[self.summary["recommended"]].iloc[0]
        return (
            f"recommended: K = {self.n_components}, alpha = {self.alpha:g} (stability "
            f"{row['stability']:.2f}; the target uses its topics {row['specificity']:.1f} times as "
            "strongly as the background)"
        )


def select(
    target: Any,
    background: Any,
    *,
    n_components: Sequence[int],
    alphas: Sequence[float],
    n_splits: int = 3,
    min_specificity: float = MIN_SPECIFICITY,
    random_state: int = 0,
    **parameters: Any,
) -> Selection:
    """Fit halves of the data over a grid, and recommend the most reproducible specific topics.

    Target and background are split into halves at random, and each half is fitted from a start of
    its own. Three things are measured:

    - stability: cosine between the topics of the two halves, assigned one to one, mean over topics.
    - specificity: of each topic, its mean squared usage per sample in the target over that in the
      background, both of the half that was left out; median over topics. Shared topics have 1.
    - how much of the samples left out the topics explain, on either side.

    Stability alone would choose alpha = 0, since shared programs reproduce well. So a setting is
    eligible if its specificity is at least `min_specificity` and its stability at least 0.01, which
    topics of hardly a feature in common do not have; and among these the most stable one
    is recommended.

    Parameters
    ----------
    target, background : ndarray, scipy sparse, torch.Tensor or AnnData, samples x features
        In memory.
    n_components : sequence of int
        Numbers of topics to try.
    alphas : sequence of float
        Contrasts to try.
    n_splits : int
        Random splits; every setting is fitted twice a split, on half of the data.
    min_specificity : float
        At least 1.
    random_state : int
        Seed of splits and starts.
    **parameters
        Further parameters of `BCNMF`, the same in all fits; squared error only.

    Returns
    -------
    Selection

    Raises
    ------
    InputError
        Nothing to try, data on disk, a Poisson loss, halves too small for the topics, or anything
        that `BCNMF` refuses.

    References
    ----------
    Kotliar et al. 2019, eLife 8:e43803 (stability of topics over replicates); Lange et al. 2004,
    Neural Computation 16:1299 (stability over halves of the data).
    """
    check_integer("n_splits", n_splits, 1)
    tables = import_extra("pandas")
    splits = [
        fit_split(
            target, background, split, n_components=n_components, alphas=alphas,
            random_state=random_state, **parameters,
        )
        for split in range(n_splits)
    ]  # fmt: skip
    return summarise(tables.concat(splits, ignore_index=True), min_specificity)


def fit_split(
    target: Any,
    background: Any,
    split: int,
    *,
    n_components: Sequence[int],
    alphas: Sequence[float],
    random_state: int = 0,
    **parameters: Any,
) -> pd.DataFrame:
    """Fit both halves of one random split over the grid; see `select`.

    Returns
    -------
    DataFrame
        Rows of `Selection.fits`.
    """
    _check(n_components, alphas, parameters)
    check_same_names(feature_names(background), feature_names(target), "background", "target")
    tables = import_extra("pandas")
    halves = [
        _halves(_in_memory(data, name), derive_seed("halves", name, split, random_state))
        for data, name in ((target, "target"), (background, "background"))
    ]
    rows = []
    for k, alpha in product(n_components, alphas):
        models = [
            _fitted(
                halves, half, n_components=k, alpha=alpha, **parameters,
                random_state=derive_seed("start", split, half, random_state),
            )
            for half in (0, 1)
        ]  # fmt: skip
        stability = matched_cosine(*(model.components_ for model in models))
        rows += [
            {"k": k, "alpha": alpha, "split": split, "half": half + 1, "stability": stability}
            | _left_out(model, [side[1 - half] for side in halves])
            for half, model in enumerate(models)
        ]
    return tables.DataFrame(rows)


def summarise(fits: pd.DataFrame, min_specificity: float = MIN_SPECIFICITY) -> Selection:
    """Return means over splits, and the most stable of the settings that are specific enough."""
    check_number("min_specificity", min_specificity, 1.0, np.inf)
    settings = fits.groupby(["k", "alpha"])
    per_split = fits.groupby(["k", "alpha", "split"])["stability"].first().groupby(["k", "alpha"])
    summary = (
        import_extra("pandas")
        .DataFrame(
            {
                "stability": per_split.mean(),
                "stability_sd": per_split.std(),
                "specificity": settings["specificity"].median(),
                "explained_target": settings["explained_target"].mean(),
                "explained_background": settings["explained_background"].mean(),
                "converged": settings["converged"].mean(),
            }
        )
        .reset_index()
    )
    specific = summary["specificity"] >= min_specificity
    summary["eligible"] = specific & (summary["stability"] >= _LEAST_STABILITY)
    stability = summary["stability"].where(summary["eligible"])
    best = None if stability.isna().all() else stability.idxmax()
    summary["recommended"] = summary.index == best
    return Selection(
        fits=fits,
        summary=summary,
        n_components=None if best is None else int(summary.loc[best, "k"]),
        alpha=None if best is None else float(summary.loc[best, "alpha"]),
    )


def matched_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean cosine of topics that are assigned one to one such that the sum is largest.

    Parameters
    ----------
    first, second : ndarray of shape (K, features)
        Loadings of two fits; a topic of zeros is like no other.
    """
    norms = [np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second)]
    unit = [one / np.maximum(norm, 1e-30) for one, norm in zip((first, second), norms, strict=True)]
    cosines = unit[0] @ unit[1].T
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return float(cosines[rows, columns].mean())


def _check(ks: Sequence[int], alphas: Sequence[float], parameters: dict[str, Any]) -> None:
    for name, values in (("n_components", ks), ("alphas", alphas)):
        if not len(values):
            raise InputError(f"{name}: nothing to try; give at least one value")
        if len(set(values)) < len(values):
            raise InputError(f"{name}: {', '.join(map(str, values))} holds a value twice")
    for k in ks:
        check_integer("n_components", k, 1)
    for alpha in alphas:
        check_number("alphas", alpha, 0.0, np.inf)
    if parameters.get("loss", "squared_error") != "squared_error":
        raise InputError(
            f"loss={parameters['loss']!r}: contrasts are compared under squared error only, as the "
            "Poisson contrast has no minimum; pass log values with loss='squared_error'"
        )


def _in_memory(data: Any, name: str) -> np.ndarray | sp.csr_matrix:
    if is_on_disk(data):
        raise InputError(
            f"{name}: is on disk; halves are fitted in memory. Take a random part of its samples "
            "(data[rows].to_memory()): a setting that reproduces there will do for all"
        )
    values = host_array(data, name)
    if values.shape[0] < 4:
        raise InputError(f"{name}: has {values.shape[0]} samples; halves need at least 4")
    return values


def _halves(values: np.ndarray | sp.csr_matrix, seed: int) -> list[np.ndarray | sp.csr_matrix]:
    """Return two halves of the samples, at random."""
    order = np.random.default_rng(seed).permutation(values.shape[0])
    middle = len(order) // 2
    return [values[np.sort(part)] for part in (order[:middle], order[middle:])]


def _fitted(halves: list[list[Any]], half: int, **parameters: Any) -> BCNMF:
    with warnings.catch_warnings():
        # The table has it, as a share of the fits.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BCNMF(**parameters).fit(halves[0][half], background=halves[1][half])


def _left_out(model: BCNMF, sides: list[Any]) -> dict[str, Any]:
    """Return how a fit does on the halves of target and background that it was not fitted to."""
    explained, energy = zip(*(_on_new_samples(model, side) for side in sides), strict=True)
    return {
        "explained_target": explained[0],
        "explained_background": explained[1],
        "specificity": _ratio(*energy),
        "converged": bool(model.converged_),
    }


def _on_new_samples(model: BCNMF, samples: Any) -> tuple[float, np.ndarray]:
    """Return the explained share of the samples' energy, and the mean squared usage per topic."""
    usage = model.transform(samples).astype(np.float64)
    components = model.components_.astype(np.float64)
    unit = usage * np.linalg.norm(components, axis=1)
    fit = np.sum((samples @ components.T) * usage)
    model_energy = np.sum((usage.T @ usage) * (components @ components.T))
    total = float((samples.multiply(samples) if sp.issparse(samples) else samples**2).sum())
    explained = (2 * fit - model_energy) / total if total > 0 else float("nan")
    return float(explained), np.square(unit).mean(axis=0)


def _ratio(target: np.ndarray, background: np.ndarray) -> float:
    """Return the median over topics; one that no left-out target sample uses has 0."""
    ratio = np.zeros_like(target)
    used = target > 0
    with np.errstate(divide="ignore"):
        ratio[used] = target[used] / background[used]
    return float(np.median(ratio))
