"""Compiled code kept on disk where that is possible; where it is not, nothing ends."""

from __future__ import annotations

import warnings
from typing import Any

from numba.core.caching import FunctionCache

# What was said: of all that may go wrong in a process, the first.
_said: list[str] = []


def keep(function: Any) -> None:
    """Let numba keep on disk what it compiles of a function.

    Where no folder can be written, or the disk is full by then, each process compiles anew. One
    warning a process says so.

    Parameters
    ----------
    function : numba dispatcher
        What `numba.njit` returns.
    """
    try:
        function._cache = _Kept(function.py_func)
    except RuntimeError:  # numba has no other error for "no folder can be written"
        _warn("neither the folder of the code nor the user's cache can be written")


class _Kept(FunctionCache):  # type: ignore[misc]
    """numba's own, but for a disk that is full and files that may not be read."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError as error:
            _warn(str(error))
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(str(error))


def _warn(why: str) -> None:
    if not _said:
        _said.append(why)
        warnings.warn(
            f"compiled code cannot be kept ({why}): every process compiles anew, which takes some "
            "seconds. Set NUMBA_CACHE_DIR or XDG_CACHE_HOME to a folder that can be written",
            stacklevel=4,
        )
