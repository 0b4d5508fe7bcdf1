"""The fits of one job: what stands is kept, the rest is made, each kept as it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anndata import AnnData

from bcnmf import outcome
from bcnmf.errors import InputError
from bcnmf.files import read_h5ad
from bcnmf.persistence import Fit
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.fit.run import fit_run, fit_runs, together, values_of
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

    def keep(run: Run, fit: Fit) -> None:
        path = folder / run.file
        fit.info |= made_from | dict(methods[run.method])
        fit.info |= {"versions": versions(), "machine": machine(fit.info["device"])}
        fit.write(path)
        _describe(fit, path)

    rows = {method: recipe["row"] for method, recipe in methods.items()}
    with claimed(compute["device"]) as device:
        chosen = {**compute, "device": device}
        for runs in _fitted_at_once(missing, rows, device):
            states = [(folder / run.file).with_suffix(".checkpoint.npz") for run in runs]
            if len(runs) > 1:
                fit_runs(target, background, runs, rows, chosen, states, keep)
                continue
            (run,), (state,) = runs, states
            key, row = (run.method, run.k), rows[run.method]
            if run.alpha.startswith("auto") and key not in alphas:
                alphas[key] = _automatic_alphas(target, background, run, row)
                write_json(alphas[key], (folder / run.file).with_name(f"k{run.k}_alphas.json"))
            keep(run, fit_run(target, background, run, row, chosen, alphas.get(key), state))


def _fitted_at_once(
    missing: Sequence[Run], rows: Mapping[str, Mapping[str, str]], device: str
) -> list[list[Run]]:
    """Return the runs, those together that may be fitted in one set of passes.

    On the CPU there is nothing to gain.
    """
    groups: dict[Any, list[Run]] = {}
    for run in missing:
        row = rows[run.method]
        alone = device == "cpu" or not together(row)
        groups.setdefault(run if alone else row["values"], []).append(run)
    return list(groups.values())


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
