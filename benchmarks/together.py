"""Starts of a fit in one set of passes, against one after another.

    python benchmarks/together.py --out results/bench          three minutes

Data are drawn block by block into a file, which is read in batches: as it is, and compressed as
files of counts mostly are. An iteration of five starts is that of a fit of 1 + s less that of one,
over s; together, and one after another: in seconds, in seconds of processors, which other
work on the machine hardly changes, and in reads of the target. The numbers are compared as well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf.matrices.streamed import StreamedMatrix
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
                _row(sides, "mu", 10, compression, arguments)  # compiles
                for solver, k in (("mu", 10), ("safeguarded", 10)):
                    rows.append(_row(sides, solver, k, compression, arguments))
                    print(rows[-1], flush=True)
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    write_table(pd.DataFrame(rows), arguments.out / "together.tsv")


def _row(
    sides: list[Any], solver: str, k: int, compression: str | None, given: argparse.Namespace
) -> dict[str, Any]:
    spent, found = {}, {}
    for name, state in (("one_by_one", given.out / "state.npz"), ("together", None)):
        # A checkpoint is of one start, which then run one by one; it is written each minute.
        costs = []
        for iterations in (1, 1 + given.iterations):
            options = {"solver": solver, "batch_size": given.batch, "device": "cpu", "tol": 0}
            model = BCNMF(k, n_init=STARTS, max_iter=iterations, **options)
            with _reads() as reads:
                began = np.array([time.perf_counter(), time.process_time(), 0.0])
                model.fit(sides[0], background=sides[1], checkpoint=state)
                ended = np.array(
                    [time.perf_counter(), time.process_time(), reads.count(sides[0].shape)]
                )
            costs.append(ended - began)
        spent[name] = (costs[1] - costs[0]) / given.iterations
        found[name] = model
    row = {"file": compression or "as it is", "solver": solver, "k": k, "starts": STARTS}
    for unit, *both in zip(("seconds", "processor_seconds", "reads"), *spent.values(), strict=True):
        row |= {f"{unit}_{name}": value for name, value in zip(spent, both, strict=True)}
    row["same_numbers"] = np.array_equal(*(model.components_ for model in found.values()))
    return row


@contextmanager
def _reads() -> Iterator[list[tuple[int, int]]]:
    """Yield a list of the shapes of what is read, one for every read."""
    made, original = [], StreamedMatrix._each

    def each(self: StreamedMatrix, work: Any) -> None:
        if type(self) is StreamedMatrix:
            made.append(self.shape)
        original(self, work)

    StreamedMatrix._each = each
    try:
        yield made
    finally:
        StreamedMatrix._each = original


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
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=2_500)
    parser.add_argument("--iterations", type=int, default=4)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments


if __name__ == "__main__":
    main()
