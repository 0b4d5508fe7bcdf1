"""Fits of random halves of the data: what they say of a number of topics and a contrast."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

from bcnmf import progress
from bcnmf.batches import checked, named
from bcnmf.checks import (
    check_integer,
    check_number,
    check_same_names,
    feature_names,
    import_extra,
    sample_names,
)
from bcnmf.crossfitting import parts_of_units
from bcnmf.errors import InputError
from bcnmf.estimators.contrast import BCNMF
from bcnmf.estimators.together import fit_together
from bcnmf.matrices.inputs import host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed
from bcnmf.sklearn_errors import ConvergenceWarning

if TYPE_CHECKING:
    import pandas as pd

Values: TypeAlias = np.ndarray | sp.csr_matrix
_LEAST_UNITS = 4


class _Part(NamedTuple):
    """Samples of one side, with their units (all of one where none are given) and weights."""

    values: Values
    units: np.ndarray
    weights: np.ndarray | None

    def only(self, chosen: np.ndarray) -> _Part:
        """Return some of the samples, by a mask."""
        weights = None if self.weights is None else self.weights[chosen]
        return _Part(self.values[np.flatnonzero(chosen)], self.units[chosen], weights)


class _Pair(NamedTuple):
    """A target and a background to be fitted, or to be judged by a fit that has seen neither."""

    target: _Part
    background: _Part


def fit_split(
    target: Any,
    background: Any,
    split: int,
    *,
    n_components: Sequence[int],
    alphas: Sequence[float],
    random_state: int = 0,
    units: Any = None,
    background_units: Any = None,
    sample_weight: Any = None,
    background_weight: Any = None,
    **parameters: Any,
) -> pd.DataFrame:
    """Fit both halves of one random split over the grid; see `select`.

    A setting's rows depend on the split's number and on `random_state` alone, never on what else is
    in the grid: settings and splits that are added later change no row.

    Returns
    -------
    DataFrame
        Rows of `Selection.fits`.
    """
    _check(n_components, alphas, parameters)
    check_same_names(feature_names(background), feature_names(target), "background", "target")
    tables = import_extra("pandas")
    sides = _Pair(
        _side(target, "target", units, sample_weight, "sample_weight"),
        _side(background, "background", background_units, background_weight, "background_weight"),
    )
    halves = _halves(sides, split, random_state)
    # Nothing is new in one half of the background beside the other: quarters are its halves.
    seed = derive_seed("nothing", split, random_state)
    quarters = [_quarters(pair.background, seed) for pair in halves]
    nothing = [_Pair(*pair) for pair in zip(*quarters, strict=True)]

    def fitted(pair: _Pair, k: int, *name: Any) -> list[BCNMF]:
        options = parameters | {"n_components": k, "random_state": derive_seed(*name, random_state)}
        return _fitted(pair, [BCNMF(alpha=alpha, **options) for alpha in alphas])

    rows = []
    for k in progress.counted(n_components, "number of topics", len(n_components)):
        models = [fitted(pair, k, "start", split, half) for half, pair in enumerate(halves)]
        again = fitted(halves[0], k, "second start", split)
        known = min(min(side.values.shape) for pair in nothing for side in pair) >= k
        of_nothing = [
            fitted(pair, k, "nothing", split, half) for half, pair in enumerate(nothing) if known
        ]
        for number, alpha in enumerate(alphas):
            both = [of_half[number] for of_half in models]
            row = {
                "k": k,
                "alpha": alpha,
                "split": split,
                "stability": matched_cosine(*(model.components_ for model in both)),
                "stability_starts": matched_cosine(both[0].components_, again[number].components_),
            } | _of_nothing([of_half[number] for of_half in of_nothing], nothing)
            rows += [
                row | {"half": half + 1} | _left_out(model, halves[1 - half])
                for half, model in enumerate(both)
            ]
    return tables.DataFrame(rows)


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


def _side(data: Any, name: str, units: Any, weights: Any, called: str) -> _Part:
    if is_on_disk(data):
        raise InputError(
            f"{name}: is on disk; halves are fitted in memory. Take a random part of its samples "
            "(data[rows].to_memory()): a setting that reproduces there will do for all"
        )
    values = host_array(data, name)
    n, samples = values.shape[0], sample_names(data)
    if n < 4:
        raise InputError(f"{name}: has {n} samples; halves need at least 4")
    check_same_names(sample_names(units), samples, f"units of the {name}", name, "samples")
    of_unit = np.zeros(n, dtype=str) if units is None else named(units, f"units of the {name}", n)
    return _Part(values, of_unit, checked(weights, called, n, samples))


def _halves(sides: _Pair, split: int, random_state: int) -> list[_Pair]:
    """Return two halves of both sides: of whole units where both have four, else of samples.

    Of fewer units a half would be one unit, and what sets one apart is no program.
    """
    if min(len(np.unique(side.units)) for side in sides) >= _LEAST_UNITS:
        seed = derive_seed("halves", "units", split, random_state)
        parts = parts_of_units(sides.target.units, sides.background.units, 2, seed)
        second = [part == 1 for part in parts]
    else:
        second = [
            _second_half(len(side.units), derive_seed("halves", name, split, random_state))
            for side, name in zip(sides, ("target", "background"), strict=True)
        ]
        sides = _Pair(*(side._replace(units=np.zeros(len(side.units), str)) for side in sides))
    return [
        _Pair(*(side.only(mask == half) for side, mask in zip(sides, second, strict=True)))
        for half in (False, True)
    ]


def _quarters(half: _Part, seed: int) -> list[_Part]:
    """Return two parts of a half: of whole units, if it has several."""
    if len(np.unique(half.units)) > 1:
        second = parts_of_units(half.units, half.units, 2, seed)[0] == 1
    else:
        second = _second_half(len(half.units), seed)
    return [half.only(second == which) for which in (False, True)]


def _second_half(n: int, seed: int) -> np.ndarray:
    """Return which of n samples are in the second half, at random."""
    found = np.ones(n, dtype=bool)
    found[np.random.default_rng(seed).permutation(n)[: n // 2]] = False
    return found


def _fitted(pair: _Pair, models: Sequence[BCNMF]) -> list[BCNMF]:
    target, background = pair
    with warnings.catch_warnings():
        # The table has it, as a share of the fits.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_together(
            models, target.values, background.values, sample_weight=target.weights,
            background_weight=background.weights,
        )  # fmt: skip


def _of_nothing(models: Sequence[BCNMF], pairs: Sequence[_Pair]) -> dict[str, float]:
    """Return what a setting made of two parts of the background, as if one were a target.

    Where the parts are too few samples for the topics, there are no models, and nothing is known.
    """
    if not models:
        return dict.fromkeys(("null_stability", "null_contrast"), float("nan"))
    left_out = [
        _left_out(model, pair)["explained_contrast"]
        for model, pair in zip(models, pairs[::-1], strict=True)
    ]
    return {
        "null_stability": matched_cosine(*(model.components_ for model in models)),
        "null_contrast": float(np.mean(left_out)),
    }


def _left_out(model: BCNMF, pair: _Pair) -> dict[str, Any]:
    """Return how a fit does on a target and a background that it was not fitted to."""
    target, background = (_on_new_samples(model, side.values) for side in pair)
    return {
        "explained_target": target.explained,
        "explained_background": background.explained,
        "explained_contrast": target.explained - background.explained,
        "specificity": _ratio(target.usage, background.usage),
        "converged": bool(model.converged_),
    }


class _Reading(NamedTuple):
    explained: float
    usage: np.ndarray


def _on_new_samples(model: BCNMF, samples: Any) -> _Reading:
    """Return the explained share of the samples' energy, and the mean squared usage per topic."""
    usage = model.transform(samples).astype(np.float64)
    components = model.components_.astype(np.float64)
    unit = usage * np.linalg.norm(components, axis=1)
    fit = np.sum((samples @ components.T) * usage)
    model_energy = np.sum((usage.T @ usage) * (components @ components.T))
    total = float((samples.multiply(samples) if sp.issparse(samples) else samples**2).sum())
    explained = (2 * fit - model_energy) / total if total > 0 else float("nan")
    return _Reading(float(explained), np.square(unit).mean(axis=0))


def _ratio(target: np.ndarray, background: np.ndarray) -> float:
    """Return the median over topics; one that no left-out target sample uses has 0."""
    ratio = np.zeros_like(target)
    used = target > 0
    with np.errstate(divide="ignore"):
        ratio[used] = target[used] / background[used]
    return float(np.median(ratio))
