"""Where estimators compute: chosen by the size of a fit, and kept by the fitted model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

import scipy.sparse as sp
import torch

from bcnmf import memory
from bcnmf.device import present_device, resolve_device, resolve_dtype
from bcnmf.matrices.sources import open_source
from bcnmf.placement import Placement, Problem, place


class Placed(ABC):
    """Has a device, its own choice where the user leaves it open."""

    _placement: Placement | None = None

    _streams: Any
    _n_topics: Any
    device: str
    dtype: str
    max_iter: int
    device_: str
    device_reason_: str

    def _place(self, values: Callable[[], Mapping[str, Any]]) -> None:
        """Choose the device of a fit; `values` opens the sides, if there is a choice."""
        opened = cache(values)

        def problem() -> Problem:
            sizes = [_size(side, name) for name, side in opened().items()]
            return Problem(
                stored=sum(stored for stored, _, _ in sizes),
                samples=sum(shape[0] for _, shape, _ in sizes),
                features=sizes[0][1][1],
                topics=self._n_topics(),
                passes=int(self.max_iter) * self._starts_to_run(),
                loss=self._loss(),
                dtype=self.dtype,
                sparse=any(sparse for _, _, sparse in sizes),
            )

        def needed(device: torch.device) -> int:
            # What is read in blocks needs no more than these.
            held = [side for side in opened().values() if not self._streams(side)]
            if not held:
                return 0
            dtype = resolve_dtype(self.dtype, device)
            return memory.required(held, self._n_topics(), dtype, device, self._loss(), True)

        self._placement = place(self.device, problem, needed)

    def _precision_and_device(self) -> tuple[torch.dtype, torch.device]:
        """Return the device of the fit, also for what a fitted model does later."""
        if self._placement is not None and self._placement.asked == self.device:
            device = self._placement.device
        elif self.__sklearn_is_fitted__():
            # A model may be used on another machine than that which fitted it.
            device = present_device(self.device, self.__dict__.get("device_"))
        else:
            device = resolve_device(self.device)
        return resolve_dtype(self.dtype, device), device

    def __getstate__(self) -> dict[str, Any]:
        # Another machine, or another day, may have other devices.
        state = dict(cast("dict[str, Any]", super().__getstate__()))
        state.pop("_placement", None)
        return state

    @abstractmethod
    def __sklearn_is_fitted__(self) -> bool: ...

    @abstractmethod
    def _starts_to_run(self) -> int: ...

    @abstractmethod
    def _loss(self) -> str: ...


def _size(side: Any, name: str) -> tuple[int, tuple[int, int], bool]:
    """Return how many values a side stores (on disk: about), its shape, and if it is sparse."""
    source = open_source(side, name)
    n, features = source.shape
    # Mostly of four bytes, and as many for the place of each.
    stored = int(source.row_bytes * n / 8) if source.sparse else n * features
    return side.nnz if sp.issparse(side) else stored, (n, features), source.sparse
