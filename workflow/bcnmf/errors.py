"""Errors that a user can act on, as opposed to faults of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bcnmf.sklearn_errors import ConvergenceWarning as ConvergenceWarning
    from bcnmf.sklearn_errors import NotFittedError as NotFittedError


class InputError(ValueError):
    """Something the user supplied cannot be used.

    The message names the file, the key or column, what was found, what is allowed and what to do.
    Scripts print it without a traceback.

    Attributes
    ----------
    number : int or None
        Which of several models it is about, see `bcnmf.fit_together`.
    """

    number: int | None = None


class ImpossibleResult(InputError):
    """A fit came to numbers that cannot be its result, see `bcnmf.outcome`."""


class StaleCheckpoint(InputError):
    """A checkpoint is damaged or belongs to another fit."""


class MissingDevice(InputError):
    """Torch cannot use a device here."""


class NotNumbers(InputError, TypeError):
    """Data hold what is no number; scikit-learn expects a TypeError."""


class MissingExtra(InputError, ImportError):
    """Something needs a library that the package alone does not bring."""


def __getattr__(name: str) -> object:
    # Looked up late: these derive from scikit-learn's, which takes a second to import.
    if name in ("ConvergenceWarning", "NotFittedError"):
        from bcnmf import sklearn_errors

        return getattr(sklearn_errors, name)
    raise AttributeError(f"module 'bcnmf.errors' has no attribute {name!r}")
