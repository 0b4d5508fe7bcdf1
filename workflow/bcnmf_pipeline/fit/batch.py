"""The fits of one job: what stands is kept, the rest is made, each kept as it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anndata import AnnData

from bcnmf import outcome
from bcnmf.errors import InputError
from bcnmf.files import read_h5ad
from bcnmf.persistence import Fit
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.fit.run import fit_run, values_of
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.made_with import machine, versions
from bcnmf_pipeline.record.provenance import file_digest
from bcnmf_pipeline.record.tables import write_json

SIDES = ("target", "background")


def fit_missing(
    pair: Mapping[str, str],
    files: Iterable[str],
    methods: Mapping[str, dict[str, Any]],
    compute: Mapping[str, str],
    folder: Path,
) -> None:
    """Make those fits of a pair that are not there, or were made from something else.

    Parameters
    ----------
    pair : mapping
        Paths of `target` and `background`.
    files : iterable of str
        The fits, as `Run.file`.
    methods : mapping
        For each method of `files` all that its fits depend on besides the pair and `compute`:
        `row`, the methods sheet's cells, and `code`, the digest of what computes them.
    compute : mapping
        `device` and `dtype`.
    folder : Path
        Folder of fits.
    """
    made_from: dict[str, Any] = {
        "input_sha256": {side: file_digest(pair[side]) for side in SIDES},
        "compute": dict(compute),
    }
    missing = []
    for run in map(Run.of_file, files):
        stored = _stored(folder / run.file)
        if stored is None or stored.info != stored.info | made_from | dict(methods[run.method]):
            missing.append(run)
        elif not (folder / run.file).with_suffix(".json").exists():  # killed between the two
            _describe(stored, folder / run.file)
    print(f"{len(missing)} to fit")
    if not missing:
        return
    alphas: dict[tuple[str, int], dict[str, float]] = {}
    target, background = (read_h5ad(pair[side]) for side in SIDES)
    with claimed(compute["device"]) as device:
        for run in missing:
            path = folder / run.file
            row = methods[run.method]["row"]
            key = (run.method, run.k)
            if run.alpha.startswith("auto") and key not in alphas:
                alphas[key] = _automatic_alphas(target, background, run, row)
                write_json(alphas[key], path.with_name(f"k{run.k}_alphas.json"))
            fit = fit_run(
                target,
                background,
                run,
                row,
                {**compute, "device": device},
                alphas.get(key),
                path.with_suffix(".checkpoint.npz"),
            )
            fit.info |= made_from | dict(methods[run.method])
            fit.info |= {"versions": versions(), "machine": machine(fit.info["device"])}
            fit.write(path)
            _describe(fit, path)


def _stored(path: Path) -> Fit | None:
    """Return a fit that is there, whole, and can be the result of one."""
    try:
        fit = Fit.read(path)
        outcome.check_fit(fit, path)
        return fit
    except InputError:
        return None


def _describe(fit: Fit, path: Path) -> None:
    write_json(fit.info, path.with_suffix(".json"))


def _automatic_alphas(
    target: AnnData, background: AnnData, run: Run, row: Mapping[str, str]
) -> dict[str, float]:
    """Return contrastive PCA's alphas by the names that they have in paths."""
    from bcnmf_pipeline.methods.cpca import automatic_alphas

    where = f"study {run.study}, method {run.method}"
    x, y = (values_of(side, row["values"], where) for side in (target, background))
    chosen = sorted(alpha for alpha in automatic_alphas(x, y, run.k) if alpha > 0)
    return {f"auto{number}": alpha for number, alpha in enumerate(chosen, start=1)}
