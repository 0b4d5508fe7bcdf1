"""Errors that a user can act on, as opposed to faults of the program."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user supplied cannot be used.

    The message names the file, the key or column, what was found, what is allowed and what to do.
    Scripts print it without a traceback.
    """


class StaleCheckpoint(InputError):
    """A checkpoint is damaged or belongs to another fit."""


class ConvergenceWarning(UserWarning):
    """The iterations ran out before the stopping rule was met."""
