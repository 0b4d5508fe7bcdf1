"""Command line: ``python -m bcnmf fit|select|null|diagnose|project``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from bcnmf import __version__, evidence_commands, fit_command
from bcnmf.errors import InputError
from bcnmf.files import atomic_path, check_storable
from bcnmf.options import (
    CONTRAST,
    add_command,
    add_machine,
    add_quiet,
    add_sides,
    check_apart,
    output_path,
    program,
)
from bcnmf.progress import clear, doing, watched
from bcnmf.stopping import ended_by_sigterm


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run(_parser(), arguments)


def run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Run the chosen command; return the exit status.

    It is 2 for input that cannot be used and for results that are not where they belong, 130 after
    Ctrl-C, 143 after SIGTERM, 141 where nobody reads what is printed.
    """
    in_full, warnings.formatwarning = warnings.formatwarning, _in_one_line
    try:
        options = parser.parse_args(arguments)
        told = nullcontext() if getattr(options, "verbose", 1) == 0 else watched()
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


_EXAMPLES = """
  bcnmf fit --target t.h5ad --background b.h5ad -k 10 --out fit.h5ad --model model.npz
  bcnmf project --model model.npz --data new.h5ad --out projected.h5ad
  bcnmf select --target t.h5ad --background b.h5ad -k 2 5 10 --out settings.tsv
"""
_SELECT = """
  bcnmf select --target t.h5ad --background b.h5ad -k 2 5 10 --out settings.tsv
  bcnmf select --target t.h5ad --background b.h5ad -k 5 --alpha 1 2 --unit donor --out settings.tsv
"""
_PROJECT = """
  bcnmf project --model model.npz --data new.h5ad --out projected.h5ad
"""


def _parser() -> argparse.ArgumentParser:
    parser, commands = program(
        "bcnmf", "Background-contrastive non-negative matrix factorisation.", _EXAMPLES, __version__
    )
    fit_command.add(commands)
    select = add_command(
        commands,
        "select",
        "which number of topics and which contrast reproduce, without labels",
        _SELECT,
    )
    add_sides(select)
    select.add_argument(
        "-k", "--n-components", type=int, nargs="+", default=[2, 5, 10], help="numbers to try"
    )
    select.add_argument(
        "--alpha", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0, 5.0], help="contrasts to try"
    )
    select.add_argument(
        "--contrast", choices=("relative", "absolute"), default="relative", help=CONTRAST
    )
    select.add_argument("--splits", type=int, default=3, help="random splits into halves")
    select.add_argument(
        "--unit",
        metavar="COLUMN",
        help="column of obs, such as the donor: halves are of whole ones",
    )
    select.add_argument("--max-iter", type=int, default=200, help="iterations of a fit at most")
    add_machine(select)
    select.add_argument("--out", required=True, type=output_path, help=".tsv: one row a setting")
    add_quiet(select)
    select.set_defaults(command=_select)

    evidence_commands.add(commands)

    project = add_command(
        commands, "project", "usages of new samples under a saved model", _PROJECT
    )
    project.add_argument("--model", required=True, type=Path, help=".npz from `fit --model`")
    project.add_argument("--data", required=True, type=Path, help="data with the same features")
    project.add_argument("--layer", help="layer to project instead of X")
    project.add_argument(
        "--out", required=True, type=output_path, help=".h5ad: the data with usages"
    )
    add_quiet(project)
    project.set_defaults(command=_project)
    return parser


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
    from bcnmf.tools import project, write

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
