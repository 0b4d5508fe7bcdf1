"""Methods to compare with, and one door through which every estimator is made."""

from __future__ import annotations

import inspect
from typing import Any

from bcnmf.errors import InputError

# Their results do not depend on random_state beyond rounding, so one run is enough.
DETERMINISTIC = frozenset({"pca", "cpca"})


# Imported when asked for: PCA should not have to wait for torch, nor this module for any of them.
# Written as imports, so that a change of an estimator is seen by `provenance.code_digest`.
def _bcnmf() -> type:
    from bcnmf.estimators.contrast import BCNMF

    return BCNMF


def _nmf() -> type:
    from bcnmf.estimators.contrast import NMF

    return NMF


def _shared() -> type:
    from bcnmf.estimators.shared_target import SharedTargetNMF

    return SharedTargetNMF


def _combined() -> type:
    from bcnmf.estimators.combined_basis import CombinedBasisNMF

    return CombinedBasisNMF


def _pca() -> type:
    from bcnmf_pipeline.methods.pca import PCA

    return PCA


def _cpca() -> type:
    from bcnmf_pipeline.methods.cpca import CPCA

    return CPCA


_ESTIMATORS = {
    "bcnmf": _bcnmf,
    "nmf": _nmf,
    "shared": _shared,
    "combined": _combined,
    "pca": _pca,
    "cpca": _cpca,
}


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
    if algorithm not in _ESTIMATORS:
        raise InputError(
            f"algorithm={algorithm!r} is not known; allowed: {', '.join(sorted(_ESTIMATORS))}"
        )
    estimator = _ESTIMATORS[algorithm]()
    allowed = list(inspect.signature(estimator).parameters)
    unknown = sorted(set(parameters) - set(allowed))
    if unknown:
        raise InputError(
            f"algorithm={algorithm!r} has no parameter {', '.join(map(repr, unknown))}; "
            f"allowed: {', '.join(allowed)}"
        )
    return estimator(**parameters)
