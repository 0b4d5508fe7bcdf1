"""Methods to compare with, and one door through which every estimator is made."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from bcnmf.errors import InputError

# Their results do not depend on random_state beyond rounding, so one run is enough.
DETERMINISTIC = frozenset({"pca", "cpca"})

_ESTIMATORS = {
    "bcnmf": ("bcnmf.model", "BCNMF"),
    "nmf": ("bcnmf.model", "NMF"),
    "pca": ("bcnmf.baselines.pca", "PCA"),
    "cpca": ("bcnmf.baselines.cpca", "CPCA"),
}


def make_estimator(algorithm: str, **parameters: Any) -> Any:
    """Make an estimator by the name that the methods sheet uses.

    Parameters
    ----------
    algorithm : {"bcnmf", "nmf", "pca", "cpca"}
        Which estimator.
    **parameters : Any
        Its constructor's parameters.

    Returns
    -------
    BCNMF, NMF, PCA or CPCA
        Unfitted; all have ``fit_transform(X, background=Y)``.

    Raises
    ------
    InputError
        Unknown algorithm, or a parameter that the algorithm does not have.
    """
    if algorithm not in _ESTIMATORS:
        raise InputError(
            f"algorithm={algorithm!r} is not known; allowed: {', '.join(sorted(_ESTIMATORS))}"
        )
    module, name = _ESTIMATORS[algorithm]
    # Imported here: PCA should not have to wait for torch, nor this module for any of them.
    estimator = getattr(importlib.import_module(module), name)
    allowed = list(inspect.signature(estimator).parameters)
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise InputError(
            f"algorithm={algorithm!r} has no parameter {', '.join(map(repr, unknown))}; "
            f"allowed: {', '.join(allowed)}"
        )
    return estimator(**parameters)
