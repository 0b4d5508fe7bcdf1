"""UMAP whose compiled parts are kept on disk: half a second a process, else fourteen."""

from __future__ import annotations

from typing import Any

from bcnmf.compiled_cache import keep, optional_cache


def umap_class() -> Any:
    """Return `umap.UMAP`, with what numba compiles for it kept where numba keeps such things.

    That is beside umap-learn's files, or in the user's cache where these cannot be written, or
    wherever `NUMBA_CACHE_DIR` says. Where nothing can be written it is compiled anew each time. The
    code is the same, kept or not, and so are its numbers.
    """
    with optional_cache():
        import umap
        import umap.layouts
        import umap.umap_
        import umap.utils
    from numba.core.dispatcher import Dispatcher

    for module in (umap.layouts, umap.umap_, umap.utils, umap.distances):
        for function in vars(module).values():
            if isinstance(function, Dispatcher):
                keep(function)
    chosen: type[Any] = umap.UMAP
    return chosen
