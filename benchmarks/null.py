"""A null for the whole fit: p-values of `bcnmf.permutation_null` with and without a signal; time.

    python benchmarks/null.py calibration power     20 minutes, one thread
    python benchmarks/null.py time                  10 minutes, two threads
    python benchmarks/null.py cells --data FOLDER   3 minutes; kang.h5ad: docs/answer_evidence.md

Simulated data: log1p of counts per 10,000 of three cell types. Every donor has a gene-wise factor
of its own (log-sd 0.3) and its own composition of cell types. A signal is a program of a fifteenth
of the genes that makes up a share of every target cell's counts.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, ConvergenceWarning, Null, SharedTargetNMF, permutation_null
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.figures.style import SINGLE_COLUMN, new_figure, save
from bcnmf_pipeline.record.tables import read_table, write_table

BINS = np.round(np.arange(0.1, 1.01, 0.1), 1)
METHODS: dict[str, Callable[[], Any]] = {
    "BCNMF": lambda: BCNMF(2, solver="mu", n_background=5, device="cpu"),
    "SharedTargetNMF": lambda: SharedTargetNMF(5, 2, loss="squared_error", device="cpu"),
}
# Of the simulated data, which are small; whatever they are, p has to be right.
ITERATIONS = {"BCNMF": 20, "SharedTargetNMF": 10}


class Design(NamedTuple):
    """Donors of target and background (or pairs), cells of each, and what is told and asked."""

    donors: int
    cells: int
    paired: bool = False
    effect: float = 0.3
    by_unit: bool = True
    genes: int = 100
    types: int = 3


# Of data sets whose null is not theirs: what does that look like?
FEW = 20
SHARED = ", shared"
# 20 arrangements, 20 of 32 (some drawn twice), 19 pairs of halves.
UNITS, PAIRS = Design(3, 20), Design(5, 12, paired=True)
SAMPLES = Design(1, 60, effect=0.0, by_unit=False)
ONE_DONOR = SAMPLES._replace(effect=0.3)
CALIBRATION = {
    "3 + 3 donors": ("BCNMF", UNITS),
    "3 + 3 donors, shared": ("SharedTargetNMF", UNITS),
    "5 donors, both sides of each": ("SharedTargetNMF", PAIRS),
    "no donors, by halves": ("SharedTargetNMF", SAMPLES),
    "1 + 1 donor, by halves": ("SharedTargetNMF", ONE_DONOR),
}


def simulated(design: Design, signal: float, seed: int) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Return target, background (cells x genes) and their donors."""
    rng = np.random.default_rng(derive_seed("null benchmark", *design, signal > 0, seed))
    genes = design.genes
    profiles = rng.gamma(0.5, 1.0, genes) * np.exp(rng.normal(0, 1.2, (design.types, genes)))
    program = np.zeros(genes)
    block = rng.choice(genes, max(4, genes // 15), replace=False)
    program[block] = rng.gamma(2.0, 1.0, len(block))
    effects, mixtures = (
        np.exp(rng.normal(0, design.effect, (2 * design.donors, genes))),
        rng.dirichlet(np.full(design.types, 5.0 if design.effect else 1e6), 2 * design.donors),
    )
    sides, names = [], []
    for side in (0, 1):
        values, donors = [], []
        for number in range(design.donors):
            donor = number if design.paired else number + side * design.donors
            kinds = rng.choice(design.types, design.cells, p=mixtures[donor])
            means = profiles[kinds] / profiles[kinds].sum(1, keepdims=True)
            if side == 0:
                means = (1 - signal) * means + signal * program / program.sum()
            means = means * effects[donor]
            means *= 1500 * np.exp(rng.normal(0, 0.3, (design.cells, 1))) / means.sum(1)[:, None]
            values.append(rng.poisson(means))
            donors += [f"donor {donor}"] * design.cells
        counts = np.concatenate(values)
        sides.append(np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4))
        names.append(np.array(donors))
    return sides[0].astype("float32"), sides[1].astype("float32"), names[0], names[1]


def tested(method: str, design: Design, signal: float, seed: int, refits: int) -> Null:
    """Return the null of one simulated data set."""
    x, y, first, second = simulated(design, signal, seed)
    units = {"units": first, "background_units": second} if design.by_unit else {}
    return permutation_null(
        METHODS[method](), x, y, **units, n_refits=refits, random_state=seed,
        max_iter=ITERATIONS[method],
    )  # fmt: skip


def calibration(arguments: argparse.Namespace) -> None:
    """Print and draw how p is spread where there is nothing; one donor a side comes last."""
    file = arguments.out / "null_calibration.tsv"
    rows = read_table(file).to_dict("records") if file.exists() else []
    done = {(row["design"], row["seed"]) for row in rows}
    tasks = [
        (name, seed)
        for seed in range(arguments.data_sets)
        for name, (_, design) in CALIBRATION.items()
        if (name, seed) not in done and (design != ONE_DONOR or seed < FEW)
    ]
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as jobs:
        running = [jobs.submit(_without_signal, *task, arguments.refits) for task in tasks]
        for done in as_completed(running):
            name, seed, p_value = done.result()
            rows.append(
                {"design": name, "method": CALIBRATION[name][0], "seed": seed, "p_value": p_value}
            )
            write_table(pd.DataFrame(rows), file)
    table = pd.DataFrame(rows)
    levels = (0.05, *BINS[:-1])
    shown = [f"p <= {level:g}" for level in levels]
    print(f"| no signal, {arguments.data_sets} data sets | {' | '.join(shown)} |")
    print("|---" * (len(shown) + 1) + "|")
    for (name, method), part in table.groupby(["design", "method"], sort=False):
        shares = [(part["p_value"] <= level + 1e-9).mean() for level in levels]
        row = f"{name.removesuffix(SHARED)}, {method}", *(f"{share:.2f}" for share in shares)
        print(f"| {' | '.join(row)} |")
    _draw(table, arguments.out)


def _without_signal(name: str, seed: int, refits: int) -> tuple[str, int, float]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    method, design = CALIBRATION[name]
    return name, seed, tested(method, design, 0.0, seed, refits).p_value


def _draw(table: pd.DataFrame, folder: Path) -> None:
    """Draw p against what is expected of so many; the band holds 95% of each rank."""
    from scipy import stats

    figure = new_figure(SINGLE_COLUMN, SINGLE_COLUMN)
    axes = figure.subplots()
    n = table.groupby(["design", "method"]).size().max()
    ranks = np.arange(1, n + 1)
    # A rank's p-value is the grid value above a uniform one's.
    low, high = (stats.beta.ppf(q, ranks, n + 1 - ranks) for q in (0.025, 0.975))
    expected = (ranks - 0.5) / n
    axes.fill_between(expected, low, high + 0.05, color="0.9", linewidth=0)
    axes.plot([0, 1], [0, 1], color="0.5", linewidth=0.8)
    for (name, method), part in table.groupby(["design", "method"], sort=False):
        p = np.sort(part["p_value"].to_numpy())
        axes.plot(
            (np.arange(len(p)) + 0.5) / len(p),
            p,
            ".",
            ms=3,
            label=f"{name.removesuffix(SHARED)}, {method}",
        )
    axes.set_xlabel("p expected where there is nothing")
    axes.set_ylabel("p found")
    axes.legend(fontsize=5, frameon=False)
    save(figure, str(folder / "null_calibration.pdf"), str(folder / "null_calibration.png"))


def power(arguments: argparse.Namespace) -> None:
    """Print how often p is 0.05, the smallest of 20 arrangements, where there is something."""
    print(f"| share of counts | {' | '.join(METHODS)} |\n|---{'|---' * len(METHODS)}|")
    for signal in arguments.signals:
        cells = []
        for method in METHODS:
            p = [
                tested(method, UNITS, signal, seed, arguments.refits).p_value
                for seed in range(arguments.power_data_sets)
            ]
            cells.append(f"{(np.array(p) <= 0.05 + 1e-9).mean():.2f}")
        print(f"| {signal:g} | {' | '.join(cells)} |", flush=True)


def timed(arguments: argparse.Namespace) -> None:
    """Print the time of a null of 5 + 5 donors with 200 cells each, 3000 genes."""
    design = Design(5, 200, genes=3000, types=5)
    x, y, first, second = simulated(design, 0.02, 0)
    torch.set_num_threads(arguments.threads)
    sides = sp.csr_matrix(x), sp.csr_matrix(y)
    for name, estimator in (
        ("BCNMF(10)", BCNMF(10, device="cpu")),
        ("SharedTargetNMF(10, 2), squared error", SharedTargetNMF(10, 2, loss="squared_error")),
    ):
        begun, busy = time.perf_counter(), time.process_time()
        null = permutation_null(
            estimator, *sides, units=first, background_units=second, n_refits=arguments.timed_refits
        )
        took = time.perf_counter() - begun, time.process_time() - busy
        print(
            f"{name}: {len(null.refits)} refits of {sides[0].shape[0]} + {sides[1].shape[0]} cells "
            f"x 3000 genes ({1 - sides[0].nnz / x.size:.0%} zeros): {took[0]:.0f} s, processor "
            f"{took[1]:.0f} s, p = {null.p_value:.3g}; {null.approximated}",
            flush=True,
        )


def cells(arguments: argparse.Namespace) -> None:
    """Print nulls of real cells: interferon against control, and control split at random."""
    data = ad.read_h5ad(arguments.data / "kang.h5ad")
    counts = sp.csr_matrix(data.X, dtype=np.float32)
    scale = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel())
    values = sp.csr_matrix(scale @ counts).log1p().astype(np.float32)
    treated = (data.obs["group_id"] == "stim").to_numpy()
    donor = data.obs["donor"].astype(str).to_numpy()
    control = np.flatnonzero(~treated)
    split = np.random.default_rng(0).permutation(control)
    half = len(split) // 2
    few = np.flatnonzero(treated)[:25]
    first, second = split[:half], split[half:]
    cases = {
        "interferon against control": (np.flatnonzero(treated), control, None),
        "25 interferon cells in a random half of control": (np.r_[first, few], second, None),
        "control at random": (first, second, None),
        "control of one donor against the other": (
            control[donor[control] == "101"], control[donor[control] == "107"], None,
        ),
        "interferon against control, donors as pairs": (np.flatnonzero(treated), control, donor),
    }  # fmt: skip
    for name, (one, other, units) in cases.items():
        for method, estimator in (
            ("BCNMF(5)", BCNMF(5)),
            ("SharedTargetNMF(10, 2)", SharedTargetNMF(10, 2, loss="squared_error")),
        ):
            of = {} if units is None else {"units": units[one], "background_units": units[other]}
            null = permutation_null(
                estimator, values[one], values[other], **of, n_refits=arguments.cell_refits
            )
            spread = f"{null.refits.mean():+.4f} ({null.refits.std():.4f})"
            p = f"{null.p_value:.3g} of at least {null.smallest_p:.3g}"
            print(f"| {name} | {method} | {null.statistic:+.4f} | {spread} | {p} |", flush=True)
        print(f"  {null.advice()}\n  {null.approximated}", flush=True)


def main() -> None:
    """Run the parts that are named."""
    parts = {"calibration": calibration, "power": power, "time": timed, "cells": cells}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--data-sets", type=int, default=100)
    parser.add_argument("--power-data-sets", type=int, default=40)
    parser.add_argument("--signals", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.05])
    parser.add_argument("--refits", type=int, default=19)
    parser.add_argument("--timed-refits", type=int, default=200)
    parser.add_argument("--cell-refits", type=int, default=99)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="processes of the calibration")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        parts[part](arguments)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
