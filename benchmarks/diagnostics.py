"""Diagnostics where they are due and where they are not: tables of docs/how_sure_evidence.md.

    python benchmarks/diagnostics.py FOLDER                       ten draws a scene, one thread
    python benchmarks/diagnostics.py FOLDER --draws 2 --scenes nothing "two programs"

FOLDER holds kang/kang.h5ad: blood cells before and after interferon beta (Kang et al. 2018, the
subset of Bioconductor's muscat; obs `group_id`: ctrl, stim, `donor`: 101, 107). Prints Markdown: in
how many draws of each scene a finding of the study was not "ok", and the verdicts on all programs.
The simulation is the beta series at beta 8, 1000 genes, 300 + 300 cells, unless a scene says else.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone

from bcnmf import BCNMF, NMF, ConvergenceWarning, SharedTargetNMF, diagnose
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.record.tables import write_table

SIZES = {
    "n_genes": 1000, "n_target": 300, "n_background": 300, "shared_block": 100, "target_block": 80,
}  # fmt: skip
MODELS = {
    "bcNMF, K=2, alpha 2": BCNMF(2, alpha=2, max_iter=200),
    "bcNMF, K=10, alpha 3": BCNMF(10, alpha=3, max_iter=200),
    "10 shared + 2 target topics": SharedTargetNMF(max_iter=200),
    "NMF of the target, K=5": NMF(5, max_iter=200),
}
# Counts of target and background, and what `diagnose` is told besides.
Scene = tuple[np.ndarray, np.ndarray, dict]


def simulated(draw: int, **changes: object) -> Scene:
    """Return the beta series with two target programs, half of the target's cells each."""
    data = simulate_counts(8.0, **{**SIZES, **changes}, random_state=draw)
    counts, target = data.X.toarray(), (data.obs["side"] == "target").to_numpy()
    return counts[target], counts[~target], {}


def nothing(draw: int) -> Scene:
    """Return two halves of one background."""
    _, cells, _ = simulated(draw, n_background=600)
    return cells[:300], cells[300:], {}


def captured(draw: int, factors: Callable[[np.random.Generator], np.ndarray]) -> Scene:
    """Return halves of one background whose genes were captured unequally."""
    target, background, _ = nothing(draw)
    rng = np.random.default_rng(derive_seed("diagnostics", "capture", draw))
    factor = factors(rng)
    shares = factor / factor.max(), np.full(len(factor), 1 / factor.max())
    sides = [
        rng.binomial(side.astype(int), share).astype(np.float32)
        for side, share in zip((target, background), shares, strict=True)
    ]
    return sides[0], sides[1], {}


def twenty_genes(rng: np.random.Generator) -> np.ndarray:
    """Three times as much of twenty genes in the target, those of any program."""
    factor = np.ones(SIZES["n_genes"])
    factor[rng.choice(len(factor), 20, replace=False)] = 3.0
    return factor


def every_gene(rng: np.random.Generator) -> np.ndarray:
    """More or less of every gene, log-sd 0.3."""
    return np.exp(0.3 * rng.normal(size=SIZES["n_genes"])).clip(max=3.0)


def batches(draw: int, confounded: bool) -> Scene:
    """Return two programs in three batches, which are on both sides or on one side each."""
    target, background, _ = simulated(draw)
    rng = np.random.default_rng(derive_seed("diagnostics", "batches", draw))
    told = {}
    for name, side, first in (("batch", target, 0), ("background_batch", background, 3)):
        told[name] = rng.integers(3, size=len(side)) + (first if confounded else 0)
    return target, background, told


def donors(draw: int, numbers: tuple[int, int], odd: bool = False) -> Scene:
    """Return two programs in so many donors a side; in one of the target alone if `odd`."""
    target, background, _ = simulated(draw)
    if odd:
        plain, _, _ = nothing(draw)
        target[50:] = plain[50:]
    names = [
        np.array([f"{side}{place * number // 300}" for place in range(300)])
        for side, number in zip("tb", numbers, strict=True)
    ]
    return target, background, {"units": names[0], "background_units": names[1]}


def annotated(draw: int) -> Scene:
    """Return two programs; the background was counted without fifty genes."""
    target, background, told = simulated(draw)
    background[:, ::20] = 0
    return target, background, told


@cache
def cells(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts, who is stimulated, and who is of donor 101."""
    data = ad.read_h5ad(folder / "kang/kang.h5ad")
    first = (data.obs["donor"].astype(str) == "101").to_numpy()
    return data.X.toarray(), (data.obs["group_id"] == "stim").to_numpy(), first


def interferon(draw: int, folder: Path, scene: str) -> Scene:
    """Return real cells; what is random is another half at each draw, or a part of nine tenths."""
    counts, stimulated, first = cells(folder)
    rng = np.random.default_rng(derive_seed("diagnostics", scene, draw))
    if scene == "split":
        order = rng.permutation(np.flatnonzero(~stimulated))
        rows = np.array_split(order, 2)
    else:
        masks = {
            "stimulated": (stimulated & first, ~stimulated & first),
            "half": (first, ~stimulated & ~first),
            "donor": (~stimulated & first, ~stimulated & ~first),
        }[scene]
        rows = [rng.permutation(np.flatnonzero(mask)) for mask in masks]
        rows = [part[: int(0.9 * len(part))] for part in rows]
    return counts[rows[0]], counts[rows[1]], {}


def scenes(folder: Path) -> dict[str, Callable[[int], Scene]]:
    """Return all scenes by name."""
    return {
        "two programs": simulated,
        "two programs, beta 2": lambda draw: _beta(draw, 2.0),
        "nothing": nothing,
        "one program in all cells": partial(simulated, n_target_programs=1, target_block=160),
        "background lacks a program": partial(simulated, n_missing=1),
        "20 genes captured threefold": partial(captured, factors=twenty_genes),
        "every gene captured unequally": partial(captured, factors=every_gene),
        "rare programs, 5% each": partial(simulated, target_shares=(0.05, 0.05)),
        "rare programs, 3% each": partial(simulated, target_shares=(0.03, 0.03)),
        "30 background cells": partial(simulated, n_background=30),
        "60 background cells": partial(simulated, n_background=60),
        "100 background cells": partial(simulated, n_background=100),
        "target three times as deep": partial(simulated, target_depth=3.0),
        "50 genes missing in the background": annotated,
        "three batches on both sides": partial(batches, confounded=False),
        "three batches a side": partial(batches, confounded=True),
        "6 + 6 donors": partial(donors, numbers=(6, 6)),
        "1 + 1 donors": partial(donors, numbers=(1, 1)),
        "6 + 6 donors, programs in one": partial(donors, numbers=(6, 6), odd=True),
        "interferon, same donor": partial(interferon, folder=folder, scene="stimulated"),
        "half interferon, other donor": partial(interferon, folder=folder, scene="half"),
        "unstimulated, other donor": partial(interferon, folder=folder, scene="donor"),
        "unstimulated, split": partial(interferon, folder=folder, scene="split"),
    }


def _beta(draw: int, beta: float) -> Scene:
    data = simulate_counts(beta, **SIZES, random_state=draw)
    counts, target = data.X.toarray(), (data.obs["side"] == "target").to_numpy()
    return counts[target], counts[~target], {}


def log_values(counts: np.ndarray) -> np.ndarray:
    """Return log1p of counts per 10,000."""
    return np.log1p(1e4 * counts / counts.sum(1, keepdims=True).clip(1)).astype(np.float32)


def rows(name: str, model: str, scene: Scene, draw: int) -> list[dict]:
    """Return a row a finding."""
    target, background, told = scene
    estimator = clone(MODELS[model])
    if not isinstance(estimator, SharedTargetNMF):
        target, background = log_values(target), log_values(background)
    started = time.process_time()
    estimator.fit(target, background=background).target_score(target)
    fitted = time.process_time()
    found = diagnose(estimator, target, background, random_state=draw, **told)
    seconds = {"fit": fitted - started, "diagnosis": time.process_time() - fitted}
    about = {"scene": name, "model": model, "draw": draw} | seconds
    return [
        about | {"code": one.code, "program": one.program, "verdict": one.verdict,
                 "value": one.value, "sentence": one.sentence}
        for one in found.findings
    ]  # fmt: skip


def fired(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each scene in how many draws each finding of the study was not "ok"."""
    study = table[(table["program"] == 0) & (table["code"] != "overall")]
    found = study.assign(fired=study["verdict"] != "ok")
    return found.pivot_table("fired", "scene", "code", "sum", sort=False)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each scene how many programs got which verdict, and the ratio of shares."""
    names = list(dict.fromkeys(table["scene"]))
    shares = table[table["code"] == "share"]
    found = pd.crosstab(shares["scene"], shares["verdict"]).reindex(
        index=names, columns=["ok", "unclear", "none", "batch"], fill_value=0
    )
    ratios = shares.groupby("scene")["value"]
    found["ratio: least, median, most"] = [
        ", ".join(
            f"{getattr(ratios.get_group(name), one)():.2g}" for one in ("min", "median", "max")
        )
        for name in names
    ]
    for code in ("shared_part", "duplicate", "one_unit"):
        found[code] = table[table["code"] == code].groupby("scene").size().reindex(names).fillna(0)
    return found


def markdown(table: pd.DataFrame) -> str:
    """Return a table for a page of the documentation."""
    lines = [
        f"| scene | {' | '.join(map(str, table.columns))} |",
        f"|{'---|' * (table.shape[1] + 1)}",
    ]
    for name, row in table.iterrows():
        shown = [f"{int(x)}" if isinstance(x, int | float) and x == x else str(x) for x in row]
        lines.append(f"| {name} | {' | '.join('' if x == 'nan' else x for x in shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Print two tables a model, and write every finding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS)[:3])
    parser.add_argument("--scenes", nargs="+", help="some of them")
    parser.add_argument("--out", type=Path, help=".tsv: one row a finding")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    every = scenes(arguments.folder)
    tables = []
    for model in arguments.models:
        found = []
        for name in arguments.scenes or every:
            for draw in range(arguments.draws):
                found += rows(name, model, every[name](draw), draw)
            sys.stderr.write(f"{model}: {name}\n")
        table = pd.DataFrame(found)
        tables.append(table)
        times = table.drop_duplicates(["scene", "draw"])[["fit", "diagnosis"]].sum()
        sys.stdout.write(f"\n### {model}: findings of the study\n\n{markdown(fired(table))}\n")
        sys.stdout.write(f"\n### {model}: programs\n\n{markdown(verdicts(table))}\n")
        sys.stdout.write(f"\n{times['fit']:.0f} s of fits, {times['diagnosis']:.0f} s of these.\n")
        sys.stdout.flush()
        if arguments.out:
            write_table(pd.concat(tables), arguments.out)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
