"""Peak memory and time of making a pair from a file, against the size of what is selected.

    python benchmarks/pairing_memory.py --cells 20000 --genes 20000 --share 0.06

draws counts block by block into an .h5ad, then makes the pair in a process of its own, whose peak
is taken less what it held once everything was imported. `selected` is what the pair holds: the kept
samples x features of both sides as CSR in single precision, 8 bytes a value. Prints a table with
one line for all features and one for the most variable ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem

from bcnmf_pipeline.pair.pairing import write_pair
from bcnmf_pipeline.pair.source import load
from memory import forget_peak, peak, resident

_CELLS = 1000  # drawn at once
_ROW = {
    "study": "large", "target": "arm=drug", "background": "arm=vehicle", "label": "", "unit": "",
    "layer": "",
}  # fmt: skip
_HEAD = (
    "| cells | values stored | file, MB | variable features | values | selected, MB | peak, MB "
    "| ratio | s |"
)


def draw(path: Path, cells: int, genes: int, share: float, target: float, seed: int) -> None:
    """Write counts of which a share is not zero; `target` is the share of cells under the drug."""
    rng = np.random.default_rng(seed)
    # Genes are as uneven as in tissue; libraries differ by a factor of a few.
    chance = rng.gamma(0.4, 1.0, genes)
    chance = np.minimum(chance * share / chance.mean(), 0.95)
    obs = pd.DataFrame(
        {"arm": np.where(rng.random(cells) < target, "drug", "vehicle")},
        index=[f"cell{i}" for i in range(cells)],
    )
    var = pd.DataFrame(index=[f"gene{i}" for i in range(genes)])
    ad.AnnData(obs=obs, var=var).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for start in range(0, cells, _CELLS):
            block = _block(rng, min(_CELLS, cells - start), chance)
            if start:
                sparse_dataset(file["X"]).append(block)
            else:
                write_elem(file, "X", block)


def _block(rng: np.random.Generator, cells: int, chance: np.ndarray) -> sp.csr_matrix:
    size = rng.gamma(4.0, 0.25, (cells, 1))
    found = rng.random((cells, len(chance)), dtype=np.float32) < np.minimum(chance * size, 0.98)
    block = sp.csr_matrix(found, dtype=np.float32)
    block.indptr = block.indptr.astype(np.int64)  # as many as are appended
    block.data[:] = 1 + rng.poisson(2 * chance[block.indices])
    return block


def measure(path: Path, n_top: str, values: str) -> dict[str, float]:
    """Return what a process of its own reports of making the pair."""
    command = [sys.executable, __file__, "--pair", str(path), "--top", n_top, "--values", values]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _pair(path: Path, n_top: str, values: str) -> None:
    """Make a pair of a file, after one of few cells so that all that is imported is there."""
    row = _ROW | {"n_top_features": n_top, "values": values}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.h5ad" for name in ("target", "background")]
        draw(Path(folder) / "few.h5ad", 50, 100, 0.5, 0.5, 0)
        few = row | {"n_top_features": n_top and "20"}
        with load(Path(folder) / "few.h5ad", "") as data:
            write_pair(data, few, "few", "all", paths)
        forget_peak()
        before, start = resident(), time.perf_counter()
        with load(path, "") as data:
            write_pair(data, row, "large", "all", paths)
        seconds, most = time.perf_counter() - start, peak() - before
        stored = 0
        for one in paths:
            with h5py.File(one) as file:
                stored += file["X/data"].shape[0]
    print(json.dumps({"selected": 8e-6 * stored, "peak": 1e-6 * most, "seconds": seconds}))


def main() -> None:
    """Draw a file and print a line of the table for each selection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--share", type=float, default=0.06, help="of values that are not zero")
    parser.add_argument("--target", type=float, default=0.6, help="share of cells in the target")
    parser.add_argument("--top", nargs="+", default=["", "3000"], help="variable features; '' all")
    parser.add_argument("--values", default="counts", choices=["counts", "raw"])
    parser.add_argument("--folder", help="where the file is drawn; else a temporary folder")
    parser.add_argument("--pair", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.pair:
        _pair(Path(asked.pair), asked.top[0], asked.values)
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "large.h5ad"
        draw(path, asked.cells, asked.genes, asked.share, asked.target, 0)
        with h5py.File(path) as file:
            stored = file["X/data"].shape[0]
        print(f"{_HEAD}\n{'|---' * 9}|")
        for n_top in asked.top:
            found = measure(path, n_top, asked.values)
            print(
                f"| {asked.cells:,} | {stored:,} | {path.stat().st_size / 1e6:,.0f} | "
                f"{n_top or 'all'} | {asked.values} | {found['selected']:,.0f} | "
                f"{found['peak']:,.0f} | {found['peak'] / found['selected']:.2f} | "
                f"{found['seconds']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
