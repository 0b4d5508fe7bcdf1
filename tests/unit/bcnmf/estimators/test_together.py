"""Models fitted together come to what they come to alone."""

import os
import signal
import sys

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone

from bcnmf import BCNMF, NMF, CombinedBasisNMF, InputError, SharedTargetNMF, consensus, fit_together
from bcnmf.errors import ImpossibleResult
from bcnmf.matrices import in_memory
from bcnmf.matrices.csr_device import DeviceSparseMatrix
from bcnmf.matrices.streamed import StreamedMatrix
from bcnmf.progress import Progress

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")
ARRAYS = ("components_", "usage_", "background_usage_", "objective_")


def side(n, seed):
    rng = np.random.default_rng(seed)
    programs = rng.gamma(0.3, 1.0, (5, 20))
    return rng.poisson(rng.gamma(1.0, 1.0, (n, 5)) @ programs).astype(np.float32)


X, Y = side(90, 0), side(70, 1)


def models(**options):
    common = {"max_iter": 12, "device": "cpu", **options}
    return [
        BCNMF(3, alpha=1.0, **common),
        BCNMF(2, alpha=0.5, random_state=4, n_init=3, **common),
        BCNMF(3, solver="mu", contrast="absolute", **common),
        BCNMF(2, solver="stochastic", **common),
        NMF(4, loss="poisson", **{**common, "dtype": "float64"}),
        SharedTargetNMF(2, 1, n_init=2, **common),
        SharedTargetNMF(2, 1, loss="squared_error", shared_from="both", refine=3, **common),
        CombinedBasisNMF(3, **common),
    ]


def alone(made, x=X, y=Y, **weights):
    return [model.fit(x, background=y, **weights) for model in made]


def assert_same(one, other, rtol=0.0):
    for a, b in zip(one, other, strict=True):
        assert type(a) is type(b)
        for name in ARRAYS:
            np.testing.assert_allclose(
                getattr(a, name), getattr(b, name), rtol, rtol, err_msg=f"{a} {name}"
            )
        assert (a.n_iter_, a.converged_, a.seed_, a.n_features_in_) == (
            b.n_iter_, b.converged_, b.seed_, b.n_features_in_,
        )  # fmt: skip
        assert a.explained_target_ == pytest.approx(b.explained_target_, rel=max(rtol, 1e-12))


@pytest.fixture
def as_on_device(monkeypatch):
    """Hold sparse data as on an accelerator."""
    monkeypatch.setattr(
        in_memory, "CompiledSparseMatrix",
        lambda values, dtype, threads: DeviceSparseMatrix(values, dtype, torch.device("cpu")),
    )  # fmt: skip


@pytest.fixture
def reads(monkeypatch):
    """Return a list that grows by one with every read of data in batches."""
    made, original = [], StreamedMatrix._each

    def each(self, work):
        if type(self) is StreamedMatrix:
            made.append(self.shape)
        original(self, work)

    monkeypatch.setattr(StreamedMatrix, "_each", each)
    return made


@pytest.mark.parametrize("batch_size", [None, 25])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_very_numbers_on_the_cpu(sparse, batch_size):
    x, y = map(sp.csr_matrix, (X, Y)) if sparse else (X, Y)
    together = models(batch_size=batch_size)
    assert fit_together(together, x, y) == together
    by_themselves = alone(models(batch_size=batch_size), x, y)
    assert_same(by_themselves, together)
    if batch_size is None:
        passes = [[model.n_passes_ for model in made] for made in (by_themselves, together)]
        assert passes[0] == passes[1]


def test_the_numbers_up_to_rounding_on_a_device(as_on_device):
    x, y = map(sp.csr_matrix, (X, Y))
    expected = alone(models(dtype="float64")[:3], x, y)
    assert_same(expected, fit_together(models(dtype="float64")[:3], x, y), 1e-6)


def test_weights_count_as_alone():
    rng = np.random.default_rng(0)
    weights = {"sample_weight": rng.integers(0, 3, 90), "background_weight": rng.random(70)}
    x, y = map(sp.csr_matrix, (X, Y))
    together = fit_together(models(batch_size=30), x, y, **weights)
    assert_same(alone(models(batch_size=30), x, y, **weights), together)


@pytest.mark.parametrize("make", [
    lambda n: BCNMF(3, solver="mu", n_init=n, max_iter=20, tol=0, batch_size=30, device="cpu"),
    lambda n: SharedTargetNMF(2, 1, n_init=n, max_iter=20, tol=0, batch_size=30, device="cpu"),
])  # fmt: skip
def test_starts_of_a_fit_share_their_reads(make, reads):
    counts = {}
    for n in (1, 4):
        reads.clear()
        make(n).fit(sp.csr_matrix(X), background=sp.csr_matrix(Y))
        counts[n] = len(reads)
    # Those of SharedTargetNMF end a stage when each cannot fall any more.
    assert counts[1] <= counts[4] <= 1.3 * counts[1]


def test_starts_of_a_fit_come_to_what_they_come_to_one_by_one(tmp_path):
    x, y = map(sp.csr_matrix, (X, Y))
    make = BCNMF(3, n_init=4, max_iter=20, batch_size=30, device="cpu")
    together = clone(make).fit(x, background=y)
    # With a checkpoint, which holds the state of one start, they run one by one.
    one_by_one = clone(make).fit(x, background=y, checkpoint=tmp_path / "state.npz")
    assert_same([one_by_one], [together])
    ends = [clone(make).set_params(n_init=n).fit(x, background=y).objective_[-1] for n in (1, 2, 3)]
    assert together.objective_[-1] <= min(ends)


def test_a_consensus_of_data_in_batches_shares_its_reads(reads):
    x, y = map(sp.csr_matrix, (X, Y))
    make, counts, found = BCNMF(2, max_iter=10, tol=0, batch_size=30), {}, {}
    for threads in (1, None):
        reads.clear()
        found[threads] = consensus(make, x, y, 5, threads=threads)
        counts[threads] = len(reads)
    assert counts[None] < 0.5 * counts[1]
    assert np.array_equal(found[1].components_, found[None].components_)
    assert np.array_equal(found[1].objectives_, found[None].objectives_)


def test_fewer_run_at_a_time_where_memory_is_short(monkeypatch, reads):
    x, y = map(sp.csr_matrix, (X, Y))
    free = 10**9
    monkeypatch.setattr("bcnmf.memory.free", lambda device: free)
    made = {}
    for free in (10**9, 10**5, 0):
        reads.clear()
        options = {"solver": "mu", "max_iter": 5, "tol": 0, "batch_size": 30, "device": "cpu"}
        fit_together([BCNMF(2, random_state=i, **options) for i in range(6)], x, y)
        made[free] = len(reads)
    assert made[10**9] < made[10**5] < made[0]


def test_models_are_told_of_as_they_end_and_warn_where_they_are_called():
    told = []
    options = {"tol": 1e-12, "batch_size": 30, "device": "cpu"}
    made = [BCNMF(2, max_iter=n, **options) for n in (7, 5)]
    with pytest.warns(UserWarning, match="max_iter=5") as warned:
        fit_together(made, X, Y, done=lambda number, model: told.append((number, model)))
    assert told == [(1, made[1]), (0, made[0])]
    assert {one.filename for one in warned} == {__file__}


def test_the_others_are_fitted_where_one_cannot_be(monkeypatch):
    original = BCNMF._solve

    def diverges(self, *arguments):
        if self.n_components == 3:
            raise ImpossibleResult("diverged")
        return original(self, *arguments)

    monkeypatch.setattr(BCNMF, "_solve", diverges)
    for options in ({}, {"batch_size": 30}):
        made = [BCNMF(k, max_iter=5, device="cpu", **options) for k in (3, 2, 3)]
        with pytest.raises(ImpossibleResult, match="diverged") as raised:
            fit_together(made, X, Y)
        of_first, of_third = raised.value.__notes__
        assert of_first.startswith("estimators[0]: BCNMF(")
        assert of_third.startswith("not fitted either; estimators[2]: BCNMF(")
        assert of_third.endswith("; diverged")
        assert made[1].components_.shape == (2, 20)


def test_a_stopped_fit_goes_on_where_each_model_was(tmp_path, monkeypatch):
    x, y = map(sp.csr_matrix, (X, Y))
    options = {"max_iter": 15, "tol": 0, "batch_size": 30, "device": "cpu"}

    def make():
        return [BCNMF(2, random_state=i, **options) for i in range(3)] + [
            SharedTargetNMF(2, 1, **options)
        ]

    paths = [tmp_path / f"{i}.npz" for i in range(4)]
    calls, original = [], BCNMF._run

    def stops(self, *arguments):
        calls.append(self)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(BCNMF, "_run", stops)
    with pytest.raises(SystemExit):
        fit_together(make(), x, y, checkpoints=paths)
    assert all(path.exists() for path in paths)
    monkeypatch.setattr(BCNMF, "_run", original)
    resumed = fit_together(make(), x, y, checkpoints=paths)
    assert not any(path.exists() for path in paths)
    assert_same(alone(make(), x, y), resumed)


def test_progress_of_starts_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(Progress, "due", lambda self: True)
    BCNMF(
        2, solver="mu", n_init=3, max_iter=3, tol=0, batch_size=30, verbose=1, device="cpu"
    ).fit(X, background=Y)  # fmt: skip
    first, *lines = filter(None, capsys.readouterr().err.replace("\n", "\r").split("\r"))
    assert first.startswith("computing on cpu")
    assert lines
    assert all(line.startswith("3 of 3 starts at once, iteration") for line in lines)


def test_progress_of_models_says_which(capsys, monkeypatch):
    monkeypatch.setattr(Progress, "due", lambda self: True)
    made = [BCNMF(2, max_iter=2, batch_size=30, verbose=v, device="cpu") for v in (0, 1)]
    fit_together(made, X, Y)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("model 2 of 2, iteration") for line in lines)


def test_a_backed_file_is_read_once_for_all(tmp_path, monkeypatch, reads):
    for name, values in (("x", X), ("y", Y)):
        ad.AnnData(sp.csr_matrix(values)).write_h5ad(tmp_path / f"{name}.h5ad")
    x, y = (ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r") for name in "xy")
    monkeypatch.setattr("bcnmf.matrices.streamed.default_batch_size", lambda row_bytes: 25)
    options = {"solver": "mu", "max_iter": 4, "tol": 0, "device": "cpu"}
    fit_together([BCNMF(2, random_state=i, **options) for i in range(5)], x, y)
    # 5 passes, and one for what is explained; topics of the background are of each model.
    assert reads.count((90, 20)) == 6


def test_models_score_samples_as_those_fitted_alone():
    options = {"max_iter": 5, "device": "cpu", "batch_size": 30}
    weights = {"background_weight": np.arange(70.0)}
    (one,) = alone([BCNMF(2, **options)], **weights)
    other, nmf = fit_together([BCNMF(2, **options), NMF(2, **options)], X, Y, **weights)
    assert np.array_equal(one.target_score(X), other.target_score(X))
    assert nmf.has_target_score


@pytest.mark.parametrize(
    ("estimators", "options", "text"),
    [
        ([], {}, "estimators: there is none"),
        ([object()], {}, r"estimators\[0\] is <object .*; expected BCNMF"),
        ([BCNMF(2)] * 2, {}, r"estimators\[1\] is the same object"),
        ([BCNMF(2), BCNMF(2, alpha=-1)], {}, "alpha=-1"),
        ([BCNMF(2), BCNMF(50)], {}, "n_components=50 is larger than the data"),
        ([BCNMF(2)], {"checkpoints": ["a", "b"]}, "checkpoints: 2 paths, 2 of them different"),
        ([BCNMF(2), NMF(2)], {"checkpoints": ["a", "a"]}, "give each one of its own"),
    ],
)
def test_what_cannot_be_is_refused_before_any_fit(estimators, options, text, monkeypatch):
    monkeypatch.setattr(NMF, "_solve", lambda *_: pytest.fail("fitted"))
    with pytest.raises(InputError, match=text):
        fit_together(estimators, X, Y, **options)
