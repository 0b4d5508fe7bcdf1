"""Time and passes over the data until the objective is within 1% and 0.1% of the best known.

    python benchmarks/time_to_objective.py --out results/bench
    python benchmarks/time_to_objective.py --out /tmp/bench --quick

Every contestant starts from the same factors. Whatever it reports is ignored: its components are
brought to unit norm, the usages are solved exactly in float64, and the objective is that of these.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import charts
import published
import timing
from bcnmf.kernels.usage import nonnegative_least_squares
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.solvers.starts import random_factors
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import write_json, write_table
from contestants import (
    CONTESTANTS,
    OURS,
    PUBLISHED,
    SAFEGUARDED,
    SKLEARN_CD,
    SKLEARN_MU,
    UPDATES_ONLY,
)
from machine import describe
from problems import Data, Problem, Size, random_data

LEVELS = (0.01, 0.001)
_GROWTH = 1.5  # ratio of successive numbers of iterations that are looked at
# What calls of these methods read, in passes over the matrix that they belong to.
_PASSES = {"times": 0.5, "transposed_times": 0.5, "multiplicative_pass": 1.0, "exact_pass": 1.0}


@dataclass(frozen=True)
class Point:
    """Components after some iterations, and what they cost."""

    iteration: int
    seconds: float
    passes: float
    components: np.ndarray


def main() -> None:
    """Run all contestants on all problems, write the tables, draw the curves."""
    arguments = _arguments()
    points = [
        row
        for name, problem in _problems(arguments.quick)
        for row in _race(name, problem, arguments)
    ]
    curves = pd.concat(with_gaps(rows) for rows in _by_problem(pd.DataFrame(points)))
    write_json(describe(), arguments.out / "machine.json")
    write_table(curves, arguments.out / "time_to_objective_curves.tsv")
    write_table(time_to_objective(curves), arguments.out / "time_to_objective.tsv")
    charts.curves(curves, arguments.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, seconds")
    parser.add_argument("--rounds", type=int, help="times each run is timed; the median counts")
    parser.add_argument("--starts", type=int, help="random starts")
    parser.add_argument("--max-iter", type=int, help="iterations at most")
    chosen = parser.parse_args()
    for name, quick, usual in (("rounds", 1, 3), ("starts", 2, 4), ("max_iter", 20, 500)):
        if getattr(chosen, name) is None:
            setattr(chosen, name, quick if chosen.quick else usual)
    return chosen


def _problems(quick: bool) -> Iterator[tuple[str, Problem]]:
    """Yield (name of the data, problem): each data set with the contrast and as plain NMF."""
    shrink = 20 if quick else 1
    for name, data, k, relative in (
        ("beta series, beta 8", _simulated(shrink), 7, 2.0),
        ("random sparse", random_data(Size(4000 // shrink, 1000 // shrink, 3000 // shrink),
                                      "squared_error"), 10, 1.0),
    ):  # fmt: skip
        k = min(k, 4) if quick else k
        energies = [float((side.data.astype(np.float64) ** 2).sum()) for side in _sides(data)]
        yield name, Problem(data, k, alpha=relative * energies[0] / energies[1])
        alone = Data(data.target, data.background[:0])
        yield name, Problem(alone, k, alpha=0.0)


def _sides(data: Data) -> tuple:
    return data.target, data.background


def _simulated(shrink: int) -> Data:
    """Return log1p of counts per 10,000 of the paper's simulation."""
    counts = simulate_counts(
        beta=8.0, n_genes=3000 // shrink, n_target=1000 // shrink, n_background=1000 // shrink,
        shared_block=250 // shrink, target_block=120 // shrink,
    )  # fmt: skip
    values = counts.X.astype(np.float32)
    totals = np.asarray(values.sum(1)).ravel()
    values.data *= np.repeat(1e4 / np.maximum(totals, 1), np.diff(values.indptr)).astype(np.float32)
    np.log1p(values.data, out=values.data)
    is_target = (counts.obs["side"] == "target").to_numpy()
    return Data(values[is_target], values[~is_target])


def _contestants(problem: Problem) -> list[str]:
    """Return who takes part: those that fit plain NMF only where that is the objective."""
    names = [SAFEGUARDED, OURS, PUBLISHED, UPDATES_ONLY]
    return names if problem.alpha else [*names, SKLEARN_CD, SKLEARN_MU]


def _race(name: str, problem: Problem, arguments: argparse.Namespace) -> list[dict]:
    """Return a row per contestant, start and number of iterations looked at."""
    looks = looked_at(arguments.max_iter)
    rows = []
    for start in range(arguments.starts):
        print(f"{name}, alpha {problem.alpha:.3g}, start {start}", flush=True)
        begin = random_factors(*problem.shape, problem.k, start, torch.float32,
                               torch.device("cpu"))  # fmt: skip
        started = replace(problem, start=begin, seed=start)
        runs: dict[str, list[list[Point]]] = {name: [] for name in _contestants(problem)}
        for _, contestant in timing.in_turns(list(runs), arguments.rounds):
            with timing.threads(1):
                runs[contestant].append(trajectory(contestant, started, looks))
        common = {
            "dataset": name, "contrast": "contrast" if problem.alpha else "plain NMF",
            "alpha": problem.alpha, "k": problem.k, "target_cells": problem.shape[0],
            "background_cells": problem.shape[1], "genes": problem.shape[2],
            "explains_nothing": _nothing(problem), "start": start, "threads": 1,
        }  # fmt: skip
        for contestant, rounds in runs.items():
            rows += [common | {"contestant": contestant} | row for row in _rows(problem, rounds)]
    return rows


def _rows(problem: Problem, rounds: list[list[Point]]) -> list[dict]:
    """Return iterations, median seconds, passes and objective of each point of a trajectory."""
    seconds = np.median([[point.seconds for point in points] for points in rounds], axis=0)
    # A run to more iterations passes through fewer: what took longer was disturbed.
    seconds = np.minimum.accumulate(seconds[::-1])[::-1]
    return [
        {
            "iterations": point.iteration,
            "seconds": float(spent),
            "passes": point.passes,
            "objective": reduced_objective(problem, point.components),
        }
        for point, spent in zip(rounds[0], seconds, strict=True)
    ]


def looked_at(max_iter: int) -> list[int]:
    """Return numbers of iterations, growing geometrically, the last one `max_iter`."""
    looks, now = [], 1
    while now < max_iter:
        looks.append(now)
        now = max(now + 1, round(now * _GROWTH))
    return [*looks, max_iter]


def trajectory(name: str, problem: Problem, looks: list[int]) -> list[Point]:
    """Return the components of one contestant at several numbers of iterations.

    The dense loop is watched as it goes. The others cannot be, so they run afresh up to each
    number: their seconds are those of a whole fit, checks and set-up included.
    """
    if name in {PUBLISHED, UPDATES_ONLY}:
        return _watched(problem, looks, literal=name == PUBLISHED)
    run = CONTESTANTS[name].build(problem)
    run(1)
    return [_afresh(run, iterations) for iterations in looks]


def _watched(problem: Problem, looks: list[int], literal: bool) -> list[Point]:
    steps = published.iterate(
        problem.loss, *problem.data.dense, problem.draw_start(), problem.alpha, literal
    )
    points, seconds = [], 0.0
    for before, iteration in pairwise([0, *looks]):
        start = time.perf_counter()
        for _ in range(iteration - before):
            factors = next(steps)
        seconds += time.perf_counter() - start
        points.append(Point(iteration, seconds, float(iteration), factors[0].T.numpy().copy()))
    return points


def _afresh(run: Callable, iterations: int) -> Point:
    with counted_passes() as passes:
        start = time.perf_counter()
        fitted = run(iterations)
        seconds = time.perf_counter() - start
    # Contestants from elsewhere read the data once an iteration, as the published loop does.
    read = passes() or float(fitted.iterations)
    return Point(fitted.iterations, seconds, read, fitted.components)


@contextmanager
def counted_passes() -> Iterator[Callable[[], float]]:
    """Count what the package reads: a pass uses every stored value for X C' and for H'X once.

    Sides count by their rows, so that a pass over target and background together is one.
    """
    read: dict[tuple[int, str], float] = {}
    sizes: dict[int, int] = {}

    def counting(method: Callable, weight: float) -> Callable:
        @wraps(method)
        def wrapper(self: CompiledSparseMatrix, *args: object, **kwargs: object) -> object:
            sizes[id(self)] = self.shape[0]
            key = (id(self), method.__name__)
            read[key] = read.get(key, 0.0) + weight
            return method(self, *args, **kwargs)

        return wrapper

    originals = {name: getattr(CompiledSparseMatrix, name) for name in _PASSES}
    for name, weight in _PASSES.items():
        setattr(CompiledSparseMatrix, name, counting(originals[name], weight))
    try:
        yield (
            lambda: (
                sum(weight * sizes[matrix] for (matrix, _), weight in read.items())
                / max(sum(sizes.values()), 1)
            )
        )
    finally:
        for name, method in originals.items():
            setattr(CompiledSparseMatrix, name, method)


def reduced_objective(problem: Problem, components: np.ndarray) -> float:
    """Return min over H_X, and over H_Y, of the objective at the directions of the components.

    Infinite if the components are.
    """
    components = np.asarray(components, dtype=np.float64)
    if not np.isfinite(components).all():
        return float("inf")
    # By the largest entry first: squares of a drifted scale may overflow.
    components = components / np.maximum(components.max(1, keepdims=True), 1e-300)
    components /= np.maximum(np.linalg.norm(components, axis=1, keepdims=True), 1e-300)
    gram = torch.from_numpy(components @ components.T)
    objective = 0.0
    for side, weight in zip(problem.sides, (1.0, -problem.alpha), strict=True):
        if side.shape[0] == 0 or weight == 0:
            continue
        exact = side.astype(np.float64)
        product = torch.from_numpy(np.ascontiguousarray(exact @ components.T))
        usage = nonnegative_least_squares(product, gram, torch.zeros_like(product))
        model = ((usage.T @ usage) * gram).sum()
        objective += weight * float(exact.data @ exact.data - 2 * (product * usage).sum() + model)
    return objective


def _nothing(problem: Problem) -> float:
    """Return the objective where all usages are zero."""
    energies = [float(side.data.astype(np.float64) @ side.data) for side in problem.sides]
    return energies[0] - problem.alpha * energies[1]


def _by_problem(points: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for _, rows in points.groupby(["dataset", "contrast"], sort=False):
        yield rows


def with_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the best objectives known, and gaps to the best of all contestants and starts.

    The gap is given as a share of the objective, and of the contrast explained: the objective
    holds a large constant, that of explaining nothing.
    """
    rows = rows.copy()
    rows["best_of_all_starts"] = rows["objective"].min()
    rows["best_of_this_start"] = rows.groupby("start")["objective"].transform("min")
    gap = rows["objective"] - rows["best_of_all_starts"]
    rows["gap_of_objective"] = gap / rows["best_of_all_starts"].abs()
    rows["gap_of_explained"] = gap / (rows["explains_nothing"] - rows["best_of_all_starts"])
    return rows


def time_to_objective(curves: pd.DataFrame) -> pd.DataFrame:
    """Return when each run first came within each level of the best, if it did."""
    keys = ["dataset", "contrast", "alpha", "k", "target_cells", "background_cells", "genes",
            "contestant", "threads", "start"]  # fmt: skip
    rows = []
    for key, run in curves.groupby(keys, sort=False):
        run = run.sort_values("iterations")
        for reference in ("all_starts", "this_start"):
            best = run[f"best_of_{reference}"]
            gaps = {
                "objective": (run["objective"] - best) / best.abs(),
                "explained": (run["objective"] - best) / (run["explains_nothing"] - best),
            }
            for share, gap in gaps.items():
                for level in LEVELS:
                    rows.append(
                        dict(zip(keys, key, strict=True))
                        | {"best_of": reference, "gap_of": share, "within_percent": 100 * level}
                        | _first(run, gap, level)
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _first(run: pd.DataFrame, gap: pd.Series, level: float) -> dict:
    inside = run[gap <= level]
    reached = not inside.empty
    first = inside.iloc[0] if reached else None
    return {
        "reached": reached,
        "iterations": first["iterations"] if reached else np.nan,
        "passes": first["passes"] if reached else np.nan,
        "seconds": first["seconds"] if reached else np.nan,
        "final_gap_percent": 100 * gap.iloc[-1],
        "final_objective": run["objective"].iloc[-1],
    }


if __name__ == "__main__":
    main()
