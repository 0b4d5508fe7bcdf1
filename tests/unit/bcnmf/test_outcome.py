"""Results that cannot be are refused, results that say nothing are told."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import BCNMF, NMF, InputError, coverage, crossfit
from bcnmf.errors import ConvergenceWarning, ImpossibleResult
from bcnmf.estimators import base
from bcnmf.estimators.combined_basis import CombinedBasisNMF
from bcnmf.estimators.shared_target import SharedTargetNMF
from bcnmf.outcome import check_fit, impossible, remark_of
from bcnmf.persistence import Fit
from bcnmf.selection import select

HOW = {"device": "cpu", "random_state": 0, "max_iter": 20, "tol": 0.0}
MODELS = {
    "bcnmf": lambda: BCNMF(2, alpha=1.0, **HOW),
    "mu": lambda: BCNMF(2, alpha=1.0, solver="mu", **HOW),
    "stochastic": lambda: BCNMF(2, alpha=1.0, solver="stochastic", batch_size=20, **HOW),
    "nmf": lambda: NMF(2, **HOW),
    "poisson": lambda: NMF(2, loss="poisson", **HOW),
    "shared": lambda: SharedTargetNMF(2, 1, **HOW),
    "combined": lambda: CombinedBasisNMF(2, **HOW),
}


def pair(seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.poisson(2.0, (60, 20)).astype(float), rng.poisson(2.0, (50, 20)).astype(float)
    x[:30, :6] += 9
    return x, y


def messages_of(fit):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit()
    assert {one.category for one in found} <= {ConvergenceWarning}
    return [str(one.message) for one in found]


def no_topics(solution):
    for name in solution.factors:
        solution.factors[name].zero_()
    solution.target[0].zero_()


def objective(solution):
    solution.result.objective[1] = float("inf")


FAULTS = [
    (no_topics, "all loadings of all topics are zero"),
    (objective, "objective holds 1 NaN or infinite values of"),
    (26.0, "explained_target_ is 26, but all there is to explain is 1"),
]
BELOW = (-881900.0, "explained_target_ is -881900: the model errs 8.82e.05 times as much as no")


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [(name, *fault) for name in MODELS for fault in FAULTS]
    # A Poisson model may be any number of times worse than one topic.
    + [(name, *BELOW) for name in MODELS if name not in ("poisson", "shared")],
)
def test_a_result_that_cannot_be_is_an_error_and_leaves_no_fit(name, spoil, said, monkeypatch):
    model = MODELS[name]()
    if isinstance(spoil, float):
        monkeypatch.setattr(base, "explained", lambda *_: spoil)
    else:
        solve = model._solve

        def solved(*args, **options):
            solution = solve(*args, **options)
            spoil(solution)
            return solution

        model._solve = solved
    x, y = pair()
    with pytest.raises(ImpossibleResult, match=f"{said}.*(dtype='float64'|too small)"):
        model.fit(x, background=y)
    with pytest.raises(InputError, match="not fitted"):
        model.transform(x)


@pytest.mark.parametrize("name", MODELS)
def test_ordinary_fits_pass_and_so_do_their_files(name, tmp_path):
    x, y = pair()
    model = MODELS[name]().fit(x, background=y)
    model.save(tmp_path / "fit.npz")
    type(model).load(tmp_path / "fit.npz")
    fit = Fit.read(tmp_path / "fit.npz")
    check_fit(fit, "fit")
    assert remark_of(fit) == ""
    fit.components[:] = 0
    fit.write(tmp_path / "fit.npz")
    with pytest.raises(ImpossibleResult, match=r"fit.npz: all loadings .* Delete it and fit again"):
        type(model).load(tmp_path / "fit.npz")


def test_limits():
    topics = {"components": np.ones((1, 2))}
    below = {"explained_target_": -0.5}
    assert impossible(topics, below, {"solver": "mu", "loss": "squared_error"}) == ""
    assert impossible(topics, below, {"loss": "poisson"}) == ""
    assert "raise max_iter" in impossible(topics, {"e": -1.5}, {"solver": "mu"})
    assert "-0.5" in impossible(topics, below, {"solver": "safeguarded"})
    for unknown in (None, float("nan"), -1e-4, 1 + 1e-4):
        assert impossible(topics, {"explained_target_": unknown}, {}) == ""
    assert impossible({"components": np.zeros((1, 2))}, {}, None) == ""  # of another method


def test_files_of_other_methods_need_numbers_alone():
    fit = Fit(np.ones((2, 1)), np.empty((0, 1)), np.zeros((1, 3)))
    check_fit(fit, "pca")
    assert remark_of(fit) == ""
    fit.usage[0, 0] = np.nan
    with pytest.raises(ImpossibleResult, match="pca: usage holds 1 NaN or infinite values of 2"):
        check_fit(fit, "pca")


def test_published_updates_that_have_not_settled_are_told_or_refused():
    few = {"solver": "mu", "device": "cpu", "random_state": 0, "tol": 0.0}
    rng = np.random.default_rng(0)
    programs = rng.gamma(0.3, 1.0, (6, 40))
    x, y = rng.gamma(0.3, 1.0, (60, 6)) @ programs, rng.gamma(0.3, 1.0, (50, 4)) @ programs[:4]
    with pytest.raises(ImpossibleResult, match=r"errs .* times as much as no topics .* max_iter"):
        BCNMF(3, alpha=1e4, max_iter=1, **few).fit(x, background=y)
    assert BCNMF(3, alpha=1e4, max_iter=300, **few).fit(x, background=y).explained_target_ > -1e-3
    x, y = pair()
    found = messages_of(lambda: BCNMF(3, alpha=20.0, max_iter=3, **few).fit(x, background=y))
    assert any("nothing that is the target's own" in one or "worse than" in one for one in found)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_the_published_poisson_contrast_is_marked_not_refused(container, tmp_path):
    x, y = (container(side) for side in pair())
    model = BCNMF(2, alpha=2.0, loss="poisson", solver="mu", device="cpu", max_iter=200, tol=0.0)
    (said,) = messages_of(lambda: model.fit(x, background=y))
    assert "worse than the best model of a single topic" in said
    assert "unbounded below" in said
    assert "SharedTargetNMF" in said
    assert model.explained_target_ < -5
    model.save(tmp_path / "fit.npz")
    assert BCNMF.load(tmp_path / "fit.npz").explained_target_ == model.explained_target_
    mark = remark_of(Fit.read(tmp_path / "fit.npz"))
    assert mark.startswith("the topics explain the target worse than the best model of a single")
    assert mark.endswith(")")


@pytest.mark.parametrize("solver", ["safeguarded", "mu", "stochastic"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_nothing_stands_out_where_target_and_background_are_the_same(solver, container):
    x, y = (container(side) for side in pair())
    model = BCNMF(2, alpha=3.0, solver=solver, device="cpu", random_state=0, max_iter=100)
    said = " ".join(messages_of(lambda: model.fit(x, background=x)))
    assert "explain nothing that is the target's own" in said
    assert "lower it, and see that target and background differ" in said
    assert "explain nothing" in remark_of(model.to_fit())
    assert "explain nothing" not in " ".join(messages_of(lambda: model.fit(x, background=y)))
    assert remark_of(model.to_fit()) == ""


def test_target_parts_that_a_penalty_emptied_are_told():
    x, y = pair()
    fitted = CombinedBasisNMF(2, penalty=1e6, device="cpu", random_state=0)
    assert "target parts of all topics are empty" in " ".join(
        messages_of(lambda: fitted.fit(x, background=y))
    )
    kept = CombinedBasisNMF(2, penalty=0.01, device="cpu", random_state=0)
    assert "empty" not in " ".join(messages_of(lambda: kept.fit(x, background=y)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    "data",
    [
        np.full((30, 20), 3.0), np.full((30, 20), 0.1), np.full((300, 200), 1e5),
        np.outer(np.arange(1, 31), np.linspace(0.1, 2, 20)),
        np.outer(np.arange(30) % 2, np.arange(20) % 3).astype(float),
    ],
)  # fmt: skip
def test_data_of_rank_one_leave_no_deviance_to_explain(data, container, dtype):
    x = container(data)
    how = {"device": "cpu", "dtype": dtype, "random_state": 0}
    for model in (
        NMF(1, loss="poisson", **how), NMF(2, loss="poisson", **how),
        SharedTargetNMF(1, 1, max_iter=100, **how),
    ):  # fmt: skip
        said = messages_of(lambda model=model: model.fit(x, background=x))
        assert np.isnan([model.explained_target_, model.explained_background_]).all()
        assert not any("explain" in one for one in said)
    model = NMF(1, **how).fit(x, background=x)
    assert model.explained_target_ == pytest.approx(1, abs=1e-5)
    assert model.explained_background_ == pytest.approx(1, abs=1e-5)


def test_searches_and_cross_fits_of_nothing_find_nothing():
    x, _ = pair()
    how = {"device": "cpu", "random_state": 0}
    found = select(x, x, n_components=[2], alphas=[3.0], n_splits=1, **how)
    assert found.n_components is None
    assert "topics are not specific to the target (1 of 1 settings)" in found.advice()
    model = BCNMF(2, alpha=3.0, max_iter=100, **how)
    said = messages_of(lambda: crossfit(model, x, background=x))
    assert sum("explain nothing" in one for one in said) == 3


def test_read_only_arrays_and_spectral_starts_leak_no_warning_of_others():
    x, y = pair()
    x.flags.writeable = False
    assert messages_of(lambda: BCNMF(2, alpha=1.0, **HOW).fit(x, background=y)) == []
    rng = np.random.default_rng(0)
    x, y = rng.random((80, 200)), rng.random((60, 200))
    for k, alpha, other in ((30, 3.0, y), (5, 3.0, y), (1, 1.0, x[::-1]), (1, 1.0, x)):
        model = BCNMF(k, alpha=alpha, init="nndsvd", **HOW | {"max_iter": 2})
        messages_of(lambda model=model, other=other: model.fit(x, background=other))
        assert np.isfinite(model.components_).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_a_classifier_of_few_dimensions_leaks_nothing_either(container):
    rng = np.random.default_rng(0)
    one = [container(np.c_[rng.random(60), np.ones((60, 4))]) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = coverage(one[0], background=one[1])
    for weights in found.components:
        assert np.isfinite(weights).all()
        assert abs(weights[0, 0]) > 100 * np.abs(weights[0, 1:]).max()
    with pytest.raises(InputError, match="no feature differs between their samples"):
        coverage(container(np.ones((40, 6))), background=container(np.ones((40, 6))))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.floats(-44, 37), st.floats(-44, 37), st.floats(0, 4),
    st.sampled_from(["bcnmf", "mu", "poisson", "stochastic", "shared", "combined"]),
    st.sampled_from(["float32", "float64"]), st.sampled_from([np.asarray, sp.csr_matrix]),
    st.sampled_from(["relative", "absolute"]),
)  # fmt: skip
def test_whatever_the_numbers_a_fit_is_refused_or_can_be(
    seed, power, other, alpha, name, dtype, container, contrast
):
    x, y = (container(side) for side in pair(seed))
    model = MODELS[name]().set_params(dtype=dtype, max_iter=10)
    if name in ("bcnmf", "mu", "stochastic"):
        model.set_params(alpha=alpha, contrast=contrast)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(x * 10.0**power, background=y * 10.0**other)
        except InputError:
            return
    assert np.isfinite(model.objective_).all()
    assert model.components_.any()
    for share in (model.explained_target_, model.explained_background_):
        assert np.isnan(share) or share <= 1.01
        assert np.isnan(share) or name in ("poisson", "shared") or share >= -1
