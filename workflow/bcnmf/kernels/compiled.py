"""numba's decorators, for functions that keep their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic as _intrinsic

from bcnmf.compiled_cache import keep

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles on first use and caches on disk; see `numba.njit`.

    The interpreter lock is released, so that several threads may run the function.
    """

    def decorate(function: F) -> F:
        found = numba.njit(nogil=True, **options)(function)
        keep(found)
        return cast("F", found)

    return decorate


def intrinsic(generator: Callable[..., Any]) -> Callable[..., Any]:
    """Make a generator of LLVM code callable from compiled functions."""
    return cast("Callable[..., Any]", _intrinsic(generator))
