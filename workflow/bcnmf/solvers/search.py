"""Which of several directions of descent to try next, and how far to go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

_SHORTEST_STEP, _LONGEST_STEP = 1e-4, 8.0
# A direction that has not been tried for so long gets its turn: what pays changes on the way.
LONGEST_WAIT = 10


class _Evaluated(Protocol):
    objective: float


P = TypeVar("P", bound=_Evaluated)


class Search:
    """Tries the direction that gained more lately, and accepts a step only if the objective falls.

    Parameters
    ----------
    directions : iterable of str
        Their names.
    """

    def __init__(self, directions: Iterable[str]) -> None:
        self._length = dict.fromkeys(directions, 1.0)
        self._gain = dict.fromkeys(self._length, float("inf"))
        self._waited = dict.fromkeys(self._length, 0.0)

    @property
    def exhausted(self) -> bool:
        """Whether no step of any length lowers the objective beyond rounding."""
        return all(length < _SHORTEST_STEP for length in self._length.values())

    def state(self) -> list[list[float]]:
        """Return what `restore` takes."""
        return [list(values.values()) for values in (self._length, self._gain, self._waited)]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from where another search was."""
        for values, stored in zip((self._length, self._gain, self._waited), state, strict=True):
            values.update(zip(values, map(float, stored), strict=True))

    def advance(self, point: P, step: Callable[[str, float], P]) -> P:
        """Try one step from a point; `step(direction, length)` leads to another, evaluated one."""
        direction = self._choose()
        found = step(direction, self._length[direction])
        accepted = found.objective <= point.objective
        self._learn(direction, point.objective - found.objective, accepted)
        return found if accepted else point

    def _choose(self) -> str:
        usable = [one for one, length in self._length.items() if length >= _SHORTEST_STEP]
        for one in usable:
            self._waited[one] += 1
        longest = max(usable, key=lambda one: self._waited[one])
        best = max(usable, key=lambda one: self._gain[one])
        direction = longest if self._waited[longest] > LONGEST_WAIT else best
        self._waited[direction] = 0.0
        return direction

    def _learn(self, direction: str, decrease: float, accepted: bool) -> None:
        if not accepted:
            self._length[direction] /= 2
            gain = self._gain[direction]
            self._gain[direction] = 0.0 if gain == float("inf") else gain / 2
            return
        self._gain[direction] = decrease
        # The other directions start from another point now and may work again.
        for other in self._length:
            self._length[other] = max(self._length[other], 20 * _SHORTEST_STEP)
        self._length[direction] = min(1.5 * self._length[direction], _LONGEST_STEP)
