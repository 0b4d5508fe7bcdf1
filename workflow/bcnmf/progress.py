"""How a long fit is doing: one line rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import TextIO

_SECONDS_ON_TERMINAL = 0.2
_SECONDS_IN_LOG = 10.0


def announce(place: str, needed: int, free: int, stream: TextIO | None = None) -> None:
    """Print where a fit runs, and how many bytes it takes there of those that are free."""
    print(
        f"computing on {place}; topics, usages and what is read at a time take about "
        f"{_size(needed)}, {_size(free)} are free",
        file=sys.stderr if stream is None else stream,
    )


class Progress:
    """Print iteration, objective, its change, the time that went by and the most that is left.

    What is left is as many iterations as there may be, at the pace of those since the first line:
    most fits end before, by their stopping rule.

    Parameters
    ----------
    max_iter : int
        Iterations at most.
    stream : file, optional
        Where to print; standard error if not given.
    clock : callable
        Seconds, from any origin.
    label : str
        What is iterated, if a fit has several parts.
    unit : float
        By what the objective is multiplied before it is printed.
    """

    def __init__(
        self,
        max_iter: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        label: str = "",
        unit: float = 1.0,
    ) -> None:
        self._max_iter = max_iter
        self._unit = unit
        self._label = f"{label}, " if label else ""
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._started = clock()
        self._printed = float("-inf")
        self._first: tuple[int, float] | None = None
        self._width = 0

    def due(self) -> bool:
        """Whether it is time for another line. To know what it says may cost a wait for a GPU."""
        pause = _SECONDS_ON_TERMINAL if self._terminal else _SECONDS_IN_LOG
        return self._clock() - self._printed >= pause

    def update(self, iteration: int, objective: float, change: float | None) -> None:
        """Print a line.

        Parameters
        ----------
        iteration : int
            Iterations done.
        objective : float
            The objective after them.
        change : float or None
            Its change over the last iterations, in units of `tol`; None if there were too few.
        """
        self._printed = self._clock()
        shown = objective * self._unit
        line = f"{self._label}iteration {iteration}/{self._max_iter}  objective {shown:.8g}"
        if change is not None:
            line += f"  change {change:.1e}"
        line += f"  {duration(self._printed - self._started)}{self._left(iteration)}"
        if self._terminal:
            # Spaces cover what is left of a longer line.
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _left(self, iteration: int) -> str:
        """Return the most that is left; nothing before the pace is known, and at the end."""
        if self._first is None:
            self._first = iteration, self._printed
        first, began = self._first
        if not first < iteration < self._max_iter:
            return ""
        each = (self._printed - began) / (iteration - first)
        of_what = " of it" if self._label else ""
        return f", at most {duration(each * (self._max_iter - iteration))} left{of_what}"

    def close(self) -> None:
        """End the line that was being rewritten, so that what follows starts a new one."""
        if self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{math.ceil(number / 1e6)} MB"


def duration(seconds: float) -> str:
    """Return seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
