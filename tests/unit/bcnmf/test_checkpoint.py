"""A fit that was stopped goes on to the very numbers of one that was not."""

import os
import signal

import numpy as np
import pytest
import torch

from bcnmf import BCNMF, InputError, checkpoint
from bcnmf.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

SETTINGS = [
    {"solver": "mu"},
    {"solver": "mu", "loss": "poisson"},
    {"solver": "safeguarded"},
    {"solver": "safeguarded", "alpha": 0.0},
    {"solver": "safeguarded", "n_init": 3},
    {"solver": "safeguarded", "init": "nndsvd"},
    {"solver": "stochastic", "batch_size": 17},
]


def pair():
    rng = np.random.default_rng(0)
    return tuple(rng.poisson(0.7, (rows, 20)).astype(np.float32) for rows in (60, 40))


def make(**settings):
    chosen = {"n_components": 4, "alpha": 2.0, "max_iter": 12, "tol": 0, "device": "cpu"}
    return BCNMF(**(chosen | settings))


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that makes a signal arrive during the n-th iteration from now."""

    def arrange(iterations, number=signal.SIGINT):
        original, left = Checkpoint.after_iteration, [iterations]

        def interrupted(self, state):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), number)
            original(self, state)

        monkeypatch.setattr(Checkpoint, "after_iteration", interrupted)

    yield arrange
    monkeypatch.undo()


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("iterations", [1, 7])
def test_a_stopped_fit_goes_on_to_the_same_numbers(tmp_path, stop_after, settings, iterations):
    x, y = pair()
    whole = make(**settings).fit(x, background=y)
    path = tmp_path / "fit.npz"
    # With several starts the signal arrives in the second one.
    stop_after(iterations + (12 if settings.get("n_init") else 0))
    with pytest.raises(KeyboardInterrupt, match=r"fit\.npz"):
        make(**settings).fit(x, background=y, checkpoint=path)
    assert path.exists()
    resumed = make(**settings).fit(x, background=y, checkpoint=path)
    np.testing.assert_array_equal(resumed.components_, whole.components_)
    np.testing.assert_array_equal(resumed.usage_, whole.usage_)
    np.testing.assert_array_equal(resumed.background_usage_, whole.background_usage_)
    np.testing.assert_array_equal(resumed.objective_, whole.objective_)
    assert resumed.n_iter_ == whole.n_iter_
    assert list(tmp_path.iterdir()) == []


def test_a_terminated_process_leaves_a_checkpoint(tmp_path, stop_after):
    x, y = pair()
    stop_after(3, signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        make().fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert stopped.value.code == 128 + signal.SIGTERM
    assert (tmp_path / "fit.npz").exists()


def test_signals_mean_afterwards_what_they_meant_before(tmp_path):
    x, y = pair()
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    make().fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_interrupt_does_not_wait_for_the_iteration(tmp_path):
    def interrupted_twice():
        with Checkpoint(tmp_path / "fit.npz", {}).stopped_between_iterations():
            # To this thread: two that another thread is still to take are one.
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second signal was swallowed")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()


def test_states_are_written_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    written = []
    original = Checkpoint._write

    def spy(self, state):
        original(self, state)
        written.append(int(np.load(self.path)["iteration"]))

    monkeypatch.setattr(Checkpoint, "_write", spy)
    x, y = pair()
    make(solver="mu").fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert written == list(range(1, 13))


def stopped(tmp_path, stop_after):
    x, y = pair()
    path = tmp_path / "fit.npz"
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        make().fit(x, background=y, checkpoint=path)
    return path


@pytest.mark.parametrize("changed", [{"alpha": 3.0}, {"n_components": 3}, {"random_state": 1}])
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, stop_after, changed):
    path = stopped(tmp_path, stop_after)
    x, y = pair()
    name = next(iter(changed))
    with pytest.raises(InputError, match=rf"fit\.npz: belongs to another fit: {name} was"):
        make(**changed).fit(x, background=y, checkpoint=path)
    assert path.exists()


def test_a_checkpoint_of_other_data_is_refused(tmp_path, stop_after):
    path = stopped(tmp_path, stop_after)
    x, y = pair()
    x[3, 4] += 1
    with pytest.raises(InputError, match="target total was"):
        make().fit(x, background=y, checkpoint=path)


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, np.ndarray.tolist])
def test_given_starts_belong_to_the_fit(tmp_path, stop_after, container):
    x, y = pair()
    rng = np.random.default_rng(1)
    start = [rng.random(shape) for shape in ((4, 20), (60, 4), (40, 4))]
    init = tuple(container(one) for one in start)
    whole = make(init=init).fit(x, background=y)
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        make(init=init).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    with pytest.raises(InputError, match="init was"):
        make(init=(2 * start[0], *start[1:])).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    resumed = make(init=init).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    np.testing.assert_array_equal(resumed.components_, whole.components_)


def test_more_iterations_may_be_asked_for(tmp_path, stop_after):
    path = stopped(tmp_path, stop_after)
    x, y = pair()
    resumed = make(max_iter=20).fit(x, background=y, checkpoint=path)
    assert resumed.n_iter_ == 20


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a zip"])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "fit.npz"
    path.write_bytes(content)
    x, y = pair()
    with pytest.raises(InputError, match=r"fit\.npz: not a checkpoint of bcnmf.*delete it"):
        make().fit(x, background=y, checkpoint=path)
