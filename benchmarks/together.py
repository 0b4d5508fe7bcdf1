"""Starts of a fit in one set of passes, against one after another.

    python benchmarks/together.py --out results/bench          three minutes

Data are drawn block by block into a file, which is read in batches: as it is, and compressed as
files of counts mostly are. Time is that of a fit with five starts, of 1 + s iterations less that of
one, over s; together, and one after another. The numbers are compared as well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf_pipeline.record.tables import write_table

FEATURES, DENSITY, STARTS = 3000, 0.05, 5


def main() -> None:
    """Measure, write the table, print it."""
    arguments = _arguments()
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for compression in (None, "gzip"):
            path = Path(folder) / f"{compression}.h5"
            _draw(path, arguments.cells, compression)
            with h5py.File(path) as file:
                sides = [sparse_dataset(file[name]) for name in ("target", "background")]
                for solver, k in (("mu", 10), ("mu", 30), ("safeguarded", 10)):
                    rows.append(_row(sides, solver, k, compression, arguments))
                    print(pd.DataFrame(rows).to_string(index=False), flush=True)
    write_table(pd.DataFrame(rows), arguments.out / "together.tsv")


def _row(
    sides: list[Any], solver: str, k: int, compression: str | None, given: argparse.Namespace
) -> dict[str, Any]:
    seconds, found = {}, {}
    for name, folder in (("one by one", given.out / "state.npz"), ("together", None)):
        options = {"solver": solver, "batch_size": given.batch, "device": "cpu", "tol": 0}
        times = []
        for iterations in (1, 1 + given.iterations):
            model = BCNMF(k, n_init=STARTS, max_iter=iterations, **options)
            began = time.perf_counter()
            # A checkpoint is of one start, which then run one by one; it is written each minute.
            model.fit(sides[0], background=sides[1], checkpoint=folder)
            times.append(time.perf_counter() - began)
        seconds[name] = (times[1] - times[0]) / given.iterations
        found[name] = model
    return {
        "file": compression or "as it is", "solver": solver, "k": k, "starts": STARTS,
        "one_by_one": seconds["one by one"], "together": seconds["together"],
        "times_faster": seconds["one by one"] / seconds["together"],
        "same_numbers": np.array_equal(*(model.components_ for model in found.values())),
    }  # fmt: skip


def _draw(path: Path, cells: int, compression: str | None) -> None:
    """Write a target and a background."""
    rng = np.random.default_rng(0)
    options = {} if compression is None else {"compression": compression}
    with h5py.File(path, "w") as file:
        for name, n in (("target", cells), ("background", cells // 4)):
            values = sp.random(n, FEATURES, DENSITY, "csr", np.float32, rng)
            values.data = np.ceil(4 * values.data)
            write_elem(file, name, values, dataset_kwargs=options)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    parser.add_argument("--cells", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--iterations", type=int, default=5)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    main()
