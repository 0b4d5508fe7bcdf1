"""Paths of the user's files, as far as Snakemake can take them."""

from __future__ import annotations

import os
import re

from bcnmf.errors import InputError

# Curly brackets are wildcards to Snakemake, <name> stands for a folder that was set before.
_SPECIAL = re.compile(r"[{}\x00-\x1f\x7f]|<[a-z][a-z0-9_]*>")


def check_path(path: str | os.PathLike[str], where: str) -> None:
    """Refuse a path in which Snakemake would see more than the name of a file.

    Parameters
    ----------
    path : path
        Of an input of a rule.
    where : str
        What to call the place that names it, for instance "mine.tsv, study mine, column dataset".

    Raises
    ------
    InputError
        It holds curly brackets, a word in angle brackets, a tab or an end of line.
    """
    text = os.fspath(path)
    if found := _SPECIAL.search(text):
        raise InputError(
            f"{where}: the path {text!r} holds {found[0]!r}, in which Snakemake sees more than a "
            "name; call the file or folder otherwise, without {}, <> and ends of line, or give the "
            "path of a link to it"
        )
