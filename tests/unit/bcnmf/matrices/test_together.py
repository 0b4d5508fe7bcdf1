"""Fits that share their passes: who waits for whom, and what ends them."""

import signal
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf.matrices import together
from bcnmf.matrices.csr_device import DeviceSparseMatrix
from bcnmf.matrices.dense import DenseMatrix
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.streamed import StreamedMatrix, streamed
from bcnmf.solvers.starts import random_factors

CPU = torch.device("cpu")
N, FEATURES = 40, 12


def values(seed=0):
    return sp.csr_matrix(np.random.default_rng(seed).poisson(0.8, (N, FEATURES)).astype(float))


def in_batches(seed=0):
    return streamed(values(seed), "target", torch.float64, CPU, batch_size=9)


def on_device(seed=0):
    return DeviceSparseMatrix(values(seed), torch.float64, CPU)


def reads(monkeypatch):
    """Return a list that grows by one with every read of data in batches."""
    made, original = [], StreamedMatrix._each

    def each(self, work):
        if type(self) is StreamedMatrix:
            made.append(self)
        original(self, work)

    monkeypatch.setattr(StreamedMatrix, "_each", each)
    return made


def factors(k, seed=0):
    components, usage, _ = random_factors(N, 0, FEATURES, k, seed, torch.float64, CPU)
    return components, usage


def passes(data, components, usage):
    """Return what every kind of pass gives."""
    gram, found = components @ components.T, []
    found += [data.times(components), data.transposed_times(usage)]
    for name, rest in (("multiplicative_pass", (1e-10,)), ("exact_pass", ())):
        moved = usage.clone()
        moments = getattr(data, name)(components, gram, moved, *rest)
        found += [moved, moments.cross, moments.usage_gram, moments.fit]
    moved = usage.clone()
    found += [*data.poisson_pass(components, moved, 0.5), moved]
    found += [data.poisson_loss(components, usage)]
    moved = usage.clone()
    data.poisson_usage(components, moved, 20)
    return [*found, moved]


def same(one, other, rtol=0.0):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("make", "rtol"), [(in_batches, 0.0), (on_device, 1e-12)])
@pytest.mark.parametrize("at_once", [None, 1, 2])
def test_every_pass_gives_what_it_gives_alone(make, rtol, at_once):
    data = make()
    starts = [factors(k, k) for k in (1, 3, 4)]
    alone = [passes(data, *start) for start in starts]
    found = {}
    seat, _ = together.shared(data, None)
    assert together.pays(seat)
    works = [lambda start=start: passes(seat, *start) for start in starts]
    together.run_together(works, at_once, found.__setitem__)
    for number, expected in enumerate(alone):
        same(found[number], expected, rtol)
    same(passes(seat, *starts[0]), alone[0])  # outside as before
    assert (seat.shape, seat.total, seat.squared_norm) == (
        data.shape, data.total, data.squared_norm,
    )  # fmt: skip
    assert seat.rows(np.arange(3)).shape == (3, FEATURES)


def test_a_read_of_data_in_batches_serves_all(monkeypatch):
    made = reads(monkeypatch)
    target, background = together.shared(in_batches(0), in_batches(1))

    def work():
        for _ in range(5):
            target.transposed_times(factors(2)[1])
            background.transposed_times(factors(3)[1])

    together.run_together([work] * 4)
    assert len(made) == 10


def test_fits_that_fall_out_of_step_come_into_step_again(monkeypatch):
    made = reads(monkeypatch)
    target, background = together.shared(in_batches(0), in_batches(1))

    def work(late):
        usage = factors(2)[1]
        for iteration in range(6):
            target.transposed_times(usage)
            if late and iteration == 1:
                target.transposed_times(usage)  # looks again
            background.transposed_times(usage)

    together.run_together([lambda late=late: work(late) for late in (False, True, False)])
    assert len(made) == 13


def test_products_on_a_device_are_one_for_all(monkeypatch):
    columns, original = [], DeviceSparseMatrix.times

    def times(self, components):
        columns.append(len(components))
        return original(self, components)

    monkeypatch.setattr(DeviceSparseMatrix, "times", times)
    seat, _ = together.shared(on_device(), None)
    together.run_together([lambda k=k: seat.times(factors(k)[0]) for k in (2, 3, 5)])
    assert columns == [10]


def test_data_in_the_memory_of_the_cpu_are_not_shared():
    sparse = as_matrix(values(), "target", torch.float64, CPU)
    dense = as_matrix(values().toarray(), "background", torch.float64, CPU)
    assert together.shared(sparse, dense) == (sparse, dense)
    assert not together.pays(sparse, dense)
    on_gpu = DenseMatrix(dense.values.to("meta"))
    assert together.pays(*together.shared(on_gpu, None))


def test_a_shared_side_stays_what_it_is():
    seat, _ = together.shared(in_batches(), None)
    assert together.shared(seat, None) == (seat, None)


def test_so_many_run_at_a_time_as_are_allowed_and_the_next_begins_as_one_ends():
    seat, _ = together.shared(in_batches(), None)
    running, most, begun = [], [], []

    def work(number):
        begun.append(number)
        running.append(number)
        for _ in range(3 - number % 2):
            seat.transposed_times(factors(2)[1])
            most.append(len(running))
        running.remove(number)

    together.run_together([lambda n=number: work(n) for number in range(5)], 2)
    assert begun == [0, 1, 2, 3, 4]
    assert max(most) == 2


def test_one_runs_at_a_time_and_always_in_the_same_order():
    def told():
        seat, _ = together.shared(in_batches(), None)
        lines = []

        def work(number):
            assert together.in_a_fit()
            for iteration in range(3):
                lines.append((number, iteration))
                seat.transposed_times(factors(2)[1])

        together.run_together([lambda n=number: work(n) for number in range(4)])
        return lines

    assert told() == [(number, iteration) for iteration in range(3) for number in range(4)]
    assert not together.in_a_fit()


def threads():
    return [one for one in threading.enumerate() if one.name == "bcnmf-fit"]


def test_an_error_of_one_ends_all_and_is_raised():
    seat, _ = together.shared(in_batches(), None)
    ended = []

    def fails():
        seat.transposed_times(factors(2)[1])
        raise ValueError("diverged")

    def goes_on():
        try:
            while True:
                seat.transposed_times(factors(2)[1])
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="diverged"):
        together.run_together([goes_on, fails, goes_on])
    assert ended == [True, True]
    assert not threads()


def test_an_error_of_a_pass_ends_all(monkeypatch):
    seat, _ = together.shared(in_batches(), None)

    def broken(self, work):
        raise OSError("the disk is gone")

    monkeypatch.setattr(StreamedMatrix, "_each", broken)
    monkeypatch.setattr(together._Stream, "_each", lambda self, work: self._meeting.ask(work))
    with pytest.raises(OSError, match="gone"):
        together.run_together([lambda: seat.transposed_times(factors(2)[1])] * 3)
    assert not threads()


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C arrive, of which a shell keeps processes in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_all():
    seat, _ = together.shared(in_batches(), None)

    def work(number):
        for iteration in range(100):
            seat.transposed_times(factors(2)[1])
            if number == 1 and iteration == 5:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        together.run_together([lambda n=number: work(n) for number in range(3)])
    assert not threads()


def test_threads_of_torch_and_settings_of_numpy_are_those_of_the_caller():
    before, seen = torch.get_num_threads(), []
    seat, _ = together.shared(in_batches(), None)

    def work():
        seen.append((torch.get_num_threads(), np.geterr()["under"]))
        seat.transposed_times(factors(2)[1])

    with np.errstate(under="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        together.run_together([work, work])
    assert seen == [(before, "raise")] * 2
