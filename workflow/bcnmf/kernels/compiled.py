"""numba's decorators, for functions that keep their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic as _intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles on first use and caches on disk; see `numba.njit`.

    The interpreter lock is released, so that several threads may run the function.
    """
    return cast("Callable[[F], F]", numba.njit(cache=True, nogil=True, **options))


def intrinsic(generator: Callable[..., Any]) -> Callable[..., Any]:
    """Make a generator of LLVM code callable from compiled functions."""
    return cast("Callable[..., Any]", _intrinsic(generator))
