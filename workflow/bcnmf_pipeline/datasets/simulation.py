"""Count simulation: target programs hidden under stronger programs that both sides share."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed

_SOURCE = {
    "description": "simulated counts: target programs under shared programs of strength beta",
    "citation": "Li, Yang and Li, arXiv 2602.22387, count simulation (beta series)",
    "licence": "not applicable",
}
# Columns of `var`: the profile of each program, and whose block a gene is in.
PROFILE, BLOCK = "program_", "block"
TARGET, SHARED = "target_", "shared_"
# Rates are formed for a bounded number of entries at a time.
_BLOCK_ELEMENTS = 2**22

_SHARED_WEIGHT, _TARGET_WEIGHT = 10.0, 0.15
_AMBIENT, _NOISE = 0.02, 0.01
_MAY_BE_NONE = ("random_state", "n_missing", "n_background_programs", "n_captured")


def simulate_counts(
    beta: float,
    n_genes: int = 3000,
    n_target: int = 1000,
    n_background: int = 1000,
    n_shared: int = 5,
    n_target_programs: int = 2,
    shared_block: int = 250,
    target_block: int = 120,
    random_state: int = 0,
    *,
    target_depth: float = 1.0,
    library_sigma: float = 0.35,
    n_missing: int = 0,
    n_background_programs: int = 0,
    target_shares: Sequence[float] | None = None,
    n_captured: int = 0,
    capture: float = 3.0,
) -> ad.AnnData:
    """Draw the counts of a target and a background that share their strongest variation.

    The counts of cell i and gene j are Poisson with mean ::

        s_i * (0.15 * t_ij + beta * 10 * p_ij + 0.02 + 0.01 * u_i * v_j)

    where p and t are the weights of gene j in the shared program and in the target program of the
    cell (t = 0 in the background), s the library size, lognormal(0, 0.35), and u and v the noise of
    the cell and of the gene, each gamma(1, 1). The arguments after `random_state` depart from the
    paper; with their defaults they change no number.

    A program has gamma weights on a block of genes of its own, gamma(2, 0.6) if shared and
    gamma(2, 0.9) if of the target, and a floor on all genes, gamma(0.5, 0.01) or gamma(0.5, 0.005);
    gamma(a, b) has shape a and scale b, hence mean a * b.

    Parameters
    ----------
    beta : float
        Strength of the shared programs, >= 0; 0 switches them off.
    n_genes : int
        Number of genes, enough for all blocks.
    n_target, n_background : int
        Number of cells of each side.
    n_shared, n_target_programs : int
        Number of programs. Each cell takes one shared program at random, each target cell one
        target program besides, in equal numbers (up to one cell).
    shared_block, target_block : int
        Number of genes in the block of a program.
    random_state : int
        Seed, >= 0. Every quantity has a stream of random numbers of its own, so that the same seed
        at another beta has the same programs, assignments, library sizes and noise.
    target_depth : float
        Library sizes of the target are this many times as large, > 0.
    library_sigma : float
        Standard deviation of the logarithm of library sizes, >= 0; their median stays 1.
    n_missing : int
        So many shared programs, the last ones, are in no cell of the background.
    n_background_programs : int
        Programs of the background alone, like the shared ones in weights, block and strength. A
        cell of the background takes one of these or of the shared ones at random.
    target_shares : sequence of float, optional
        Share of the target's cells with each target program; the rest has none. By default all
        programs have equal numbers and every cell has one.
    n_captured : int
        So many genes in blocks of shared programs, drawn at random, are captured unequally.
    capture : float
        Mean counts of those genes in the target are this many times as large, > 0.

    Returns
    -------
    AnnData
        X: counts, float32 CSR, (n_target + n_background) x n_genes, target cells first.
        obs: `side` (target, background), `shared_program` (shared_1 ..., in the background also
        background_1 ... where it has programs of its own), `target_program` (target_1 ..., "none"
        in cells without one), `library_size`, `cell_noise`.
        var: `block` (the program whose block holds the gene, or "none"), `gene_noise`,
        `program_shared_1` ..., `program_target_1` ..., `program_background_1` ... (the weights of
        each program), `capture` where genes are captured unequally.
        uns: `shared_programs` (n_shared, n_genes), `target_programs` (n_target_programs, n_genes),
        `background_programs` where there are any, `beta`, `random_state`, `source`.

    Raises
    ------
    InputError
        An argument out of its range, or blocks that do not fit into the genes.

    Notes
    -----
    The paper leaves open, and this function chooses: the floor is added inside the blocks too;
    blocks are consecutive genes, shared ones first, then those of the target and of the background,
    and genes without a block come last; target programs go to equally many cells (the paper: 500
    and 500), in random order; the gene noise is drawn once for both sides, the cell noise for each
    cell; only the mean counts depend on beta, but the Poisson draws differ between betas as any two
    draws do.

    References
    ----------
    .. [1] Li, Yang and Li, "Disentangling Shared and Target-Enriched Topics via
       Background-Contrastive Non-negative Matrix Factorization", arXiv 2602.22387.
    """
    sizes = {
        "n_genes": n_genes, "n_target": n_target, "n_background": n_background,
        "n_shared": n_shared, "n_target_programs": n_target_programs,
        "shared_block": shared_block, "target_block": target_block,
        "n_missing": n_missing, "n_background_programs": n_background_programs,
        "n_captured": n_captured,
    }  # fmt: skip
    _check_arguments(beta, sizes, random_state)
    _check_departures(target_depth, library_sigma, capture, sizes)
    target_numbers = _target_numbers(target_shares, n_target, n_target_programs)

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed("count simulation", random_state, name))

    after_shared = n_shared * shared_block
    after_target = after_shared + n_target_programs * target_block
    shared = _programs(stream("shared programs"), n_shared, n_genes, 0, shared_block, 0.6, 0.01)
    target = _programs(
        stream("target programs"),
        n_target_programs, n_genes, after_shared, target_block, 0.9, 0.005,
    )  # fmt: skip
    own = _programs(
        stream("background programs"),
        n_background_programs, n_genes, after_target, shared_block, 0.6, 0.01,
    )  # fmt: skip
    gene_noise = stream("gene noise").gamma(1.0, 1.0, n_genes)
    # Programs of the background are numbered on from the shared ones.
    in_background = [*range(n_shared - n_missing), *range(n_shared, n_shared + len(own))]
    cells = pd.concat(
        [
            _cells(stream, "target", range(n_shared), target_numbers, library_sigma),
            _cells(stream, "background", in_background, np.full(n_background, -1), library_sigma),
        ]
    )
    cells.loc[cells["side"] == "target", "library_size"] *= target_depth
    # The last row, of zeros, is the target program of cells without one, numbered -1.
    weights = np.vstack([_TARGET_WEIGHT * target, np.zeros(n_genes)])
    strong = beta * _SHARED_WEIGHT * np.vstack([shared, own])
    captured = np.ones(n_genes)
    drawn = stream("captured genes").choice(after_shared, n_captured, replace=False)
    captured[drawn] = capture
    counts = _counts(stream("counts"), strong, weights, cells, gene_noise, captured)
    programs = {"shared": shared, "target": target, "background": own}
    return ad.AnnData(
        counts,
        obs=_named(cells, n_shared, n_target_programs, n_background_programs),
        var=_genes(gene_noise, sizes).assign(
            **_profiles(programs), **({"capture": captured} if n_captured else {})
        ),
        uns={
            **{f"{kind}_programs": values for kind, values in programs.items() if len(values)},
            "beta": float(beta),
            "random_state": int(random_state),
            "source": dict(_SOURCE),
        },
    )


def _check_arguments(beta: float, sizes: dict[str, int], random_state: int) -> None:
    if not isinstance(beta, numbers.Real) or not math.isfinite(beta) or beta < 0:
        raise InputError(f"simulate_counts: beta={beta!r}; expected a finite number >= 0")
    for name, value in {**sizes, "random_state": random_state}.items():
        least = 0 if name in _MAY_BE_NONE else 1
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < least:
            raise InputError(f"simulate_counts: {name}={value!r}; expected an integer >= {least}")
    if sizes["n_target"] < sizes["n_target_programs"]:
        raise InputError(
            f"simulate_counts: n_target={sizes['n_target']} cells cannot hold "
            f"n_target_programs={sizes['n_target_programs']}; every program needs a cell"
        )
    strong = sizes["n_shared"] + sizes["n_background_programs"]
    needed = strong * sizes["shared_block"] + sizes["n_target_programs"] * sizes["target_block"]
    if needed > sizes["n_genes"]:
        own = sizes["n_background_programs"]
        count = "(n_shared + n_background_programs)" if own else "n_shared"
        raise InputError(
            f"simulate_counts: the blocks take {needed} genes ({count} x shared_block = "
            f"{strong} x {sizes['shared_block']}, n_target_programs x target_block = "
            f"{sizes['n_target_programs']} x {sizes['target_block']}), but "
            f"n_genes={sizes['n_genes']}; use more genes or smaller blocks"
        )


def _check_departures(
    target_depth: float, library_sigma: float, capture: float, sizes: dict[str, int]
) -> None:
    for name, value, positive in (
        ("target_depth", target_depth, True),
        ("library_sigma", library_sigma, False),
        ("capture", capture, True),
    ):
        finite = isinstance(value, numbers.Real) and math.isfinite(value)
        if not finite or value < 0 or (positive and value == 0):
            least = "> 0" if positive else ">= 0"
            raise InputError(f"simulate_counts: {name}={value!r}; expected a finite number {least}")
    left = sizes["n_shared"] - sizes["n_missing"] + sizes["n_background_programs"]
    if sizes["n_missing"] > sizes["n_shared"] or not left:
        raise InputError(
            f"simulate_counts: n_missing={sizes['n_missing']} of n_shared={sizes['n_shared']} "
            "shared programs leave the background without a program; let it lack fewer"
        )
    in_blocks = sizes["n_shared"] * sizes["shared_block"]
    if sizes["n_captured"] > in_blocks:
        raise InputError(
            f"simulate_counts: n_captured={sizes['n_captured']} genes; the blocks of shared "
            f"programs have {in_blocks}, of which they are drawn"
        )


def _target_numbers(
    shares: Sequence[float] | None, n_target: int, n_target_programs: int
) -> np.ndarray:
    """Return the target programs of the target's cells, numbered from 0, in no random order yet."""
    if shares is None:
        return np.arange(n_target) % n_target_programs
    shares = [float(share) for share in shares]
    if len(shares) != n_target_programs:
        raise InputError(
            f"simulate_counts: target_shares={shares} has {len(shares)} shares; "
            f"expected one for each of n_target_programs={n_target_programs}"
        )
    if not all(share > 0 for share in shares) or sum(shares) > 1 + 1e-9:
        raise InputError(
            f"simulate_counts: target_shares={shares}; expected shares > 0 with a sum of at most 1"
        )
    # Rounded sums, not rounded shares: shares that make up all cells leave none out.
    ends = np.rint(np.cumsum([0.0, *shares]) * n_target).astype(int)
    cells = np.diff(ends)
    if not cells.all():
        raise InputError(
            f"simulate_counts: target_shares={shares} of n_target={n_target} cells leave a "
            "program without a cell; use more cells or a larger share"
        )
    return np.repeat([*range(n_target_programs), -1], [*cells, n_target - int(cells.sum())])


def _programs(
    rng: np.random.Generator,
    number: int,
    n_genes: int,
    first_gene: int,
    block: int,
    scale: float,
    floor_scale: float,
) -> np.ndarray:
    programs = rng.gamma(0.5, floor_scale, (number, n_genes))
    weights = rng.gamma(2.0, scale, (number, block))
    for program, own in enumerate(weights):
        start = first_gene + program * block
        programs[program, start : start + block] += own
    return programs


def _cells(
    stream: Callable[[str], np.random.Generator],
    side: str,
    programs: Sequence[int],
    target_numbers: np.ndarray,
    library_sigma: float,
) -> pd.DataFrame:
    """Return a row a cell, programs as numbers from 0, and -1 for no target program."""
    n_cells = len(target_numbers)
    drawn = stream(f"{side} shared program").integers(len(programs), size=n_cells)
    return pd.DataFrame(
        {
            "side": side,
            "shared_program": np.asarray(programs)[drawn],
            "target_program": stream(f"{side} target program").permutation(target_numbers),
            "library_size": stream(f"{side} library size").lognormal(0.0, library_sigma, n_cells),
            "cell_noise": stream(f"{side} cell noise").gamma(1.0, 1.0, n_cells),
        },
        index=[f"{side}_{cell + 1}" for cell in range(n_cells)],
    )


def _counts(
    rng: np.random.Generator,
    shared: np.ndarray,
    target: np.ndarray,
    cells: pd.DataFrame,
    gene_noise: np.ndarray,
    captured: np.ndarray,
) -> sp.csr_matrix:
    """Draw Poisson counts block by block; the blocks' size does not change the numbers."""
    step = max(1, _BLOCK_ELEMENTS // len(gene_noise))
    blocks = []
    for start in range(0, len(cells), step):
        part = cells.iloc[start : start + step]
        rates = shared[part["shared_program"]] + target[part["target_program"]]
        rates += _AMBIENT + _NOISE * np.outer(part["cell_noise"], gene_noise)
        rates *= part["library_size"].to_numpy()[:, None]
        rates *= np.where((part["side"] == "target").to_numpy()[:, None], captured, 1.0)
        blocks.append(sp.csr_matrix(rng.poisson(rates).astype(np.float32)))
    return sp.vstack(blocks, format="csr")


def _genes(gene_noise: np.ndarray, sizes: dict[str, int]) -> pd.DataFrame:
    kinds = (
        ("shared", sizes["n_shared"], sizes["shared_block"]),
        ("target", sizes["n_target_programs"], sizes["target_block"]),
        ("background", sizes["n_background_programs"], sizes["shared_block"]),
    )
    blocks = [
        label
        for kind, number, genes in kinds
        for label in _labels(kind, number)
        for _ in range(genes)
    ]
    blocks += ["none"] * (len(gene_noise) - len(blocks))
    return pd.DataFrame(
        {"block": pd.Categorical(blocks), "gene_noise": gene_noise},
        index=[f"gene_{gene + 1}" for gene in range(len(gene_noise))],
    )


def _profiles(programs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of each program by the name of its column."""
    return {
        f"{PROFILE}{label}": weights
        for kind, of_kind in programs.items()
        for label, weights in zip(_labels(kind, len(of_kind)), of_kind, strict=True)
    }


def _labels(kind: str, number: int) -> list[str]:
    return [f"{kind}_{program + 1}" for program in range(number)]


def _named(
    cells: pd.DataFrame, n_shared: int, n_target_programs: int, n_background_programs: int
) -> pd.DataFrame:
    """Return the cells with names in place of the numbers of programs."""
    strong = _labels("shared", n_shared) + _labels("background", n_background_programs)
    shared = pd.Categorical.from_codes(cells["shared_program"], strong)
    # Code -1 would be a missing value: "none" is the category after the programs.
    labels = [*_labels("target", n_target_programs), "none"]
    target = pd.Categorical.from_codes(cells["target_program"] % len(labels), labels)
    return cells.assign(
        side=pd.Categorical(cells["side"]), shared_program=shared, target_program=target
    )
