"""How often tests find programs, where there are none and some: docs/how_sure_evidence.md.

    python benchmarks/type_one.py                                  all tables, one thread
    python benchmarks/type_one.py --tables label --data-sets 200   one of them

Tables: `units` (tests and intervals alone, on unit means), `label` (two classes of donors inside
the target), `background` (target against background, other donors on either side), `pairs` (the
same donors on both sides), the last three without and with an effect.

Donors differ: the mean of every gene by a factor of its own, exp(0.3 z) with a normal z. Where
there is an effect, 15 of 100 genes are exp(0.7) times as strong in one class. Prints Markdown: the
share of tests with p <= 0.05 with its 95% interval (Clopper and Pearson), and of intervals that
hold 0.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from scipy import stats

from bcnmf import BCNMF, ConvergenceWarning, crossfit, program_tests, unit_test
from bcnmf.seeds import derive_seed

LEVEL = 0.05
LOG_SD, EFFECT = 0.3, 0.7
GENES, CHANGED, TYPES, DEPTH = 100, 15, 3, 1000
MODEL = {"n_components": 3, "solver": "mu", "max_iter": 30, "n_background": 3, "tol": 1e-3}

# What tests said of one data set: name of the row -> [(p, low, high) of each program].
Found = dict[str, list[tuple[float, float, float]]]


class Donors:
    """Cells of donors, log counts per 10,000; every data set has genes and donors of its own."""

    def __init__(self, name: str, number: int, cells: int) -> None:
        self.rng = np.random.default_rng(derive_seed("type one", name, number))
        self.cells = cells
        base = self.rng.gamma(0.5, 1.0, GENES) + 0.02
        self.types = base * np.exp(self.rng.normal(0, 0.5, (TYPES, GENES)))
        self.changed = self.rng.permutation(GENES)[:CHANGED]

    def factors(self, donors: int) -> np.ndarray:
        """Return what a donor makes of each gene, (donors, genes)."""
        return np.exp(self.rng.normal(0, LOG_SD, (donors, GENES)))

    def drawn(self, factors: np.ndarray, effect: float = 0.0) -> np.ndarray:
        """Return the cells of donors (donors * cells, genes), one donor after the other."""
        factors = factors.copy()
        factors[:, self.changed] *= np.exp(effect)
        mixture = self.rng.dirichlet(np.full(TYPES, 3.0), len(factors) * self.cells)
        rates = (mixture @ self.types) * np.repeat(factors, self.cells, axis=0)
        depths = DEPTH * self.rng.lognormal(0, 0.35, (len(rates), 1))
        counts = self.rng.poisson(rates / rates.sum(1, keepdims=True) * depths)
        totals = np.maximum(counts.sum(1, keepdims=True), 1)
        return np.log1p(counts / totals * 1e4).astype(np.float32)

    def names(self, donors: int, first: int = 0) -> np.ndarray:
        """Return the donor of each cell."""
        return np.repeat([f"d{first + number}" for number in range(donors)], self.cells)


def by_cells(usage: np.ndarray, first: np.ndarray) -> list[tuple[float, float, float]]:
    """Return Welch's tests of cells, as if they were independent."""
    found = stats.ttest_ind(usage[first], usage[~first], equal_var=False)
    low, high = found.confidence_interval()
    return list(zip(found.pvalue, low, high, strict=True))


def by_units(usage: np.ndarray, first: np.ndarray, units: np.ndarray) -> list:
    """Return tests of unit means."""
    found = unit_test(usage, np.where(first, "a", "b"), units)
    return list(zip(found.p_value, found.low, found.high, strict=True))


def label(number: int, effect: float, cells: int) -> Found:
    """Test a label of 6 + 6 donors of the target, on usages of a fit that has not seen it."""
    data = Donors("label", number, cells)
    factors = data.factors(18)
    X = np.concatenate([data.drawn(factors[:6], effect), data.drawn(factors[6:12])])
    first = np.arange(len(X)) < len(X) // 2
    model = BCNMF(alpha=1.5, random_state=0, **MODEL)
    usage = model.fit_transform(X, background=data.drawn(factors[12:]))
    return {
        "donors": by_units(usage, first, data.names(12)),
        "cells": by_cells(usage, first),
    }


def background(number: int, effect: float, cells: int, pairs: bool = False) -> Found:
    """Test 6 donors of the target against 6 of the background, or the same 6 on both sides."""
    data = Donors("pairs" if pairs else "background", number, cells)
    factors = data.factors(12)
    if pairs:
        # What a donor is, and how it responds, are alike in size.
        factors = np.concatenate([factors[:6] * data.factors(6), factors[:6] * data.factors(6)])
    X, Y = data.drawn(factors[:6], effect), data.drawn(factors[6:])
    units, others = data.names(6), data.names(6, 0 if pairs else 6)
    model = BCNMF(alpha=1.5, random_state=0, **MODEL).fit(X, background=Y)
    seen = np.concatenate([model.target_usage(X), model.target_usage(Y)])
    side = np.arange(len(seen)) < len(X)
    both = np.concatenate([units, others])
    found = crossfit(
        model, X, background=Y, units=units, background_units=others, random_state=number
    )
    left = np.concatenate([found.usage, found.background_usage])
    kept = ~np.isnan(left).any(0)
    rows = program_tests(found)
    plain = by_units(left[:, kept], side, both)
    return {
        "donors left out": [(row.p_units, row.low, row.high) for row in rows[1:]],
        "target score, donors left out": [(rows[0].p_units, rows[0].low, rows[0].high)],
        "donors left out, folds as if independent": plain,
        "donors that were fitted": by_units(seen, side, both),
        "cells of donors left out": by_cells(left[:, kept], side),
        "cells that were fitted": by_cells(seen, side),
    }


def counted(made: Callable[[int], Found], data_sets: int) -> Iterator[dict[str, str]]:
    """Return a line for each row of tests over data sets."""
    found = defaultdict(list)
    for number in range(data_sets):
        for name, tests in made(number).items():
            found[name] += tests
    for name, tests in found.items():
        p, low, high = np.array(tests).T
        p = p[~np.isnan(p)]
        hits = int((p <= LEVEL).sum())
        interval = stats.binomtest(hits, max(len(p), 1)).proportion_ci()
        held = (low <= 0) & (high >= 0)
        yield {
            "": name,
            "p ≤ 0.05": f"{hits / max(len(p), 1):.3f} ({interval.low:.3f}–{interval.high:.3f})",
            "tests": str(len(p)),
            "interval holds 0": f"{held[~np.isnan(low)].mean():.3f}",
        }


def of_scene(
    scene: Callable[..., Found], arguments: argparse.Namespace
) -> Iterator[dict[str, str]]:
    """Return the lines of a scene without an effect, then with one."""
    for effect, words, times in ((0.0, "nothing", 1), (EFFECT, "effect", 5)):
        made = partial(scene, effect=effect, cells=arguments.cells)
        data_sets = -(-arguments.data_sets // times)
        for line in counted(made, data_sets):
            yield {"truth": f"{words}, {data_sets} data sets", **line}


def alone(arguments: argparse.Namespace) -> Iterator[dict[str, str]]:
    """Test unit means of several distributions, numbers of units and sizes of spread."""
    columns = 10 * arguments.data_sets
    shapes = {
        "normal": lambda rng, n: rng.normal(size=(n, columns)),
        "skewed (exp of normal)": lambda rng, n: (
            np.exp(rng.normal(size=(n, columns))) - np.exp(0.5)
        ),
    }
    for shape, draw in shapes.items():
        for n, m, times in ((3, 3, 1), (4, 4, 1), (6, 6, 1), (12, 12, 1), (3, 9, 1), (9, 3, 3)):
            rng = np.random.default_rng(derive_seed("type one", shape, n, m))
            values = np.concatenate([times * draw(rng, n), draw(rng, m)])
            spread = f", spread {times} : 1" if times > 1 else ""
            yield alone_line(f"{shape}, {n} + {m}{spread}", values, n, False)
        for n in (4, 6, 10):
            rng = np.random.default_rng(derive_seed("type one", shape, n))
            yield alone_line(
                f"{shape}, {n} pairs", np.vstack([draw(rng, n), draw(rng, n)]), n, True
            )


def alone_line(name: str, values: np.ndarray, n: int, pairs: bool) -> dict[str, str]:
    """Return the line of one distribution."""
    units = np.arange(len(values)) % n if pairs else np.arange(len(values))
    found = unit_test(values, np.where(np.arange(len(values)) < n, "a", "b"), units)
    held = (found.low <= 0) & (found.high >= 0)
    means = resampled_means(values, n, pairs)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {
        "units": name,
        "p ≤ 0.05": f"{(found.p_value <= LEVEL).mean():.3f}",
        "interval holds 0": f"{held.mean():.3f}",
        "percentiles of resampled means hold 0": f"{((low <= 0) & (high >= 0)).mean():.3f}",
        "test": found.test,
    }


def resampled_means(values: np.ndarray, n: int, pairs: bool) -> np.ndarray:
    """Return differences of means when units are drawn again (draws, columns)."""
    rng = np.random.default_rng(0)
    sides = [values[:n] - values[n:]] if pairs else [values[:n], -values[n:]]
    return sum(
        rng.multinomial(len(side), np.full(len(side), 1 / len(side)), 499) / len(side) @ side
        for side in sides
    )


TABLES = {
    "units": alone,
    "label": partial(of_scene, label),
    "background": partial(of_scene, background),
    "pairs": partial(of_scene, partial(background, pairs=True)),
}


def main() -> None:
    """Print the tables asked for, line by line as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=[*TABLES])
    parser.add_argument("--data-sets", type=int, default=200, help="with an effect a fifth of them")
    parser.add_argument("--cells", type=int, default=200, help="of each donor")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.tables:
        sys.stdout.write(f"\n### {name}\n\n")
        for number, line in enumerate(TABLES[name](arguments)):
            if not number:
                sys.stdout.write(f"| {' | '.join(line)} |\n|{'---|' * len(line)}\n")
            sys.stdout.write(f"| {' | '.join(line.values())} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
