"""How a long fit is doing: one line rewritten on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_SECONDS_ON_TERMINAL = 0.2
_SECONDS_IN_LOG = 10.0


class Progress:
    """Print iteration, objective, its change and the time that went by.

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
        line += f"  {_duration(self._printed - self._started)}"
        if self._terminal:
            # Spaces cover what is left of a longer line.
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """End the line that was being rewritten, so that what follows starts a new one."""
        if self._width:
            self._stream.write("\n")
            self._stream.flush()
            self._width = 0


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
