"""Settings recommended without labels, beside what the labels would have picked.

    python benchmarks/label_free.py FOLDER                                       hours, one thread
    python benchmarks/label_free.py FOLDER --sets beta nothing --data-seeds 0 --small

Sets: `beta` (the beta series), `digits` (on texture, embedded), `mouse`, `kang` (blood cells before
and after interferon; FOLDER holds kang/kang.h5ad and mice_protein/Data_Cortex_Nuclear.csv), and
`nothing`: one background split in two, one half with gene-wise capture changed (log-sd 0.3).

Every setting is fitted to halves, by which one is recommended, and to all of the data, and scored
there by the adjusted Rand index of k-means on usages, for kang on the target score. Regret is by
how much the recommended setting scores below the best. What stands in --out is not fitted again,
so a run can be cut off, and further data sets be added. `--small`: 1000 genes, 300 + 300 cells,
K = 2, 5 and alpha from 1.5 for the series.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import torch

from answer import agreement, log_values
from bcnmf import BCNMF, ConvergenceWarning
from bcnmf.selection import fit_split, summarise
from bcnmf_pipeline.datasets.digits import digits_on_texture
from bcnmf_pipeline.datasets.mouse import read_mouse
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import read_table, write_table

SMALL = {
    "n_genes": 1000, "n_target": 300, "n_background": 300, "shared_block": 100, "target_block": 80,
}  # fmt: skip
ALPHAS = (1.0, 1.5, 2.0, 3.0, 5.0)
DEFAULT = {"n_components": 10, "alpha": 1.5}
PUBLISHED = {
    "beta": {"n_components": 2, "alpha": 2.0},
    "digits": {"n_components": 2, "alpha": 1.5},
    "mouse": {"n_components": 15, "alpha": 1.0, "contrast": "absolute"},
}


class Scene(NamedTuple):
    """A data set with labels (None: nothing to find) and the grid that it is tried on."""

    name: str
    kind: str
    target: np.ndarray
    background: np.ndarray
    labels: np.ndarray | None
    ks: tuple[int, ...] = (2, 5, 10)
    alphas: tuple[float, ...] = ALPHAS
    reading: str = "usages"
    units: tuple[np.ndarray, np.ndarray] | tuple[None, None] = (None, None)


def scenes(arguments: argparse.Namespace) -> Iterator[Scene]:
    """Yield the data sets asked for, first seeds first."""
    sizes = SMALL if arguments.small else {}
    # Specificity is below 2 at less contrast, which takes most of the time.
    grid = {"ks": (2, 5), "alphas": ALPHAS[1:]} if arguments.small else {}
    for seed, beta in product(arguments.data_seeds, arguments.betas):
        data = simulate_counts(beta, random_state=seed, **sizes)
        first = (data.obs["side"] == "target").to_numpy()
        values = log_values(data.X.toarray())
        if "beta" in arguments.sets:
            labels = data.obs["target_program"][first].to_numpy()
            yield Scene(
                f"sim{beta:g}_{seed}", "beta", values[first], values[~first], labels, **grid
            )
        if "nothing" in arguments.sets and beta == 8:
            for name, spread in (("nothing", 0.3), ("split", 0.0)):
                yield nothing(f"{name}{beta:g}_{seed}", beta, seed, spread, sizes)
    for name in ("digits", "mouse", "kang"):
        if name in arguments.sets:
            yield {"digits": digits, "mouse": mouse, "kang": kang}[name](arguments.folder)


def nothing(name: str, beta: float, seed: int, spread: float, sizes: dict) -> Scene:
    """Return one background split in two; of one half, genes are captured unequally."""
    cells = sizes.get("n_background", 1000)
    doubled = sizes | {"n_background": 2 * cells, "n_target": 30}
    data = simulate_counts(beta, random_state=seed, **doubled)
    counts = data[(data.obs["side"] == "background").to_numpy()].X.toarray().astype(np.float32)
    rng = np.random.default_rng(seed + 100)
    first = rng.permutation(2 * cells) < cells
    if spread:
        capture = np.clip(np.exp(rng.normal(-0.6, spread, counts.shape[1])), 0, 1)
        counts[first] = rng.binomial(counts[first].astype(int), capture)
    values = log_values(counts)
    return Scene(name, "nothing", values[first], values[~first], None)


def digits(folder: Path) -> Scene:
    """Return zeros and ones on texture."""
    data = digits_on_texture()
    first = (data.obs["side"] == "target").to_numpy()
    values = np.asarray(data.X, dtype=np.float32)
    labels = data.obs["digit"][first].to_numpy()
    return Scene("digits", "digits", values[first], values[~first], labels)


def mouse(folder: Path) -> Scene:
    """Return trisomic and control mice, beside controls that learned."""
    data = read_mouse(folder / "mice_protein/Data_Cortex_Nuclear.csv")
    data = data[(data.obs["Treatment"] == "Saline").to_numpy()]
    first = (data.obs["Behavior"] == "S/C").to_numpy()
    other = ~first & (data.obs["Genotype"] == "Control").to_numpy()
    values = np.asarray(data.X, dtype=np.float32)
    labels = data.obs["Genotype"][first].astype(str).to_numpy()
    mice = data.obs["mouse"].astype(str).to_numpy()
    return Scene(
        "mouse", "mouse", values[first], values[other], labels, units=(mice[first], mice[other])
    )


def kang(folder: Path) -> Scene:
    """Return one donor's cells, stimulated and not, beside unstimulated ones of another donor."""
    data = ad.read_h5ad(folder / "kang/kang.h5ad")
    values = log_values(data.X.toarray().astype(np.float32))
    stimulated = (data.obs["group_id"] == "stim").to_numpy()
    first = (data.obs["donor"].astype(str) == "101").to_numpy()
    other = ~stimulated & ~first
    return Scene(
        "kang", "kang", values[first], values[other], stimulated[first], alphas=ALPHAS[:4],
        reading="target_score",
    )  # fmt: skip


def fitted(scene: Scene, arguments: argparse.Namespace) -> None:
    """Write the fits of halves, and the scores of fits of everything, where they are missing."""
    options = {"device": "cpu", "solver": arguments.solver, "max_iter": arguments.max_iter}
    place = arguments.out / f"{scene.name}.fits.tsv"
    if place.exists():
        return
    if scene.labels is not None:
        settings = [{"n_components": k, "alpha": a} for k, a in product(scene.ks, scene.alphas)]
        named = [("grid", one) for one in settings] + [("default", DEFAULT)]
        if scene.kind in PUBLISHED:
            named.append(("published", PUBLISHED[scene.kind]))
        rows = []
        for kind, setting in named:
            model = BCNMF(**(options | setting))
            usage = model.fit_transform(scene.target, background=scene.background)
            score = model.target_score(scene.target)[:, None]
            rows.append(
                {"k": setting["n_components"], "alpha": setting["alpha"], "kind": kind,
                 "usages": agreement(usage, scene.labels),
                 "target_score": agreement(score, scene.labels)}
            )  # fmt: skip
        write_table(pd.DataFrame(rows), arguments.out / f"{scene.name}.scores.tsv")
    splits = [
        fit_split(
            scene.target, scene.background, split, n_components=scene.ks, alphas=scene.alphas,
            units=scene.units[0], background_units=scene.units[1], **options,
        )
        for split in range(arguments.splits)
    ]  # fmt: skip
    write_table(pd.concat(splits), place)


def judged(scene: Scene, arguments: argparse.Namespace) -> dict:
    """Return what is recommended, and how its score stands to the others'."""
    # Fits are cut short here: how many converged says nothing of the setting.
    fits = read_table(arguments.out / f"{scene.name}.fits.tsv")
    found = summarise(fits, min_converged=0.0)
    line = {"data": scene.name, "kind": scene.kind, "recommended": "none", "as good": ""}
    summary = found.summary
    chosen = summary[summary["recommended"]]
    line["most stable"] = f"{summary['stability'].max():.2f}"
    if not chosen.empty:
        region = summary[summary["equally_good"] & ~summary["recommended"]]
        line["recommended"] = _named(chosen)
        line["as good"] = _named(region)
        line["stability"] = f"{chosen['stability'].iloc[0]:.2f}"
        line["specificity"] = f"{chosen['specificity'].iloc[0]:.1f}"
        line["contrast"] = f"{chosen['explained_contrast'].iloc[0]:.2%}"
    if scene.labels is not None:
        scores = read_table(arguments.out / f"{scene.name}.scores.tsv")
        by = dict(list(scores.groupby("kind")))
        grid = by["grid"].set_index(["k", "alpha"])[scene.reading]
        line["best"] = grid.max()
        for kind in ("published", "default"):
            if kind in by:
                line[kind] = by[kind][scene.reading].iloc[0]
        if not chosen.empty:
            line["ari"] = grid[(found.n_components, found.alpha)]
            line["regret"] = line["best"] - line["ari"]
    return line


def _named(settings: pd.DataFrame) -> str:
    return "; ".join(f"{row.k}, {row.alpha:g}" for row in settings.itertuples())


def main() -> None:
    """Fit what is missing, print a row a data set, and means by kind."""
    arguments = _arguments()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for scene in scenes(arguments):
        fitted(scene, arguments)
        lines.append(judged(scene, arguments))
        print(f"{scene.name}: {lines[-1]['recommended']}", file=sys.stderr, flush=True)
    table = pd.DataFrame(lines)
    print(_markdown(table.drop(columns="kind")))
    numbers = [name for name in ("best", "published", "default", "ari", "regret") if name in table]
    for kind, part in table.groupby("kind"):
        refused = int((part["recommended"] == "none").sum())
        means = ", ".join(f"{name} {part[name].mean():.3f}" for name in numbers)
        print(f"{kind}: {len(part)} data sets, {refused} refused; means: {means}")


def _markdown(table: pd.DataFrame) -> str:
    lines = [f"| {' | '.join(table.columns)} |", "|---" * len(table.columns) + "|"]
    for row in table.itertuples(index=False):
        cells = [f"{one:.3f}" if isinstance(one, float) else str(one) for one in row]
        lines.append(f"| {' | '.join('' if one == 'nan' else one for one in cells)} |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    sets = ["beta", "nothing", "digits", "mouse", "kang"]
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--betas", type=float, nargs="+", default=[0, 1, 2, 4, 8, 16])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[*range(10)])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--solver", default="safeguarded")
    parser.add_argument("--max-iter", type=int, default=200)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("results/bench/label_free"))
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
