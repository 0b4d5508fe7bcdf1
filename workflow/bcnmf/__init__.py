"""Background-contrastive non-negative matrix factorisation (bcNMF).

``import bcnmf`` is cheap: the estimators, and torch with them, are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.8.0"
__all__ = [
    "BCNMF",
    "NMF",
    "CombinedBasisNMF",
    "Consensus",
    "ConvergenceWarning",
    "CrossFit",
    "Diagnosis",
    "Finding",
    "InputError",
    "Null",
    "ProgramTest",
    "SharedTargetNMF",
    "UnitTest",
    "__version__",
    "balanced_weights",
    "consensus",
    "coverage",
    "crossfit",
    "diagnose",
    "fit_together",
    "permutation_null",
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
    from bcnmf.estimators.together import fit_together
    from bcnmf.evidence.diagnosis import diagnose
    from bcnmf.evidence.findings import Diagnosis, Finding
    from bcnmf.evidence.null import Null, permutation_null
    from bcnmf.evidence.programs import ProgramTest, program_tests
    from bcnmf.evidence.units import UnitTest, unit_test
    from bcnmf.repeated import Consensus, consensus
    from bcnmf.sklearn_errors import ConvergenceWarning

_HOME = {
    "BCNMF": "bcnmf.estimators.contrast",
    "CombinedBasisNMF": "bcnmf.estimators.combined_basis",
    "NMF": "bcnmf.estimators.contrast",
    "Consensus": "bcnmf.repeated",
    "ConvergenceWarning": "bcnmf.sklearn_errors",
    "CrossFit": "bcnmf.calibration",
    "Diagnosis": "bcnmf.evidence.findings",
    "Finding": "bcnmf.evidence.findings",
    "InputError": "bcnmf.errors",
    "Null": "bcnmf.evidence.null",
    "SharedTargetNMF": "bcnmf.estimators.shared_target",
    "balanced_weights": "bcnmf.batches",
    "consensus": "bcnmf.repeated",
    "coverage": "bcnmf.crossfitting",
    "ProgramTest": "bcnmf.evidence.programs",
    "UnitTest": "bcnmf.evidence.units",
    "crossfit": "bcnmf.crossfitting",
    "permutation_null": "bcnmf.evidence.null",
    "diagnose": "bcnmf.evidence.diagnosis",
    "fit_together": "bcnmf.estimators.together",
    "program_tests": "bcnmf.evidence.programs",
    "unit_test": "bcnmf.evidence.units",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bcnmf' has no attribute {name!r}")
