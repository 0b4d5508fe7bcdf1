"""A fit of a million cells that are never all in memory, and what its memory does meanwhile.

    python benchmarks/million.py --folder /somewhere/with/2GB --out results/bench

Draws a pair (`large_data`) to disk, 800,000 + 200,000 cells of 3000 genes, a twentieth stored;
fits it out of core in a process of its own; and notes that process's memory four times a second.
Then others do some iterations of the same data, each in a process of its own: those that hold
sparse data in memory, and `bcnmf` in memory and out of core. What holds dense data does so for
a part of the cells that fits (`--dense-cells`).

Writes million.tsv (one row a fit), million_memory.tsv (memory against time) and million.png.
Memory is what the process holds itself (resident); copies of files that the system keeps, and gives
up when asked, are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from bcnmf_pipeline.record.tables import write_table

_EVERY = 0.25
_TARGET_SHARE = 0.8
_OUT_OF_CORE, _IN_MEMORY = "bcnmf mu out of core", "bcnmf mu"
_SPARSE = (_OUT_OF_CORE, _IN_MEMORY, "scikit-learn mu sparse")
_DENSE = ("published loop", "published updates only", *_SPARSE)


def main() -> None:
    """Draw, fit, compare, write, print."""
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(_CHILDREN[arguments.child](arguments)), flush=True)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    _draw(arguments)
    fitted, memory = _watched("fit", arguments, "bcnmf safeguarded out of core", arguments.cells)
    write_table(memory, arguments.out / "million_memory.tsv")
    rows = [fitted]
    for cells, names in ((arguments.cells, _SPARSE), (arguments.dense_cells, _DENSE)):
        for name in names if arguments.iterations and cells else ():
            rows.append(_watched("compare", arguments, name, cells)[0])
            write_table(pd.DataFrame(rows), arguments.out / "million.tsv")
    table = pd.DataFrame(rows)
    ours = table[table["who"] == _IN_MEMORY].set_index("cells")["processor_seconds_per_pass"]
    table["processor_ratio"] = table["processor_seconds_per_pass"] / table["cells"].map(ours)
    write_table(table, arguments.out / "million.tsv")
    _plot(memory, fitted, arguments.out / "million.png")
    print(table.to_string(index=False, float_format="{:.4g}".format))


def _draw(arguments: argparse.Namespace) -> None:
    """Draw what is not there; the name of a folder says how it was drawn."""
    from large_data import Programs, draw

    programs = Programs(arguments.genes, arguments.density)
    for cells in {arguments.cells, arguments.dense_cells} - {0}:
        for side, path, number in _files(arguments, cells):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                began = time.perf_counter()
                draw(path, side, number, programs)
                print(
                    f"{path.name}: {number} cells, {path.stat().st_size / 1e9:.2f} GB, drawn in "
                    f"{time.perf_counter() - began:.0f} s",
                    flush=True,
                )


def _files(arguments: argparse.Namespace, cells: int) -> list[tuple[str, Path, int]]:
    folder = arguments.folder / f"{cells}x{arguments.genes}_{arguments.density:g}"
    target = round(_TARGET_SHARE * cells)
    numbers = {"target": target, "background": cells - target}
    return [(side, folder / f"{side}.h5ad", number) for side, number in numbers.items()]


def _watched(
    child: str, arguments: argparse.Namespace, who: str, cells: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Run a child; return what it reports and its memory over time."""
    command = [sys.executable, __file__, "--child", child, "--who", who, "--of-cells", str(cells)]
    for name, value in vars(arguments).items():
        if name not in {"child", "who", "of_cells"}:
            command += [f"--{name.replace('_', '-')}", str(value)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watched, samples = psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - began, watched.memory_info().rss))
        except psutil.NoSuchProcess:
            break
        time.sleep(_EVERY)
    assert process.stdout is not None  # it was asked for
    lines = process.stdout.read().splitlines()
    if process.wait():
        raise SystemExit(f"{who}: exit status {process.returncode}; its message is above")
    memory = pd.DataFrame(samples, columns=["seconds", "bytes"])
    report = json.loads(lines[-1])
    memory["seconds"] -= report.pop("began") - began
    during = memory[memory["seconds"].between(0, report["seconds"])]
    report |= {"peak_GB": memory["bytes"].max() / 1e9, "cells": cells}
    report["before_GB"] = memory.loc[memory["seconds"] < 0, "bytes"].max() / 1e9
    # A straight line through the second half: what still grows there would go on growing.
    late = during[during["seconds"] > report["seconds"] / 2]
    if child == "fit" and len(late) > 1:
        slope = np.polyfit(late["seconds"], late["bytes"], 1)[0]
        report["growth_MB_per_pass"] = slope * report["seconds_per_pass"] / 1e6
    print(json.dumps(report), flush=True)
    return report, memory


def _fit(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fit out of core, to the end; compare topics with the programs that were drawn."""
    from bcnmf import BCNMF
    from large_data import Programs

    programs = Programs(arguments.genes, arguments.density)
    _compile(arguments, programs)
    target, background = _opened(arguments)
    model = BCNMF(
        arguments.k, batch_size=arguments.batch_size, max_iter=arguments.max_iter, device="cpu",
        verbose=1,
    )  # fmt: skip
    began, processor = time.monotonic(), time.process_time()
    model.fit(target, background=background)
    seconds, processor = time.monotonic() - began, time.process_time() - processor
    new = programs.new
    topics = model.components_ / np.linalg.norm(model.components_, axis=1, keepdims=True)
    likeness = (new / np.linalg.norm(new, axis=1, keepdims=True)) @ topics.T
    return {
        "who": arguments.who, "stored": _stored(target) + _stored(background), "k": arguments.k,
        "began": began, "seconds": seconds,
        "iterations": model.n_iter_, "passes": model.n_passes_,
        "seconds_per_pass": seconds / model.n_passes_,
        "processor_seconds_per_pass": processor / model.n_passes_, "converged": model.converged_,
        "objective": model.objective_[-1], "explained_target": model.explained_target_,
        "explained_background": model.explained_background_,
        "cosine_of_new_programs": " ".join(f"{value:.2f}" for value in likeness.max(1)),
    }  # fmt: skip


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time some iterations, less the time of one."""
    from bcnmf import BCNMF
    from contestants import CONTESTANTS, Fitted
    from large_data import Programs
    from problems import Data, Problem
    from timing import timed

    _compile(arguments, Programs(arguments.genes, arguments.density))
    sides = _opened(arguments)
    stored = sum(map(_stored, sides))
    if arguments.who == _OUT_OF_CORE:

        def run(iterations: int) -> Fitted:
            model = BCNMF(
                arguments.k, alpha=1.0, contrast="absolute", solver="mu", tol=0, device="cpu",
                max_iter=iterations, batch_size=arguments.batch_size,
            )  # fmt: skip
            model.fit(sides[0], background=sides[1])
            return Fitted(model.components_, model.usage_, model.background_usage_, model.n_iter_)
    else:
        data = Data(*(side.X[:] for side in sides))
        run = CONTESTANTS[arguments.who].build(Problem(data, arguments.k))
        del data
    began = time.monotonic()
    one, more = (timed(lambda n=n: run(n)) for n in (1, 1 + arguments.iterations))
    return {
        "who": arguments.who, "stored": stored, "k": arguments.k, "began": began,
        "seconds": time.monotonic() - began, "iterations": arguments.iterations,
        "passes": arguments.iterations,
        "seconds_per_pass": (more.wall - one.wall) / arguments.iterations,
        "processor_seconds_per_pass": (more.processor - one.processor) / arguments.iterations,
    }  # fmt: skip


def _compile(arguments: argparse.Namespace, programs: Any) -> None:
    """Fit a few cells in memory, so that what is compiled and loaded once is there."""
    from bcnmf import BCNMF

    tiny = [programs.counts(side, 0, 20 * arguments.k) for side in ("target", "background")]
    for solver in ("safeguarded", "mu"):
        BCNMF(arguments.k, solver=solver, max_iter=2, tol=0, device="cpu", batch_size=50).fit(
            tiny[0], background=tiny[1]
        )


def _opened(arguments: argparse.Namespace) -> list[Any]:
    import anndata as ad
    import torch

    torch.set_num_threads(arguments.threads)
    files = _files(arguments, arguments.of_cells)
    return [ad.read_h5ad(path, backed="r") for _, path, _ in files]


def _stored(side: Any) -> int:
    return int(side.X.group["data"].shape[0])


_CHILDREN = {"fit": _fit, "compare": _compare}


def _plot(memory: pd.DataFrame, fitted: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
    axes.plot(memory["seconds"], memory["bytes"] / 1e9, color="#D55E00", linewidth=1)
    data = 8 * fitted["stored"] / 1e9
    axes.axhline(data, color="#7A7A7A", linestyle="--", linewidth=1)
    axes.text(0, data, " the data, as CSR", va="bottom", color="#4A4A4A", fontsize=8)
    axes.axvline(0, color="#BDBDBD", linewidth=0.8)
    axes.set(
        xlabel="Seconds since the fit began", ylabel="Resident memory, GB",
        ylim=(0, 1.25 * max(data, fitted["peak_GB"])),
        title=f"{fitted['cells']:,} cells, {fitted['passes']:.0f} passes",
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--genes", type=int, default=3000)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("-k", "--k", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=20_000)
    parser.add_argument("--max-iter", type=int, default=150)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--iterations", type=int, default=5, help="of the comparison; 0: none")
    parser.add_argument("--dense-cells", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, required=True, help="where the data go, or are")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    for internal in ("--child", "--who", "--of-cells"):
        parser.add_argument(internal, help=argparse.SUPPRESS, type=int if "of" in internal else str)
    return parser.parse_args()


if __name__ == "__main__":
    main()
