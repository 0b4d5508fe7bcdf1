"""Which samples a refit under the null takes for target and for background, fold by fold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb
from typing import NamedTuple

import numpy as np

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed

_FEWEST = 8

# Samples by their numbers.
Rows = np.ndarray


class Fold(NamedTuple):
    """Samples that are fitted, and those left out, unit by unit."""

    target: Rows
    background: Rows
    left_target: list[Rows]
    left_background: list[Rows]


class ByUnits:
    """Units that change sides: the two sides of a unit that has both, or among the others.

    Parameters
    ----------
    units : ndarray of shape (samples,)
        Unit of each sample.
    is_target : ndarray of bool, shape (samples,)
        On which side the sample is.
    folds : int
        Parts of the units at most.
    max_samples : int
        Samples of all units together at most.
    random_state : int
        Seed.

    Attributes
    ----------
    n_units : tuple of int
        Units of target and background.
    paired : int
        Units of both.
    arrangements : int
        How many ways there are to assign the units to sides, the observed one among them.
    thinned : str
        What is left out of the samples.
    """

    def __init__(
        self, units: np.ndarray, is_target: np.ndarray, folds: int, max_samples: int,
        random_state: int,
    ) -> None:  # fmt: skip
        self._seed = random_state
        names = [set(units[side].tolist()) for side in (is_target, ~is_target)]
        self.n_units = len(names[0]), len(names[1])
        each = max(1, max_samples // sum(self.n_units))
        rng = np.random.default_rng(derive_seed("null folds", random_state))

        def part(name: str, target: bool) -> Rows:
            """Return samples of a unit on one side, of many as many as of the others."""
            rows = np.flatnonzero((units == name) & (is_target == target))
            own = np.random.default_rng(derive_seed("null samples", name, random_state))
            return np.sort(own.permutation(rows)[:each])

        both = rng.permutation(sorted(names[0] & names[1])).tolist()
        others = rng.permutation(sorted(names[0] ^ names[1])).tolist()
        self._pairs = [(part(name, True), part(name, False)) for name in both]
        self._singles = [part(name, name in names[0]) for name in others]
        self._chosen = tuple(i for i, name in enumerate(others) if name in names[0])
        self.paired = len(both)
        self.arrangements = 2**self.paired * comb(len(others), len(self._chosen))
        self._folds = min(folds, *self.n_units)
        kept = sum(map(len, [*self._singles, *(one for pair in self._pairs for one in pair)]))
        self.thinned = _thinned(kept, len(units), f"at most {each} of a unit and side")

    def observed(self) -> list[Fold]:
        """Return the folds of the units as they are."""
        return self._arranged((False,) * self.paired, self._chosen)

    def others(self, count: int) -> Iterator[list[Fold]]:
        """Yield the folds of every other arrangement; of so many drawn ones if there are more."""
        if self.arrangements > count + 1:
            yield from map(self._draw, range(count))
            return
        places = range(len(self._singles))
        for flips in product((False, True), repeat=self.paired):
            for chosen in combinations(places, len(self._chosen)):
                if any(flips) or chosen != self._chosen:
                    yield self._arranged(flips, chosen)

    def _draw(self, number: int) -> list[Fold]:
        """Return the folds of an arrangement at random, possibly the observed one."""
        rng = np.random.default_rng(derive_seed("null arrangement", number, self._seed))
        flips = rng.random(self.paired) < 0.5
        chosen = rng.permutation(len(self._singles))[: len(self._chosen)]
        return self._arranged(tuple(flips.tolist()), tuple(sorted(chosen.tolist())))

    def _arranged(self, flips: tuple[bool, ...], chosen: tuple[int, ...]) -> list[Fold]:
        # Both sides of a unit are left out together.
        pairs = [
            pair[::-1] if flip else pair for pair, flip in zip(self._pairs, flips, strict=True)
        ]
        inside = [rows for place, rows in enumerate(self._singles) if place in chosen]
        outside = [rows for place, rows in enumerate(self._singles) if place not in chosen]
        sides = [one for one, _ in pairs] + inside, [other for _, other in pairs] + outside
        return _folds(*sides, self._folds)


class BySamples:
    """Random halves of the background, beside random parts of target and background as large.

    Parameters
    ----------
    is_target : ndarray of bool, shape (samples,)
        On which side the sample is.
    folds : int
        Parts of either half.
    max_samples : int
        Samples of both halves together at most.
    random_state : int
        Seed.

    Attributes
    ----------
    thinned : str
        What is left out of the samples.
    """

    n_units, paired, arrangements = (0, 0), 0, None

    def __init__(
        self, is_target: np.ndarray, folds: int, max_samples: int, random_state: int
    ) -> None:
        self._seed, self._folds = random_state, folds
        self._target, self._background = np.flatnonzero(is_target), np.flatnonzero(~is_target)
        n, m = len(self._target), len(self._background)
        self._half = min(n, m // 2, max_samples // 2)
        fewest = max(_FEWEST, 2 * folds)
        if self._half < fewest:
            raise InputError(
                f"target and background have {n} and {m} samples, and max_samples={max_samples}: a "
                f"null by halves of the background needs {fewest} target samples and twice as many "
                "of the background; give units and background_units where both sides have several"
            )
        self.thinned = _thinned(
            2 * self._half, n + m, f"{self._half} of either side, as many as of halves"
        )

    def observed(self) -> list[Fold]:
        """Return the folds of random parts of target and background."""
        rng = np.random.default_rng(derive_seed("null halves", "observed", self._seed))
        return self._cut(rng.permutation(self._target), rng.permutation(self._background))

    def others(self, count: int) -> Iterator[list[Fold]]:
        """Yield the folds of so many pairs of random halves of the background."""
        yield from map(self._draw, range(count))

    def _draw(self, number: int) -> list[Fold]:
        rng = np.random.default_rng(derive_seed("null halves", number, self._seed))
        rows = rng.permutation(self._background)
        return self._cut(rows, rows[self._half :])

    def _cut(self, target: Rows, background: Rows) -> list[Fold]:
        halves = target[: self._half], background[: self._half]
        first, second = (np.array_split(half, self._folds) for half in halves)
        return _folds(first, second, self._folds)


def _folds(target: list[Rows], background: list[Rows], folds: int) -> list[Fold]:
    """Return folds, each of which leaves out every so manieth part of either side."""

    def fitted(side: list[Rows], fold: int) -> Rows:
        return np.sort(np.concatenate([rows for i, rows in enumerate(side) if i % folds != fold]))

    return [
        Fold(
            fitted(target, fold), fitted(background, fold),
            target[fold::folds], background[fold::folds],
        )
        for fold in range(folds)
    ]  # fmt: skip


def _thinned(kept: int, n: int, how: str) -> str:
    return "all samples" if kept == n else f"{kept} of {n} samples at random, {how}"
