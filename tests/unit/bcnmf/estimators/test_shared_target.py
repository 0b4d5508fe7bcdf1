"""Shared and target topics: updates against plain numpy, descent, starts, and the contract."""

import anndata as ad
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from bcnmf import BCNMF, ConvergenceWarning, InputError
from bcnmf.estimators.shared_target import SharedTargetNMF
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.persistence import Fit
from bcnmf.seeds import seed_of_start
from bcnmf.solvers import staged
from bcnmf.solvers.starts import diverse_samples, unexplained
from bcnmf_pipeline.datasets.simulation import simulate_counts
from bcnmf_pipeline.evaluate.metrics import adjusted_rand, kmeans_labels
from naive import kl

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")
LOSSES = ["poisson", "squared_error"]


def counts(seed, n=12, m=9, features=7):
    rng = np.random.default_rng(seed)
    x, y = (rng.poisson(1.5, (rows, features)).astype(float) for rows in (n, m))
    x[0, 0] = y[0, 0] = 1  # never all zero
    return x, y


@pytest.fixture(scope="module")
def data():
    return counts(0, n=30, m=20, features=12)


def quick(**parameters):
    defaults = {
        "n_shared": 3, "n_target": 2, "max_iter": 15, "tol": 0, "device": "cpu", "random_state": 1,
    }  # fmt: skip
    return SharedTargetNMF(**(defaults | parameters))


def matrix(values):
    return as_matrix(values, "data", torch.float64, torch.device("cpu"))


def squared(x, model):
    return float(((x - model) ** 2).sum())


DIVERGENCE = {"poisson": kl, "squared_error": squared}


def parts_of(loss, x, topics, usage):
    """Return what an update of the topics needs, after one of the usages, in plain numpy."""
    if loss == "poisson":
        usage = usage * ((x / (usage @ topics)) @ topics.T) / topics.sum(1)
        return usage, usage.T @ (x / (usage @ topics)), usage.sum(0)[:, None] + 0 * topics
    usage = np.array([scipy.optimize.nnls(topics.T, row)[0] for row in x])
    return usage, usage.T @ x, usage.T @ usage @ topics


def naive_joint(loss, x, y, topics, usages, held, iterations):
    """Update all usages, then the topics that are not held, which both sides may pull."""
    n_shared = usages[1].shape[1]
    trace = []
    for iteration in range(iterations + 1):
        solved = [
            parts_of(loss, x, topics, usages[0]),
            parts_of(loss, y, topics[:n_shared], usages[1]),
        ]
        # Squared error: the objective is that of solved usages; Poisson: of those before.
        at = usages if loss == "poisson" else [part[0] for part in solved]
        trace.append(
            DIVERGENCE[loss](x, at[0] @ topics) + DIVERGENCE[loss](y, at[1] @ topics[:n_shared])
        )
        if iteration == iterations:
            return topics, at, trace
        pull, push = solved[0][1].copy(), solved[0][2].copy()
        pull[:n_shared] += solved[1][1]
        push[:n_shared] += solved[1][2]
        moved = topics * pull / push
        topics = np.vstack([topics[:held], moved[held:]])
        usages = [part[0] for part in solved]
    raise AssertionError


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("held", "iterations"), [(0, 1), (0, 6), (2, 1), (2, 6)])
def test_iterations_equal_plain_numpy(container, loss, held, iterations):
    x, y = counts(1)
    rng = np.random.default_rng(2)
    topics, usages = rng.random((4, 7)), [rng.random((12, 4)), rng.random((9, 2))]
    expected = naive_joint(loss, x, y, topics, usages, held, iterations)
    found = staged.descend(
        [(matrix(container(x)), 4), (matrix(container(y)), 2)],
        torch.as_tensor(topics),
        [torch.as_tensor(usage) for usage in usages],
        loss, iterations, 0.0, n_fixed=held,
    )  # fmt: skip
    np.testing.assert_allclose(found.components, expected[0], rtol=1e-6)
    for usage, solved in zip(found.usages, expected[1], strict=True):
        np.testing.assert_allclose(usage, solved, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.objective, expected[2], rtol=1e-9)
    np.testing.assert_array_equal(found.components[:held], topics[:held])


def total(model, x, y):
    """Return the objective of a fitted model, from its attributes alone."""
    divergence = DIVERGENCE[model.loss]
    shared = model.shared_components_.astype(float)
    target = model.usage_.astype(float) @ model.components_.astype(float)
    return divergence(x, model.shared_usage_.astype(float) @ shared + target) + divergence(
        y, model.background_usage_.astype(float) @ shared
    )


def stages(model):
    return np.split(model.objective_, np.cumsum(model.stages_)[:-1])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 12),
    m=st.integers(2, 10),
    features=st.integers(2, 9),
    k=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    loss=st.sampled_from(LOSSES),
    init=st.sampled_from(["seeded", "random"]),
    refine=st.sampled_from([0, 8]),
    sparse=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_no_stage_ever_ascends(seed, n, m, features, k, loss, init, refine, sparse, dtype):
    x, y = counts(seed, n, m, features)
    container = sp.csr_matrix if sparse else np.asarray
    model = quick(
        n_shared=min(k[0], m, features), n_target=min(k[1], n, features), loss=loss, init=init,
        refine=refine, dtype=dtype, random_state=seed,
    ).fit(container(x), background=container(y))  # fmt: skip
    for stage in stages(model):
        assert (np.diff(stage) <= 0).all()
    assert len(model.stages_) == 2 + (refine > 0) + (loss == "poisson")
    assert sum(model.stages_) == len(model.objective_)
    for name in ("usage_", "shared_usage_", "background_usage_", "components_"):
        values = getattr(model, name)
        assert values.dtype == dtype
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    norms = np.linalg.norm(np.vstack([model.components_, model.shared_components_]), axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    scale = x.sum() + y.sum() if loss == "poisson" else (x**2).sum() + (y**2).sum()
    assert model.objective_[-1] == pytest.approx(total(model, x, y), abs=2e-5 * scale)


def test_the_objective_of_each_stage_is_what_it_is_said_to_be(data):
    x, y = data
    for loss in LOSSES:
        model = quick(loss=loss, dtype="float64", max_iter=40).fit(x, background=y)
        first, second = stages(model)[:2]
        rank_one = np.outer(x.sum(1), x.sum(0)) / x.sum()
        nothing = kl(x, rank_one) if loss == "poisson" else (x**2).sum()
        shared = model.shared_components_
        if loss == "squared_error":  # whose usages are solved already
            background_loss = squared(y, model.background_usage_ @ shared)
            assert first[-1] - nothing == pytest.approx(background_loss, rel=1e-9)
            assert second[-1] == pytest.approx(total(model, x, y), rel=1e-9)
        else:
            assert first[-1] - nothing >= kl(y, model.background_usage_ @ shared)
            assert second[-1] >= model.objective_[-1]
        assert second[-1] < first[-1]


@pytest.mark.parametrize("refine", [0, 5])
@pytest.mark.parametrize("loss", LOSSES)
def test_sparse_equals_dense(data, loss, refine):
    x, y = data
    dense, sparse = (
        quick(loss=loss, dtype="float64", refine=refine).fit(form(x), background=form(y))
        for form in (np.asarray, sp.csr_matrix)
    )
    for name in (
        "components_", "shared_components_", "objective_", "usage_", "shared_usage_",
        "background_usage_",
    ):  # fmt: skip
        found, expected = getattr(sparse, name), getattr(dense, name)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("loss", LOSSES)
def test_containers_are_alike_and_sparse_data_stay_sparse(data, loss, monkeypatch):
    x, y = data
    expected = quick(loss=loss).fit_transform(sp.csr_matrix(x), background=sp.csr_matrix(y))

    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    for container in (
        sp.csc_matrix,
        lambda values: ad.AnnData(sp.csr_matrix(values)),
        lambda values: torch.as_tensor(values).to_sparse_csr(),
    ):
        model = quick(loss=loss).fit(container(x), background=container(y))
        np.testing.assert_allclose(model.usage_, expected, rtol=1e-4, atol=1e-5)
        assert model.transform(container(x)).shape == (30, 2)


@pytest.mark.parametrize("init", ["seeded", "random"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_seed_gives_the_same_numbers_and_another_seed_others(data, init, loss):
    x, y = data
    first, again, other = (
        quick(init=init, loss=loss, random_state=seed).fit_transform(x, background=y)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_starts_agree_between_precisions(data):
    x, y = data
    single, double = (
        quick(dtype=dtype, max_iter=3).fit(x, background=y) for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(single.shared_components_, double.shared_components_, rtol=1e-3)
    np.testing.assert_allclose(single.components_, double.components_, rtol=1e-3, atol=1e-5)


def test_n_init_keeps_the_best_start_of_each_stage(data):
    x, y = data
    ends = [
        stages(quick(random_state=seed_of_start(5, i), init="random").fit(x, background=y))[0][-1]
        for i in range(3)
    ]
    several = quick(random_state=5, n_init=3, init="random").fit(x, background=y)
    assert stages(several)[0][-1] == pytest.approx(min(ends))
    assert min(ends) < ends[0]  # else the first alone would pass
    one = quick(init=(several.shared_components_, np.ones((2, 12))), max_iter=1)
    assert one.fit(x, background=y).n_iter_ == 2


def test_refinement_lowers_the_objective_and_keeps_the_shapes(data):
    x, y = data
    for loss in LOSSES:
        staged_only, refined = (
            quick(loss=loss, refine=steps, dtype="float64").fit(x, background=y)
            for steps in (0, 30)
        )
        joint = stages(refined)[2]
        assert len(joint) == 31
        assert joint[-1] < joint[0]
        assert refined.objective_[-1] < staged_only.objective_[-1]
        assert refined.n_iter_ == staged_only.n_iter_ + 30
        assert not np.allclose(refined.shared_components_, staged_only.shared_components_)


def small_simulation(beta, seed):
    cells = simulate_counts(
        beta, n_genes=400, n_target=200, n_background=200, shared_block=40, target_block=80,
        random_state=seed,
    )  # fmt: skip
    in_target = (cells.obs["side"] == "target").to_numpy()
    labels = cells.obs["target_program"][in_target].to_numpy()
    return cells.X[in_target], cells.X[~in_target], labels, cells.obs["shared_program"][~in_target]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_shared", [5, 6, 10])
def test_no_start_fails_on_simulated_counts(seed, n_shared):
    x, y, labels, _ = small_simulation(4.0, seed)
    model = SharedTargetNMF(n_shared, 2, device="cpu", random_state=seed, tol=1e-3)
    model.fit(x, background=y)
    found = kmeans_labels(np.sqrt(model.target_share()), 2)
    assert adjusted_rand(labels, found) > 0.85


def test_seeds_are_one_sample_of_each_shared_program():
    for seed in range(5):
        _, y, _, program = small_simulation(4.0, seed)
        like = torch.empty(0, dtype=torch.float64)
        for loss in LOSSES:
            seeds = diverse_samples([matrix(y)], 5, loss, seed, like).numpy()
            np.testing.assert_allclose(seeds.sum(1), 1)
            assert (seeds[:, np.asarray(y.sum(0)).ravel() > 0] > 0).all()
            profiles = y.toarray() / y.sum(1)
            nearest = [int(abs(profiles - topic).sum(1).argmin()) for topic in seeds]
            assert len(set(program.iloc[nearest])) == 5


def test_targets_start_from_the_residual():
    rng = np.random.default_rng(0)
    shared, own = np.r_[np.ones(6), np.zeros(6)], np.r_[np.zeros(6), np.ones(6)]
    usage = rng.gamma(2, 3, (40, 1))
    x = usage * shared + rng.gamma(2, 1, (40, 1)) * own
    start = unexplained(
        matrix(x), torch.as_tensor(shared[None]), torch.as_tensor(usage), torch.rand(40, 2).double()
    ).numpy()
    np.testing.assert_allclose(start.sum(1), 1)
    assert (start > 0).all()
    assert (start[:, 6:].sum(1) > 0.98).all()


def planted(seed, features=20):
    """Return a target with shared and own topics, whose own features the background lacks."""
    rng = np.random.default_rng(seed)
    shared, own = np.zeros((2, features)), np.zeros(features)
    shared[0, :7], shared[1, 7:14], own[12:] = 20, 20, 3
    sides = [rng.dirichlet([0.3, 0.3], rows) @ shared for rows in (80, 60)]
    used = np.r_[np.ones(40), np.zeros(40)]
    sides[0] += np.outer(used, own)
    return *(rng.poisson(side).astype(float) for side in sides), own, used


@pytest.mark.parametrize("loss", LOSSES)
def test_target_topics_hold_what_the_background_lacks(loss):
    x, y, own, used = planted(0)
    assert y[:, 14:].sum() == 0
    model = quick(n_shared=2, n_target=1, loss=loss, max_iter=100).fit(x, background=y)
    assert float(model.components_[0] @ own) / np.linalg.norm(own) > 0.95
    share = model.target_share()[:, 0]
    assert share[used == 1].min() > share[used == 0].max()
    assert model.explained_target_ > 0.8
    assert model.explained_background_ > 0.8


@pytest.mark.parametrize("loss", LOSSES)
def test_new_samples_are_solved_with_shared_topics_too(loss):
    x, y, _, _ = planted(1)
    model = quick(n_shared=2, n_target=1, loss=loss, max_iter=100, dtype="float64")
    model.fit(x, background=y)
    scale = model.usage_.max()
    np.testing.assert_allclose(model.transform(x), model.usage_, atol=0.02 * scale)
    assert np.median(model.transform(y)) < 0.05 * scale
    topics = np.vstack([model.shared_components_, model.components_])
    if loss == "squared_error":
        expected = [scipy.optimize.nnls(topics.T, row)[0][2] for row in x]
        np.testing.assert_allclose(model.transform(x)[:, 0], expected, atol=1e-6 * scale)


def test_target_share_is_the_part_of_the_fitted_total(data):
    x, y = data
    model = quick().fit(x, background=y)
    own = [np.outer(model.usage_[:, k], model.components_[k]).sum(1) for k in range(2)]
    whole = model.shared_usage_ @ model.shared_components_ + model.usage_ @ model.components_
    np.testing.assert_allclose(
        model.target_share(), np.transpose(own) / whole.sum(1, keepdims=True), rtol=1e-4
    )
    np.testing.assert_allclose(whole.sum(1), x.sum(1), rtol=0.05)  # as Poisson fits do


def test_given_topics_are_where_the_updates_start(data):
    x, y = data
    rng = np.random.default_rng(3)
    start = rng.random((3, 12)), rng.random((2, 12))
    model = quick(init=start, max_iter=1, dtype="float64").fit(x, background=y)
    again = quick(
        init=tuple(torch.as_tensor(one) for one in start), max_iter=1, dtype="float64"
    ).fit(x, background=y)
    np.testing.assert_array_equal(model.components_, again.components_)
    start[1][:, 4] = 0  # a loading of zero stays zero
    held = quick(init=start, max_iter=20).fit(x, background=y)
    assert (held.components_[:, 4] == 0).all()
    assert (held.shared_components_[:, 4] > 0).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_saved_models_come_back_whole(data, tmp_path, loss):
    x, y = data
    model = quick(loss=loss).fit(x, background=y)
    model.save(tmp_path / "model.npz")
    back = SharedTargetNMF.load(tmp_path / "model.npz")
    assert back.get_params() == model.get_params()
    for name in (
        "components_", "shared_components_", "usage_", "shared_usage_", "background_usage_",
        "objective_",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(back, name), getattr(model, name))
    for name in ("n_iter_", "converged_", "stages_", "device_", "explained_target_"):
        assert getattr(back, name) == getattr(model, name)
    np.testing.assert_array_equal(back.transform(x), model.transform(x))
    np.testing.assert_array_equal(
        back.inverse_transform(back.usage_), back.usage_ @ back.components_
    )
    np.testing.assert_array_equal(back.target_share(), model.target_share())
    with pytest.raises(InputError, match="holds SharedTargetNMF; expected BCNMF"):
        BCNMF.load(tmp_path / "model.npz")


def test_models_with_given_topics_and_other_fits_are_stored(data, tmp_path):
    x, y = data
    model = quick(init=(np.ones((3, 12)), np.ones((2, 12)))).fit(x, background=y)
    model.save(tmp_path / "model.npz")
    assert SharedTargetNMF.load(tmp_path / "model.npz").init == "seeded"
    Fit(x, y, np.ones((12, 12))).write(tmp_path / "other.npz")
    with np.load(tmp_path / "other.npz") as stored:
        assert "shared_components" not in stored
    assert Fit.read(tmp_path / "other.npz").shared_components.size == 0


def test_scikit_learn_can_clone_and_configure():
    model = clone(SharedTargetNMF(n_shared=4, n_target=3).set_params(refine=7))
    assert (model.n_shared, model.n_target, model.refine) == (4, 3, 7)
    assert "alpha" not in model.get_params()


def test_stages_stop_by_the_tolerance_or_say_that_they_did_not(data):
    x, y = data
    model = quick(max_iter=3000, tol=1e-4).fit(x, background=y)
    assert model.converged_
    first, second = stages(model)[:2]
    assert model.n_iter_ == len(first) + len(second) - 2 < 6000
    nothing = kl(x, np.outer(x.sum(1), x.sum(0)) / x.sum())
    for stage, offset in ((first, nothing), (second, first[-1] - nothing)):
        own = stage - offset
        if len(own) > 1 and (len(own) - 1) % 10 == 0:  # not ended by rounding
            assert own[-11] - own[-1] <= 1e-4 * own[-1]
            assert len(own) == 11 or own[-21] - own[-11] > 1e-4 * own[-11]
    with pytest.warns(ConvergenceWarning, match="max_iter=3 iterations of a stage"):
        quick(max_iter=3, tol=1e-9).fit(x, background=y)


def test_zero_rows_and_columns_do_no_harm(data):
    x, y = (side.copy() for side in data)
    x[3] = y[4] = 0
    x[:, 2] = y[:, 2] = 0
    for loss in LOSSES:
        for init in ("seeded", "random"):
            model = quick(loss=loss, init=init).fit(sp.csr_matrix(x), background=y)
            assert np.isfinite(model.usage_).all()
            assert (model.usage_[3] == 0).all()
            assert (model.target_share()[3] == 0).all()


def test_progress_names_stages(data, capsys):
    x, y = data
    quick(verbose=1, refine=10).fit(x, background=y)
    lines = capsys.readouterr().err.splitlines()
    for stage in ("shared topics", "target topics", "all topics"):
        assert any(line.startswith(f"{stage}, iteration 0/") for line in lines)


BAD_PARAMETERS = [
    ({"n_shared": 0}, "n_shared=0 is not allowed; expected an integer of at least 1"),
    ({"n_target": 1.5}, "n_target=1.5 is not allowed"),
    ({"n_target": 13}, "n_target=13 is larger than the data: the target has 30 samples and 12"),
    ({"n_shared": 13}, "n_shared=13 is larger than the data: the background has 20 samples and 12"),
    ({"loss": "kl"}, "loss='kl' is not known; allowed: poisson, squared_error"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"n_init": 0}, "n_init=0"),
    ({"refine": -1}, "refine=-1 is not allowed; expected an integer of at least 0"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"random_state": -1}, "random_state=-1"),
    ({"dtype": "float16"}, "dtype='float16' is not known"),
    ({"device": "tpu"}, "device='tpu' is not known"),
    ({"init": "nndsvd"}, "init='nndsvd' is not known; allowed: seeded, random, or two arrays"),
    ({"init": (np.ones((3, 12)),)}, r"init: 1 arrays given; expected two: shared_components \(3"),
    (
        {"init": (np.ones((3, 12)), np.ones((3, 12)))},
        r"init: components has shape \(3, 12\); expected \(2, 12\)",
    ),
    ({"init": (-np.ones((3, 12)), np.ones((2, 12)))}, "shared_components has negative"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters_are_refused_with_what_is_allowed(data, parameters, message):
    x, y = data
    with pytest.raises(InputError, match=message):
        quick(**parameters).fit(x, background=y)


def test_bad_data_are_refused_with_the_reason(data):
    x, y = data
    with pytest.raises(InputError, match="background is missing: shared topics are fitted to it"):
        quick().fit(x)
    with pytest.raises(InputError, match="background has 12 features, target has 8"):
        quick().fit(x[:, :8], background=y)
    with pytest.raises(InputError, match=r"target: .* negative values, the smallest -1"):
        quick().fit(x - 1, background=y)
    with pytest.raises(InputError, match=r"background: .* NaN or infinite"):
        quick().fit(x, background=np.where(y == y.max(), np.nan, y))
    with pytest.raises(InputError, match="background: all values are zero"):
        quick().fit(x, background=0 * y)


def test_use_before_fit_and_wrong_width(data):
    x, y = data
    for use in (lambda: quick().transform(x), lambda: quick().target_share()):
        with pytest.raises(InputError, match="this SharedTargetNMF is not fitted"):
            use()
    model = quick().fit(x, background=y)
    with pytest.raises(
        InputError, match="X has 5 features, but SharedTargetNMF is expecting 12 features"
    ):
        model.transform(x[:, :5])
    with pytest.raises(InputError, match=r"H: has shape \(30, 3\); expected \(samples, 2\)"):
        model.inverse_transform(np.ones((30, 3)))
