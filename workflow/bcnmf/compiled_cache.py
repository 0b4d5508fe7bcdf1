"""Compiled code kept on disk where that is possible; where it is not, nothing ends."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.np.ufunc.ufuncbuilder import UFuncDispatcher

# What compiles, and where it holds its cache.
_HELD: dict[Any, str] = {Dispatcher: "_cache", UFuncDispatcher: "cache"}

# What was said: of all that may go wrong in a process, the first.
_said: list[str] = []


def keep(function: Any) -> None:
    """Let numba keep on disk what it compiles of a function.

    Where no folder can be written, or the disk is full by then, each process compiles anew. One
    warning a process says so.

    Parameters
    ----------
    function : Dispatcher or UFuncDispatcher
        What `numba.njit` returns, and what `numba.vectorize` holds.
    """
    held = next(name for kind, name in _HELD.items() if isinstance(function, kind))
    try:
        setattr(function, held, _Kept(function.py_func))
    except RuntimeError:  # numba has no other error for "no folder can be written"
        _warn("neither the folder of the code nor the user's cache can be written")


@contextmanager
def optional_cache() -> Iterator[None]:
    """Let libraries that are imported within `keep` what they would not work without keeping.

    umap-learn, scanpy and others cannot be imported where numba finds no folder for its cache.
    """
    before = {kind: kind.enable_caching for kind in _HELD}
    try:
        for kind in _HELD:
            kind.enable_caching = keep
        yield
    finally:
        for kind, enable in before.items():
            kind.enable_caching = enable


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
