"""Command line: ``python -m bcnmf null|diagnose``, is it real, and what may be wrong?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf.options import (
    add_command,
    add_contrast,
    add_machine,
    add_quiet,
    add_sides,
    check_apart,
    output_path,
)

_NULL = """
  bcnmf null --target t.h5ad --background b.h5ad -k 10 --unit donor --out null.tsv
"""
_DIAGNOSE = """
  bcnmf diagnose --target t.h5ad --background b.h5ad -k 10
  bcnmf diagnose --target t.h5ad --background b.h5ad --model model.npz --unit donor --out found.tsv
"""


def add(commands: Any) -> None:
    """Add both commands to a parser's."""
    _add_null(commands)
    _add_diagnose(commands)


def _add_null(commands: Any) -> None:
    null = add_command(
        commands,
        "null",
        "is there anything at all: refits with target and background exchanged",
        _NULL,
    )
    add_sides(null)
    null.add_argument("-k", "--n-components", required=True, type=int, help="number of topics")
    add_contrast(null)
    null.add_argument(
        "--unit",
        metavar="COLUMN",
        help="column of obs that says what samples come from, such as the donor; whole units then "
        "change sides. Without it, halves of the background are set against one another",
    )
    null.add_argument("--refits", type=int, default=200, help="how many")
    null.add_argument("--folds", type=int, default=2, help="parts of the units, each left out once")
    null.add_argument(
        "--max-iter", type=int, help="iterations of a fit at most (default: 10, after the warm-up)"
    )
    add_machine(null)
    null.add_argument("--out", required=True, type=output_path, help=".tsv: one row a refit")
    add_quiet(null)
    null.set_defaults(command=_null)


def _add_diagnose(commands: Any) -> None:
    diagnose = add_command(
        commands,
        "diagnose",
        "what may be wrong with a fit and its data, in sentences with remedies",
        _DIAGNOSE,
    )
    add_sides(diagnose)
    diagnose.add_argument("-k", "--n-components", type=int, help="number of topics")
    diagnose.add_argument("--alpha", type=float, default=1.5, help="contrast")
    diagnose.add_argument("--model", type=Path, help=".npz from `fit --model`, in place of -k")
    diagnose.add_argument("--max-iter", type=int, default=500, help="iterations at most")
    add_machine(diagnose)
    diagnose.add_argument("--unit", metavar="COLUMN", help="column of obs, such as the donor")
    diagnose.add_argument(
        "--batch", nargs="+", metavar="COLUMN", help="columns of obs: in which batch"
    )
    diagnose.add_argument("--out", type=output_path, help=".tsv: one row a finding")
    add_quiet(diagnose)
    diagnose.set_defaults(command=_diagnose)


def _null(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import permutation_null

    check_apart(options, ["out"], ["target", "background"])
    found = permutation_null(
        read(options.target), read(options.background), layer=options.layer, unit=options.unit,
        n_refits=options.refits, folds=options.folds, max_iter=options.max_iter,
        random_state=options.seed, n_components=options.n_components, alpha=options.alpha,
        contrast=options.contrast, device=options.device,
    )  # fmt: skip

    def write(path: Path) -> None:
        lines = ["draw\tstatistic", *(f"{i}\t{t:.10g}" for i, t in enumerate(found.statistics))]
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join(lines) + "\n")

    written = save(write, options.out)
    print(f"{options.out}: {found.advice()}\nApproximated: {found.approximated}.")
    return 0 if written else 2


def _diagnose(options: argparse.Namespace) -> int:
    from bcnmf.checks import import_extra
    from bcnmf.estimators.contrast import BCNMF
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import diagnose

    check_apart(options, ["out"], ["target", "background", "model"])
    if (options.model is None) == (options.n_components is None):
        raise InputError("give either -k, the number of topics to fit, or --model, a saved model")
    model = (
        BCNMF(
            options.n_components, alpha=options.alpha, max_iter=options.max_iter,
            random_state=options.seed, device=options.device,
        )
        if options.model is None
        else BCNMF.load(options.model)
    )  # fmt: skip
    found = diagnose(
        read(options.target), read(options.background), model, layer=options.layer,
        unit=options.unit, batch=options.batch,
    )  # fmt: skip
    print(found.text())
    if options.out is None:
        return 0

    def write(path: Path) -> None:
        table = import_extra("pandas").DataFrame(found.findings)
        with atomic_path(path) as temporary:
            table.to_csv(temporary, sep="\t", index=False, float_format="%.10g")

    return 0 if save(write, options.out) else 2
