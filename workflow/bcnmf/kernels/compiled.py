"""numba's decorators, for functions that keep their types."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic as _intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles on first use and caches on disk; see `numba.njit`.

    The interpreter lock is released, so that several threads may run the function. Where numba
    finds no folder to write its cache to, each process compiles anew, and a warning says so.
    """

    def decorate(function: F) -> F:
        found = numba.njit(nogil=True, **options)(function)
        try:
            found.enable_caching()
        except RuntimeError:  # numba has no other error for "no folder can be written"
            _warn_of_no_cache()
        return cast("F", found)

    return decorate


@cache
def _warn_of_no_cache() -> None:
    warnings.warn(
        "compiled code cannot be kept: neither the package's folder nor the user's cache can be "
        "written; every process compiles anew, which takes some seconds. Set NUMBA_CACHE_DIR to a "
        "folder that can be written",
        stacklevel=4,
    )


def intrinsic(generator: Callable[..., Any]) -> Callable[..., Any]:
    """Make a generator of LLVM code callable from compiled functions."""
    return cast("Callable[..., Any]", _intrinsic(generator))
