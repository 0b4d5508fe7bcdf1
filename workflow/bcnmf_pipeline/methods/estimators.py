"""Methods to compare with, and one door through which every estimator is made."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from bcnmf.errors import InputError

# Their results do not depend on random_state beyond rounding, so one run is enough.
DETERMINISTIC = frozenset({"pca", "cpca"})


# Module and class of each algorithm. Imported when asked for: PCA should not have to wait for
# torch, and a fit by one of them does not depend on the others (`code_of_fits` in common.smk).
ESTIMATORS = {
    "bcnmf": ("bcnmf.estimators.contrast", "BCNMF"),
    "nmf": ("bcnmf.estimators.contrast", "NMF"),
    "shared": ("bcnmf.estimators.shared_target", "SharedTargetNMF"),
    "combined": ("bcnmf.estimators.combined_basis", "CombinedBasisNMF"),
    "pca": ("bcnmf_pipeline.methods.pca", "PCA"),
    "cpca": ("bcnmf_pipeline.methods.cpca", "CPCA"),
}

# Where the consensus of many starts is made: fits without one do not depend on it.
CONSENSUS = "bcnmf.repeated"
# Where several are fitted in one set of passes: to the same numbers, so no fit depends on it.
TOGETHER = "bcnmf.estimators.together"


def make_estimator(algorithm: str, **parameters: Any) -> Any:
    """Make an estimator by the name that the methods sheet uses.

    Parameters
    ----------
    algorithm : {"bcnmf", "nmf", "shared", "combined", "pca", "cpca"}
        Which estimator.
    **parameters : Any
        Its constructor's parameters.

    Returns
    -------
    BCNMF, NMF, SharedTargetNMF, CombinedBasisNMF, PCA or CPCA
        Unfitted; all have ``fit_transform(X, background=Y)``.

    Raises
    ------
    InputError
        Unknown algorithm, or a parameter that the algorithm does not have.
    """
    if algorithm not in ESTIMATORS:
        raise InputError(
            f"algorithm={algorithm!r} is not known; allowed: {', '.join(sorted(ESTIMATORS))}"
        )
    module, name = ESTIMATORS[algorithm]
    estimator = getattr(importlib.import_module(module), name)
    allowed = list(inspect.signature(estimator).parameters)
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise InputError(
            f"algorithm={algorithm!r} has no parameter {', '.join(map(repr, unknown))}; "
            f"allowed: {', '.join(allowed)}"
        )
    return estimator(**parameters)


def consensus_of(
    estimator: Any, X: Any, background: Any, n_starts: int, random_state: int, **weights: Any
) -> Any:
    """Return the consensus of many starts of an estimator, see `bcnmf.consensus`."""
    make = importlib.import_module(CONSENSUS).consensus
    return make(estimator, X, background, n_starts, random_state=random_state, **weights)


def fit_together(estimators: Sequence[Any], X: Any, background: Any, **options: Any) -> None:
    """Fit several estimators to the same data, see `bcnmf.fit_together`."""
    importlib.import_module(TOGETHER).fit_together(estimators, X, background, **options)
