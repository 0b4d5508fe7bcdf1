"""What every solver returns, when it stops, and what is told about it on the way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from bcnmf.device import as_float64
from bcnmf.matrices.base import Moments

if TYPE_CHECKING:
    from bcnmf.checkpoint import Checkpoint, State
    from bcnmf.progress import Progress

FACTORS = ("components", "usage", "background_usage")
Precision = tuple[torch.dtype, torch.device]

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
        D(X | H_X C) - alpha D(Y | H_Y C) at the usages of the time, before the first and after
        every iteration.
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
class Monitor:
    """Who is told about a fit while it runs.

    Attributes
    ----------
    progress : Progress or None
        Prints the objective.
    checkpoint : Checkpoint or None
        Stores the state after iterations.
    resumed : mapping
        A state that was stored, to go on from; empty at the start of a fit.
    """

    progress: Progress | None = None
    checkpoint: Checkpoint | None = None
    resumed: Mapping[str, Any] = field(default_factory=dict)

    def resume(self, trace: Trace) -> int:
        """Return how many iterations are done already; the trace goes on from their objectives."""
        trace.resume(self.resumed.get("objective", ()))
        return int(self.resumed.get("iteration", 0))

    def after_iteration(self, state: Callable[..., State], *of: Any) -> None:
        """Tell that an iteration is done; `state(*of)` is what the next one starts from."""
        if self.checkpoint is not None:
            self.checkpoint.after_iteration(lambda: state(*of))


@dataclass
class Trace:
    """The objective over the iterations, left on the device until somebody looks.

    Parameters
    ----------
    tol : float
        Stop when the objective changed by at most `tol` times `scale` over the last iterations; 0
        never stops.
    scale : float
        Size of the objective's terms. Not the objective itself: a contrast may be near zero.
    monitor : Monitor or None
        Who is told.
    """

    tol: float
    scale: float
    monitor: Monitor | None = None
    _values: list[torch.Tensor | float] = field(default_factory=list)

    def resume(self, values: Any) -> None:
        """Go on from values that were recorded before."""
        self._values = [float(value) for value in values]

    def recorded(self) -> list[float]:
        """Return the values so far, on the host."""
        return [float(value) for value in self._values]

    def append(self, value: torch.Tensor | float) -> None:
        """Record the objective of the present factors."""
        self._values.append(value)
        progress = None if self.monitor is None else self.monitor.progress
        if progress is not None and progress.due():
            progress.update(len(self._values) - 1, float(value), self._change())

    def due(self) -> bool:
        """Whether the stopping rule will be looked at after the next value."""
        done = len(self._values)
        return done > 0 and done % _CHECK_EVERY == 0 and self.tol > 0

    def looks(self) -> bool:
        """Whether `settled` looks at the latest value, for which the host waits for a device."""
        return self.tol > 0 and (len(self._values) - 1) % _CHECK_EVERY == 0

    def settled(self) -> bool:
        """Whether the stopping rule holds after the latest value."""
        if not self.looks():
            return False
        change = self._change()
        return change is not None and change <= self.tol

    def values(self) -> list[float]:
        """Return all recorded values as floats, at the end of the iterations."""
        if self.monitor is not None and self.monitor.progress is not None:
            self.monitor.progress.close()
        return self.recorded()

    def _change(self) -> float | None:
        if len(self._values) <= _CHECK_EVERY:
            return None
        before, now = (float(self._values[i]) for i in (-1 - _CHECK_EVERY, -1))
        # An exact fit leaves a scale of zero, and nothing to change.
        return abs(before - now) / max(self.scale, sys.float_info.min)


def as_tensor(values: Any, precision: Precision) -> torch.Tensor:
    """Return a stored array in the precision and on the device of the factors."""
    return torch.as_tensor(values, dtype=precision[0]).to(precision[1])


def packed_moments(moments: Sequence[Moments]) -> State:
    """Return what passes over the data left, as arrays by name."""
    return {
        f"moments/{number}/{name}": value
        for number, part in enumerate(moments)
        for name, value in vars(part).items()
    }


def unpacked_moments(
    state: Mapping[str, Any], count: int, components: torch.Tensor
) -> list[Moments]:
    """Return the moments of which `packed_moments` made arrays, for such components."""
    precision = components.dtype, components.device
    exact = torch.float64, as_float64(components[:0]).device
    return [
        Moments(
            as_tensor(state[f"moments/{number}/cross"], precision),
            as_tensor(state[f"moments/{number}/usage_gram"], exact),
            as_tensor(state[f"moments/{number}/fit"], exact),
        )
        for number in range(count)
    ]
