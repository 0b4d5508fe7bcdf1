"""Which device a fit runs on where the user leaves it open: that which suits its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import torch

from bcnmf import memory
from bcnmf.device import left_open, resolve_device
from bcnmf.errors import InputError

_CPU = torch.device("cpu")
# The work from which a GPU is taken: about 20 s on one thread of a CPU, calculated from measured
# iterations of plain updates (0.2 ns each). To start CUDA, compile kernels and bring the data there
# takes some seconds. Threads are not asked for: the same fit has the same device whatever ran
# beside it.
_LEAST_WORK = 1e11
_OVERRIDE = "BCNMF_GPU_FROM"
# A pass of the Poisson loss takes so many times one of the squared error, as measured.
_COST = {"squared_error": 1.0, "poisson": 2.5}


class Problem(NamedTuple):
    """What a fit is going to do.

    Attributes
    ----------
    stored : int
        Stored values of all sides.
    samples, features, topics : int
        Numbers of them, samples of all sides.
    passes : int
        Iterations at most, over all starts.
    loss, dtype : str
        As the estimators have them.
    sparse : bool
        Whether any side is.
    """

    stored: int
    samples: int
    features: int
    topics: int
    passes: int
    loss: str
    dtype: str
    sparse: bool

    @property
    def work(self) -> float:
        """How many values are multiplied: each topic with the data, and with the other topics."""
        each = self.stored + self.topics * (self.samples + self.features)
        return _COST[self.loss] * self.topics * self.passes * each

    def __str__(self) -> str:
        return (
            f"{self.stored:.3g} stored values x {self.topics} topics x at most {self.passes} "
            f"iterations, {self.work:.1e} multiplications"
        )


class Placement(NamedTuple):
    """Where a fit runs, what was asked for, and why it came to that."""

    asked: str
    device: torch.device
    why: str


def place(
    device: str, problem: Callable[[], Problem], needed: Callable[[torch.device], int]
) -> Placement:
    """Choose the device of a fit.

    Parameters
    ----------
    device : str
        As of the estimators. Only "auto" and "auto:N" choose; without a GPU that is the CPU.
    problem : callable
        Returns what the fit is going to do; called where there is a choice.
    needed : callable
        Returns how many bytes the fit takes on a device.

    Raises
    ------
    InputError
        As `bcnmf.device.resolve_device`; or BCNMF_GPU_FROM, the work from which a GPU is taken, is
        set to what is no number.
    """
    found = resolve_device(device)
    if not left_open(device):
        return Placement(device, found, "as asked for")
    if found.type == "cpu":
        return Placement(device, found, "torch finds no GPU")
    size = problem()
    if why := _impossible(found, size):
        return Placement(device, _CPU, why)
    least = _least_work()
    if size.work < least:
        return Placement(device, _CPU, f"{size}; a GPU is taken from {least:.1e} on")
    takes, free = needed(found), memory.free(found)
    if takes > free:
        why = f"the fit needs about {takes / 1e9:.1f} GB on {found}, {free / 1e9:.1f} GB are free"
        return Placement(device, _CPU, why)
    return Placement(device, found, f"{size}; a GPU is taken from {least:.1e} on")


def _impossible(device: torch.device, problem: Problem) -> str:
    """Return what a device cannot do of a fit, nothing if it can all of it."""
    if device.type != "mps":
        return ""
    if problem.sparse:
        return "sparse data, with which torch does not compute on MPS"
    return "dtype='float64', which does not exist on MPS" if problem.dtype == "float64" else ""


def _least_work() -> float:
    given = os.environ.get(_OVERRIDE, "")
    try:
        least = float(given) if given else _LEAST_WORK
    except ValueError:
        least = float("nan")
    if not least >= 0:
        raise InputError(
            f"the environment variable {_OVERRIDE} is {given!r}; expected the number of "
            f"multiplications from which a fit goes to a GPU, by default {_LEAST_WORK:g}: "
            "0 for all fits, inf for none"
        )
    return least
