"""A fit of several starts and stages, of which a checkpoint can be taken and taken up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import partial
from threading import Lock
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import torch

from bcnmf.matrices.together import in_a_fit, run_together
from bcnmf.solvers.result import Monitor

if TYPE_CHECKING:
    from bcnmf.checkpoint import Checkpoint, State


# Names in a state that no solver gives to what it stores.
_STAGE, _START = "restarts/stage", "restarts/start"


class _Result(Protocol):
    objective: list[float]


R = TypeVar("R", bound=_Result)
T = TypeVar("T")


class Restarts:
    """Keeps the best of the starts of every stage.

    Parameters
    ----------
    watch : callable
        Makes the monitor of a start from the name of its stage.
    saved : Checkpoint, optional
        Where the state of the fit goes, and may come from.
    device : torch.device, optional
        That of the factors.
    at_once : int
        How many starts of a stage run at a time, with passes over shared data done together
        (`bcnmf.matrices.together`). It is one where the state is saved: that is of one start.
    """

    def __init__(
        self,
        watch: Callable[[str], Monitor] | None = None,
        saved: Checkpoint | None = None,
        device: torch.device | None = None,
        at_once: int = 1,
    ) -> None:
        self._watch = watch or (lambda stage: Monitor())
        # Starts of a fit that is itself one of several run one by one.
        self._at_once = 1 if in_a_fit() or (saved is not None and saved.path) else at_once
        self._saved, self._device = saved, device
        self._found: Mapping[str, Any] = {} if saved is None else saved.read()
        self._done: State = {}

    def best_of(
        self, kind: type[R], starts: int, run: Callable[[int, Monitor], R], stage: str = ""
    ) -> R:
        """Run all starts of a stage, or those that a checkpoint leaves; return the best result.

        Parameters
        ----------
        kind : type
            A dataclass: the result of a start.
        starts : int
            How many.
        run : callable
            Does a start, from its number and its monitor. What the monitor has in `resumed` was
            stored in the midst of it.
        stage : str
            Name of the stage, if there are several.
        """
        if min(self._at_once, starts) > 1:
            return self._best_of_some_at_once(starts, run, stage)
        name = stage or "best"
        found, here = self._found, self._found.get(_STAGE) == stage
        best = unpacked(found, name, kind, self._device) if f"{name}/objective" in found else None
        # Without a start of its own that was under way, a stage is over, or has not begun.
        first = int(found[_START]) if here else 0 if best is None else starts
        for number in range(first, starts):
            monitor = self._watch(stage)
            monitor.checkpoint = self._saved
            if here and number == first:
                monitor.resumed, self._found = found, {}  # later stages have not begun
            if self._saved is not None:
                self._saved.context = self._done | {_STAGE: stage, _START: number}
                self._saved.context |= {} if best is None else packed(best, name)
            result = run(number, monitor)
            if best is None or result.objective[-1] < best.objective[-1]:
                best = result
        assert best is not None  # there is at least one start
        self._done |= packed(best, name)
        return best

    def _best_of_some_at_once(self, starts: int, run: Callable[[int, Monitor], R], stage: str) -> R:
        label = f"{min(self._at_once, starts)} of {starts} starts at once"
        watched = self._watch(f"{stage}, {label}" if stage else label)
        # All print by one, so that there is one line; a monitor is else a start's own.
        works = [partial(run, number, Monitor(watched.progress)) for number in range(starts)]
        best = Best[R]()
        run_together(
            works,
            self._at_once,
            lambda number, result: best.offer(number, result.objective[-1], result),
        )
        return best.kept


class Best(Generic[T]):
    """Keeps the best of what starts came to, of equal ones the first, in whatever order they end.

    Attributes
    ----------
    kept : Any
        What the best start came to.
    """

    kept: T

    def __init__(self) -> None:
        self._number, self._objective = -1, float("nan")
        self._one_looks = Lock()

    def offer(self, number: int, objective: float, found: T) -> None:
        """Tell what a start came to, by its number, and its objective."""
        with self._one_looks:
            later = number > self._number
            if self._number >= 0 and not (
                objective < self._objective if later else not self._objective < objective
            ):
                return
            self._number, self._objective, self.kept = number, objective, found


def packed(value: Any, name: str) -> State:
    """Return a dataclass, a list of tensors or of dataclasses, or a plain value as named arrays."""
    if is_dataclass(value):
        parts = vars(value)
    elif isinstance(value, list) and not all(isinstance(one, int | float) for one in value):
        parts = {"length": len(value)} | {str(i): one for i, one in enumerate(value)}
    else:
        return {name: value}
    return {
        key: array
        for part, inner in parts.items()
        for key, array in packed(inner, f"{name}/{part}").items()
    }


def unpacked(state: Mapping[str, Any], name: str, kind: type[T], device: torch.device | None) -> T:
    """Return the value of which `packed` made arrays, on the device of the factors."""
    return cast("T", _unpacked(state, name, kind, device))


def _unpacked(state: Mapping[str, Any], name: str, kind: Any, device: torch.device | None) -> Any:
    if is_dataclass(kind):
        make: Any = kind
        hints = get_type_hints(kind)
        return make(**{k: _unpacked(state, f"{name}/{k}", hints[k], device) for k in hints})
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        if inner in (int, float):
            return state[name].tolist()
        numbers = range(int(state[f"{name}/length"]))
        return [_unpacked(state, f"{name}/{i}", inner, device) for i in numbers]
    if kind is torch.Tensor:
        tensor = torch.as_tensor(state[name])
        stays = device is None or (device.type == "mps" and tensor.dtype == torch.float64)
        return tensor if stays else tensor.to(device)
    return kind(state[name])
