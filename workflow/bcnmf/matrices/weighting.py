"""Weights of samples, put on the data at the door: no solver knows of them.

In the squared error a sample of weight w is its values times the root of w, in the divergence of
counts its values times w; its usages then are those of the sample itself times the same factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Weighting:
    """What samples count.

    Attributes
    ----------
    kept : ndarray of int, shape (kept,)
        Which samples count at all, in increasing order.
    factor : ndarray of shape (kept,)
        By what their values are multiplied, float64.
    left_out : ndarray of int, shape (left out,)
        The others.
    """

    kept: np.ndarray
    factor: np.ndarray
    left_out: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray | None, loss: str) -> Weighting | None:
        """Return the weighting by checked weights (n,); None where all samples count one."""
        if weights is None or (weights == 1).all():
            return None
        kept = np.flatnonzero(weights)
        factor = weights[kept] if loss == "poisson" else np.sqrt(weights[kept])
        return cls(kept, factor, np.flatnonzero(weights == 0))

    @property
    def others(self) -> Weighting:
        """Those that are left out, each counting one."""
        return Weighting(self.left_out, np.ones(len(self.left_out)), self.kept)

    def weighted(self, usage: torch.Tensor) -> torch.Tensor:
        """Return usages of all samples, or of those kept, as the solvers have them, (kept, K)."""
        if len(usage) > len(self.kept):
            usage = usage[torch.as_tensor(self.kept, device=usage.device)]
        return (usage * self._column(usage)).contiguous()

    def unweighted(self, usage: torch.Tensor) -> torch.Tensor:
        """Return usages (kept, K) as the solvers leave them for the samples themselves."""
        return usage / self._column(usage)

    def complete(self, kept: torch.Tensor, left_out: torch.Tensor) -> torch.Tensor:
        """Return the usages (n, K) of all samples, in their order."""
        whole = kept.new_empty((len(kept) + len(left_out), kept.shape[1]))
        whole[torch.as_tensor(self.kept, device=kept.device)] = kept
        whole[torch.as_tensor(self.left_out, device=kept.device)] = left_out
        return whole

    def _column(self, like: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.factor, dtype=like.dtype).to(like.device)[:, None]
