"""Time of one iteration: contestants take turns, set-up is subtracted."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits

from contestants import Run

_FEWEST, _MOST = 3, 200  # iterations between the two points of a measurement


@dataclass(frozen=True)
class Measurement:
    """Seconds per iteration of one round: wall clock, and processor time of all threads."""

    wall: float
    processor: float


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Give torch, BLAS and OpenMP `n` threads each."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


def timed(call: Callable[[], object], device: str = "cpu") -> Measurement:
    """Return the seconds of one call, waiting for the device."""
    gc.collect()
    _wait(device)
    wall, processor = time.perf_counter(), time.process_time()
    call()
    _wait(device)
    return Measurement(time.perf_counter() - wall, time.process_time() - processor)


def warm_up(run: Run, n_threads: int, device: str, seconds: float) -> int:
    """Compile and touch everything; return how many iterations take about `seconds`."""
    with threads(n_threads):
        run(1)
        once = timed(lambda: run(1), device).wall
        four = timed(lambda: run(4), device).wall
    each = max((four - once) / 3, 1e-6)
    return int(min(max(math.ceil(seconds / each), _FEWEST), _MOST))


def per_iteration(run: Run, n_threads: int, device: str, span: int) -> Measurement:
    """Return (time of 1 + span iterations - time of 1) / span, so that set-up does not count.

    Raises
    ------
    RuntimeError
        The contestant stopped early.
    """
    done = []
    with threads(n_threads):
        short = timed(lambda: done.append(run(1).iterations), device)
        long = timed(lambda: done.append(run(1 + span).iterations), device)
    if done != [1, 1 + span]:
        raise RuntimeError(f"did {done} iterations; expected {[1, 1 + span]}")
    return Measurement((long.wall - short.wall) / span, (long.processor - short.processor) / span)


def in_turns(names: list, rounds: int) -> Iterator[tuple[int, object]]:
    """Yield (round, name): every round has each name once, the order turning round every time.

    A slow spell of the machine then hits neighbours alike, and nobody always comes first.
    """
    for number in range(rounds):
        yield from ((number, name) for name in (names if number % 2 == 0 else names[::-1]))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
