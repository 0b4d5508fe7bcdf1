"""Errors of files that have to be fetched."""

from __future__ import annotations

from bcnmf.errors import InputError


class DownloadError(InputError):
    """A file could not be fetched, or what came is not the file that was registered."""
