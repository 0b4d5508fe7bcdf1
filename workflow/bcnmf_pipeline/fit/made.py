"""Fits that a job has made, for the rules after it."""

from __future__ import annotations

from pathlib import Path

from bcnmf import outcome
from bcnmf.errors import InputError
from bcnmf.persistence import Fit


def read_made_fit(file: str, made: str) -> Fit:
    """Read a fit that a job has made, by its `Run.file` and a list of fits beside it.

    Raises
    ------
    InputError
        It was damaged or lost since, or cannot be the result of a fit; names what to delete so that
        it is made again.
    """
    lists = Path(made).parent / "fits_*.json"
    try:
        fit = Fit.read(lists.parents[2] / file)
        outcome.check_fit(fit, lists.parents[2] / file)
        return fit
    except InputError as error:
        raise InputError(
            f"{error}. Then delete {lists} as well, and run again: fits that are whole are kept"
        ) from error
