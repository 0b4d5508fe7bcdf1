"""Data as people have them: what carries meaning is honoured or refused, at every door."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, InputError, SharedTargetNMF, coverage, crossfit
from bcnmf.matrices.inputs import host_array
from bcnmf.scoring import background_topics, target_score_of
from bcnmf.selection import select
from bcnmf.tools import fit, project
from kinds_of_data import (
    ACCEPTED,
    GENES,
    REFUSED,
    M,
    N,
    X,
    Y,
    cells,
    csr,
    mapped,
    masked,
    put,
    table,
)

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

QUICK = {"n_components": 2, "alpha": 0.5, "max_iter": 5, "tol": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def model():
    return BCNMF(**QUICK).fit(X, background=Y)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_accepted_is_fitted_like_plain_numbers(model, kind, tmp_path):
    make = ACCEPTED[kind]
    make = mapped(tmp_path, make) if isinstance(make, str) else make
    x, y = make(X), make(Y)
    # In double precision, so that sums in another order make no difference.
    exact = QUICK | {"dtype": "float64"}
    expected = BCNMF(**exact).fit(X, background=Y).components_
    for batch_size in (None, 7):
        found = BCNMF(**exact, batch_size=batch_size).fit(x, background=y)
        np.testing.assert_allclose(found.components_, expected, atol=1e-7)
    np.testing.assert_allclose(model.transform(x), model.transform(X), atol=1e-5)


DOORS = {
    "fit": lambda bad, model: BCNMF(**QUICK).fit(bad(X), background=Y),
    "background": lambda bad, model: BCNMF(**QUICK).fit(X, background=bad(Y)),
    "batches": lambda bad, model: BCNMF(**QUICK, batch_size=7).fit(bad(X), background=Y),
    "shared": lambda bad, model: SharedTargetNMF(2, 2, device="cpu").fit(X, background=bad(Y)),
    "transform": lambda bad, model: model.transform(bad(X)),
    "target_score": lambda bad, model: model.target_score(bad(X)),
    "crossfit": lambda bad, model: crossfit(BCNMF(**QUICK), bad(X), background=Y),
    "coverage": lambda bad, model: coverage(X, bad(Y)),
    "select": lambda bad, model: select(X, bad(Y), n_components=[2], alphas=[1.0], device="cpu"),
    "background_topics": lambda bad, model: background_topics(bad(Y), 2, device="cpu"),
    "target_score_of": lambda bad, model: target_score_of(bad(X), Y[:2], Y[2:4], device="cpu"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_refused_at_every_door(model, kind):
    bad, message = REFUSED[kind]
    for door, enter in DOORS.items():
        if door == "coverage" and "in float32" in kind:  # which computes in float64
            continue
        with pytest.raises(InputError, match=rf"(?s)^(target|background|X)\b.*{message}"):
            enter(bad, model)


@pytest.mark.parametrize("dtype", ["u1", "i8", "f2", ">f4", "g"])
def test_what_stands_twice_at_a_place_is_added_up_and_does_not_wrap(dtype):
    coo = sp.coo_matrix(X)
    values, places = np.tile(coo.data * 25, 2).astype(dtype), np.tile(coo.coords, 2)
    pairs = sp.coo_matrix(X)
    pairs.data, pairs.coords = values, tuple(places)
    order = np.argsort(places[0], kind="stable")
    rows = csr(
        X, data=lambda _: values[order], indices=lambda _: places[1][order], indptr=lambda a: 2 * a
    )
    for given in (pairs, rows):
        before = given.data.copy()
        np.testing.assert_array_equal(host_array(given, "target").toarray(), 50 * X)
        np.testing.assert_array_equal(given.data, before)


def test_marks_are_zeros_and_ones():
    expected = host_array((X > 1).astype(float), "target")
    for given in (X > 1, table(X > 1), table(X > 1).astype("boolean"), torch.tensor(X) > 1):
        np.testing.assert_array_equal(host_array(given, "target"), expected)


def test_nothing_is_copied_that_is_as_it_should_be():
    dense, sparse = X.astype("f4"), csr(X.astype("f4"))
    for given in (
        dense,
        np.ma.array(dense),
        torch.from_numpy(dense),
        pd.DataFrame(dense, copy=False),
    ):
        assert np.shares_memory(host_array(given, "target"), dense)
    for given in (sparse, sp.csr_array(sparse), ad.AnnData(sparse)):
        found = host_array(given, "target")
        assert np.shares_memory(found.data, sparse.data)
        assert np.shares_memory(found.indices, sparse.indices)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_indices_gives_other_numbers(seed):
    """What scipy itself reads of a damaged matrix is what is read, or it is refused."""
    rng = np.random.default_rng(seed)
    container = (sp.csr_matrix, sp.csc_matrix, sp.bsr_matrix)[seed % 3]
    found = container(X)
    part = ("indptr", "indices")[seed % 2]
    array = getattr(found, part).copy()
    array[rng.integers(len(array))] = rng.integers(-3, 30)
    setattr(found, part, array)
    pointer, index, size = found.indptr, found.indices, found.shape[container is not sp.csc_matrix]
    size //= found.blocksize[1] if container is sp.bsr_matrix else 1
    if (
        pointer[0]
        or (np.diff(pointer) < 0).any()
        or pointer[-1] > len(index)
        or not ((index[: pointer[-1]] >= 0).all() and (index[: pointer[-1]] < size).all())
    ):
        with pytest.raises(InputError, match="is no valid"):
            host_array(found, "target")
    else:
        expected = container(found).toarray()
        np.testing.assert_array_equal(host_array(found, "target").toarray(), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (masked(Y[:2]), "init: components: 1 of 16 values are masked"),
        (table(Y[:2])[GENES[::-1]], "init has 8 features, target 8: the same .* is 'g7' in place"),
        (put(Y[:2], (0, 0), 1e39), "init: components has negative, NaN or infinite"),
        (Y[:2] + 0j, "init: components: holds complex128 values"),
        (table(Y[:2], g1="a"), "init: components: column 'g1' holds string"),
    ],
)
def test_starts_are_refused_like_data(given, message):
    with pytest.raises(InputError, match=message):
        BCNMF(**QUICK, init=(given, X[:, :2], Y[:, :2])).fit(table(X), background=Y)


@pytest.mark.parametrize("given", [None, 3, np.ones((3, 2, 2))])
def test_starts_that_are_none_are_refused(given):
    with pytest.raises(InputError, match=r"(?s)init=.* is not known; allowed: random, nndsvd, or"):
        BCNMF(**QUICK, init=given).fit(X, background=Y)


def test_starts_are_read_like_data():
    start = Y[:2], X[:, :2], Y[:, :2]
    expected = BCNMF(**QUICK, init=start).fit(X, background=Y).components_
    for make in (table, sp.csr_matrix, lambda x: x.astype(">f4"), torch.as_tensor):
        given = (make(start[0]), *start[1:])
        found = BCNMF(**QUICK, init=given).fit(table(X), background=Y)
        np.testing.assert_allclose(found.components_, expected, atol=1e-6)


def test_usages_and_topics_that_are_given_are_refused_like_data(model):
    with pytest.raises(InputError, match="H: 1 of 160 values are masked"):
        BCNMF(**QUICK | {"n_components": 8}).fit(X, background=Y).inverse_transform(masked(X))
    for topics, message in (
        (table(Y[:2])[GENES[::-1]], "components has 8 features, X 8: .* another order"),
        (masked(Y[:2]), "components: 1 of 16 values are masked"),
        (-Y[:2], "components: .* negative values"),
    ):
        with pytest.raises(InputError, match=message):
            target_score_of(table(X), topics, Y[:2])
        with pytest.raises(InputError, match=f"background_{message}"):
            target_score_of(table(X), Y[:2], topics)


def test_layers_and_units_are_refused_like_data(tmp_path):
    target, background = cells(X), cells(Y)
    for side in (target, background):
        side.layers["masked"] = masked(side.X)
    with pytest.raises(InputError, match="target: 1 of 160 values are masked"):
        fit(target, background, layer="masked", **QUICK)
    fit(target, background, **QUICK).save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="X: 1 of 128 values are masked"):
        project(background, tmp_path / "model.npz", layer="masked")
    names = np.repeat(["a", "b"], N // 2)
    for lacking in (None, np.nan, pd.NA, ""):
        units = put(names.astype(object), 3, lacking)
        with pytest.raises(InputError, match="units of the target: 1 of 20 samples have none"):
            crossfit(BCNMF(**QUICK), X, background=Y, units=units, background_units=names[:M])
    hidden = np.ma.array(names, mask=np.arange(N) < 2)
    with pytest.raises(InputError, match="units of the target: 2 of 20 samples have none"):
        crossfit(BCNMF(**QUICK), X, background=Y, units=hidden, background_units=names[:M])


def test_a_wide_pointer_does_not_copy_the_indices():
    x = sp.random(50, 20, 0.3, "csr", np.float32, np.random.default_rng(0))
    x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int64)
    held = x.indices
    found = host_array(x, "target")
    assert np.shares_memory(found.indices, held)
    assert x.indptr.dtype == np.int64  # what users hold stays as it is
    assert (found != x).nnz == 0
