"""Ctrl-C and SIGTERM, acted on where they do no harm."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STOPPED_BY = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal came, None while none has."""

    number: int | None = None

    def act(self, *said: str) -> None:
        """End the process if a signal came; `said` goes with Ctrl-C."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt(*said)
        if self.number is not None:
            raise SystemExit(128 + self.number)


@contextmanager
def noted(stop: Stop, message: str) -> Iterator[None]:
    """Note the first signal in `stop` and print `message`; a second one acts at once.

    Outside the main thread, where signals do not arrive, nothing changes.
    """
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        if stop.number is not None:
            restore()
            signal.raise_signal(number)
            return
        stop.number = number
        print(message, file=sys.stderr)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        if threading.current_thread() is threading.main_thread():
            before.update((number, signal.signal(number, note)) for number in _STOPPED_BY)
        yield
    finally:
        restore()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit`, so that what cleans up and what saves results runs."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
