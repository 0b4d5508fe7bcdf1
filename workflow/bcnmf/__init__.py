"""Background-contrastive non-negative matrix factorisation (bcNMF).

``import bcnmf`` is cheap: the estimators, and torch with them, are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "BCNMF",
    "NMF",
    "CombinedBasisNMF",
    "ConvergenceWarning",
    "InputError",
    "MultimodalBCNMF",
    "SharedTargetNMF",
    "__version__",
]

if TYPE_CHECKING:
    from bcnmf.errors import InputError
    from bcnmf.model import BCNMF, NMF, ConvergenceWarning
    from bcnmf.shared import SharedTargetNMF
    from bcnmf.variants import CombinedBasisNMF, MultimodalBCNMF

_HOME = {
    "BCNMF": "bcnmf.model",
    "CombinedBasisNMF": "bcnmf.variants",
    "MultimodalBCNMF": "bcnmf.variants",
    "NMF": "bcnmf.model",
    "ConvergenceWarning": "bcnmf.model",
    "InputError": "bcnmf.errors",
    "SharedTargetNMF": "bcnmf.shared",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bcnmf' has no attribute {name!r}")
