"""Background-contrastive non-negative matrix factorisation (bcNMF).

``import bcnmf`` is cheap: the estimators, and torch with them, are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.5.0"
__all__ = [
    "BCNMF",
    "NMF",
    "CombinedBasisNMF",
    "ConvergenceWarning",
    "CrossFit",
    "InputError",
    "ProgramTest",
    "SharedTargetNMF",
    "UnitTest",
    "__version__",
    "balanced_weights",
    "coverage",
    "crossfit",
    "program_tests",
    "unit_test",
]

if TYPE_CHECKING:
    from bcnmf.batches import balanced_weights
    from bcnmf.calibration import CrossFit
    from bcnmf.crossfitting import coverage, crossfit
    from bcnmf.errors import InputError
    from bcnmf.estimators.combined_basis import CombinedBasisNMF
    from bcnmf.estimators.contrast import BCNMF, NMF
    from bcnmf.estimators.shared_target import SharedTargetNMF
    from bcnmf.evidence.programs import ProgramTest, program_tests
    from bcnmf.evidence.units import UnitTest, unit_test
    from bcnmf.sklearn_errors import ConvergenceWarning

_HOME = {
    "BCNMF": "bcnmf.estimators.contrast",
    "CombinedBasisNMF": "bcnmf.estimators.combined_basis",
    "NMF": "bcnmf.estimators.contrast",
    "ConvergenceWarning": "bcnmf.sklearn_errors",
    "CrossFit": "bcnmf.calibration",
    "InputError": "bcnmf.errors",
    "SharedTargetNMF": "bcnmf.estimators.shared_target",
    "balanced_weights": "bcnmf.batches",
    "coverage": "bcnmf.crossfitting",
    "ProgramTest": "bcnmf.evidence.programs",
    "UnitTest": "bcnmf.evidence.units",
    "crossfit": "bcnmf.crossfitting",
    "program_tests": "bcnmf.evidence.programs",
    "unit_test": "bcnmf.evidence.units",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bcnmf' has no attribute {name!r}")
