"""What a long fit leaves on disk on its way, so that it can be taken up where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bcnmf.errors import InputError, StaleCheckpoint
from bcnmf.files import atomic_path
from bcnmf.persistence import plain

if TYPE_CHECKING:
    from bcnmf.matrices.base import Matrix

SECONDS = 60.0
_IDENTITY = "identity"
# A fit goes on with other values of these.
_MAY_CHANGE = ("max_iter", "tol", "n_background", "verbose")
_STOPPED_BY = (signal.SIGINT, signal.SIGTERM)

State = dict[str, Any]


class Checkpoint:
    """The state of a fit, written now and then and when it is interrupted.

    Parameters
    ----------
    path : path, optional
        Where, .npz; nothing is written without.
    identity : mapping
        What has to be the same for a fit to be taken up: parameters, and what tells the data.

    Attributes
    ----------
    context : dict
        Is stored with every state: what was done before the iterations that now run.
    """

    def __init__(self, path: str | os.PathLike[str] | None, identity: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.context: State = {}
        self._identity = {key: _plain(value) for key, value in identity.items()}
        self._written = time.monotonic()
        self._stop: int | None = None

    def read(self) -> State:
        """Return the state that was stored, empty if there is none.

        Raises
        ------
        StaleCheckpoint
            The file is damaged, or belongs to another fit.
        """
        if self.path is None or not self.path.exists():
            return {}
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                state = {key: stored[key] for key in stored.files}
                found = json.loads(str(state.pop(_IDENTITY)))
        except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise StaleCheckpoint(
                f"{self.path}: not a checkpoint of bcnmf, or cut short ({error}); delete it to fit "
                "from the start"
            ) from error
        for key, expected in self._identity.items():
            if found.get(key) != expected:
                raise StaleCheckpoint(
                    f"{self.path}: belongs to another fit: {key} was {found.get(key)!r}, is now "
                    f"{expected!r}; fit with the same data and parameters, or delete the file to "
                    "fit from the start"
                )
        return state

    def after_iteration(self, state: Callable[[], State]) -> None:
        """Write `state()` if it is time to, or if the fit was interrupted, which then ends.

        Raises
        ------
        KeyboardInterrupt, SystemExit
            The process was asked to stop (Ctrl-C, SIGTERM); the state is on disk.
        """
        if self.path is None:
            return
        if self._stop is None and time.monotonic() - self._written < SECONDS:
            return
        self._write(state() | self.context)
        if self._stop == signal.SIGINT:
            raise KeyboardInterrupt(f"the state of the fit is in {self.path}")
        if self._stop is not None:
            raise SystemExit(128 + self._stop)

    @contextmanager
    def stopped_between_iterations(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the fit after the iteration at hand; a second one at once."""
        watched = self.path is not None and threading.current_thread() is threading.main_thread()
        before: dict[int, Any] = {}

        def note(number: int, frame: Any) -> None:
            if self._stop is not None:
                restore()
                signal.raise_signal(number)
                return
            self._stop = number
            print(f"stopping after this iteration, see {self.path}", file=sys.stderr)

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        try:
            if watched:
                before.update((number, signal.signal(number, note)) for number in _STOPPED_BY)
            yield
        finally:
            restore()

    def remove(self) -> None:
        """Delete the file: the fit is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _write(self, state: State) -> None:
        assert self.path is not None  # nothing is written without
        arrays = {key: _host(value) for key, value in state.items()}
        arrays[_IDENTITY] = np.array(json.dumps(self._identity, sort_keys=True))
        with atomic_path(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        self._written = time.monotonic()


def identity(parameters: Mapping[str, Any], sides: Mapping[str, Matrix | None]) -> dict[str, Any]:
    """Return what tells a fit from others: an estimator's parameters, and its data by their names.

    Raises
    ------
    InputError
        The seed is none that could be had again.
    """
    if not isinstance(parameters["random_state"], Integral):
        raise InputError(
            f"random_state={parameters['random_state']!r}: a fit with a checkpoint needs an "
            "integer, so that it can be taken up"
        )
    found = {name: plain(parameters[name]) for name in parameters if name not in _MAY_CHANGE}
    if not isinstance(parameters["init"], str):
        found["init"] = [float(torch.as_tensor(one).sum()) for one in parameters["init"]]
    for name, side in sides.items():
        if side is not None:
            found |= {
                f"{name} shape": side.shape, f"{name} total": side.total,
                f"{name} sum of squares": side.squared_norm,
            }  # fmt: skip
    return found


def _host(value: Any) -> np.ndarray:
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))
