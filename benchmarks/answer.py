"""What the target score finds: the tables of docs/answer_evidence.md.

    python benchmarks/answer.py FOLDER                                       all of them, one thread
    python benchmarks/answer.py FOLDER --tables topics --draws 1             one of them

Tables: `one_fit` (scores of one fit), `topics` (numbers of topics and contrasts, cross-fitted),
`methods`, `background` (numbers of background topics), `chance` (splits where nothing is new, of
several data sets), `series` (simulations and digits: is anything lost by the reading?).

FOLDER holds kang/kang.h5ad, counts of blood cells before and after interferon beta (Kang et al.
2018, the subset that Bioconductor's muscat ships; obs `group_id`: ctrl, stim, `donor`: 101, 107),
mnist/t10k-*.gz, grass/grass28.npz and mice_protein/Data_Cortex_Nuclear.csv. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from bcnmf import BCNMF, NMF, ConvergenceWarning, SharedTargetNMF, coverage, crossfit
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.digits import digits_on_texture
from bcnmf_pipeline.datasets.idx import read_digits
from bcnmf_pipeline.datasets.mnist_images import digits_on_images
from bcnmf_pipeline.datasets.mouse import read_mouse
from bcnmf_pipeline.datasets.pbmc import pbmc68k_reduced
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels

HALF, NOTHING = "half", "nothing"
SCENES = (HALF, "25 of 500", "10 of 500", NOTHING)
COMMON = {"max_iter": 100}
CONTESTANTS = {
    "topics": {
        f"K={k}, alpha {a:g}": BCNMF(k, alpha=a, **COMMON)
        for k, a in ((2, 3), (10, 3), (2, 1.5), (10, 1.5), (20, 3))
    },
    "methods": {
        "classifier": None,
        "10 shared + 2 target topics, log": SharedTargetNMF(loss="squared_error", **COMMON),
        "10 shared + 2 target topics, counts": SharedTargetNMF(**COMMON),
        "NMF of the target, K=10": NMF(10, **COMMON),
    },
    "background": {
        f"K=10, {n} background topics": BCNMF(10, alpha=3, n_background=n, **COMMON)
        for n in (2, 5, 20, 40)
    },
}
MNIST = ("mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz")


# The two sides, as a cross-fit takes them, and which target samples hold something new.
Pair = tuple[dict, np.ndarray | None]


class Kind(NamedTuple):
    """Samples among which there is nothing to find."""

    values: np.ndarray
    mice: np.ndarray | None = None
    told: bool = False

    def halves(self, draw: int) -> Pair:
        """Return random halves: of the samples, or of the mice, of which a cross-fit may know."""
        units = np.arange(len(self.values)) if self.mice is None else self.mice
        names = np.unique(units)
        rng = np.random.default_rng(derive_seed("answer", "halves", draw))
        first = np.isin(units, rng.permutation(names)[: len(names) // 2])
        sides = {"X": self.values[first], "background": self.values[~first]}
        if self.told:
            sides |= {"units": units[first], "background_units": units[~first]}
        return sides, None


class Cells:
    """The interferon data, and pairs drawn from them."""

    def __init__(self, path: Path) -> None:
        data = ad.read_h5ad(path)
        self.counts = data.X.toarray().astype(np.float32)
        self.values = log_values(self.counts)
        self.stimulated = (data.obs["group_id"] == "stim").to_numpy()
        self.first = (data.obs["donor"].astype(str) == "101").to_numpy()

    def pair(self, scene: str, draw: int, counts: bool = False) -> Pair:
        """Return a pair of a scene; what is random in it is another at each draw."""
        values = self.counts if counts else self.values
        plain, first = ~self.stimulated, self.first
        if scene == NOTHING:
            return Kind(values[plain]).halves(draw)
        rng = np.random.default_rng(derive_seed("answer", scene, draw))
        new = rng.permutation(np.flatnonzero(self.stimulated & first))
        if scene == HALF:
            others, background = np.flatnonzero(plain & first), np.flatnonzero(plain & ~first)
        else:
            new = new[: int(scene.split()[0])]
            order = rng.permutation(np.flatnonzero(plain))
            others, background = np.split(order, [500 - len(new)])
        target = np.concatenate([new, others])
        return {"X": values[target], "background": values[background]}, self.stimulated[target]


def log_values(counts: np.ndarray) -> np.ndarray:
    """Return log1p of counts per 10,000."""
    return np.log1p(1e4 * counts / counts.sum(1, keepdims=True)).astype(np.float32)


def judged(estimator: BCNMF | NMF | SharedTargetNMF | None, pair: Pair, draw: int) -> dict:
    """Return what a cross-fit calls, and whether its interval holds what chance would call."""
    (sides, new), judge = pair, coverage if estimator is None else partial(crossfit, estimator)
    fit = judge(**sides, random_state=draw)
    if new is None:
        return {"share": fit.share, "holds": fit.interval[0] <= fit.chance <= fit.interval[1]}
    return {
        "share": fit.above[new].mean(),
        "others": fit.above[~new].mean(),
        "auroc": roc_auc_score(new, fit.score),
    }


def scenes(table: str, cells: Cells, arguments: argparse.Namespace) -> Iterator[dict]:
    """Cross-fit contestants on every scene: share called, share of the others called, AUROC."""
    for name, estimator in CONTESTANTS[table].items():
        line = {"": name}
        for scene in SCENES:
            rows = [
                judged(estimator, cells.pair(scene, draw, name.endswith("counts")), draw)
                for draw in range(1 if scene == HALF else arguments.draws)
            ]
            mean = pd.DataFrame(rows).mean()
            line[scene] = "; ".join(f"{mean[one]:.3f}" for one in mean.index if one != "holds")
        yield line


def one_fit(cells: Cells, arguments: argparse.Namespace) -> Iterator[dict]:
    """Score half-stimulated cells by one fit with the defaults, beside what usages alone give."""
    models = {f"K={k}, alpha {a:g}": BCNMF(k, alpha=a) for k in (2, 10) for a in (1.5, 3)}
    for a in (1, 3):
        updates = BCNMF(10, alpha=a, solver="mu", max_iter=200, tol=0)
        models[f"published updates, K=10, alpha {a}"] = updates
    models["10 shared + 2 target topics, log"] = SharedTargetNMF(loss="squared_error")
    models["10 shared + 2 target topics, counts"] = SharedTargetNMF()
    for name, model in models.items():
        sides, new = cells.pair(HALF, 0, name.endswith("counts"))
        usage, score = model.fit_transform(**sides), model.target_score(sides["X"])
        yield {
            "": name,
            "target score: AUROC": f"{roc_auc_score(new, score):.3f}",
            "ARI": f"{agreement(score[:, None], new):.3f}",
            "usages: best topic's AUROC": f"{max(roc_auc_score(new, u) for u in usage.T):.3f}",
            "ARI (usages)": f"{agreement(usage, new):.3f}",
        }


def agreement(space: np.ndarray, label: np.ndarray) -> float:
    """Return the adjusted Rand index of as many clusters as there are classes."""
    return adjusted_rand(label, kmeans_labels(space, len(np.unique(label))))


def chance(cells: Cells, arguments: argparse.Namespace) -> Iterator[dict]:
    """Split samples of one kind at random, and count those that are called."""
    contestants = {"K=2": BCNMF(2, alpha=3, **COMMON), "K=10": BCNMF(10, alpha=3, **COMMON)}
    for name, kind in kinds(cells, arguments.folder).items():
        line = {"": name}
        for title, estimator in (contestants | {"classifier": None}).items():
            draws = range(arguments.splits)
            table = pd.DataFrame([judged(estimator, kind.halves(draw), draw) for draw in draws])
            line[title] = f"{table['share'].mean():.3f} ({table['share'].std():.3f})"
            line[f"intervals ({title})"] = f"{table['holds'].sum()} of {len(table)}"
        yield line


def kinds(cells: Cells, folder: Path) -> dict[str, Kind]:
    """Return samples among which there is nothing to find."""
    textures = digits_on_texture()
    found = {
        "unstimulated cells": Kind(cells.values[~cells.stimulated]),
        "blood cells of scanpy": Kind(pbmc68k_reduced().X.toarray()),
        "patches of a photograph": Kind(textures.X[(textures.obs["side"] != "target").to_numpy()]),
    }
    every = read_mouse(folder / "mice_protein/Data_Cortex_Nuclear.csv")
    control = every[(every.obs["class"] == "c-CS-s").to_numpy()]
    values, mice = np.asarray(control.X), control.obs["mouse"].to_numpy()
    found["control mice, samples at random"] = Kind(values)
    found["whole mice, not told"] = Kind(values, mice)
    found["whole mice, told by units"] = Kind(values, mice, told=True)
    return found


def series(cells: Cells, arguments: argparse.Namespace) -> Iterator[dict]:
    """Cluster usages as they are and beside background topics: two classes within the target."""
    data = {f"simulation, beta {beta:g}": simulate_counts(beta) for beta in (1.0, 8.0, 16.0)}
    data["digits on texture"] = digits_on_texture()
    digits = read_digits([tuple(arguments.folder / file for file in MNIST)])
    crops = np.load(arguments.folder / "grass/grass28.npz")["images"].reshape(-1, 28, 28)
    data["digits on natural images"] = digits_on_images(digits, crops)
    for name, both in data.items():
        target, counted = (both.obs["side"] == "target").to_numpy(), "target_program" in both.obs
        classes = both.obs["target_program" if counted else "digit"][target].to_numpy()
        values = both.X.toarray() if counted else np.asarray(both.X, dtype=np.float32)
        models = {"K=2, alpha 2": (BCNMF(2, alpha=2), log_values(values) if counted else values)}
        if counted:
            models["10 shared + 2 target topics"] = (SharedTargetNMF(), values)
        for title, (model, given) in models.items():
            plain = model.fit_transform(given[target], background=given[~target])
            beside = model.target_usage(given[target])
            yield {"": name, "model": title, "usages": f"{agreement(plain, classes):.3f}",
                   "usages beside": f"{agreement(beside, classes):.3f}"}  # fmt: skip


TABLES = {"one_fit": one_fit} | {name: partial(scenes, name) for name in CONTESTANTS}
TABLES |= {"chance": chance, "series": series}


def main() -> None:
    """Print the tables asked for, line by line as they come."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=[*TABLES])
    parser.add_argument("--draws", type=int, default=3, help="draws of random cells")
    parser.add_argument("--splits", type=int, default=20, help="random halves of `chance`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(arguments.folder / "kang/kang.h5ad")
    for name in arguments.tables:
        sys.stdout.write(f"\n### {name}\n\n")
        for number, line in enumerate(TABLES[name](cells, arguments)):
            if not number:
                sys.stdout.write(f"| {' | '.join(line)} |\n|{'---|' * len(line)}\n")
            sys.stdout.write(f"| {' | '.join(line.values())} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
