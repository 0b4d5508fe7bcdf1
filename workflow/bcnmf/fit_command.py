"""Command line: ``python -m bcnmf fit``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from bcnmf.agreement import UNSTABLE
from bcnmf.errors import InputError
from bcnmf.files import check_storable
from bcnmf.options import (
    add_command,
    add_contrast,
    add_machine,
    add_quiet,
    add_sides,
    check_apart,
    output_path,
)
from bcnmf.progress import duration

if TYPE_CHECKING:
    from anndata import AnnData

    from bcnmf.calibration import CrossFit
    from bcnmf.estimators.contrast import BCNMF

# How many features of a topic are named.
_LEADING = 8
_EXAMPLES = """
  bcnmf fit --target t.h5ad --background b.h5ad -k 10 --out fit.h5ad
  bcnmf fit --target t.h5ad --background b.h5ad -k 10 --unit donor --starts 50 \\
      --out fit.h5ad --model model.npz
  bcnmf fit --target t.h5ad --background b.h5ad -k 10 --batch-size 4096 \\
      --checkpoint state.npz --out fit.h5ad
"""


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    fit = add_command(
        commands, "fit", "fit a target against a background, and judge its samples", _EXAMPLES
    )
    add_sides(fit, needed=False)
    fit.add_argument("-k", "--n-components", required=True, type=int, help="number of topics")
    add_contrast(fit)
    fit.add_argument(
        "--loss", choices=("squared_error", "poisson"), default="squared_error",
        help="what a misfit costs",
    )  # fmt: skip
    fit.add_argument(
        "--solver", choices=("safeguarded", "mu", "stochastic"), default="safeguarded",
        help="mu: the published updates; stochastic: a part of the samples at a time",
    )  # fmt: skip
    fit.add_argument(
        "--init", choices=("random", "nndsvd"), default="random", help="where topics begin"
    )
    fit.add_argument("--max-iter", type=int, default=500, help="iterations at most")
    fit.add_argument(
        "--tol", type=float, default=1e-5, help="change of the objective at which a fit stops"
    )
    fit.add_argument("--n-init", type=int, default=1, help="random starts; the best is kept")
    fit.add_argument(
        "--starts",
        type=int,
        default=1,
        help="take what so many random starts agree on, with the stability of each topic; 50 is "
        "usual",
    )
    add_machine(fit)
    fit.add_argument(
        "--batch-size",
        type=int,
        metavar="SAMPLES",
        help="leave the data on disk and read so many samples at a time (X stored as CSR)",
    )
    fit.add_argument(
        "--checkpoint",
        type=output_path,
        help="file for the state of a long fit; if it is there, the fit goes on from it",
    )
    fit.add_argument(
        "--n-background", type=int, default=10, help="background topics beside which samples score"
    )
    fit.add_argument(
        "--folds",
        type=int,
        default=3,
        help="parts of the samples, each judged by a fit without it; 0: none",
    )
    fit.add_argument(
        "--unit",
        metavar="COLUMN",
        help="column of obs that says what samples come from, such as the donor; parts are then "
        "of whole units",
    )
    fit.add_argument(
        "--batch",
        nargs="+",
        metavar="COLUMN",
        help="columns of obs that say in which batch samples were measured; every batch, and in it "
        "every unit, then counts alike",
    )
    fit.add_argument(
        "--out", required=True, type=output_path, help=".h5ad: the target with its topics"
    )
    fit.add_argument(
        "--model", type=output_path, help="also save the model here (.npz), for `project`"
    )
    add_quiet(fit, counted=True)
    fit.set_defaults(command=_fit)


def _fit(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import batch_remark, fit, looks_like_counts, write

    check_apart(options, ("out", "model", "checkpoint"), ("target", "background"))
    backed = options.batch_size is not None
    target = read(options.target, backed)
    check_storable(target, options.out)
    background = None if options.background is None else read(options.background, backed)
    if options.loss == "squared_error" and looks_like_counts(target, options.layer):
        print(
            "remark: the values are whole numbers. If they are counts, the deepest samples and the "
            "largest features decide the fit: take log1p of counts per 10,000 (scanpy.pp."
            "normalize_total, scanpy.pp.log1p), or bcnmf.SharedTargetNMF in Python",
            file=sys.stderr,
        )
    weighted = {"batch": options.batch, "unit": options.unit}
    if background is not None and (remark := batch_remark(target, background, options.batch)):
        print(f"remark: {remark}", file=sys.stderr)
    began = time.monotonic()
    model = fit(
        target,
        background,
        layer=options.layer,
        checkpoint=options.checkpoint,
        **(weighted if options.batch else {}),
        init=options.init,
        batch_size=options.batch_size,
        n_components=options.n_components,
        alpha=options.alpha,
        contrast=options.contrast,
        loss=options.loss,
        solver=options.solver,
        max_iter=options.max_iter,
        tol=options.tol,
        n_init=options.n_init,
        starts=options.starts,
        random_state=options.seed,
        device=options.device,
        n_background=options.n_background,
        verbose=options.verbose,
    )
    seconds = time.monotonic() - began
    written = []
    if options.model is not None:
        stored = model.to_fit()
        if agreed := target.uns["bcnmf"].get("consensus"):
            stored.info["consensus"] = {name: value.tolist() for name, value in agreed.items()}
        stored.sample_names = target.obs_names.to_numpy(dtype=str)
        written.append(save(stored.write, options.model))
    try:
        _say_topics(target, model, options)
        _say_cost(model, seconds)
        if background is not None and options.folds:
            _say_how_many(target, background, model, options)
    finally:
        # Stopped while samples are judged, the fit itself is not lost.
        written.append(save(partial(write, target), options.out))
    return 0 if all(written) else 2


def _say_topics(target: AnnData, model: BCNMF, options: Any) -> None:
    print(
        f"{options.out}: {model.n_components} topics of {target.n_obs} samples, "
        f"{model.n_iter_} iterations on {model.device_}, objective {model.objective_[-1]:.6g}"
    )
    agreed = target.uns["bcnmf"].get("consensus")
    if agreed is None and model.converged_ and options.n_init == 1:
        print("  a local minimum: other starts may end lower, --n-init 5 keeps the best of five")
    for number, loadings in enumerate(model.components_, start=1):
        leading = target.var_names[loadings.argsort()[::-1][:_LEADING]]
        stability = "" if agreed is None else f" ({_stability(agreed, number - 1)})"
        print(f"  topic {number}{stability}: {', '.join(leading)}", flush=True)


def _say_cost(model: BCNMF, seconds: float) -> None:
    """Print where the fit ran and why there, how often it read the data, memory and time."""
    import torch

    from bcnmf.memory import peak

    held = [f"{peak(torch.device('cpu')) / 1e9:.2f} GB of memory at most"]
    if model.device_.startswith("cuda"):
        held.append(f"{peak(torch.device(model.device_)) / 1e9:.2f} GB on the GPU")
    # Where it ran was asked for, or has a reason. A consensus has read the data for every start.
    reason = f" ({model.device_reason_})" if model.device_reason_ else ""
    passes = getattr(model, "n_passes_", None)
    read = [] if passes is None else [f"{passes:.0f} passes over the data"]
    print(f"  {model.device_}{reason}: {', '.join([*read, *held, duration(seconds)])}", flush=True)


def _stability(agreed: Mapping[str, Any], topic: int) -> str:
    """Return how stable a topic is over starts."""
    word = "unstable" if agreed["stability"][topic] < UNSTABLE else "stability"
    return (
        f"{word} {agreed['stability'][topic]:.2f}, found again by {agreed['support'][topic]} of "
        f"{agreed['n_starts']} starts"
    )


def _say_how_many(target: AnnData, background: AnnData, model: BCNMF, options: Any) -> None:
    """Print how many target samples hold something new, by fits that have not seen them."""
    from bcnmf.tools import crossfit

    try:
        found, classified = crossfit(
            target, background, model, layer=options.layer, folds=options.folds,
            unit=options.unit, batch=options.batch,
        )  # fmt: skip
    except InputError as error:
        print(f"not judged how many samples hold something new: {error}", file=sys.stderr)
        return
    print(
        f"{int(found.above.sum())} of {target.n_obs} target samples ({_percent(found)}) hold "
        f"something that the background does not; {found.chance:.0%} would by chance. Each was "
        f"judged by a fit that had not seen "
        f"{f'its {options.unit}' if found.by_unit else 'it'}."
    )
    if classified is not None:
        text = (
            f"A classifier that tells target from background finds {_percent(classified)} "
            f"(AUROC {classified.auroc:.3f}; the topics' {found.auroc:.3f})"
        )
        sees_more = classified.interval[0] > found.share and classified.auroc > found.auroc
        more = ": the topics miss something; try a larger --alpha, more topics or --n-init 5"
        print(text + (more if sees_more else "."))
    if not found.by_unit:
        print(
            "What tells one donor or batch from another shows as if it were the condition: only "
            "several on both sides, named by --unit COLUMN, can tell them apart."
        )


def _percent(found: CrossFit) -> str:
    low, high = found.interval
    return f"{found.share:.0%}, 95% interval {low:.0%} to {high:.0%}"
