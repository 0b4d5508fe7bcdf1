"""Combined bases: descent, gradients, recovery, and the contract."""

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
from bcnmf.estimators.combined_basis import CombinedBasisNMF
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.seeds import seed_of_start
from bcnmf.solvers import combined

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")
QUICK = {"max_iter": 15, "tol": 0, "device": "cpu", "random_state": 1}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads change no digit, but wait for one another where others use the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def combined_basis(k=3, **parameters):
    return CombinedBasisNMF(k, **(QUICK | parameters))


def counts(seed, *shapes):
    rng = np.random.default_rng(seed)
    sides = [rng.poisson(1.5, shape).astype(float) for shape in shapes]
    for side in sides:
        side[0, 0] = 1  # never all zero
    return sides


@pytest.fixture(scope="module")
def data():
    return counts(1, (30, 12), (20, 12))


def matrix(values):
    return as_matrix(values, "data", torch.float64, torch.device("cpu"))


def squared(x, model):
    return float(((x - model) ** 2).sum())


def solved(x, topics):
    return np.array([scipy.optimize.nnls(topics.T, row)[0] for row in x])


def reduced(x, topics):
    return squared(x, solved(x, topics) @ topics)


def cosines(truth, found):
    """Return how well each true program is found."""
    truth, found = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (truth, found))
    return (truth @ found.T).max(1)


def slopes(function, at, steps):
    """Return central differences of `function` at `at` along each of `steps`."""
    return [(function(at + 1e-6 * step) - function(at - 1e-6 * step)) / 2e-6 for step in steps]


def overlap_objective(model, x, y):
    """Return the objective from the attributes alone."""
    shared, parts = (
        getattr(model, name).astype(float) for name in ("shared_components_", "target_components_")
    )
    topics = model.shared_weight_.astype(float)[:, None] * shared + parts
    return (
        squared(x, model.usage_ @ topics)
        + model.background_weight_ * squared(y, model.background_usage_ @ shared)
        + model.penalty_ * ((shared @ parts.T) ** 2).sum()
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 12),
    m=st.integers(2, 10),
    features=st.integers(2, 9),
    k=st.integers(1, 4),
    penalty=st.sampled_from([0.0, 0.01, 0.1, 10.0, 1e4]),
    weight=st.sampled_from([0.01, 1.0, 100.0]),
    relation=st.sampled_from(["relative", "absolute"]),
    init=st.sampled_from(["seeded", "random"]),
    sparse=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_objective_of_combined_bases_never_rises(
    seed, n, m, features, k, penalty, weight, relation, init, sparse, dtype
):
    x, y = counts(seed, (n, features), (m, features))
    container = sp.csr_matrix if sparse else np.asarray
    model = combined_basis(
        min(k, n, m, features), penalty=penalty, background_weight=weight, contrast=relation,
        init=init, dtype=dtype, random_state=seed,
    ).fit(container(x), background=container(y))  # fmt: skip
    assert (np.diff(model.objective_) <= 0).all()
    for name in ("components_", "shared_components_", "target_components_", "usage_",
                 "background_usage_", "shared_weight_"):  # fmt: skip
        values = getattr(model, name)
        assert values.dtype == dtype
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    for topics in (model.components_, model.shared_components_):
        np.testing.assert_allclose(np.linalg.norm(topics, axis=1), 1, rtol=1e-5)
    scale = (x**2).sum() + model.background_weight_ * (y**2).sum() + model.penalty_
    assert model.objective_[-1] == pytest.approx(overlap_objective(model, x, y), abs=2e-5 * scale)


def test_usages_are_solved_and_parts_add_up(data):
    x, y = data
    model = combined_basis(dtype="float64").fit(x, background=y)
    for usage, side, topics in (
        (model.usage_, x, model.components_),
        (model.background_usage_, y, model.shared_components_),
    ):
        np.testing.assert_allclose(usage, solved(side, topics), atol=1e-5 * usage.max())
    sum_of_parts = model.shared_weight_[:, None] * model.shared_components_
    np.testing.assert_allclose(model.components_, sum_of_parts + model.target_components_)
    assert model.objective_[-1] == pytest.approx(overlap_objective(model, x, y), rel=1e-7)
    assert model.explained_target_ == pytest.approx(
        1 - squared(x, model.usage_ @ model.components_) / (x**2).sum()
    )
    assert model.explained_background_ == pytest.approx(
        1 - squared(y, model.background_usage_ @ model.shared_components_) / (y**2).sum()
    )


def test_the_gradient_of_combined_bases_is_right():
    """By finite differences of the objective, extended to topics of any norm."""
    x, y = counts(5, (9, 6), (8, 6))
    rng = np.random.default_rng(6)

    def objective(flat):
        shared, weight, parts = flat[:18].reshape(3, 6), flat[18:21], flat[21:].reshape(3, 6)
        unit = shared / np.linalg.norm(shared, axis=1, keepdims=True)
        topics = weight[:, None] * unit + parts
        own = parts / np.linalg.norm(topics, axis=1, keepdims=True)
        return reduced(x, topics) + 1.7 * reduced(y, unit) + 40 * ((unit @ own.T) ** 2).sum()

    drawn = (torch.as_tensor(rng.random(shape) + 0.1) for shape in ((3, 6), (3,), (3, 6)))
    bases = combined.normalise(*drawn)
    problem = combined.Problem(matrix(x), matrix(y), 1.7, 40.0)
    start = [torch.zeros((rows, 3), dtype=torch.float64) for rows in (9, 8)]
    point = combined._evaluate(problem, bases, start)
    at = np.r_[bases.shared.numpy().ravel(), bases.weight.numpy(), bases.target.numpy().ravel()]
    assert point.objective == pytest.approx(objective(at))
    forces = combined._gradient(problem, point)
    assert all(bool((part >= 0).all()) for force in forces for part in force)
    gradient = 2 * np.concatenate([(push - pull).numpy().ravel() for pull, push in forces])
    steps = rng.normal(size=(8, len(at)))
    np.testing.assert_allclose(slopes(objective, at, steps), steps @ gradient, rtol=1e-4, atol=1e-3)


def test_the_penalty_cannot_be_evaded_by_scales(data):
    """Shrinking C_s at an unchanged fit makes the penalty of C_s C_t' vanish, but not this one."""
    x, y = data
    model = combined_basis(penalty=0.01, max_iter=40, dtype="float64").fit(x, background=y)
    shared, topics = model.shared_components_, model.components_
    literal, here = [], []
    for share in (1.0, 1e-1, 1e-3):
        weight = share * model.shared_weight_
        parts = topics - weight[:, None] * shared  # X is explained as before, and so is Y
        assert (parts >= -1e-12).all()
        literal.append((((weight[:, None] * shared) @ parts.T) ** 2).sum())
        here.append(((shared @ parts.T) ** 2).sum())
    assert literal[2] < 1e-5 * max(literal)
    assert here[0] < here[1] < here[2]


def planted_parts(seed, mixed, n=120, m=100):
    """Return data whose target programs come along with shared ones, or are mixed at random."""
    rng = np.random.default_rng(seed)
    noise = [0.05 * rng.random((rows, 50)) for rows in (n, m)]
    shared, own = np.zeros((3, 50)), np.zeros((2 if mixed else 3, 50))
    if not mixed:
        shared[:, :40] = rng.gamma(1, 1, (3, 40))
        for row in own:
            row[rng.choice(50, 8, replace=False)] = rng.gamma(2, 1, 8)
        usage, other = rng.gamma(0.5, 1, (n, 3)), rng.gamma(0.5, 1, (m, 3))
        return usage @ (shared + own) + noise[0], other @ shared + noise[1], shared, own
    for i, row in enumerate((*shared, *own)):
        row[10 * i : 10 * i + 10] = rng.gamma(2, 0.5, 10)
    depth = [rng.gamma(5, 0.6, (rows, 1)) for rows in (n, m)]
    x = depth[0] * shared[rng.integers(3, size=n)]
    x = x + rng.gamma(5, 0.2, (n, 1)) * own[rng.integers(2, size=n)]
    return x + noise[0], depth[1] * shared[rng.integers(3, size=m)] + noise[1], shared, own


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("mixed", [False, True])
def test_shared_and_target_parts_are_found(seed, mixed):
    x, y, shared, own = planted_parts(seed, mixed)
    model = combined_basis(5 if mixed else 3, max_iter=300, tol=1e-5).fit(x, background=y)
    assert model.converged_
    assert cosines(shared, model.shared_components_).min() > 0.98
    assert cosines(own, model.target_components_).min() > 0.95
    # What the background lacks is not in any shared topic.
    assert cosines(model.shared_components_, own).max() < (0.1 if mixed else 0.6)


def test_units_and_repeated_samples_change_no_topic(data):
    x, y = data
    model = combined_basis(dtype="float64", init="random").fit(x, background=y)
    other = combined_basis(dtype="float64", init="random").fit(
        1e3 * np.vstack([x, x]), background=np.vstack([y, y, y])
    )
    np.testing.assert_allclose(other.objective_, 2e6 * model.objective_, rtol=1e-6)
    np.testing.assert_allclose(other.components_, model.components_, atol=1e-5)
    np.testing.assert_allclose(other.shared_components_, model.shared_components_, atol=1e-5)
    absolute = combined_basis(
        dtype="float64", init="random", contrast="absolute", penalty=model.penalty_,
        background_weight=model.background_weight_,
    ).fit(x, background=y)  # fmt: skip
    np.testing.assert_array_equal(absolute.components_, model.components_)


@pytest.mark.parametrize("container", [sp.csr_matrix, torch.as_tensor, ad.AnnData])
def test_every_container_gives_the_same_combined_bases(data, container):
    x, y = data
    expected = combined_basis(dtype="float64").fit(x, background=y)
    model = combined_basis(dtype="float64").fit(container(x), background=container(y))
    np.testing.assert_allclose(model.objective_, expected.objective_, rtol=1e-6)
    np.testing.assert_allclose(model.components_, expected.components_, atol=1e-4)


def test_batches_change_no_combined_bases(data):
    x, y = (sp.csr_matrix(side) for side in data)
    whole = combined_basis(dtype="float64").fit(x, background=y)
    batched = combined_basis(dtype="float64", batch_size=8).fit(x, background=y)
    np.testing.assert_allclose(batched.objective_, whole.objective_, rtol=1e-8)
    np.testing.assert_allclose(batched.components_, whole.components_, atol=1e-6)
    with pytest.raises(InputError, match="batch_size=0 is not allowed"):
        combined_basis(batch_size=0).fit(x, background=y)


def test_given_parts_are_where_combined_bases_start(data):
    x, y = data
    rng = np.random.default_rng(7)
    start = rng.random((3, 12)), rng.random((3, 12))
    model = combined_basis(init=start, dtype="float64", max_iter=1).fit(x, background=y)
    norms = np.linalg.norm(start[0] + start[1], axis=1, keepdims=True)
    unit = start[0] / np.linalg.norm(start[0], axis=1, keepdims=True)
    overlap = ((unit @ (start[1] / norms).T) ** 2).sum()
    expected = (
        reduced(x, start[0] + start[1])
        + model.background_weight_ * reduced(y, start[0])
        + model.penalty_ * overlap
    )
    assert model.objective_[0] == pytest.approx(expected)


def test_new_samples_use_combined_topics(data):
    x, y = data
    model = combined_basis(dtype="float64").fit(x, background=y)
    np.testing.assert_allclose(model.transform(x), model.usage_, atol=1e-6)
    np.testing.assert_array_equal(
        model.inverse_transform(model.usage_), model.usage_ @ model.components_
    )
    with pytest.raises(
        InputError, match="X has 5 features, but CombinedBasisNMF is expecting 12 features"
    ):
        model.transform(x[:, :5])
    with pytest.raises(InputError, match="this CombinedBasisNMF is not fitted"):
        combined_basis().transform(x)


def test_a_seed_gives_the_same_numbers_and_another_seed_others(data):
    x, y = data
    first, again, other = (
        combined_basis(random_state=s).fit_transform(x, background=y) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_n_init_keeps_the_best_objective(data):
    x, y = data
    singles = [
        combined_basis(random_state=seed_of_start(5, i)).fit(x, background=y).objective_[-1]
        for i in range(3)
    ]
    best = combined_basis(random_state=5, n_init=3).fit(x, background=y)
    assert best.objective_[-1] == min(singles)


def test_saved_models_come_back_whole(data, tmp_path):
    x, y = data
    model = combined_basis().fit(x, background=y)
    model.save(tmp_path / "model.npz")
    back = type(model).load(tmp_path / "model.npz")
    assert back.get_params() == model.get_params()
    fitted = [name for name in vars(model) if name.endswith("_")]
    assert sorted(fitted) == sorted(name for name in vars(back) if name.endswith("_"))
    for name in fitted:
        found, expected = getattr(back, name), getattr(model, name)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(back.transform(x), model.transform(x))
    with pytest.raises(InputError, match="expected BCNMF"):
        BCNMF.load(tmp_path / "model.npz")


def test_given_bases_are_not_stored_as_a_setting(data, tmp_path):
    x, y = data
    combined_basis(init=(np.ones((3, 12)), np.eye(3, 12))).fit(x, background=y).save(
        tmp_path / "model.npz"
    )
    assert CombinedBasisNMF.load(tmp_path / "model.npz").init == "seeded"


def test_scikit_learn_can_clone_and_configure():
    model = clone(CombinedBasisNMF(4).set_params(penalty=3.0))
    assert (model.n_components, model.penalty) == (4, 3.0)
    assert "alpha" not in model.get_params()


def test_convergence_is_reported_and_warned_about(data):
    x, y = data
    model = combined_basis(max_iter=2000, tol=1e-5).fit(x, background=y)
    assert model.converged_
    assert 0 < model.n_iter_ < 2000
    assert model.kkt_residual_ <= 1e-5**0.5
    assert len(model.objective_) == model.n_iter_ + 1
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations") as caught:
        combined_basis(max_iter=2, tol=1e-5).fit_transform(x, background=y)
    assert caught[0].filename == __file__


def test_dead_topics_are_named(data):
    x, y = data
    x = np.hstack([x, np.zeros((30, 4))])
    y = np.hstack([y, np.zeros((20, 4))])
    empty = np.zeros((3, 16))
    empty[0, 12:] = 1  # where there are no data
    start = np.random.default_rng(0).random((3, 16))
    start[0] = empty[0]
    with pytest.warns(ConvergenceWarning) as caught:
        combined_basis(init=(start, empty), max_iter=1, penalty=0).fit(x, background=y)
    texts = [str(one.message) for one in caught]
    assert any("the target uses topics 1 of 3 nowhere; lower n_components" in t for t in texts)
    assert any("the background uses shared topics 1 of 3 nowhere, so they may" in t for t in texts)


def test_zero_samples_and_features_do_no_harm(data):
    x, y = (side.copy() for side in data)
    for side in (x, y):
        assert side.min() == 0
        side[3], side[:, 2] = 0, 0
    model = combined_basis().fit(x, background=y)
    assert np.isfinite(model.usage_).all()
    assert (model.usage_[3] == 0).all()


def test_progress_is_shown(data, capsys):
    x, y = data
    combined_basis(verbose=1).fit(x, background=y)
    assert "iteration 0/15  objective" in capsys.readouterr().err


BAD_PARAMETERS = [
    ({"n_components": 0}, "n_components=0 is not allowed; expected an integer of at least 1"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"n_init": 0}, "n_init=0"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"random_state": -1}, "random_state=-1"),
    ({"dtype": "float16"}, "dtype='float16' is not known"),
    ({"device": "tpu"}, "device='tpu' is not known"),
    ({"contrast": "both"}, "contrast='both' is not known; allowed: relative, absolute"),
    ({"init": "nndsvd"}, "init='nndsvd' is not known; allowed: "),
    ({"n_components": 13}, "n_components=13 is larger than the data: the target has 30 samples"),
    ({"penalty": -1.0}, "penalty=-1.0 is not allowed"),
    ({"background_weight": 0}, "background_weight=0 is not allowed: shared topics would be"),
    ({"init": (np.ones((3, 12)),)}, r"init: 1 arrays given; expected two: shared_components \(3"),
    (
        {"init": (np.ones((3, 12)), -np.ones((3, 12)))},
        "init: target_components has negative, NaN or infinite entries",
    ),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_bad_parameters_of_bases_are_refused(data, parameters, message):
    x, y = data
    with pytest.raises(InputError, match=message):
        CombinedBasisNMF(**({"n_components": 3} | parameters)).fit(x, background=y)


def test_bad_data_of_bases_are_refused_with_the_reason(data):
    x, y = data
    for (target, background), message in (
        ((x, None), "background is missing: shared topics are fitted to it"),
        ((x[:, :8], y), "background has 12 features, target has 8"),
        ((x, y[:2]), "n_components=3 is larger than the data: the background has 2 samples"),
        ((x - 9, y), "target: .* negative values"),
        ((x, np.where(y == y.max(), np.nan, y)), "background: .* NaN or infinite"),
        ((x, 0 * y), "background: all values are zero"),
    ):
        with pytest.raises(InputError, match=message):
            combined_basis().fit(target, background=background)
