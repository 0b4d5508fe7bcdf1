"""A fit that was stopped goes on to the very numbers of one that was not."""

import errno
import os
import signal

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone

from bcnmf import BCNMF, CombinedBasisNMF, InputError, SharedTargetNMF, checkpoint
from bcnmf.checkpoint import Checkpoint
from bcnmf.errors import StaleCheckpoint

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


def assert_same(found, expected):
    # Passes are those since the fit was taken up, and starts with a checkpoint share none.
    assert found.n_passes_ > 0
    for name, value in vars(expected).items():
        if name.endswith("_") and not name.startswith("_") and name != "n_passes_":
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


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
    assert_same(make(**settings).fit(x, background=y, checkpoint=path), whole)
    assert list(tmp_path.iterdir()) == []


STAGED = {"n_shared": 3, "n_target": 2, "n_init": 2, "max_iter": 5, "tol": 0, "device": "cpu"}
RATHER = np.random.default_rng(1)
OTHERS = [
    SharedTargetNMF(loss="poisson", **STAGED),
    SharedTargetNMF(loss="poisson", refine=4, **STAGED),
    SharedTargetNMF(loss="squared_error", refine=4, dtype="float64", **STAGED),
    SharedTargetNMF(loss="squared_error", init="random", batch_size=13, **STAGED),
    SharedTargetNMF(init=(RATHER.random((3, 20)), RATHER.random((2, 20))), **STAGED),
    SharedTargetNMF(second_round="always", shared_from="both", **STAGED),
    SharedTargetNMF(second_round="always", offsets="side", **STAGED),
    CombinedBasisNMF(3, n_init=2, max_iter=9, tol=0, device="cpu"),
]


@pytest.mark.parametrize("model", OTHERS, ids=str)
@pytest.mark.parametrize("iterations", [1, 5, 8, 10, 14])
@pytest.mark.parametrize("sparse", [False, True])
def test_so_does_one_of_several_stages(tmp_path, stop_after, model, iterations, sparse):
    x, y = (sp.csr_matrix(side) if sparse else side for side in pair())
    whole = clone(model).fit(x, background=y)
    path = tmp_path / "fit.npz"
    stop_after(iterations)
    with pytest.raises(KeyboardInterrupt):
        clone(model).fit(x, background=y, checkpoint=path)
    assert path.exists()
    assert_same(clone(model).fit(x, background=y, checkpoint=path), whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [*OTHERS[1:3], OTHERS[5]], ids=str)
def test_a_fit_may_be_stopped_again_and_again(tmp_path, stop_after, monkeypatch, model):
    x, y = pair()
    whole = clone(model).fit(x, background=y)
    path, stops = tmp_path / "fit.npz", 0
    while True:
        stop_after(3)
        try:
            resumed = clone(model).fit(x, background=y, checkpoint=path)
            break
        except KeyboardInterrupt:
            stops += 1
        monkeypatch.undo()
    assert stops >= 6
    assert_same(resumed, whole)


def test_a_signal_after_the_last_iteration_is_not_swallowed(tmp_path, monkeypatch):
    x, y = pair()
    original = SharedTargetNMF._solve

    def interrupted(self, *arguments):
        solution = original(self, *arguments)
        signal.raise_signal(signal.SIGTERM)
        return solution

    monkeypatch.setattr(SharedTargetNMF, "_solve", interrupted)
    with pytest.raises(SystemExit) as stopped:
        clone(OTHERS[0]).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert stopped.value.code == 128 + signal.SIGTERM


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

    # A shell that starts the tests in the background has them ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_twice()
    finally:
        signal.signal(signal.SIGINT, before)


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


def test_no_state_follows_the_iteration_that_converged(tmp_path, monkeypatch):
    """It would be taken up by one iteration more than the fit has."""
    calls = []
    monkeypatch.setattr(Checkpoint, "after_iteration", lambda self, state: calls.append(state))
    x, y = pair()
    model = make(tol=1e-3, max_iter=500).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert model.converged_
    assert len(calls) == model.n_iter_ - 1


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


def permuted_rows(x):
    return x[::-1].copy()


def permuted_columns(x):
    return x[:, ::-1].copy()


def swapped(x):
    # Two different values change places: all sums over the matrix stay.
    x = x.copy()
    first, second = np.flatnonzero(x.ravel() == 1)[0], np.flatnonzero(x.ravel() == 2)[0]
    x.ravel()[[first, second]] = x.ravel()[[second, first]]
    return x


@pytest.mark.parametrize("change", [permuted_rows, permuted_columns, swapped])
@pytest.mark.parametrize("side", ["target", "background"])
def test_a_checkpoint_of_other_data_is_refused(tmp_path, stop_after, change, side):
    path = stopped(tmp_path, stop_after)
    x, y = pair()
    x, y = (change(x), y) if side == "target" else (x, change(y))
    with pytest.raises(StaleCheckpoint, match=rf"{side} \(values\) was .* delete the file"):
        make().fit(x, background=y, checkpoint=path)


def test_it_matters_neither_what_holds_the_data_nor_how_they_are_read(tmp_path, stop_after):
    x, y = pair()
    whole = make().fit(x, background=y)
    for n, (container, batch_size) in enumerate(
        [(sp.csr_matrix, None), (np.ndarray.tolist, None), (np.float64, 7), (np.int32, 50)]
    ):
        (tmp_path / str(n)).mkdir()
        path = stopped(tmp_path / str(n), stop_after)
        resumed = make(batch_size=batch_size).fit(container(x), background=y, checkpoint=path)
        np.testing.assert_allclose(resumed.components_, whole.components_, atol=1e-4)
        assert resumed.n_iter_ == whole.n_iter_


def test_for_batches_as_steps_their_size_matters(tmp_path, stop_after):
    x, y = pair()
    stop_after(2)
    with pytest.raises(KeyboardInterrupt):
        make(solver="stochastic", batch_size=20).fit(x, background=y, checkpoint=tmp_path / "s.npz")
    with pytest.raises(StaleCheckpoint, match="batch_size was 20, is now 10"):
        make(solver="stochastic", batch_size=10).fit(x, background=y, checkpoint=tmp_path / "s.npz")


@pytest.mark.parametrize("kind", ["table", "anndata"])
def test_names_of_features_belong_to_the_data(tmp_path, stop_after, kind):
    def named(values, names):
        if kind == "table":
            return pd.DataFrame(values, columns=names)
        return ad.AnnData(values, var=pd.DataFrame(index=names))

    x, y = pair()
    names = [f"gene{i}" for i in range(20)]
    path = tmp_path / "fit.npz"
    stop_after(4)
    with pytest.raises(KeyboardInterrupt):
        make().fit(named(x, names), background=y, checkpoint=path)
    with pytest.raises(StaleCheckpoint, match=r"target \(names of features\) was"):
        make().fit(named(x, names[::-1]), background=y, checkpoint=path)
    make().fit(named(x, names), background=y, checkpoint=path)
    assert not path.exists()


def test_another_estimator_is_another_fit(tmp_path, stop_after):
    x, y = pair()
    path = stopped(tmp_path, stop_after)
    with pytest.raises(StaleCheckpoint, match="estimator was 'BCNMF', is now 'SharedTargetNMF'"):
        clone(OTHERS[0]).fit(x, background=y, checkpoint=path)


@pytest.mark.parametrize("attribute", ["__version__", "_code"])
def test_a_checkpoint_of_other_code_is_refused(tmp_path, stop_after, monkeypatch, attribute):
    x, y = pair()
    path = stopped(tmp_path, stop_after)
    monkeypatch.setattr(checkpoint, attribute, "9" if attribute == "__version__" else lambda: "9")
    with pytest.raises(
        StaleCheckpoint, match=r"fit\.npz: was written by bcnmf .*, whose steps may differ.* delete"
    ):
        make().fit(x, background=y, checkpoint=path)


def test_a_checkpoint_from_before_there_were_versions_is_refused(tmp_path):
    x, y = pair()
    np.savez(tmp_path / "fit.npz", identity='{"alpha": 2.0}', iteration=3)
    with pytest.raises(StaleCheckpoint, match="written by bcnmf of an older version"):
        make().fit(x, background=y, checkpoint=tmp_path / "fit.npz")


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
    for other in (2 * start[0], start[0][::-1]):
        with pytest.raises(InputError, match="init was"):
            make(init=(other, *start[1:])).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
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


@pytest.mark.parametrize("model", [make(), *OTHERS[-2:]], ids=lambda model: type(model).__name__)
def test_where_no_state_can_be_written_is_said_before_the_fit(tmp_path, model, monkeypatch):
    x, y = pair()
    monkeypatch.setattr(type(model), "_solve", lambda *_: pytest.fail("it was fitted"))
    with pytest.raises(InputError, match="is a folder; give the path of a file"):
        clone(model).fit(x, background=y, checkpoint=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no file can be made in"):
        clone(model).fit(x, background=y, checkpoint=tmp_path / "file" / "state.npz")


def test_a_state_that_cannot_be_written_ends_no_fit(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    x, y = pair()
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match=r"could not be written \(No space left on device\)"):
        found = make(max_iter=3).fit(x, background=y, checkpoint=tmp_path / "fit.npz")
    assert_same(found, make(max_iter=3).fit(x, background=y))
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_deleted_ends_no_fit(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", refuse)
        with pytest.warns(UserWarning, match=r"could not be deleted \(Permission denied\)"):
            Checkpoint(tmp_path / "fit.npz", {}).remove()


def test_a_link_to_where_states_go_stays(tmp_path, stop_after):
    link, place = tmp_path / "fit.npz", tmp_path / "scratch" / "state.npz"
    place.parent.mkdir()
    link.symlink_to(place)
    x, y = pair()
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        make().fit(x, background=y, checkpoint=link)
    assert place.exists()
    stop_after(1000)
    make().fit(x, background=y, checkpoint=link)
    assert link.is_symlink()
    assert not place.exists()
