"""What a long fit leaves on disk on its way, so that it can be taken up where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bcnmf import __version__
from bcnmf.checks import feature_names
from bcnmf.errors import InputError, StaleCheckpoint
from bcnmf.files import atomic_path, check_writable
from bcnmf.matrices.fingerprint import fingerprint
from bcnmf.matrices.weighting import Weighting
from bcnmf.persistence import plain
from bcnmf.seeds import derive_seed
from bcnmf.stopping import Stop, noted

SECONDS = 60.0
_IDENTITY, _VERSION = "identity", "bcnmf"
# A fit goes on with other values of these.
_MAY_CHANGE = ("max_iter", "tol", "batch_size", "n_background", "verbose")

State = dict[str, Any]
OptionalPath = str | os.PathLike[str] | None


class Checkpoint:
    """The state of a fit, written now and then and when it is interrupted.

    Parameters
    ----------
    path : path, optional
        Where, .npz; nothing is written without.
    identity : mapping
        What has to be the same for a fit to be taken up: parameters, and what tells the data.
    stop : Stop, optional
        Where it is noted that the fit is to end, if several fits end together.

    Attributes
    ----------
    context : dict
        Is stored with every state: what was done before the iterations that now run.
    """

    def __init__(
        self, path: OptionalPath, identity: Mapping[str, Any], stop: Stop | None = None
    ) -> None:
        self.path = None if path is None else Path(path)
        self.context: State = {}
        self._identity = {key: _plain(value) for key, value in identity.items()}
        self._written = time.monotonic()
        self._stop = stop or Stop()

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
        if found.get(_VERSION) != self._identity.get(_VERSION):
            raise StaleCheckpoint(
                f"{self.path}: was written by bcnmf {found.get(_VERSION, 'of an older version')}, "
                f"whose steps may differ from those of this one, {self._identity[_VERSION]}; take "
                "the fit up with that version, or delete the file to fit from the start"
            )
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
        if self._stop.number is None and time.monotonic() - self._written < SECONDS:
            return
        self._write(state() | self.context)
        self._end_if_asked_to()

    @contextmanager
    def stopped_between_iterations(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the fit after the iteration at hand; a second one at once."""
        if self.path is None:
            yield
            return
        with noted(self._stop, f"stopping after this iteration, see {self.path}"):
            yield
        self._end_if_asked_to()  # during what came after the last iteration

    def remove(self) -> None:
        """Delete the file: the fit is finished."""
        if self.path is None:
            return
        try:
            # A link stays, as it does when a state is written.
            Path(os.path.realpath(self.path)).unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(
                f"{self.path}: could not be deleted ({error.strerror}), though the fit is "
                "finished; delete it",
                stacklevel=2,
            )

    def _end_if_asked_to(self) -> None:
        there = self.path is not None and self.path.exists()
        self._stop.act(*[f"the state of the fit is in {self.path}"] * there)

    def _write(self, state: State) -> None:
        assert self.path is not None  # nothing is written without
        arrays = {key: _host(value) for key, value in state.items()}
        arrays[_IDENTITY] = np.array(json.dumps(self._identity, sort_keys=True))
        try:
            with atomic_path(self.path) as temporary, temporary.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)
        except OSError as error:
            warnings.warn(
                f"{self.path}: the state of the fit could not be written ({error.strerror}); the "
                "fit goes on, and an earlier state stays",
                stacklevel=2,
            )
        self._written = time.monotonic()


def of_fit(
    estimator: Any,
    path: OptionalPath,
    sides: Mapping[str, Any],
    device: torch.device,
    weightings: Mapping[str, Weighting],
    stop: Stop | None = None,
) -> Checkpoint:
    """Return the checkpoint of a fit; without a path, one that writes nothing.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    path : path, optional
        Where, .npz.
    sides : mapping
        Data by their names, as users pass them; None where there are none.
    device : torch.device
        Where the fit runs.
    weightings : mapping
        Of the sides, by their names, of which not all samples count one.
    stop : Stop, optional
        See `Checkpoint`.

    Raises
    ------
    InputError
        The seed is none that could be had again, or no file can be written there.
    """
    if path is None:
        return Checkpoint(None, {})
    check_writable(path)
    parameters = estimator.get_params()
    if not isinstance(parameters["random_state"], Integral):
        raise InputError(
            f"random_state={parameters['random_state']!r}: a fit with a checkpoint needs an "
            "integer, so that it can be taken up"
        )
    found: State = {_VERSION: f"{__version__} ({_code()})", "estimator": type(estimator).__name__}
    found |= {name: plain(parameters[name]) for name in parameters if name not in _MAY_CHANGE}
    found["device"] = device.type
    if parameters.get("solver") == "stochastic":  # elsewhere it changes the rounding at most
        found["batch_size"] = plain(parameters["batch_size"])
    if not isinstance(parameters["init"], str):
        found["init"] = [fingerprint(one, "init") for one in parameters["init"]]
    for name, side in sides.items():
        if side is not None:
            values, names = fingerprint(side, name), feature_names(side)
            found[f"{name} (values)"] = values
            found[f"{name} (names of features)"] = None if names is None else derive_seed(*names)
            weighting = weightings.get(name)
            parts = () if weighting is None else (weighting.kept, weighting.factor)
            found[f"{name} (weights)"] = [fingerprint(one[:, None], name) for one in parts]
    return Checkpoint(path, found, stop)


@cache
def _code() -> str:
    """Return a digest of the package: a state means something to the code that wrote it."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _host(value: Any) -> np.ndarray:
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _plain(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value, default=str))
