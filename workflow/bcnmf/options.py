"""What options of the command lines may be."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from bcnmf.errors import InputError
from bcnmf.files import check_writable


def output_path(text: str) -> Path:
    """Return the path of a file that can be written, for `argparse`."""
    try:
        return check_writable(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


CONTRAST = "relative: alpha in units of the sides' energies; absolute: as it is"
_CODES = """
Exit status: 0 done; 1 a fault of the program; 2 something cannot be used, and the message says what
to do; 130 Ctrl-C; 143 SIGTERM.
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Show the default of every option that has one, and wrap what is one paragraph."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        kept = super()._fill_text(text, width, indent)
        return kept if "\n" in text else textwrap.fill(text, width)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help, action.default
        # Of switches, and of what is not there, nothing is to be said.
        said = action.nargs == 0 or default is None or default in (argparse.SUPPRESS, [])
        if said or text is None or "default:" in text:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        return f"{text} (default: {shown})"


def program(
    name: str, description: str, examples: str, version: str
) -> tuple[argparse.ArgumentParser, Any]:
    """Return the parser of a program, and what takes its commands."""
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"examples:{examples}\n`{name} COMMAND --help` has the options.\n{_CODES}",
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument(
        "--completion",
        action=_Completion,
        choices=("bash", "zsh"),
        help=f'print what lets a shell complete: eval "$({name} --completion bash)"',
    )
    return parser, parser.add_subparsers(required=True, metavar="COMMAND")


def add_command(
    commands: Any, name: str, what: str, examples: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command and return its parser; `what` it does stands in the list of commands too."""
    found: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.{more}",
        epilog=f"examples:{examples}{_CODES}",
        formatter_class=_Help,
    )
    return found


def add_sides(parser: argparse.ArgumentParser, needed: bool = True) -> None:
    """Add both files of data."""
    parser.add_argument(
        "--target", required=True, type=Path, help="data, samples x features, .h5ad or other"
    )
    parser.add_argument(
        "--background", required=needed, type=Path, help="data with the same features"
    )


def add_contrast(parser: argparse.ArgumentParser) -> None:
    """Add how strongly the background is contrasted with."""
    parser.add_argument("--alpha", type=float, default=1.5, help="contrast")
    parser.add_argument(
        "--contrast", choices=("relative", "absolute"), default="relative", help=CONTRAST
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add what every command that fits has."""
    parser.add_argument("--seed", type=int, default=0, help="of all that is random")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--layer", help="layer to fit instead of X")


class _Completion(argparse.Action):
    """Print what lets a shell complete a program's options, and end."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error(
                "completion needs shtab, which is not installed: pip install 'bcnmf[completion]'"
            )
        _complete_paths(parser, shtab.FILE)
        print(shtab.complete(parser, values), flush=True)
        parser.exit()


def _complete_paths(parser: argparse.ArgumentParser, file: Any) -> None:
    """Let the options of a parser, and of its commands, that take paths be completed by these."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_paths(command, file)
        elif action.type in (Path, output_path) or action.metavar == "FILE":
            vars(action)["complete"] = file


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
