"""Tests of unit means: units (donors, mice) are independent of one another, their samples are not.

Units are permuted between classes. Where a unit holds samples of both classes, it is a pair, and
its two sides are exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
from scipy import stats

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed

MOST_ARRANGEMENTS = 20_000  # Up to so many all are made, beyond it
DRAWN = 9_999  # so many are drawn.
_RESAMPLED = 999
# Fewer units are too few to draw from again: often all that are drawn are the same.
_FEWEST_RESAMPLED = 3
_LEVEL = 0.05
# Columns that are tested at a time, so that memory does not grow with them.
_COLUMNS = 256
# Statistics of arrangements that are the same but for rounding count as the same.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Replicates:
    """Units, or the parts of a unit where its samples are of several classes.

    A patient before and after treatment is two replicates, which belong together.

    Attributes
    ----------
    of_sample : ndarray of int, shape (samples,)
        Replicate of each sample, as its place in `units`.
    units, classes : ndarray of shape (replicates,)
        Unit and class of each; sorted by unit, then by class.
    """

    of_sample: np.ndarray
    units: np.ndarray
    classes: np.ndarray

    def means(self, values: Any) -> np.ndarray:
        """Return the mean (replicates, columns) of values (samples, columns), dense or sparse."""
        return np.array(
            [
                np.asarray(values[self.of_sample == place].mean(axis=0), dtype=np.float64).ravel()
                for place in range(len(self.units))
            ]
        )

    def pairs(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the replicates of either class of units that hold both, where these are the rule.

        That is, where at least half of the units, and at least two, hold samples of both of two
        classes; else None.
        """
        names, counts = np.unique(self.units, return_counts=True)
        both = names[counts == 2]
        if len(np.unique(self.classes)) != 2 or len(both) < 2 or 2 * len(both) < len(names):
            return None
        first = np.searchsorted(self.units, both)
        return first, first + 1


@dataclass(frozen=True, eq=False)
class UnitTest:
    """Test of every column for a difference of unit means between classes.

    Attributes
    ----------
    first, second : str
        The classes of two; "" where there are more.
    effect : ndarray of shape (columns,)
        Mean over the units of the first class minus that of the second; of pairs the mean
        difference. NaN with more than two classes.
    low, high : ndarray of shape (columns,)
        95% interval of the effect: units are drawn again, and the studentised effect is taken
        (symmetric bootstrap-t). NaN with fewer than three units in a class.
    p_value : ndarray of shape (columns,)
        Two-sided; NaN where nothing can be tested.
    n_first, n_second : int
        Units of either class, of pairs the pairs; of more than two classes all units, and 0.
    paired : bool
        Whether pairs were tested.
    test : str
        How p was found, or why it was not, in words.
    """

    first: str
    second: str
    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    n_first: int
    n_second: int
    paired: bool
    test: str

    @property
    def q_value(self) -> np.ndarray:
        """p-values adjusted over the columns (Benjamini and Hochberg 1995), (columns,)."""
        return benjamini_hochberg(self.p_value)


def benjamini_hochberg(p_value: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995).

    Missing p-values stay missing and do not count as tests.
    """
    p_value = np.asarray(p_value, dtype=np.float64)
    found = np.full(p_value.shape, np.nan)
    tested = ~np.isnan(p_value)
    if tested.any():
        found[tested] = stats.false_discovery_control(p_value[tested], method="bh")
    return found


def replicates(classes: Any, units: Any) -> Replicates:
    """Return the replicates of samples, one a unit and class.

    Parameters
    ----------
    classes, units : array of shape (samples,)
        Class (a label, or the side of the contrast) and unit of each sample.
    """
    unit_names, unit_of = np.unique(np.asarray(units), return_inverse=True)
    class_names, class_of = np.unique(np.asarray(classes), return_inverse=True)
    codes, of_sample = np.unique(unit_of * len(class_names) + class_of, return_inverse=True)
    return Replicates(
        of_sample, unit_names[codes // len(class_names)], class_names[codes % len(class_names)]
    )


def unit_test(
    values: Any,
    classes: Any,
    units: Any,
    *,
    first: str = "",
    random_state: int = 0,
    inflation: float = 1.0,
) -> UnitTest:
    """Test whether means of units differ between classes.

    Two classes: where at least half of the units hold samples of both, these units are pairs, and
    the sign of each pair's difference is flipped; else units are permuted between the classes, and
    Welch's t is the statistic, which unequal variances do not fool. Three classes or more: units
    are permuted, and the statistic is F. Up to 20,000 arrangements are all made; of more, 9,999 are
    drawn, and the one that was observed is counted with them.

    Parameters
    ----------
    values : ndarray or scipy sparse matrix of shape (samples, columns)
        Usages, scores or features.
    classes, units : array of shape (samples,)
        Class and unit of each sample. A unit of several classes that is not tested in pairs counts
        once in each: that is too careful rather than too sure, as long as its parts are alike.
    first : str
        Which of two classes the effect is counted for; the one that sorts first if empty.
    random_state : int
        Seed of what is drawn.
    inflation : float
        By how much the variance of the effect is larger than that of independent units, at least 1;
        see `bcnmf.evidence.programs`.

    Returns
    -------
    UnitTest

    Raises
    ------
    InputError
        Lengths that differ, or `first` is no class of two.

    Examples
    --------
    >>> import numpy as np
    >>> from bcnmf import unit_test
    >>> donors = np.repeat(["a", "b", "c", "d", "e", "f", "g", "h"], 5)
    >>> treated = np.repeat(["no", "yes"], 20)
    >>> usage = np.arange(40.0)[:, None]
    >>> found = unit_test(usage, treated, donors, first="yes")
    >>> found.effect, found.p_value.round(3), found.test
    (array([20.]), array([0.029]), 'exact, 70 arrangements')
    """
    if not values.shape[0] == len(classes) == len(units):
        raise InputError(
            f"values have {values.shape[0]} samples, classes {len(classes)}, units {len(units)}; "
            "expected one class and one unit a sample"
        )
    found = replicates(classes, units)
    names, counts = np.unique(found.classes, return_counts=True)
    if first and not (len(names) == 2 and first in names):
        raise InputError(
            f"first={first!r}: is none of two classes; found {', '.join(map(str, names))}"
        )
    missing = np.full(values.shape[1], np.nan)
    if len(names) != 2:
        p_value, test = missing, _too_few(counts)
        if not test:
            means = found.means(values)
            blocks = [_permuted_f(one, found.classes, random_state) for (one,) in _blocks(means)]
            p_value, test = np.concatenate([p for p, _ in blocks]), blocks[0][1]
        return UnitTest(
            "", "", missing, missing, missing, p_value, len(np.unique(found.units)), 0, False, test
        )
    one, other = (names[0], names[1]) if first in ("", names[0]) else (names[1], names[0])
    sides = pairs = found.pairs()
    if pairs is None:
        sides = np.flatnonzero(found.classes == names[0]), np.flatnonzero(found.classes == names[1])
    assert sides is not None
    means = found.means(values)
    a, b = (means[side] for side in (sides if one == names[0] else sides[::-1]))
    effect, p_value, low, high = a.mean(0) - b.mean(0), missing, missing, missing
    test = "" if pairs is not None else _too_few(counts)
    if not test:
        blocks = [
            _permuted_t(x, y, random_state, inflation)
            if pairs is None
            else _flipped(x - y, random_state, inflation)
            for x, y in _blocks(a, b)
        ]
        p_value, test = np.concatenate([p for p, _ in blocks]), blocks[0][1]
    if min(len(a), len(b)) >= _FEWEST_RESAMPLED:
        half = np.concatenate(
            [
                _half_width([x, y] if pairs is None else [x - y], random_state, inflation)
                for x, y in _blocks(a, b)
            ]
        )
        low, high = effect - half, effect + half
    return UnitTest(
        str(one), str(other), effect, low, high, p_value, len(a), len(b), pairs is not None, test
    )


def _blocks(*sides: np.ndarray) -> list[list[np.ndarray]]:
    """Return sides (units, columns) with some of their columns at a time."""
    starts = range(0, max(1, sides[0].shape[1]), _COLUMNS)
    return [[side[:, start : start + _COLUMNS] for side in sides] for start in starts]


def _too_few(counts: np.ndarray) -> str:
    """Return why units of classes cannot be tested; "" if they can."""
    if len(counts) < 2:
        return "not tested: one class"
    return "" if counts.min() > 1 else "not tested: a class has one unit, and needs two"


@cache
def exact_arrangements(n_first: int, n: int) -> np.ndarray:
    """Return all ways to choose some of n units, (arrangements, n) bool; the given one first."""
    chosen = np.array(list(combinations(range(n), n_first)))
    found = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(found, chosen, True, axis=1)
    found.flags.writeable = False
    return found


def _permuted_t(
    a: np.ndarray, b: np.ndarray, random_state: int, inflation: float
) -> tuple[np.ndarray, str]:
    """Return p of Welch's t of columns when units change classes, and how it was found."""
    values, split, n = np.concatenate([a, b]), len(a), len(a) + len(b)
    every = comb(n, split)
    exact = every <= MOST_ARRANGEMENTS
    arrangements = exact_arrangements(split, n) if exact else _drawn(split, n, random_state)
    observed = np.arange(n) < split
    t = _welch(values, np.vstack([observed, arrangements]))
    p_value = _p_value(t[0] / np.sqrt(inflation), t[1:], exact)
    p_value[_constant(values)] = np.nan
    lowest = (2 if len(a) == len(b) else 1) / every
    return p_value, _in_words(exact, every, "arrangements", lowest)


def _drawn(split: int, n: int, random_state: int) -> np.ndarray:
    rng = np.random.default_rng(derive_seed("arrangements", random_state))
    places = rng.random((DRAWN, n)).argsort(axis=1)
    return np.asarray(places < split)


def _welch(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return |t| (arrangements, columns) of values (units, columns); `first` (arrangements, units).

    A variance of zero is taken as one that vanishes.
    """
    values = values - values.mean(0)
    squares = np.square(values)
    counts = first.sum(1, keepdims=True, dtype=np.float64)
    spread, difference = 0.0, 0.0
    for inside, n, sign in ((first, counts, 1), (~first, len(values) - counts, -1)):
        mean = inside.astype(np.float64) @ values / n
        difference = difference + sign * mean
        variance = np.maximum(inside.astype(np.float64) @ squares / n - np.square(mean), 0)
        spread = spread + variance / (n - 1)
    floor = np.maximum(_ROUNDING**2 * squares.sum(0), np.finfo(float).tiny)
    return np.asarray(np.abs(difference) / np.sqrt(np.maximum(spread, floor)))


def _flipped(
    differences: np.ndarray, random_state: int, inflation: float
) -> tuple[np.ndarray, str]:
    """Return p of mean differences (pairs, columns) when signs are flipped, and how it was found.

    As t is an increasing function of the mean when the sum of squares is given, t is used, so that
    `inflation` means the same as elsewhere.
    """
    n = len(differences)
    exact = 2**n <= MOST_ARRANGEMENTS
    if exact:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        rng = np.random.default_rng(derive_seed("signs", random_state))
        signs = rng.choice([1.0, -1.0], size=(DRAWN, n))
    means = np.vstack([np.ones(n), signs]) @ differences / n
    squares = np.square(differences).mean(0)
    rest = np.maximum(squares - np.square(means), _ROUNDING * squares)
    with np.errstate(invalid="ignore"):
        t = np.abs(means) / np.sqrt(rest / (n - 1))
    p_value = _p_value(t[0] / np.sqrt(inflation), t[1:], exact)
    p_value[squares == 0] = np.nan
    return p_value, _in_words(exact, 2**n, "sign flips of pairs", 2 / 2**n)


def _permuted_f(
    means: np.ndarray, classes: np.ndarray, random_state: int
) -> tuple[np.ndarray, str]:
    """Return p of F of columns when units change classes, and how it was found."""
    member = classes[:, None] == np.unique(classes)
    rng = np.random.default_rng(derive_seed("arrangements", random_state))
    centred = means - means.mean(0)
    # Of a given total, F increases with the sum of squares between classes.
    between = np.array(
        [
            (np.square(member[order].T @ centred) / member.sum(0)[:, None]).sum(0)
            for order in [
                np.arange(len(means)),
                *(rng.permutation(len(means)) for _ in range(DRAWN)),
            ]
        ]
    )
    p_value = _p_value(between[0], between[1:], False)
    p_value[_constant(means)] = np.nan
    return p_value, f"{DRAWN} arrangements of {member.shape[1]} classes, drawn"


def _p_value(observed: np.ndarray, others: np.ndarray, exact: bool) -> np.ndarray:
    """Return the share of arrangements that are as extreme; one that was drawn is one more."""
    as_large = (others >= observed * (1 - _ROUNDING)).sum(0)
    return np.asarray(as_large / len(others) if exact else (as_large + 1) / (len(others) + 1))


def _constant(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.ptp(values, axis=0) <= 1e-13 * np.abs(values).max(axis=0))


def _in_words(exact: bool, every: int, what: str, lowest: float) -> str:
    words = f"exact, {every} {what}" if exact else f"{DRAWN} of {every:.2g} {what}, drawn"
    return f"{words}: p cannot be below {lowest:.2g}" if lowest > _LEVEL else words


def _half_width(sides: list[np.ndarray], random_state: int, inflation: float) -> np.ndarray:
    """Return half of the 95% interval of a sum or difference of means, by drawing units again.

    The 95% point of |effect of the drawn - effect| in units of the standard error of the drawn:
    of all intervals by drawing again, the one that holds what it says with three or four units.
    """
    rng = np.random.default_rng(derive_seed("drawn units", random_state))
    columns = sides[0].shape[1]
    shift = np.zeros((_RESAMPLED, columns))
    spread, error = np.zeros_like(shift), np.zeros(columns)
    for sign, values in zip((1, -1), sides, strict=False):
        n = len(values)
        centred = values - values.mean(0)
        weights = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLED) / n
        mean = weights @ centred
        shift = shift + sign * mean
        spread = spread + np.maximum(weights @ np.square(centred) - np.square(mean), 0) / (n - 1)
        error = error + centred.var(0) / (n - 1)
    # Where all that are drawn are alike, there is no standard error.
    usable = spread > _ROUNDING * error
    t = np.full_like(shift, np.nan)
    np.divide(np.abs(shift), np.sqrt(spread), out=t, where=usable)
    point = np.zeros(columns)
    some = usable.any(0)
    point[some] = np.nanquantile(t[:, some], 1 - _LEVEL, axis=0)
    return np.asarray(point * np.sqrt(inflation * error))
