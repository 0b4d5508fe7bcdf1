"""What a long fit says on the way."""

import io

import numpy as np
import pytest

from bcnmf import BCNMF
from bcnmf.progress import Progress
from bcnmf.solvers.result import Monitor, Trace


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_now_and_then():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(100, stream, clock, label="shared topics")
    for iteration in range(30):
        if progress.due():
            progress.update(iteration, 1.5, None)
        clock.now += 1.0
    assert stream.getvalue().splitlines() == [
        f"shared topics, iteration {i}/100  objective 1.5  0:{i:02d}" for i in (0, 10, 20)
    ]


def test_a_terminal_has_one_line_that_ends_with_the_fit():
    stream = Terminal()
    trace = Trace(1e-3, 1.0, Monitor(Progress(5, stream, lambda: 0.0)))
    trace.append(2.0)
    assert not stream.getvalue().endswith("\n")
    assert trace.values() == [2.0]
    assert stream.getvalue().startswith("\riteration 0/5")
    assert stream.getvalue().endswith("\n")


def test_an_exact_fit_has_settled():
    trace = Trace(1e-3, 0.0)
    for _ in range(11):
        trace.append(0.0)
    assert trace.settled()


@pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["mu", "safeguarded"])
def test_only_a_verbose_fit_speaks(capsys, solver):
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 8)), rng.random((15, 8))
    for verbose in (0, 1):
        BCNMF(2, solver=solver, max_iter=3, verbose=verbose, device="cpu").fit(x, background=y)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert ("iteration 0/3  objective" in captured.err) == bool(verbose)
