"""Random sparse data of a given size, the same for every contestant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.seeds import derive_seed
from bcnmf.solvers.starts import Factors, random_factors

DENSITY = 0.1
_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True)
class Size:
    """Numbers of cells and genes."""

    target: int
    background: int
    genes: int = 3000

    @property
    def cells(self) -> int:
        """All cells."""
        return self.target + self.background

    def __str__(self) -> str:
        return f"{self.target}+{self.background}"


def parse_size(text: str) -> Size:
    """Read "8000+2000" or, with the number of genes, "8000+2000x500"."""
    match = re.fullmatch(r"(\d+)\+(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ValueError(f"size {text!r}: expected target+background[xgenes], such as 8000+2000")
    target, background, genes = match.groups()
    return Size(int(target), int(background), int(genes or 3000))


@dataclass
class Data:
    """Target and background, and the forms in which contestants want them, each made once.

    Parameters
    ----------
    target, background : csr_matrix of float32
        Cells x genes; a background without rows stands for none.
    device : str
        "cpu" or "cuda"; where the dense form lives.
    """

    target: sp.csr_matrix
    background: sp.csr_matrix
    device: str = "cpu"

    @property
    def stored(self) -> int:
        """Number of stored values of both matrices."""
        return self.target.nnz + self.background.nnz

    @cached_property
    def stacked(self) -> sp.csr_matrix:
        """Target over background, for contestants that know no background."""
        if self.background.shape[0] == 0:
            return self.target
        return sp.vstack([self.target, self.background], format="csr")

    @cached_property
    def dense(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Both matrices dense, genes x cells, on the device."""
        return self._as_dense(self.target), self._as_dense(self.background)

    def bytes(self) -> int:
        """Return the bytes of both CSR matrices."""
        return sum(
            array.nbytes
            for side in (self.target, self.background)
            for array in (side.data, side.indices, side.indptr)
        )

    def _as_dense(self, side: sp.csr_matrix) -> torch.Tensor:
        """Fill genes x cells block by block, so that no second dense copy is ever there."""
        cells, genes = side.shape
        dense = torch.empty((genes, cells), dtype=torch.float32, device=self.device)
        for start in range(0, cells, _ROWS_AT_A_TIME):
            rows = side[start : start + _ROWS_AT_A_TIME].toarray()
            dense[:, start : start + len(rows)] = torch.from_numpy(rows).T.to(self.device)
        return dense


@dataclass(frozen=True)
class Problem:
    """One factorisation.

    Parameters
    ----------
    data : Data
        Target and background.
    k, loss, alpha : int, str, float
        As for `bcnmf.BCNMF`; alpha is absolute.
    start : tuple of torch.Tensor, optional
        (components, usage, background usage) on the CPU; by default each contestant draws its own.
    seed : int, optional
        That `start` is what `bcnmf` draws for this seed: then its solvers draw it themselves, since
        they take given factors for better ones than these.
    """

    data: Data
    k: int
    loss: str = "squared_error"
    alpha: float = 1.0
    start: Factors | None = None
    seed: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Target cells, background cells, genes."""
        return (*(side.shape[0] for side in self.sides), self.data.target.shape[1])

    @property
    def sides(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Target and background."""
        return self.data.target, self.data.background

    def draw_start(self, seed: int = 0) -> Factors:
        """Return `start`, or the uniform start that `bcnmf` draws for a seed."""
        if self.start is not None:
            return self.start
        return random_factors(*self.shape, self.k, seed, torch.float32, torch.device("cpu"))

    def factor_bytes(self) -> int:
        """Return the bytes of components and usages in single precision."""
        return 4 * self.k * sum(self.shape)


def random_data(size: Size, loss: str, density: float = DENSITY, device: str = "cpu") -> Data:
    """Draw data: counts for Poisson, log1p of counts for the squared error.

    Which entries are not zero is independent and uniform: nothing about the pattern helps caches.
    """
    sides = [
        _random_counts(cells, size.genes, density, derive_seed("benchmark", side, cells))
        for side, cells in (("target", size.target), ("background", size.background))
    ]
    if loss == "squared_error":
        for side in sides:
            np.log1p(side.data, out=side.data)
    return Data(*sides, device=device)


def _random_counts(cells: int, genes: int, density: float, seed: int) -> sp.csr_matrix:
    """Draw 1 + Poisson(1) at random places, block by block: nothing of size cells x genes."""
    rng = np.random.default_rng(seed)
    lengths, index, values = [np.zeros(1, np.int64)], [], []
    for start in range(0, cells, _ROWS_AT_A_TIME):
        rows = min(_ROWS_AT_A_TIME, cells - start)
        mask = rng.random((rows, genes), dtype=np.float32) < density
        lengths.append(mask.sum(1))
        index.append(np.nonzero(mask)[1].astype(np.int32))
        values.append(1.0 + rng.poisson(1.0, len(index[-1])).astype(np.float32))
    pointer = np.concatenate(lengths).cumsum()
    if pointer[-1] < 2**31:
        pointer = pointer.astype(np.int32)
    arrays = (_joined(values, np.float32), _joined(index, np.int32), pointer)
    return sp.csr_matrix(arrays, shape=(cells, genes))


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
