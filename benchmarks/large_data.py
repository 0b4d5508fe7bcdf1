"""Large pairs with programs of known genes, drawn block by block onto the disk.

Cells of both sides mix shared programs; half of the target's cells hold one of three programs
besides that the background lacks. Counts are drawn, and stored as log1p of counts per 10,000, in
single precision: CSR in .h5ad, without compression, as `anndata.read_h5ad(backed="r")` reads it.
"""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.files import atomic_path
from bcnmf.seeds import derive_seed

SHARED, NEW = 8, 3
_MARKERS, _CELLS_AT_A_TIME, _TRIED = 100, 10_000, 500
_CHUNK = 1 << 20


class Programs:
    """Programs over genes, and cells that hold them.

    Parameters
    ----------
    genes : int
        How many.
    density : float
        Which share of a cell's genes is not zero, on average.
    """

    def __init__(self, genes: int, density: float) -> None:
        rng = np.random.default_rng(derive_seed("large", "programs", genes))
        base = rng.lognormal(0, 2.0, genes)
        loadings = base * rng.lognormal(0, 0.3, (SHARED + NEW, genes))
        # Shared programs are bases with markers; new ones are their markers alone.
        markers = np.stack([rng.permutation(genes)[:_MARKERS] for _ in loadings])
        raised = np.zeros_like(loadings)
        np.put_along_axis(raised, markers, rng.lognormal(0, 1.0, markers.shape), axis=1)
        loadings[:SHARED] += raised[:SHARED] * 10 * base.mean()
        loadings[SHARED:] = raised[SHARED:]
        self.loadings = loadings / loadings.sum(1, keepdims=True)
        self.depth = self._depth_for(density)

    @property
    def new(self) -> np.ndarray:
        """Loadings (NEW, genes) of the programs that the target alone holds."""
        return self.loadings[SHARED:]

    def counts(self, side: str, block: int, cells: int) -> sp.csr_matrix:
        """Draw the counts of some cells; the same for the same side and number of the block."""
        rng = np.random.default_rng(derive_seed("large", side, block, cells))
        shares, depths = self._cells(side, cells, rng)
        of_program = rng.multinomial(depths, shares)
        rows, columns = [], []
        for loadings, number in zip(self.loadings, of_program.T, strict=True):
            edges = np.cumsum(loadings)
            drawn = np.searchsorted(edges / edges[-1], rng.random(number.sum()), side="right")
            columns.append(drawn.astype(np.int32))
            rows.append(np.repeat(np.arange(cells, dtype=np.int32), number))
        index = np.concatenate(rows), np.concatenate(columns)
        shape = cells, self.loadings.shape[1]
        drawn = sp.coo_matrix((np.ones(len(index[0]), np.float32), index), shape).tocsr()
        drawn.sort_indices()
        return drawn

    def _cells(
        self, side: str, cells: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what share each program has of each cell, and how many counts cells have."""
        shares = np.zeros((cells, SHARED + NEW))
        shares[:, :SHARED] = rng.dirichlet(np.full(SHARED, 0.5), cells)
        if side == "target":
            holds = rng.random(cells) < 0.5
            share = np.where(holds, rng.uniform(0.1, 0.4, cells), 0.0)
            shares *= 1 - share[:, None]
            shares[np.arange(cells), SHARED + rng.integers(0, NEW, cells)] = share
        return shares, rng.poisson(self.depth * rng.lognormal(0, 0.3, cells))

    def _depth_for(self, density: float) -> float:
        """Return the mean depth of cells of which such a share of genes is not zero."""
        rng = np.random.default_rng(derive_seed("large", "depth"))
        self.depth = 1.0
        expected = self._cells("target", _TRIED, rng)[0] @ self.loadings
        sizes = rng.lognormal(0, 0.3, _TRIED)[:, None]
        low, high = 1.0, 1e7
        for _ in range(60):
            depth = np.sqrt(low * high)
            found = -np.expm1(-depth * sizes * expected).mean()
            low, high = (low, depth) if found > density else (depth, high)
        return float(low)


def draw(path: Path, side: str, cells: int, programs: Programs) -> None:
    """Write one side to an .h5ad, whole or not at all; only a block of it is ever in memory."""
    genes = programs.loadings.shape[1]
    with atomic_path(path) as temporary:
        obs = pd.DataFrame(index=pd.Index([f"{side}{i}" for i in range(cells)]))
        var = pd.DataFrame(index=pd.Index([f"gene{i}" for i in range(genes)]))
        ad.AnnData(obs=obs, var=var).write_h5ad(temporary)
        with h5py.File(temporary, "a") as file:
            _write_x(file, side, (cells, genes), programs)


def _write_x(file: h5py.File, side: str, shape: tuple[int, int], programs: Programs) -> None:
    if "X" in file:
        del file["X"]
    group = file.create_group("X")
    group.attrs["encoding-type"], group.attrs["encoding-version"] = "csr_matrix", "0.1.0"
    group.attrs["shape"] = np.array(shape)
    parts = {
        name: group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK,))
        for name, dtype in (("data", "f4"), ("indices", "i4"))
    }
    pointer = [np.zeros(1, np.int64)]
    for block, start in enumerate(range(0, shape[0], _CELLS_AT_A_TIME)):
        counts = programs.counts(side, block, min(_CELLS_AT_A_TIME, shape[0] - start))
        values, stored = _normalised(counts), int(pointer[-1][-1])
        for name, new in (("data", values.data), ("indices", values.indices)):
            parts[name].resize((stored + len(new),))
            parts[name][stored:] = new
        pointer.append(values.indptr[1:].astype(np.int64) + stored)
    group["indptr"] = np.concatenate(pointer)


def _normalised(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return log1p of counts per 10,000."""
    totals = np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    values = counts.copy()
    values.data = np.log1p(values.data * np.repeat(1e4 / totals, np.diff(counts.indptr)))
    values.data = values.data.astype(np.float32)
    return values
