"""Is there anything at all: a fit beside fits in which target and background were exchanged.

A fit always finds topics that the target uses more than the background. Whether it finds more than
it would where there is nothing is told by refits: units (donors, mice) change sides, and everything
is done again, on units that no fit has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from bcnmf import checks, progress
from bcnmf.batches import checked, named
from bcnmf.errors import InputError
from bcnmf.evidence.arrangements import BySamples, ByUnits
from bcnmf.evidence.refits import Refit
from bcnmf.matrices.inputs import check_non_negative, host_array
from bcnmf.matrices.sources import is_on_disk
from bcnmf.seeds import derive_seed

_LEVEL = 0.05
# Statistics of arrangements that are the same but for rounding count as the same.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Null:
    """What a fit came to beside refits under the null hypothesis.

    Attributes
    ----------
    statistic : float
        T: what share of a left-out unit's energy the target topics explain beside topics of the
        background, mean over units of the target minus mean over those of the background. Poisson:
        share of the deviance from the mean profile, beside which they stand too.
    refits : ndarray of shape (n,)
        T of the refits.
    p_value : float
        (1 + refits with at least the same T) / (1 + n). Where every arrangement was made, this is
        the share of arrangements, the observed one among them.
    by : {"units", "samples"}
        "units": whole units changed sides, so p says whether target units differ from background
        units by more than units do. "samples": random halves of the background were set against one
        another, so p says only whether target samples are like background samples.
    n_units : tuple of int
        Units of target and background; (0, 0) where none were given.
    paired : int
        Units with samples on both sides, whose sides were exchanged.
    arrangements : int or None
        How many ways there are to assign the units, the observed one among them; None by samples.
    exact : bool
        Whether each of these was made once.
    approximated : str
        What the fits, the observed one like all others, do less than a fit of the estimator.
    """

    statistic: float
    refits: np.ndarray
    p_value: float
    by: str
    n_units: tuple[int, int]
    paired: int
    arrangements: int | None
    exact: bool
    approximated: str

    @property
    def statistics(self) -> np.ndarray:
        """T as observed, then of the refits: (1 + n,)."""
        return np.concatenate([[self.statistic], self.refits])

    @property
    def smallest_p(self) -> float:
        """The smallest p-value that could have come out."""
        return 1 / (1 + len(self.refits))

    def advice(self) -> str:
        """Return what this says, in sentences."""
        as_much = round(self.p_value * (1 + len(self.refits))) - 1
        found = "There is something" if self.p_value <= _LEVEL else "No evidence of anything"
        if self.smallest_p > _LEVEL:
            found = f"Too few {'units' if self.exact else 'refits'} to tell"
        of = (
            "refits with units exchanged between the sides"
            if self.by == "units"
            else "refits of two random halves of the background"
        )
        every = "all " if self.exact else ""
        text = (
            f"{found}: in samples left out, target topics explain {self.statistic:+.2%} more of "
            f"the target than of the background, and at least as much in {as_much} of {every}"
            f"{len(self.refits)} {of} (p = {self.p_value:.2g})."
        )
        if self.smallest_p > _LEVEL and not self.exact:
            return (
                f"{text} With so few refits p cannot be below {self.smallest_p:.2g} whatever the "
                f"data hold: {round(1 / _LEVEL) - 1} are needed at least."
            )
        if self.smallest_p > _LEVEL:
            return (
                f"{text} With {self.n_units[0]} and {self.n_units[1]} units there are only "
                f"{self.arrangements} ways to assign them, so that p cannot be below "
                f"{self.smallest_p:.2g} whatever the data hold: more units are needed."
            )
        if self.by == "samples":
            return (
                f"{text} One sample a side cannot tell condition from batch: p says that target "
                "samples are not like background samples, not why. What tells one donor, batch or "
                "day from another looks the same; only several units on both sides can tell."
            )
        return text


def permutation_null(
    estimator: Any,
    X: Any,
    background: Any = None,
    *,
    units: Any = None,
    background_units: Any = None,
    labels: Any = None,
    n_refits: int = 200,
    folds: int = 2,
    max_iter: int | None = None,
    max_samples: int = 2000,
    random_state: int = 0,
    sample_weight: Any = None,
    background_weight: Any = None,
) -> Null:
    """Test whether target and background differ in any program, by refits under the null.

    With at least two units a side, whole units change sides: if the condition did nothing, the
    observed assignment of units to sides is one of many that are equally probable. Of a unit with
    samples on both sides, the two are exchanged, and others change places among themselves. Where
    there are at most `n_refits` other arrangements, each is made once.

    Without, random halves of the background are target and background, and the observed fit is one
    of random parts of target and background of the same size.

    Parameters
    ----------
    estimator : BCNMF, NMF, SharedTargetNMF or CombinedBasisNMF
        How to fit; it is not changed itself. A start that is given as arrays is replaced by the
        default one, since it may know which samples are the target.
    X : ndarray, scipy sparse, torch.Tensor, DataFrame or AnnData of shape (n, features)
        Target, in memory.
    background : as X, of shape (m, features), optional
        Background; left out with `labels`.
    units, background_units : array of shape (n,), (m,), optional
        What each sample comes from, for instance its donor. The same name on both sides is the same
        unit.
    labels : array of bool, shape (n,), optional
        Two classes inside X, instead of a background: True are fitted as target, False as
        background. A contrast that was fitted without labels needs no refits, see
        `bcnmf.evidence.units.unit_test`.
    n_refits : int
        Refits; each is one fit a fold. Drawn arrangements depend on their number alone, so more of
        them change none.
    folds : int
        Parts of the units, each left out once; no more than a side has units.
    max_iter : int, optional
        Iterations of a fit at most; by default 10 with solver="safeguarded" (after its warm-up),
        else 100.
    max_samples : int
        Of both sides together so many samples at random at most, as many of each unit.
    random_state : int
        Seed of starts, folds, arrangements and samples.
    sample_weight, background_weight : array of shape (n,), (m,), optional
        See `BCNMF.fit`; weights change sides with their samples.

    Returns
    -------
    Null

    Raises
    ------
    InputError
        No background, data on disk, too few samples, or anything that the estimator refuses.

    Notes
    -----
    All random choices and all that is approximated are the same for the observed fit and the
    refits, so that p is exact by units: at most a share a of data sets without an effect has
    p <= a, however few iterations are made.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import BCNMF, permutation_null
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.random((24, 12)), rng.random((24, 12))
    >>> donors = np.repeat(["a", "b", "c"], 8), np.repeat(["d", "e", "f"], 8)
    >>> null = permutation_null(
    ...     BCNMF(2, max_iter=5), X, Y, units=donors[0], background_units=donors[1]
    ... )
    >>> null.arrangements, null.exact, null.p_value >= 1 / 20
    (20, True, True)
    """
    for name, number, least in (
        ("n_refits", n_refits, 1), ("folds", folds, 2), ("max_samples", max_samples, 2),
        ("random_state", random_state, 0),
    ):  # fmt: skip
        checks.check_integer(name, number, least)
    if max_iter is not None:
        checks.check_integer("max_iter", max_iter, 1)
    target = _Side(X, "target", units, sample_weight, "sample_weight")
    if labels is None:
        if background is None:
            raise InputError(
                "background is missing: pass background=..., or for two classes inside the target "
                "labels=..., True for those that take the target's place"
            )
        other = _Side(
            background, "background", background_units, background_weight, "background_weight"
        )
        checks.check_same_names(
            checks.feature_names(background), checks.feature_names(X), "background", "target"
        )
        checks.check_same_features(target.values, other.values)
    else:
        for name, value in (
            ("background", background), ("background_units", background_units),
            ("background_weight", background_weight),
        ):  # fmt: skip
            if value is not None:
                raise InputError(
                    f"{name} is given with labels, by which classes of the target are set against "
                    "one another; leave it out, or leave labels out"
                )
        target, other = target.split(labels)
    sides = target, other
    is_target = np.repeat([True, False], [len(side.names) for side in sides])
    names = np.concatenate([side.names for side in sides])
    several = min(len(np.unique(side.names)) for side in sides) > 1
    drawn = (
        ByUnits(names, is_target, folds, max_samples, random_state)
        if several
        else BySamples(is_target, folds, max_samples, random_state)
    )
    refit = Refit(
        estimator, _stacked(sides), _weights(sides), max_iter, derive_seed("null", random_state)
    )
    statistic = refit(drawn.observed())
    count = min(n_refits, (drawn.arrangements or n_refits + 1) - 1)
    others = progress.counted(drawn.others(n_refits), "refit", count)
    refits = np.array([refit(one) for one in others])
    as_much = int((refits >= statistic - _ROUNDING).sum())
    return Null(
        statistic=statistic,
        refits=refits,
        p_value=(1 + as_much) / (1 + len(refits)),
        by="units" if several else "samples",
        n_units=drawn.n_units,
        paired=drawn.paired,
        arrangements=drawn.arrangements,
        exact=drawn.arrangements is not None and drawn.arrangements <= n_refits + 1,
        approximated=f"{refit.hurried}; {drawn.thinned}",
    )


class _Side:
    """Samples of one side, their units (one for all where none are given) and weights."""

    def __init__(self, data: Any, name: str, units: Any, weights: Any, called: str) -> None:
        if is_on_disk(data):
            raise InputError(
                f"{name}: is on disk; refits are made in memory. Take a random part of its samples "
                "of each unit: data[rows].to_memory()"
            )
        self.values = host_array(data, name)
        check_non_negative(self.values, name)
        n, samples = self.values.shape[0], checks.sample_names(data)
        checks.check_same_names(
            checks.sample_names(units), samples, f"units of the {name}", name, "samples"
        )
        self.names = (
            np.zeros(n, dtype=str) if units is None else named(units, f"units of the {name}", n)
        )
        self.weights = checked(weights, called, n, samples)

    def split(self, labels: Any) -> list[_Side]:
        """Return the samples whose label is True, and the others."""
        chosen = np.asarray(labels)
        if chosen.dtype != bool or chosen.shape != self.names.shape:
            raise InputError(
                f"labels: {chosen.dtype} of shape {chosen.shape}; expected one bool a sample, "
                f"({len(self.names)},), True for those that take the target's place: "
                "labels == 'treated'"
            )
        if chosen.all() or not chosen.any():
            raise InputError(f"labels: all are {bool(chosen[0])}; two classes are needed")
        return [self._only(rows) for rows in (chosen, ~chosen)]

    def _only(self, rows: np.ndarray) -> _Side:
        part = object.__new__(_Side)
        part.values, part.names = self.values[np.flatnonzero(rows)], self.names[rows]
        part.weights = None if self.weights is None else self.weights[rows]
        return part


def _stacked(sides: Sequence[_Side]) -> Any:
    values = [side.values for side in sides]
    if any(map(sp.issparse, values)):
        return sp.vstack([sp.csr_matrix(one) for one in values], format="csr")
    return np.concatenate(values)


def _weights(sides: Sequence[_Side]) -> np.ndarray | None:
    """Return weights of all samples; None where no side has any."""
    if all(side.weights is None for side in sides):
        return None
    return np.concatenate(
        [np.ones(len(side.names)) if side.weights is None else side.weights for side in sides]
    )
