"""What options of the command lines may be."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from bcnmf.errors import InputError
from bcnmf.files import check_writable


def output_path(text: str) -> Path:
    """Return the path of a file that can be written, for `argparse`."""
    try:
        return check_writable(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_quiet(parser: argparse.ArgumentParser, counted: bool = False) -> None:
    """Add -q, and -v for symmetry where what is said comes from estimators, in `verbose`."""
    if counted:
        parser.add_argument(
            "-v", "--verbose", action="count", default=1, help="say how it is doing (default)"
        )
    parser.add_argument(
        "-q", "--quiet", dest="verbose", action="store_const", const=0, default=1,
        help="results alone, not how it is doing",
    )  # fmt: skip


def check_apart(options: argparse.Namespace, outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Raise `InputError` if an option's output is that of another, or an input, by a link too."""
    places = {
        name: os.path.realpath(path)
        for name in (*outputs, *inputs)
        if (path := getattr(options, name)) is not None
    }
    for one, other in permutations(places, 2):
        if one in outputs and places[one] == places[other]:
            raise InputError(f"--{one} and --{other} are one file, {places[one]}; give two")
