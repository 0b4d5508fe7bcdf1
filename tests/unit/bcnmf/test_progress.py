"""What a long fit says on the way."""

import io
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, NMF, memory
from bcnmf.progress import Progress, Watch, announce, counted, doing, watched
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
        "shared topics, iteration 0/100  objective 1.5  0:00",
        "shared topics, iteration 10/100  objective 1.5  0:10, at most 1:30 left of it",
        "shared topics, iteration 20/100  objective 1.5  0:20, at most 1:20 left of it",
    ]


def test_what_is_left_is_at_the_pace_of_this_process():
    stream, clock = io.StringIO(), Clock()
    clock.now = 1000.0
    progress = Progress(100, stream, clock)
    # What came before the first line, such as first updates, or an earlier process, is no pace.
    for seconds, iteration in ((100, 40), (12, 43), (40, 53), (188, 100)):
        clock.now += seconds
        progress.update(iteration, 1.5, None)
    ends = [line.partition("objective 1.5  ")[2] for line in stream.getvalue().splitlines()]
    assert ends == ["1:40", "1:52, at most 3:48 left", "2:32, at most 3:08 left", "5:40"]


def test_a_fit_says_where_it_runs_and_what_memory_it_takes(capsys):
    announce("cpu (torch finds no GPU)", 31_000_000, 21_940_000_000)
    assert capsys.readouterr().err == (
        "computing on cpu (torch finds no GPU); topics, usages and what is read at a time take "
        "about 31 MB, 21.9 GB are free\n"
    )
    x = np.random.default_rng(0).random((20, 8))
    model = NMF(2, max_iter=3, tol=0, verbose=1, device="cpu", batch_size=5).fit(x)
    said = capsys.readouterr().err.splitlines()[0]
    needed = memory.beside_data(2, 20, 8, torch.float32, buffers=3 * 5 * 8 * 8)
    assert said.startswith(f"computing on cpu ({model.device_reason_}); topics")
    assert 0 < needed < 1e6
    assert "take about 1 MB" in said


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_fit_counts_how_often_it_read_the_data(container, batch_size):
    x = container(np.random.default_rng(0).random((20, 8)))
    found = {
        n: NMF(2, solver="mu", max_iter=n, tol=0, device="cpu", batch_size=batch_size)
        .fit(x)
        .n_passes_
        for n in (10, 30)
    }
    # Dense data in memory are read by two products.
    each = 2 if container is np.asarray and batch_size is None else 1
    assert found[30] - found[10] == 20 * each


def test_batches_are_shares_of_a_pass():
    x = np.random.default_rng(0).random((60, 8))
    found = [
        NMF(2, solver="stochastic", max_iter=n, tol=0, device="cpu", batch_size=7).fit(x).n_passes_
        for n in (5, 9)
    ]
    assert found[1] - found[0] == pytest.approx(4)


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


def told_by(stream, script, **options):
    """Run `script(clock)` before a watch, which looks after every step of the clock."""
    clock = Clock()
    watch = Watch(stream, clock, **options)
    watch.line.shown = clock.now

    def wait(seconds):
        for _ in range(seconds):
            clock.now += 1
            watch.tick()

    with watched(watch):
        script(wait)
    return stream.getvalue()


def three_parts(wait):
    wait(3)
    with doing("reading x.h5ad"):
        wait(1)
    wait(30)
    for _ in counted("abc", "refit", 3):
        with doing("fitting"):
            wait(6)
    wait(5)


def test_a_log_is_told_what_takes_more_than_two_seconds():
    assert told_by(io.StringIO(), three_parts).splitlines() == [
        "loading libraries  0:02",
        # Short ones are not told of, and where nothing is under way nothing is.
        "refit 1 of 3, fitting  0:02",
        "refit 2 of 3, fitting  0:12, about 0:24 left",
    ]


def test_a_job_is_told_of_between_stages_too():
    def job(wait):
        wait(14)
        with doing("fitting"):
            wait(9)

    assert told_by(io.StringIO(), job, whole="evaluate").splitlines() == [
        "evaluate  0:02",
        "evaluate  0:12",
        "evaluate, fitting  0:22",
    ]


def test_a_terminal_counts_seconds_in_one_line_and_leaves_none():
    said = told_by(Terminal(), three_parts)
    lines = [line.rstrip() for line in said.split("\r")]
    assert "\n" not in said
    assert lines[1:3] == ["loading libraries  0:02", "loading libraries  0:03"]
    assert "refit 1 of 3, fitting  0:02" in lines
    assert "refit 2 of 3, fitting  0:07, about 0:14 left" in lines
    assert "refit 3 of 3, fitting  0:18, about 0:09 left" in lines
    assert [line for line in lines if "reading" in line] == []
    # Spaces have covered the last words.
    assert said.endswith(" \r")


def test_nothing_is_told_over_lines_of_a_fit():
    def fits(wait):
        with doing("fitting"):
            progress = Progress(100, stream, lambda: 0.0)
            for iteration in range(5):
                wait(1)
                progress.update(iteration, 1.5, None)

    stream = io.StringIO()
    said = told_by(stream, fits).splitlines()
    assert [line.partition(" ")[0] for line in said] == ["iteration"] * 5


def test_without_a_watch_nothing_is_told_and_other_threads_are_left_out():
    stream = io.StringIO()
    watch = Watch(stream, Clock())
    with doing("something"):
        pass
    with watched(watch):
        thread = threading.Thread(target=lambda: list(counted("ab", "part", 2)))
        thread.start()
        thread.join()
        assert [stage.what for stage in watch.stages] == ["loading libraries"]
    assert stream.getvalue() == ""


def test_first_updates_are_told_now_and_then():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(100, stream, clock)
    for update in range(25):
        progress.before(update, 100)
        clock.now += 1.0
    assert progress.due()
    assert stream.getvalue().splitlines() == [
        "first updates 10/100  0:10",
        "first updates 20/100  0:20",
    ]
