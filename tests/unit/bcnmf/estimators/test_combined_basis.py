"""Several blocks at once, and combined bases: descent, gradients, recovery, and the contract."""

import json

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
from bcnmf.estimators.combined_basis import CombinedBasisNMF, MultimodalBCNMF
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.solvers import combined
from bcnmf.solvers.contrast import Term, evaluate, gradient_parts

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")
QUICK = {"max_iter": 15, "tol": 0, "device": "cpu", "random_state": 1}


@pytest.fixture(autouse=True)
def one_thread():
    """Threads change no digit, but wait for one another where others use the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def multimodal(k=3, **parameters):
    return MultimodalBCNMF(k, **({"alpha": 0.5} | QUICK | parameters))


def combined_basis(k=3, **parameters):
    return CombinedBasisNMF(k, **(QUICK | parameters))


def counts(seed, *shapes):
    rng = np.random.default_rng(seed)
    sides = [rng.poisson(1.5, shape).astype(float) for shape in shapes]
    for side in sides:
        side[0, 0] = 1  # never all zero
    return sides


@pytest.fixture(scope="module")
def blocks():
    drawn = counts(0, (30, 12), (30, 7), (20, 12), (20, 7))
    return drawn[:2], drawn[2:]


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


# Several blocks


def contrast(model, xs, ys, usages=None):
    """Return the objective block by block, at the model's usages or at given ones."""
    usage, other = usages or (model.usage_.astype(float), model.background_usage_.astype(float))
    return sum(
        weight * (squared(x, usage @ c) - (alpha * squared(y, other @ c) if alpha else 0.0))
        for x, y, c, weight, alpha in zip(
            xs, ys, model.components_, model.block_weights_, model.alpha_, strict=True
        )
    )


def best_usages(model, xs, ys):
    """Solve the usages from blocks stacked in plain numpy."""
    roots = np.sqrt(model.block_weights_)
    contrasts = roots * np.sqrt(model.alpha_)
    return tuple(
        solved(
            np.hstack([part * scale for part, scale in zip(side, scales, strict=True)]),
            np.hstack([c * scale for c, scale in zip(model.components_, scales, strict=True)]),
        )
        for side, scales in ((xs, roots), (ys, contrasts))
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 12),
    m=st.integers(1, 10),
    features=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    k=st.integers(1, 4),
    alpha=st.lists(st.sampled_from([0.0, 0.5, 2.0, 50.0]), min_size=3, max_size=3),
    weights=st.sampled_from(["balanced", "none", [2.0, 0.3, 1.0]]),
    relation=st.sampled_from(["relative", "absolute"]),
    sparse=st.sampled_from([(), (0,), (0, 1, 2)]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_the_contrast_of_blocks_never_rises(
    seed, n, m, features, k, alpha, weights, relation, sparse, dtype
):
    count = len(features)
    drawn = counts(seed, *[(rows, width) for rows in (n, m) for width in features])
    xs, ys = drawn[:count], drawn[count:]
    weights = weights if isinstance(weights, str) else weights[:count]
    given_blocks, background = (
        [sp.csr_matrix(one) if i in sparse else one for i, one in enumerate(side)]
        for side in (xs, ys)
    )
    model = multimodal(
        min(k, n, sum(features)), alpha=alpha[:count], contrast=relation, block_weights=weights,
        dtype=dtype, random_state=seed,
    ).fit(given_blocks, background=background)  # fmt: skip
    assert (np.diff(model.objective_) <= 0).all()
    for values in (*model.components_, model.usage_, model.background_usage_):
        assert values.dtype == dtype
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    roots = np.sqrt(model.block_weights_)
    stacked = np.hstack([c * root for c, root in zip(model.components_, roots, strict=True)])
    np.testing.assert_allclose(np.linalg.norm(stacked, axis=1), 1, rtol=1e-5)
    energies = [
        weight * (np.square(x).sum() + a * np.square(y).sum())
        for weight, x, a, y in zip(model.block_weights_, xs, model.alpha_, ys, strict=True)
    ]
    assert model.objective_[-1] == pytest.approx(contrast(model, xs, ys), abs=2e-5 * sum(energies))


def test_usages_and_objective_are_those_of_the_definition(blocks):
    xs, ys = blocks
    model = multimodal(alpha=[0.5, 1.5], dtype="float64").fit(xs, background=ys)
    usages = best_usages(model, xs, ys)
    np.testing.assert_allclose(model.usage_, usages[0], atol=1e-5 * model.usage_.max())
    np.testing.assert_allclose(model.background_usage_, usages[1], atol=1e-5 * usages[1].max())
    assert model.objective_[-1] == pytest.approx(contrast(model, xs, ys, usages), rel=1e-7)
    for explained, side, usage in (
        (model.explained_target_, xs, usages[0]),
        (model.explained_background_, ys, usages[1]),
    ):
        expected = [
            1 - squared(part, usage @ c) / (part**2).sum()
            for part, c in zip(side, model.components_, strict=True)
        ]
        np.testing.assert_allclose(explained, expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.alpha_,
        [a * (x**2).sum() / (y**2).sum() for a, x, y in zip([0.5, 1.5], xs, ys, strict=True)],
    )


def test_balanced_weights_give_every_block_the_same_energy(blocks):
    xs, ys = blocks
    model = multimodal(dtype="float64").fit(xs, background=ys)
    energies = [w * (x**2).sum() for w, x in zip(model.block_weights_, xs, strict=True)]
    assert energies[0] == pytest.approx(energies[1])
    assert sum(energies) == pytest.approx(sum((x**2).sum() for x in xs))
    # Hence the units of a block change nothing but the units of its topics.
    again = multimodal(dtype="float64").fit([xs[0], 1e3 * xs[1]], background=[ys[0], 1e3 * ys[1]])
    share = again.objective_[-1] / again.objective_[0]
    assert share == pytest.approx(model.objective_[-1] / model.objective_[0], rel=1e-6)
    whole = [np.hstack([c / np.linalg.norm(c) for c in fit.components_]) for fit in (model, again)]
    np.testing.assert_allclose(whole[0], whole[1], atol=1e-5)


@pytest.mark.parametrize("weights", ["balanced", [3.0]])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_one_block_is_the_contrast(blocks, alpha, container, weights):
    (x, *_), (y, *_) = blocks
    parameters = QUICK | {"dtype": "float64", "alpha": alpha}
    alone = BCNMF(3, **parameters).fit(container(x), background=container(y))
    model = MultimodalBCNMF(3, block_weights=weights, **parameters)
    model.fit([container(x)], background=[container(y)])
    weight = 1.0 if weights == "balanced" else 3.0
    np.testing.assert_allclose(model.objective_, weight * alone.objective_, rtol=1e-6)
    root = weight**0.5
    np.testing.assert_allclose(root * model.components_[0], alone.components_, atol=1e-5)
    scale = alone.usage_.max()
    np.testing.assert_allclose(model.usage_ / root, alone.usage_, atol=1e-4 * scale)
    np.testing.assert_allclose(
        model.background_usage_ / root, alone.background_usage_, atol=1e-4 * scale
    )
    assert model.alpha_ == [pytest.approx(alone.alpha_)]
    assert model.explained_target_ == [pytest.approx(alone.explained_target_)]
    assert model.explained_background_ == [pytest.approx(alone.explained_background_)]


def test_without_contrast_a_block_of_the_background_does_not_matter(blocks):
    xs, ys = blocks
    others = [ys[1], 5 * ys[1][::-1], 0 * ys[1], None]
    for alpha in ([0.8, 0.0], 0.0):
        fits = [multimodal(alpha=alpha).fit(xs, background=[ys[0], other]) for other in others]
        for fit in fits[1:]:
            for found, expected in zip(fit.components_, fits[0].components_, strict=True):
                np.testing.assert_array_equal(found, expected)
        assert np.isnan(fits[3].explained_background_[1])
        assert np.isfinite(fits[3].explained_background_[0])
    without = multimodal(alpha=0).fit(xs)
    np.testing.assert_array_equal(without.components_[0], fits[0].components_[0])
    assert without.background_usage_.shape == (0, 3)


def test_the_gradient_of_the_contrast_of_blocks_is_right():
    """By finite differences of the objective as it is defined, with scipy's usages."""
    xs, ys = (list(part) for part in np.split(np.array(counts(3, *[(9, 5)] * 4)), 2))
    weights, alphas = np.array([0.7, 2.0]), np.array([0.4, 1.3])
    rng = np.random.default_rng(4)
    roots = np.sqrt(weights)

    def objective(stacked):
        """Take weighted components; use those of the data, block by block."""
        parts = [part / root for part, root in zip(np.split(stacked, 2, 1), roots, strict=True)]
        usages = [
            solved(np.hstack([p * s for p, s in zip(side, scales, strict=True)]),
                   np.hstack([c * s for c, s in zip(parts, scales, strict=True)]))
            for side, scales in ((xs, roots), (ys, roots * np.sqrt(alphas)))
        ]  # fmt: skip
        return sum(
            weight * (squared(x, usages[0] @ c) - alpha * squared(y, usages[1] @ c))
            for x, y, c, weight, alpha in zip(xs, ys, parts, weights, alphas, strict=True)
        )

    components = rng.random((3, 10)) + 0.1
    components /= np.linalg.norm(components, axis=1, keepdims=True)
    scale = np.repeat(np.sqrt(alphas), 5)
    spread = np.repeat(roots, 5)
    sides = [
        Term(matrix(np.hstack(xs) * spread), 1.0),
        Term(matrix(np.hstack(ys) * spread * scale), -1.0, torch.as_tensor(scale)),
    ]
    start = [torch.zeros((9, 3), dtype=torch.float64) for _ in sides]
    point = evaluate(sides, torch.as_tensor(components), start)
    assert point.objective == pytest.approx(objective(components))
    pull, push = gradient_parts(sides, point)
    steps = rng.normal(size=(6, 3, 10))
    expected = [2 * float(((push - pull).numpy() * step).sum()) for step in steps]
    np.testing.assert_allclose(slopes(objective, components, steps), expected, rtol=1e-4, atol=1e-4)


def planted_blocks(seed, n=90, m=70):
    """Return target and background in two blocks, and for each two shared programs and an own."""
    rng = np.random.default_rng(seed)
    usage, other = rng.gamma(2, 2, (n, 2)), rng.gamma(2, 2, (m, 2))
    own_usage = rng.gamma(2, 1, (n, 1))
    xs, ys, programs = [], [], []
    for features, units in ((24, 1.0), (15, 300.0)):
        shared, own = np.zeros((2, features)), np.zeros((1, features))
        third = features // 3
        shared[0, :third] = shared[1, third : 2 * third] = 1
        own[0, 2 * third :] = rng.gamma(4, 0.25, features - 2 * third)
        noise = [0.05 * rng.random((rows, features)) for rows in (n, m)]
        xs.append(units * (usage @ shared + own_usage @ own + noise[0]))
        ys.append(units * (other @ shared + noise[1]))
        programs.append(np.vstack([shared, own]))
    return xs, ys, programs


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_programs_are_found_in_every_block(seed):
    xs, ys, programs = planted_blocks(seed)
    model = multimodal(1, alpha=8.0, max_iter=100).fit(xs, background=ys)
    plain = multimodal(1, alpha=0.0, max_iter=100).fit(xs, background=ys)
    for truth, *found in zip(programs, model.components_, plain.components_, strict=True):
        assert cosines(truth[2:], found[0]) > 0.97
        assert cosines(truth[2:], found[1]) < 0.7
    every = multimodal(3, alpha=0.0, max_iter=300).fit(xs, background=ys)
    assert min(every.explained_target_) > 0.99
    for truth, found in zip(programs, every.components_, strict=True):
        assert cosines(truth, found).min() > 0.97
    # The same topics in both blocks.
    order = [
        (truth @ found.T / np.linalg.norm(found, axis=1)).argmax(1)
        for truth, found in zip(programs, every.components_, strict=True)
    ]
    np.testing.assert_array_equal(*order)


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csc_array, torch.as_tensor, ad.AnnData])
def test_every_container_gives_the_same_fit_of_blocks(blocks, container):
    xs, ys = blocks
    expected = multimodal(dtype="float64").fit(xs, background=ys)
    model = multimodal(dtype="float64").fit(
        [container(xs[0]), xs[1]], background=[container(ys[0]), ys[1]]
    )
    np.testing.assert_allclose(model.objective_, expected.objective_, rtol=1e-6)
    np.testing.assert_allclose(model.components_[0], expected.components_[0], atol=1e-5)
    np.testing.assert_allclose(model.usage_, expected.usage_, atol=1e-3)


def test_sparse_blocks_are_never_made_dense(blocks, monkeypatch):
    xs, ys = ([sp.csr_matrix(one) for one in side] for side in blocks)

    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    model = multimodal(alpha=[1.0, 0.0]).fit(xs, background=[ys[0], None])
    assert model.transform(xs).shape == (30, 3)


def test_new_samples_are_solved_from_all_blocks(blocks):
    xs, ys = blocks
    model = multimodal(dtype="float64").fit(xs, background=ys)
    np.testing.assert_allclose(model.transform(xs), model.usage_, atol=1e-6)
    np.testing.assert_allclose(model.transform(ys)[3:], model.transform([y[3:] for y in ys]))
    for found, c in zip(model.inverse_transform(model.usage_), model.components_, strict=True):
        np.testing.assert_array_equal(found, model.usage_ @ c)
    with pytest.raises(InputError, match=r"H: has shape \(30, 2\); expected \(samples, 3\)"):
        model.inverse_transform(model.usage_[:, :2])
    with pytest.raises(InputError, match="X: has 1 blocks with 12 features; the model was fitted"):
        model.transform(xs[:1])
    with pytest.raises(InputError, match="this MultimodalBCNMF is not fitted"):
        multimodal().transform(xs)


def test_given_starts_are_in_the_units_of_the_data(blocks):
    xs, ys = blocks
    rng = np.random.default_rng(5)
    start = [rng.random((3, 12)), rng.random((3, 7))], rng.random((30, 3)), rng.random((20, 3))
    model = multimodal(init=start, dtype="float64", max_iter=1).fit(xs, background=ys)
    roots = np.sqrt(model.block_weights_)
    stacked = np.hstack([c * root for c, root in zip(start[0], roots, strict=True)])
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    model.components_ = [c / norms for c in start[0]]
    expected = contrast(model, xs, ys, best_usages(model, xs, ys))
    assert model.objective_[0] == pytest.approx(expected)


# Combined bases


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
    with pytest.raises(InputError, match="X: has 5 features; the model was fitted on 12"):
        model.transform(x[:, :5])
    with pytest.raises(InputError, match="this CombinedBasisNMF is not fitted"):
        combined_basis().transform(x)


# Both


@pytest.fixture(params=["multimodal", "combined"])
def variant(request, blocks, data):
    """Return a way to make a model, and a target and background for it."""
    if request.param == "multimodal":
        return multimodal, *blocks
    return combined_basis, *data


def test_a_seed_gives_the_same_numbers_and_another_seed_others(variant):
    make, x, y = variant
    first, again, other = (make(random_state=s).fit_transform(x, background=y) for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_n_init_keeps_the_best_objective(variant):
    make, x, y = variant
    singles = [make(random_state=s).fit(x, background=y).objective_[-1] for s in (5, 6, 7)]
    best = make(random_state=5, n_init=3).fit(x, background=y)
    assert best.objective_[-1] == min(singles)


def test_saved_models_come_back_whole(variant, tmp_path):
    make, x, y = variant
    model = make().fit(x, background=y)
    model.save(tmp_path / "model.npz")
    back = type(model).load(tmp_path / "model.npz")
    assert back.get_params() == model.get_params()
    fitted = [name for name in vars(model) if name.endswith("_")]
    assert sorted(fitted) == sorted(name for name in vars(back) if name.endswith("_"))
    for name in fitted:
        found, expected = getattr(back, name), getattr(model, name)
        assert type(found) is type(expected)
        if name == "components_" and isinstance(found, list):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(back.transform(x), model.transform(x))
    with pytest.raises(InputError, match="expected BCNMF"):
        BCNMF.load(tmp_path / "model.npz")


def test_models_of_blocks_with_arrays_as_settings_are_stored(blocks, tmp_path):
    xs, ys = blocks
    start = [np.ones((3, 12)), np.ones((3, 7))], np.ones((30, 3)), np.ones((20, 3))
    model = multimodal(alpha=np.array([0.5, 0]), block_weights=(1, 2.5), init=start)
    model.fit(xs, background=[ys[0], None]).save(tmp_path / "model.npz")
    back = MultimodalBCNMF.load(tmp_path / "model.npz")
    assert (back.alpha, back.block_weights, back.init) == ([0.5, 0.0], [1.0, 2.5], "random")
    assert np.isnan(back.explained_background_[1])
    json.dumps(model.to_fit().info, allow_nan=False)


def test_given_bases_are_not_stored_as_a_setting(data, tmp_path):
    x, y = data
    combined_basis(init=(np.ones((3, 12)), np.eye(3, 12))).fit(x, background=y).save(
        tmp_path / "model.npz"
    )
    assert CombinedBasisNMF.load(tmp_path / "model.npz").init == "seeded"


def test_scikit_learn_can_clone_and_configure():
    model = clone(MultimodalBCNMF(4, alpha=[1.0, 2.0]).set_params(block_weights="none"))
    assert (model.n_components, model.alpha, model.block_weights) == (4, [1.0, 2.0], "none")
    model = clone(CombinedBasisNMF(4).set_params(penalty=3.0))
    assert (model.n_components, model.penalty) == (4, 3.0)
    assert "alpha" not in model.get_params()


def test_convergence_is_reported_and_warned_about(variant):
    make, x, y = variant
    model = make(max_iter=2000, tol=1e-5).fit(x, background=y)
    assert model.converged_
    assert 0 < model.n_iter_ < 2000
    assert model.kkt_residual_ <= 1e-5**0.5
    assert len(model.objective_) == model.n_iter_ + 1
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations") as caught:
        make(max_iter=2, tol=1e-5).fit_transform(x, background=y)
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


def test_zero_samples_and_features_do_no_harm(variant):
    make, x, y = variant
    for side in (x, y) if isinstance(x, list) else ([x], [y]):
        assert all(part.min() == 0 for part in side)
    blank = [[part.copy() for part in (side if isinstance(side, list) else [side])]
             for side in (x, y)]  # fmt: skip
    for side in blank:
        for part in side:
            part[3], part[:, 2] = 0, 0
    target, background = blank if isinstance(x, list) else (blank[0][0], blank[1][0])
    model = make().fit(target, background=background)
    assert np.isfinite(model.usage_).all()
    assert (model.usage_[3] == 0).all()


def test_progress_is_shown(variant, capsys):
    make, x, y = variant
    make(verbose=1).fit(x, background=y)
    assert "iteration 0/15  objective" in capsys.readouterr().err


COMMON = [
    ({"n_components": 0}, "n_components=0 is not allowed; expected an integer of at least 1"),
    ({"max_iter": 0}, "max_iter=0"),
    ({"n_init": 0}, "n_init=0"),
    ({"tol": -1.0}, "tol=-1.0"),
    ({"random_state": -1}, "random_state=-1"),
    ({"dtype": "float16"}, "dtype='float16' is not known"),
    ({"device": "tpu"}, "device='tpu' is not known"),
    ({"contrast": "both"}, "contrast='both' is not known; allowed: relative, absolute"),
    ({"init": "nndsvd"}, "init='nndsvd' is not known; allowed: "),
]
OF_BLOCKS = [
    ({"n_components": 20}, "n_components=20 is larger than the data: the target has 30 .* and 19"),
    ({"alpha": -1.0}, r"alpha=-1.0 is not allowed; expected a number in \[0.0, inf\]"),
    ({"alpha": [1.0, np.nan]}, r"alpha\[1\]=nan is not allowed"),
    ({"alpha": [1.0, 2.0, 3.0]}, "alpha: 3 values for 2 blocks; give one number, or one per block"),
    ({"alpha": "strong"}, "alpha='strong' is not allowed; expected a number, or one number per"),
    ({"block_weights": "equal"}, "block_weights='equal' is not known; allowed: 'balanced', 'none'"),
    ({"block_weights": [1.0]}, "block_weights: 1 values for 2 blocks"),
    ({"block_weights": [1.0, 0.0]}, r"block_weights\[1\]=0 is not allowed; leave the block out"),
    ({"init": (np.ones((3, 12)),) * 3}, r"components a list of 2 arrays, \(K, 12\), \(K, 7\)"),
    (
        {"init": ([np.ones((3, 12)), np.ones((3, 8))], np.ones((30, 3)), np.ones((20, 3)))},
        r"init: components of block 2 have shape \(3, 8\); expected \(K, 7\)",
    ),
]
OF_BASES = [
    ({"n_components": 13}, "n_components=13 is larger than the data: the target has 30 samples"),
    ({"penalty": -1.0}, "penalty=-1.0 is not allowed"),
    ({"background_weight": 0}, "background_weight=0 is not allowed: shared topics would be"),
    ({"init": (np.ones((3, 12)),)}, r"init: 1 arrays given; expected two: shared_components \(3"),
    (
        {"init": (np.ones((3, 12)), -np.ones((3, 12)))},
        "init: target_components has negative, NaN or infinite entries",
    ),
]


@pytest.mark.parametrize(("parameters", "message"), [*COMMON, *OF_BLOCKS])
def test_bad_parameters_of_blocks_are_refused(blocks, parameters, message):
    xs, ys = blocks
    with pytest.raises(InputError, match=message):
        MultimodalBCNMF(**({"n_components": 3} | parameters)).fit(xs, background=ys)


@pytest.mark.parametrize(("parameters", "message"), [*COMMON, *OF_BASES])
def test_bad_parameters_of_bases_are_refused(data, parameters, message):
    x, y = data
    with pytest.raises(InputError, match=message):
        CombinedBasisNMF(**({"n_components": 3} | parameters)).fit(x, background=y)


def test_bad_blocks_are_refused_with_the_reason(blocks):
    (x1, x2), (y1, y2) = blocks
    cases = [
        ((x1, [y1, y2]), r"target: expected a list of blocks.* found ndarray of shape \(30, 12\)"),
        (([], [y1, y2]), "target: expected a list of blocks.* found an empty list"),
        (([x1, x2], None), "background is missing: alpha=0.5 needs one"),
        (([x1, x2], [y1]), "background has 1 blocks, target has 2; both need the same blocks"),
        (([x1, x2[:9]], [y1, y2]), "target: the blocks have 30, 9 samples; all blocks need"),
        (([x1, x2], [y1, y2[:, :4]]), "background, block 2 has 4 features, .* target has 7"),
        (([x1, x2], [y1, None]), "background, block 2 is missing, but its alpha is 0.5"),
        (([x1, x2], [y1, 0 * y2]), "background, block 2 has only zeros, but its alpha is 0.5"),
        (([x1, 0 * x2], [y1, y2]), "target, block 2: all values are zero"),
        (([x1, x2 - 9], [y1, y2]), "target, block 2: .* negative values"),
        (([x1, x2], [y1 * np.nan, y2]), "background, block 1: .* NaN or infinite"),
        (([x1, None], [y1, y2]), "target, block 2"),
    ]
    for (target, background), message in cases:
        with pytest.raises(InputError, match=message):
            multimodal().fit(target, background=background)


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
