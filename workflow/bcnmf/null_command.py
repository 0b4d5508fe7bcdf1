"""Command line: ``python -m bcnmf null``, is there anything at all?"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf.files import atomic_path


def add(commands: Any, output_path: Callable[[str], Path]) -> None:
    """Add the command to a parser's."""
    null = commands.add_parser(
        "null", help="is there anything at all: refits with target and background exchanged"
    )
    null.add_argument("--target", required=True, type=Path, help="data, samples x features")
    null.add_argument("--background", required=True, type=Path, help="data, same features")
    null.add_argument("-k", "--n-components", required=True, type=int, help="number of topics")
    null.add_argument("--alpha", type=float, default=1.5, help="contrast (default: %(default)s)")
    null.add_argument("--contrast", choices=("relative", "absolute"), default="relative")
    null.add_argument(
        "--unit",
        metavar="COLUMN",
        help="column of obs that says what samples come from, such as the donor; whole units then "
        "change sides. Without it, halves of the background are set against one another",
    )
    null.add_argument("--refits", type=int, default=200, help="(default: %(default)s)")
    null.add_argument("--folds", type=int, default=2, help="parts of the units, each left out once")
    null.add_argument(
        "--max-iter", type=int, help="iterations of a fit at most (default: 10, after the warm-up)"
    )
    null.add_argument("--seed", type=int, default=0)
    null.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    null.add_argument("--layer", help="layer to fit instead of X")
    null.add_argument("--out", required=True, type=output_path, help=".tsv: one row a refit")
    null.set_defaults(command=_null)


def _null(options: argparse.Namespace) -> int:
    from bcnmf.readers import read
    from bcnmf.saving import save
    from bcnmf.tools import permutation_null

    if options.out.resolve() in (options.target.resolve(), options.background.resolve()):
        raise InputError(f"--out is an input, {options.out}; give another file")
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
