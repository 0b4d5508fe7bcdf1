"""Command line: ``python -m bcnmf fit|select|diagnose|null|project``."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bcnmf import __version__, evidence_commands
from bcnmf.agreement import UNSTABLE
from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf.options import add_quiet, check_apart, output_path
from bcnmf.progress import clear, doing, duration, watched
from bcnmf.stopping import ended_by_sigterm

if TYPE_CHECKING:
    from anndata import AnnData

    from bcnmf.calibration import CrossFit
    from bcnmf.estimators.contrast import BCNMF

# How many features of a topic are named.
_LEADING = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run(_parser(), arguments)


def run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Run the chosen command; return the exit status.

    It is 2 for input that cannot be used and for results that are not where they belong, 130 after
    Ctrl-C, 143 after SIGTERM, 141 where nobody reads what is printed.
    """
    options = parser.parse_args(arguments)
    in_full, warnings.formatwarning = warnings.formatwarning, _in_one_line
    told = nullcontext() if getattr(options, "verbose", 1) == 0 else watched()
    try:
        with ended_by_sigterm(), told:
            return options.command(options) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Nobody reads on, as in `| head`; Python would say so once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"stopped: {stopped}" if stopped.args else "stopped", file=sys.stderr)
        return 130
    finally:
        warnings.formatwarning = in_full


def _in_one_line(message: Warning | str, *_: object, **__: object) -> str:
    clear()
    return f"warning: {message}\n"


_EXAMPLES = """examples:
  bcnmf fit --target t.h5ad --background b.h5ad -k 10 --out fit.h5ad --model model.npz
  bcnmf project --model model.npz --data new.h5ad --out projected.h5ad
  bcnmf select --target t.h5ad --background b.h5ad -k 2 5 10 --out settings.tsv

`bcnmf COMMAND --help` has the options. Exit status: 0 done; 2 something cannot be used, and the
message says what to do; 130 Ctrl-C; 143 SIGTERM.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bcnmf",
        description="Background-contrastive non-negative matrix factorisation.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a target against a background")
    fit.add_argument(
        "--target",
        required=True,
        type=Path,
        help="data, samples x features, .h5ad or other",
    )
    fit.add_argument("--background", type=Path, help="data with the same features")
    fit.add_argument("-k", "--n-components", required=True, type=int, help="number of topics")
    fit.add_argument("--alpha", type=float, default=1.5, help="contrast (default: %(default)s)")
    fit.add_argument("--contrast", choices=("relative", "absolute"), default="relative")
    fit.add_argument("--loss", choices=("squared_error", "poisson"), default="squared_error")
    fit.add_argument("--solver", choices=("safeguarded", "mu", "stochastic"), default="safeguarded")
    fit.add_argument("--init", choices=("random", "nndsvd"), default="random")
    fit.add_argument("--max-iter", type=int, default=500)
    fit.add_argument("--tol", type=float, default=1e-5)
    fit.add_argument("--n-init", type=int, default=1, help="random starts; the best is kept")
    fit.add_argument(
        "--starts",
        type=int,
        default=1,
        help="take what so many random starts agree on, with the stability of each topic; 50 is "
        "usual (default: one start)",
    )
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
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
    fit.add_argument("--layer", help="layer to fit instead of X")
    fit.add_argument(
        "--n-background", type=int, default=10, help="background topics beside which samples score"
    )
    fit.add_argument(
        "--folds",
        type=int,
        default=3,
        help="parts of the samples, each judged by a fit without it; 0: none (default: 3)",
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

    select = commands.add_parser(
        "select", help="which number of topics and which contrast reproduce, without labels"
    )
    select.add_argument("--target", required=True, type=Path, help="data, samples x features")
    select.add_argument("--background", required=True, type=Path, help="data, same features")
    select.add_argument(
        "-k", "--n-components", type=int, nargs="+", default=[2, 5, 10], help="numbers to try"
    )
    select.add_argument(
        "--alpha", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0, 5.0], help="contrasts to try"
    )
    select.add_argument("--contrast", choices=("relative", "absolute"), default="relative")
    select.add_argument("--splits", type=int, default=3, help="random splits into halves")
    select.add_argument(
        "--unit",
        metavar="COLUMN",
        help="column of obs, such as the donor: halves are of whole ones",
    )
    select.add_argument("--max-iter", type=int, default=200)
    select.add_argument("--seed", type=int, default=0)
    select.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    select.add_argument("--layer", help="layer to fit instead of X")
    select.add_argument("--out", required=True, type=output_path, help=".tsv: one row a setting")
    add_quiet(select)
    select.set_defaults(command=_select)

    evidence_commands.add(commands)

    project = commands.add_parser("project", help="usages of new samples under a saved model")
    project.add_argument("--model", required=True, type=Path, help=".npz from `fit --model`")
    project.add_argument("--data", required=True, type=Path, help="data with the same features")
    project.add_argument("--layer", help="layer to project instead of X")
    project.add_argument(
        "--out", required=True, type=output_path, help=".h5ad: the data with usages"
    )
    add_quiet(project)
    project.set_defaults(command=_project)
    return parser


def _fit(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import batch_remark, check_storable, fit, looks_like_counts, write

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


def _select(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import select

    check_apart(options, ["out"], ["target", "background"])
    found = select(
        read(options.target),
        read(options.background),
        layer=options.layer,
        unit=options.unit,
        n_components=options.n_components,
        alphas=options.alpha,
        contrast=options.contrast,
        n_splits=options.splits,
        max_iter=options.max_iter,
        random_state=options.seed,
        device=options.device,
    )

    def write(path: Path) -> None:
        with atomic_path(path) as temporary:
            found.summary.to_csv(temporary, sep="\t", index=False, float_format="%.10g")

    written = save(write, options.out)
    # Reasons are in the file; in the sentence are those that matter.
    shown = found.summary.drop(columns="reason")
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    print(f"{options.out}: {found.advice()}")
    return 0 if written else 2


def _project(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import check_storable, project, write

    check_apart(options, ["out"], ["data", "model"])
    data = read(options.data)
    check_storable(data, options.out)
    with doing("solving usages"):
        project(data, options.model, layer=options.layer)
    if not save(partial(write, data), options.out):
        return 2
    scored = "bcnmf_target_score" in data.obs
    print(
        f"{options.out}: usages of {data.n_obs} samples in obsm['X_bcnmf']"
        + (", target score in obs['bcnmf_target_score']" if scored else "")
    )
    return 0
