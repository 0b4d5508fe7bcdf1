"""Errors that a user can act on, as opposed to faults of the program."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user supplied cannot be used.

    The message names the file, the key or column, what was found, what is allowed and what to do.
    Scripts print it without a traceback.
    """


class UncheckedWarning(UserWarning):
    """A file is used whose checksum nobody has registered; scripts show it on the terminal."""


class DownloadError(InputError):
    """A file could not be fetched, or what came is not the file that was registered."""


class StaleCheckpoint(InputError):
    """A checkpoint is damaged or belongs to another fit."""
