"""Several fits to the same data in one set of passes: a read of the data serves all of them.

Every fit runs as it does alone, in a thread of its own, until it asks for a pass over shared data.
It then stands still. When all have asked, the passes are done together by the thread that called,
and each fit goes on with what it asked for. Fits take turns, one running at a time, so their order
is always the same, and what is not made for several threads does no harm.

Data in batches are read once for all, and every fit gets the very numbers of a fit alone. In the
memory of an accelerator the products of all fits are made together, and numbers are those of a fit
alone up to rounding. On the CPU, data in memory are not shared: passes there are limited by
arithmetic, of which there is no less for several fits.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from bcnmf.matrices.base import Block, Matrix
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.csr_fused import FusedSparseMatrix
from bcnmf.matrices.dense import DenseMatrix
from bcnmf.matrices.streamed import StreamedMatrix

T = TypeVar("T")
_here = threading.local()


def shared(target: Matrix, background: Matrix | None) -> tuple[Matrix, Matrix | None]:
    """Return data of which passes are shared by the fits of `run_together`, where that pays.

    Sides that are in the CPU's memory are returned as they are. Outside `run_together` all are as
    before.
    """
    return _shared(target, 0), None if background is None else _shared(background, 1)


def pays(*sides: Matrix | None) -> bool:
    """Whether passes over some of these data are shared."""
    return any(isinstance(side, _Stream | _OnDevice) for side in sides)


def passes(side: Matrix) -> float:
    """Return how often the data have been read, by all fits that share them."""
    return (side._data if isinstance(side, _Stream | _OnDevice) else side).passes


def in_a_fit() -> bool:
    """Whether the caller is one of several fits that run together."""
    return _fit_here() is not None


def run_together(
    works: Sequence[Callable[[], T]],
    at_once: int | None = None,
    done: Callable[[int, T], None] | None = None,
) -> None:
    """Call all works, those that fit at a time, with passes over `shared` data done together.

    Parameters
    ----------
    works : sequence of callable
        Fits. If one of them raises, the others are given up, and its error is raised.
    at_once : int, optional
        How many run at a time, all by default. As one ends, the next one begins.
    done : callable, optional
        Told the number and the result of a work as it ends.
    """
    fits = [_Fit(work) for work in works]
    waiting, running = deque(enumerate(fits)), dict[int, _Fit[T]]()
    try:
        while waiting or running:
            while waiting and len(running) < (at_once or len(fits)):
                running |= [waiting.popleft()]
            for number, fit in sorted(running.items()):
                if fit.has_answer and fit.ends():
                    del running[number]
                    if done is not None:
                        done(number, fit.result)
            if running and (len(running) == at_once or not waiting):
                _serve(list(running.values()))
    finally:
        for fit in fits:
            fit.give_up()


def _serve(fits: Sequence[_Fit[Any]]) -> None:
    """Do the passes at the first of the places where fits wait; the others will come there too."""
    meeting = min((fit.at for fit in fits), key=lambda meeting: meeting.order)
    met = [fit for fit in fits if fit.at is meeting]
    for fit, answer in zip(met, meeting.serve([fit.asked for fit in met]), strict=True):
        fit.answer, fit.has_answer = answer, True


class _GivenUp(BaseException):
    """Ends the thread of a fit whose result nobody waits for."""


class _Meeting:
    """Where fits wait for a pass until all others have come as far.

    Parameters
    ----------
    order : tuple of int
        Of several places at which fits wait, the first is served first.
    serve : callable
        Does the passes of all that came, from what they asked; returns an answer for each.
    """

    def __init__(self, order: tuple[int, ...], serve: Callable[[list[Any]], Sequence[Any]]) -> None:
        self.order, self.serve = order, serve

    def ask(self, what: Any) -> Any:
        fit = _fit_here()
        return self.serve([what])[0] if fit is None else fit.ask(self, what)


class _Fit(Generic[T]):
    """A fit in a thread, which runs when it is told to."""

    at: _Meeting
    asked: Any
    answer: Any
    result: T

    def __init__(self, work: Callable[[], T]) -> None:
        self.has_answer = True  # nothing is asked yet
        self._work = work
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        self._ended = self._given_up = False
        self._torch_threads = torch.get_num_threads()
        # What decimal, numpy and warnings keep for a context counts in the thread as well.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._run,), name="bcnmf-fit"
        )

    def ends(self) -> bool:
        """Let the fit run until it asks or ends, and return whether it has ended."""
        if self._thread.ident is None:
            self._thread.start()
        self.has_answer = False
        self._go.release()
        self._stands.acquire()
        if self._failure is not None:
            raise self._failure
        return self._ended

    def ask(self, meeting: _Meeting, what: Any) -> Any:
        """Stand still, in the thread, until there is an answer; return it."""
        self.at, self.asked = meeting, what
        self._stop()
        answer, self.asked, self.answer = self.answer, None, None
        return answer

    def give_up(self) -> None:
        """End the thread, if it is there, where it next stands still."""
        if self._thread.ident is not None:
            self._given_up = True
            self._go.release()
            self._thread.join()

    def _stop(self) -> None:
        self._stands.release()
        self._go.acquire()
        if self._given_up:
            raise _GivenUp

    def _run(self) -> None:
        self._go.acquire()
        try:
            _here.fit = self
            torch.set_num_threads(self._torch_threads)
            self.result = self._work()
        except _GivenUp:
            pass
        except BaseException as failure:
            self._failure = failure
        self._ended = True
        self._stands.release()


def _fit_here() -> _Fit[Any] | None:
    return getattr(_here, "fit", None)


def _shared(side: Matrix, number: int) -> Matrix:
    if isinstance(side, _Stream | _OnDevice | CompiledSparseMatrix):
        return side
    if isinstance(side, StreamedMatrix):
        return _Stream(side, number)
    on_cpu = isinstance(side, DenseMatrix) and side.values.device.type == "cpu"
    return side if on_cpu else _OnDevice(side, number)


class _Stream(StreamedMatrix):
    """Data in batches, read once for all fits."""

    _data: StreamedMatrix

    def __init__(self, data: StreamedMatrix, number: int) -> None:
        vars(self).update(vars(data))

        def serve(works: list[Callable[[Matrix, slice], None]]) -> list[None]:
            def work(block: Matrix, rows: slice) -> None:
                for one in works:
                    one(block, rows)

            data._each(work)
            return [None] * len(works)

        self._data, self._meeting = data, _Meeting((number,), serve)

    def _each(self, work: Callable[[Matrix, slice], None]) -> None:
        self._meeting.ask(work)

    def rows(self, chosen: np.ndarray) -> Matrix:
        return self._data.rows(chosen)


class _OnDevice(Matrix):
    """Data in the memory of an accelerator, whose products with all fits' factors are one."""

    def __init__(self, data: Matrix, number: int) -> None:
        self._data = data
        self.shape, self.run_length, self.compiled = data.shape, data.run_length, data.compiled
        self.unit, self.weighting = data.unit, data.weighting

        # Some have products of all fits in which each has the numbers that it has alone.
        stacked = not isinstance(data, FusedSparseMatrix)
        self._times = _Meeting((number, 0), partial(_times, data) if stacked else data.times_each)
        self._transposed_times = _Meeting(
            (number, 1),
            partial(_transposed_times, data) if stacked else data.transposed_times_each,
        )

    @property
    def total(self) -> float:
        return self._data.total

    @property
    def squared_norm(self) -> float:
        return self._data.squared_norm

    def times(self, components: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._times.ask(components)
        return found

    def transposed_times(self, usage: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._transposed_times.ask(usage)
        return found

    def rows(self, chosen: np.ndarray) -> Matrix:
        return self._data.rows(chosen)

    # Every fit has a model of its own at the stored values: there is nothing to share.
    def poisson_pass(
        self, components: torch.Tensor, usage: torch.Tensor, damping: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._data.poisson_pass(components, usage, damping)

    def poisson_loss(self, components: torch.Tensor, usage: torch.Tensor) -> torch.Tensor:
        return self._data.poisson_loss(components, usage)

    def poisson_usage(
        self,
        components: torch.Tensor,
        usage: torch.Tensor,
        max_iter: int = 500,
        tol: float = 1e-6,
    ) -> None:
        self._data.poisson_usage(components, usage, max_iter, tol)

    def blocks(self) -> Iterator[Block]:
        return self._data.blocks()


def _times(data: Matrix, components: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return X C' of all components by one product."""
    parts = torch.split_with_sizes(
        data.times(torch.cat(list(components))), list(map(len, components)), 1
    )
    return [part.contiguous() for part in parts]


def _transposed_times(data: Matrix, usages: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return H' X of all usages by one product."""
    sizes = [usage.shape[1] for usage in usages]
    return list(torch.split_with_sizes(data.transposed_times(torch.cat(list(usages), 1)), sizes))
