"""What every solver returns, and when it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

# Looking at the objective costs a host sync on a GPU, so it is not done every iteration.
_CHECK_EVERY = 10


@dataclass
class SolverResult:
    """Factors and how they were reached.

    Attributes
    ----------
    components, usage, background_usage : torch.Tensor
        (K, features), (n, K), (m, K).
    objective : list of float
        The true objective D(X | H_X C) - alpha D(Y | H_Y C), before the first and after every
        iteration.
    n_iter : int
        Iterations done.
    converged : bool
        Whether the stopping rule was met before the iterations ran out.
    kkt_residual : float
        Size of the projected gradient relative to its terms; NaN where a solver has none.
    """

    components: torch.Tensor
    usage: torch.Tensor
    background_usage: torch.Tensor
    objective: list[float]
    n_iter: int
    converged: bool
    kkt_residual: float = float("nan")


@dataclass
class Trace:
    """The objective over the iterations, left on the device until somebody looks.

    Parameters
    ----------
    tol : float
        Stop when the objective changed by at most `tol` times `scale` over the last ten
        iterations; 0 never stops.
    scale : float
        Size of the objective's terms. Not the objective itself: a contrast may be near zero.
    report : callable or None
        Called with (iteration, objective) each time the objective is looked at.
    """

    tol: float
    scale: float
    report: Callable[[int, float], None] | None = None
    _values: list[torch.Tensor] = field(default_factory=list)

    def append(self, value: torch.Tensor) -> None:
        """Record the objective of the present factors."""
        self._values.append(value)

    def settled(self) -> bool:
        """Whether the stopping rule holds after the latest value."""
        done = len(self._values) - 1
        if done == 0 or done % _CHECK_EVERY or (self.tol == 0 and self.report is None):
            return False
        before, now = (float(self._values[i]) for i in (-1 - _CHECK_EVERY, -1))
        if self.report is not None:
            self.report(done, now)
        return self.tol > 0 and abs(before - now) <= self.tol * self.scale

    def values(self) -> list[float]:
        """Return all recorded values as floats."""
        return [float(value) for value in self._values]
