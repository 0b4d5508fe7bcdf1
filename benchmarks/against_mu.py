"""The default solver against plain multiplicative updates: where each ends, and how soon.

    python benchmarks/against_mu.py --out results/bench --files MIRROR
    python benchmarks/against_mu.py --before OTHER/workflow        a version to compare with
    python benchmarks/against_mu.py --quick --out /tmp/bench

Each problem from several random starts, every contestant in turn in a process of its own that has
compiled before: "mu" runs 500 iterations, "default" until it stops. Objectives are those of the
final components at unit norm with exact usages in double precision; gaps are shares of the contrast
explained. `--files` is a folder with mice_protein/, mnist/ and grass/ as the workflow's mirror has
them; without it the problems on these data are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf_pipeline.datasets.idx import read_digits
from bcnmf_pipeline.datasets.mnist_images import digits_on_images
from bcnmf_pipeline.datasets.mouse import read_mouse
from bcnmf_pipeline.datasets.natural_images import read_crops
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import write_table
from contrast_grid import SIDES, log_values
from problems import Data, Problem, Size, random_data
from time_to_objective import reduced_objective

_MU_ITERATIONS = 500
_ALLOWED, _NEAR = 0.0005, 0.001
# Fits problems as they are asked for: what is timed is the fit alone, and when it was how low.
_WORKER = """
import json, sys, time, warnings
import numpy as np, scipy.sparse as sp
warnings.simplefilter("ignore")
import torch
from bcnmf import BCNMF
from bcnmf.solvers import result
torch.set_num_threads(1)
seen, append = [], result.Trace.append
def noted(trace, value):
    if trace.monitor is not None:
        seen.append((time.perf_counter(), float(value)))
    append(trace, value)
result.Trace.append = noted
def read(path):
    values = sp.load_npz(path)
    return values if values.nnz < values.shape[0] * values.shape[1] / 2 else values.toarray()
for line in sys.stdin:
    task = json.loads(line)
    target, background = (read(path) for path in task["sides"])
    model = BCNMF(device="cpu", **task["settings"])
    seen.clear()
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(target, background=background)
    end, cpu_end = time.perf_counter(), time.process_time()
    np.save(task["out"], model.components_)
    found = {"seconds": end - start, "processor_seconds": cpu_end - cpu,
             "iterations": model.n_iter_, "converged": bool(model.converged_),
             "absolute_alpha": model.alpha_,
             "trace": [(when - start, value) for when, value in seen]}
    print(json.dumps(found), flush=True)
"""


def main() -> None:
    """Run all, write a row per problem and start, print medians."""
    arguments = _arguments()
    data = _data(arguments)
    problems = [one for one in _problems(arguments.quick) if one[0] in data]
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder)
        for name, sides in data.items():
            for number, side in enumerate(sides):
                sp.save_npz(stored / f"{name}-{number}.npz", sp.csr_matrix(side))
        own = Path(__file__).resolve().parents[1] / "workflow"
        workers = {"mu": _Worker(own, stored), "default": _Worker(own, stored)}
        if arguments.before:
            workers["before"] = _Worker(arguments.before, stored)
        runs = []
        for name, k, alpha in problems:
            for number, seed in enumerate(range(arguments.starts)):
                order = list(workers) if number % 2 == 0 else list(workers)[::-1]
                for contestant in order:
                    run = workers[contestant].fit(name, k, alpha, seed, contestant, data)
                    runs.append({"dataset": name, "k": k, "alpha": alpha, "start": seed} | run)
                print(f"{name}, K={k}, alpha {alpha:g}, start {seed}", flush=True)
    table = compared(runs)
    write_table(table, arguments.out / "against_mu.tsv")
    print(summary(table).T.to_string())


class _Worker:
    """A process that imports one version of the package and has compiled it."""

    def __init__(self, package: Path, data: Path) -> None:
        self._folder = data
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
            env={"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        self._compiled: set[tuple[str, int]] = set()

    def fit(
        self, name: str, k: int, alpha: float, seed: int, contestant: str, data: dict
    ) -> dict[str, Any]:
        """Return what a fit took and came to."""
        settings: dict[str, Any] = {"n_components": k, "alpha": alpha, "random_state": seed}
        if contestant == "mu":
            settings |= {"solver": "mu", "max_iter": _MU_ITERATIONS, "tol": 0.0}
        if (name, k) not in self._compiled:
            self._ask(name, settings | {"max_iter": 2})
            self._compiled.add((name, k))
        found = self._ask(name, settings)
        components = np.load(self._folder / "components.npy")
        return {
            "contestant": contestant,
            "objective": _exact(data[name], k, found["absolute_alpha"], components),
            "nothing": (1 - alpha) * _energy(data[name][0]),
        } | found

    def _ask(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {
            "sides": [str(self._folder / f"{name}-{number}.npz") for number in (0, 1)],
            "settings": settings, "out": str(self._folder / "components.npy"),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with status {self._process.wait()}")
        return dict(json.loads(line))


def _exact(sides: tuple, k: int, alpha: float, components: np.ndarray) -> float:
    target, background = (sp.csr_matrix(side) for side in sides)
    return reduced_objective(Problem(Data(target, background), k, alpha=alpha), components)


def _energy(side: Any) -> float:
    values = (side.data if sp.issparse(side) else side).astype(np.float64).ravel()
    return float(values @ values)


def compared(runs: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a row per problem and start: gaps in percent of what is explained, seconds."""
    rows = []
    problem, start = ["dataset", "k", "alpha"], "start"
    for key, part in pd.DataFrame(runs).groupby(problem, sort=False):
        best = part["objective"].min()
        for seed, fits in part.groupby(start):
            found = fits.set_index("contestant").to_dict("index")
            mu, nothing = found["mu"], found["mu"]["nothing"]
            row = dict(zip(problem, key, strict=True)) | {
                "start": seed, "mu_seconds": mu["seconds"],
                "mu_above_best_percent": 100 * (mu["objective"] - best) / (nothing - best),
            }  # fmt: skip
            for name in [name for name in ("default", "before") if name in found]:
                run = found[name]
                ended, explained = run["objective"], nothing - run["objective"]
                row |= {
                    f"{name}_seconds": run["seconds"],
                    f"{name}_iterations": run["iterations"],
                    f"{name}_converged": run["converged"],
                    f"{name}_above_best_percent": 100 * (ended - best) / (nothing - best),
                    f"{name}_above_mu_percent": 100 * (ended - mu["objective"]) / explained,
                    f"{name}_seconds_to_mu": _reached(
                        run, mu["objective"] + _ALLOWED * (nothing - mu["objective"])
                    ),
                    f"{name}_seconds_to_best": _reached(run, best + _NEAR * (nothing - best)),
                }
            rows.append(row)
    return pd.DataFrame(rows)


def _reached(run: dict[str, Any], level: float) -> float:
    """Return when the objective first was as low; NaN if never."""
    return next((when for when, value in run["trace"] if value <= level), float("nan"))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the starts of each problem, and the worst gap to mu."""
    grouped = table.groupby(["dataset", "k", "alpha"], sort=False)
    short = grouped.median(numeric_only=True).drop(columns="start")
    short["default_above_mu_worst"] = grouped["default_above_mu_percent"].max()
    short["default_reached_best"] = grouped["default_seconds_to_best"].count()
    if "before_seconds_to_best" in table:
        short["before_reached_best"] = grouped["before_seconds_to_best"].count()
    return short.round(3)


def _problems(quick: bool) -> Iterator[tuple[str, int, float]]:
    """Yield (data, K, relative contrast)."""
    if quick:
        yield from (("beta 8", 4, 2.0), ("sparse", 4, 1.5))
        return
    yield ("beta 8", 7, 2.0)
    yield from (("sparse", 10, alpha) for alpha in (1.0, 1.5))
    yield from (("mouse", 15, alpha) for alpha in (1.0, 1.5))
    yield from (("two digits", 2, 1.5), ("ten digits", 16, 1.5))
    yield from ((f"beta {beta}", k, 2.0) for beta in (1, 16) for k in (2, 7, 10))


def _data(arguments: argparse.Namespace) -> dict[str, tuple]:
    shrink = 10 if arguments.quick else 1
    drawn = random_data(Size(2000 // shrink, 2000 // shrink, 3000 // shrink), "squared_error")
    data: dict[str, tuple] = {"sparse": (drawn.target, drawn.background)}
    for beta in (8,) if arguments.quick else (1, 8, 16):
        counts = simulate_counts(
            float(beta), n_genes=3000 // shrink, n_target=1000 // shrink,
            n_background=1000 // shrink, shared_block=250 // shrink, target_block=120 // shrink,
            random_state=0,
        )  # fmt: skip
        data[f"beta {beta}"] = tuple(log_values(counts[counts.obs["side"] == s]) for s in SIDES)
    if arguments.files is None:
        print("without --files: mouse and digits are left out", flush=True)
    elif not arguments.quick:
        data |= _real(arguments.files)
    return data


def _real(files: Path) -> dict[str, tuple]:
    mice = read_mouse(files / "mice_protein" / "Data_Cortex_Nuclear.csv")
    saline = mice[mice.obs["Treatment"] == "Saline"]
    shocked = saline.obs["Behavior"] == "S/C"
    controls = (saline.obs["Behavior"] == "C/S") & (saline.obs["Genotype"] == "Control")
    data: dict[str, tuple] = {
        "mouse": (np.asarray(saline[shocked].X), np.asarray(saline[controls].X))
    }
    images = [files / "mnist" / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    digits, crops = (
        read_digits([(images[0], images[1])]),
        read_crops(files / "grass" / "grass28.npz"),
    )
    for name, classes in (("two digits", (0, 1)), ("ten digits", tuple(range(10)))):
        laid = digits_on_images(digits, crops, classes=classes)
        sides = (laid[laid.obs["side"] == side].X for side in ("target", "background"))
        data[name] = tuple(np.asarray(side) for side in sides)
    return data


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--before", type=Path, help="workflow folder of another version")
    parser.add_argument("--files", type=Path, help="folder of the mouse and digit data")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, a minute")
    return parser.parse_args()


if __name__ == "__main__":
    main()
