"""Batches: weights by which each counts alike, and what to say where a batch is the condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bcnmf import checks
from bcnmf.errors import InputError

# How what is missing looks as text.
_MISSING = ("", "nan", "None", "<NA>", "NaT")
# Within these, what is multiplied by weights stays a number in float32, and so do its squares.
_LEAST, _MOST = 1e-9, 1e9
_SHOWN = 5


def balanced_weights(batch: Any, units: Any = None) -> np.ndarray:
    """Return weights of samples by which every batch, and in it every unit, counts alike.

    Parameters
    ----------
    batch : array or Series of shape (n,), or array or DataFrame of shape (n, columns)
        What each sample was measured in; of several columns each combination is a batch.
    units : array or Series of shape (n,), optional
        What each sample comes from, for instance its donor.

    Returns
    -------
    ndarray of shape (n,)
        Above zero, 1 on average. Target and background have weights of their own: pass them to
        `fit` as `sample_weight` and `background_weight`.

    Raises
    ------
    InputError
        A sample without a batch or unit, or different numbers of both.

    Examples
    --------
    >>> from bcnmf import balanced_weights
    >>> balanced_weights(["a", "a", "a", "b"]).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    >>> balanced_weights(["a", "a", "a", "a"], units=["x", "x", "x", "y"]).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    names = named(batch, "batch")
    batches = np.unique(names, return_inverse=True)[1].ravel()
    parts = batches[:, None]
    if units is not None:
        of_unit = named(units, "units", len(names))
        parts = np.stack([batches, np.unique(of_unit, return_inverse=True)[1].ravel()], axis=1)
    # A part is a unit's samples of one batch; without units, the batch.
    found, part, sizes = np.unique(parts, axis=0, return_inverse=True, return_counts=True)
    part, parts_of_batch = part.ravel(), np.bincount(found[:, 0])
    counted = len(parts_of_batch) * parts_of_batch[batches] * sizes[part]
    return np.asarray(len(names) / counted)


def effective_size(weights: np.ndarray) -> float:
    """Return how many samples that count alike would tell as much (Kish): below n if few weigh."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def named(values: Any, name: str, n: int | None = None) -> np.ndarray:
    """Return what each sample belongs to (n,) as text; of several columns, joined by " / ".

    Parameters
    ----------
    values : array or Series of shape (n,), or array or DataFrame of shape (n, columns)
        Groups: batches, units.
    name : str
        What to call them in errors, for instance "batch of the target".
    n : int, optional
        How many there have to be.

    Raises
    ------
    InputError
        Another number or shape of them, or samples without one.
    """
    table = np.asarray(values, dtype=object)
    table = np.where(np.ma.getmask(values), "", table.astype(str))
    if table.ndim not in (1, 2) or 0 in table.shape or (n is not None and len(table) != n):
        raise InputError(
            f"{name}: has shape {table.shape}; expected one a sample, ({n or 'n'},), or "
            f"({n or 'n'}, columns)"
        )
    columns = table[:, None] if table.ndim == 1 else table
    if lacking := int(np.isin(columns, _MISSING).any(1).sum()):
        raise InputError(
            f"{name}: {lacking} of {len(table)} samples have none ({', '.join(_MISSING[1:])} or no "
            "text); name it, or leave these samples out"
        )
    return np.array([" / ".join(row) for row in columns.tolist()])


def checked(weights: Any, name: str, n: int, samples: np.ndarray | None) -> np.ndarray | None:
    """Return weights of samples (n,) in float64; None where none are given.

    Parameters
    ----------
    weights : array or Series of shape (n,), or None
        At least zero; zero leaves a sample out.
    name : str
        What to call them in errors, for instance "sample_weight".
    n : int
        How many samples there are.
    samples : ndarray of str, or None
        Their names (`bcnmf.checks.sample_names`), by which a Series has to be in order.

    Raises
    ------
    InputError
        Wrong number, no numbers, negative, missing, infinite or all zero; extreme beside 1; or a
        Series of other samples, or in another order.
    """
    if weights is None:
        return None
    checks.check_same_names(checks.sample_names(weights), samples, name, "the data", "samples")
    try:
        found = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: holds what is no number ({error}); give numbers") from error
    if found.shape != (n,):
        raise InputError(f"{name}: has shape {found.shape}; expected one a sample, ({n},)")
    if bad := int((~np.isfinite(found)).sum() + np.count_nonzero(np.ma.getmask(weights))):
        raise InputError(
            f"{name}: {bad} of {n} weights are NaN, masked or infinite; give 0 to samples that are "
            "to be left out"
        )
    if (found < 0).any():
        raise InputError(
            f"{name}: {int((found < 0).sum())} of {n} weights are negative, the smallest "
            f"{found.min():.6g}; give numbers of at least 0"
        )
    if not found.any():
        raise InputError(
            f"{name}: all weights are zero, so no sample is left; give at least one above 0"
        )
    counted = found[found > 0]
    if counted.min() < _LEAST or counted.max() > _MOST:
        raise InputError(
            f"{name}: goes from {counted.min():.3g} to {counted.max():.3g}; what is above 0 has to "
            f"be within {_LEAST:g} and {_MOST:g}: divide the weights of both sides by their mean"
        )
    return found


@dataclass(frozen=True)
class OneSided:
    """Which batches are on both sides of a contrast, and which are on one.

    Attributes
    ----------
    target, background, shared : list of str
        Batches of the target alone, of the background alone, and of both.
    share_target, share_background : float
        Share of each side's samples that are in batches of that side alone.
    """

    target: list[str]
    background: list[str]
    shared: list[str]
    share_target: float
    share_background: float

    @property
    def confounded(self) -> bool:
        """Whether no batch is on both sides: what sets batches apart cannot be told from them."""
        return not self.shared

    @property
    def sentence(self) -> str:
        """What this means, in a sentence; empty where every batch is on both sides."""
        if self.confounded:
            return (
                "no batch is on both sides, so that what differs between batches cannot be told "
                "from what differs between target and background"
            )
        sides = [
            f"{share:.0%} of the {name} {'are' if len(only) > 1 else 'is'} in "
            f"{'batches' if len(only) > 1 else 'a batch'} that the other side lacks "
            f"({_listed(only)})"
            for name, only, share in (
                ("target", self.target, self.share_target),
                ("background", self.background, self.share_background),
            )
            if only
        ]
        if not sides:
            return ""
        return (
            f"{' and '.join(sides)}: there, what is a batch's own cannot be told from what is the "
            "condition's"
        )

    @property
    def remedy(self) -> str:
        """What to do about it; empty where there is nothing to do."""
        if self.confounded:
            return (
                "take samples of both sides that were measured in the same batch; no weights and "
                "no gene offsets can make up for that"
            )
        return "leave samples of these batches out and see whether a program stays" * bool(
            self.sentence
        )


def one_sided(batch: Any, background_batch: Any) -> OneSided:
    """Return which batches are on one side alone.

    Parameters
    ----------
    batch, background_batch : as `named` takes, of n and of m samples
        Batches of the target and of the background.
    """
    sides = named(batch, "batch of the target"), named(background_batch, "batch of the background")
    there = [set(side.tolist()) for side in sides]
    only = [sorted(there[0] - there[1]), sorted(there[1] - there[0])]
    shares = [float(np.isin(side, names).mean()) for side, names in zip(sides, only, strict=True)]
    return OneSided(only[0], only[1], sorted(there[0] & there[1]), shares[0], shares[1])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
