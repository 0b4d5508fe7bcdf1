"""How something long is doing: one line rewritten on a terminal, a line now and then in a log.

A `Progress` tells of one fit, to whoever asked for it. A `Watch` tells of a whole program: of the
stages and counts that are under way (`doing`, `counted`), wherever they are, where nothing else is
said. Without one these cost nothing.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

T = TypeVar("T")

_SECONDS_ON_TERMINAL = 0.2
_SECONDS_IN_LOG = 10.0
# After so long without a word a stage is told of; on a terminal it is then counted in seconds.
_SECONDS_IN_SILENCE = 2.0
_SECONDS_BETWEEN = 1.0


def announce(place: str, needed: int, free: int, stream: TextIO | None = None) -> None:
    """Print where a fit runs, and how many bytes it takes there of those that are free."""
    clear()
    print(
        f"computing on {place}; topics, usages and what is read at a time take about "
        f"{_size(needed)}, {_size(free)} are free",
        file=sys.stderr if stream is None else stream,
    )


class Line:
    """The line that a terminal rewrites; in a log, lines one below the other.

    Attributes
    ----------
    shown : float
        When the clock was last looked at for a line.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self.stream, self.clock = stream, clock
        self.terminal = stream.isatty()
        self.shown = float("-inf")
        self._width = 0
        self._one_writes = threading.Lock()

    def show(self, text: str) -> None:
        """Write the text in place of the last one."""
        with self._one_writes:
            self.shown = self.clock()
            if self.terminal:
                # Spaces cover what is left of a longer line.
                self.stream.write("\r" + text.ljust(self._width))
                self._width = len(text)
            else:
                self.stream.write(text + "\n")
            self.stream.flush()

    def end(self, kept: bool) -> None:
        """Begin a new line if one is being rewritten, or take back what it says."""
        with self._one_writes:
            if self._width:
                self.stream.write("\n" if kept else "\r" + " " * self._width + "\r")
                self.stream.flush()
                self._width = 0


@dataclass(eq=False)
class _Stage:
    """Something that is under way, of which `done` parts of `of` are done, if there are parts."""

    what: str
    since: float
    done: int = 0
    of: int = 0


class Watch:
    """Tells what a program is doing, once in a while, where nothing else is printed.

    Parameters
    ----------
    stream : file, optional
        Where to print; standard error if not given.
    clock : callable
        Seconds, from any origin.
    whole : str
        What all stages are parts of; of a program without it nothing is told between them.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        whole: str = "",
    ) -> None:
        self.line = Line(sys.stderr if stream is None else stream, clock)
        # Until the first stage begins, a program loads libraries.
        self._loading = None if whole else _Stage("loading libraries", clock())
        self.stages = [self._loading or _Stage(whole, clock())]
        self._changed, self._told = clock(), False

    def begin(self, what: str, of: int = 0) -> _Stage:
        """Note that a stage begins."""
        if self._loading in self.stages:
            self.end(self._loading)
        stage = _Stage(what, self.line.clock(), of=of)
        self.stages.append(stage)
        if len(self.stages) == 1:
            self._changed, self._told = stage.since, False
        return stage

    def end(self, stage: _Stage) -> None:
        """Note that a stage is over; the line is free again where it was the outermost."""
        self.stages.remove(stage)
        if not self.stages:
            self.line.end(kept=False)

    def tick(self) -> None:
        """Print what is under way if it is time to."""
        stages, now = [*self.stages], self.line.clock()
        pause = _SECONDS_BETWEEN if self.line.terminal else _SECONDS_IN_LOG
        pause = pause if self._told else _SECONDS_IN_SILENCE
        if not stages or now - max(self._changed, self.line.shown) < pause:
            return
        self._told = True
        names = [
            f"{one.what} {min(one.done + 1, one.of)} of {one.of}" if one.of else one.what
            for one in stages
        ]
        self.line.show(f"{', '.join(names)}  {duration(now - stages[0].since)}{_left(stages, now)}")


def _left(stages: Sequence[_Stage], now: float) -> str:
    """Return how long it will take at the pace so far; nothing where no part is done."""
    counted = [stage for stage in stages if stage.of]
    share = 0.0
    for stage in reversed(counted):
        share = min((stage.done + share) / stage.of, 1.0)
    if not 0 < share < 1:
        return ""
    return f", about {duration((now - counted[0].since) * (1 - share) / share)} left"


_watch: Watch | None = None


@contextmanager
def watched(watch: Watch | None = None) -> Iterator[None]:
    """Tell what the program is doing until this ends."""
    global _watch
    before, _watch = _watch, watch or Watch()
    over = threading.Event()

    def beat(watch: Watch) -> None:
        while not over.wait(_SECONDS_BETWEEN / 2):
            watch.tick()

    ticking = threading.Thread(target=beat, args=[_watch], daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
        _watch.line.end(kept=False)
        _watch = before


def clear() -> None:
    """Free the line for something else that is to be printed."""
    if _watch is not None:
        _watch.line.end(kept=False)


@contextmanager
def counting(what: str, of: int = 0) -> Iterator[Callable[[], None]]:
    """Say that something is under way; what is given is called after each of its `of` parts.

    Stages of other threads than the main one are those of a part: of them nothing is told.
    """
    watch = _watch
    if watch is None or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    stage = watch.begin(what, of)

    def step() -> None:
        stage.done += 1

    try:
        yield step
    finally:
        watch.end(stage)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say that something without parts is under way."""
    with counting(what):
        yield


def counted(values: Iterable[T], what: str, of: int) -> Iterator[T]:
    """Go over `of` values, each of them a part of what is under way."""
    with counting(what, of) as step:
        for value in values:
            yield value
            step()


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
        self._clock = clock
        stream = sys.stderr if stream is None else stream
        shared = _watch is not None and _watch.line.stream is stream
        self._line = _watch.line if _watch is not None and shared else Line(stream, clock)
        self._started = clock()
        self._printed = float("-inf")
        self._first: tuple[int, float] | None = None
        self._before = self._started

    def before(self, update: int, at_most: int) -> None:
        """Print now and then how many updates were made that come before the first iteration."""
        if self._clock() - self._before >= self._pause():
            self._before = self._clock()
            took = duration(self._before - self._started)
            self._line.show(f"{self._label}first updates {update}/{at_most}  {took}")

    def _pause(self) -> float:
        return _SECONDS_ON_TERMINAL if self._line.terminal else _SECONDS_IN_LOG

    def due(self) -> bool:
        """Whether it is time for another line. To know what it says may cost a wait for a GPU."""
        return self._clock() - self._printed >= self._pause()

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
        self._line.show(line)

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
        self._line.end(kept=True)


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{math.ceil(number / 1e6)} MB"


def duration(seconds: float) -> str:
    """Return seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
