"""Data as people have them: what carries meaning is honoured or refused, at every door."""

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, InputError, SharedTargetNMF, coverage, crossfit
from bcnmf.matrices.inputs import host_array
from bcnmf.scoring import background_topics, target_score_of
from bcnmf.selection import select
from bcnmf.tools import fit, project

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

N, M, FEATURES = 20, 16, 8
GENES = [f"g{i}" for i in range(FEATURES)]
QUICK = {"n_components": 2, "alpha": 0.5, "max_iter": 5, "tol": 0, "device": "cpu"}


def counts(n):
    found = np.random.default_rng(n).poisson(1.0, (n, FEATURES)).astype(float)
    found[: n // 2, :3] += 5
    return found + np.eye(n, FEATURES)


X, Y = counts(N), counts(M)


@pytest.fixture(scope="module")
def model():
    return BCNMF(**QUICK).fit(X, background=Y)


def put(array, place, value):
    array = array.copy()
    array[place] = value
    return array


def csr(x, **changes):
    """Return CSR of which some arrays are changed, as only users of scipy can."""
    found = sp.csr_matrix(x)
    for name, change in changes.items():
        setattr(found, name, change(getattr(found, name)))
    return found


def broken(container, place=3, value=5000):
    def make(x):
        found = container(x)
        found.indices = put(found.indices, place, value)
        return found

    return make


def broken_coo(axis, value=10**9):
    def make(x):
        found = sp.coo_matrix(x)
        coords = [put(one, 3, value) if i == axis else one for i, one in enumerate(found.coords)]
        found.coords = tuple(coords)
        return found

    return make


def backwards(x):
    """Return CSR whose indices run from the last feature to the first."""
    found = sp.csr_matrix(x)
    order = np.concatenate(
        [np.arange(a, b)[::-1] for a, b in zip(found.indptr[:-1], found.indptr[1:], strict=True)]
    )
    return sp.csr_matrix((found.data[order], found.indices[order], found.indptr), x.shape)


def everything_stored(x):
    return sp.csr_matrix(
        (x.ravel(), np.tile(np.arange(x.shape[1]), len(x)), np.arange(len(x) + 1) * x.shape[1]),
        x.shape,
    )


def masked(x):
    found = np.ma.array(x)
    found[1, 2] = np.ma.masked
    return found


def table(x, **columns):
    return pd.DataFrame(x, columns=GENES).assign(**columns)


def with_missing(dtype):
    def make(x):
        found = table(x > 1 if dtype == "boolean" else x).astype(dtype)
        found.loc[2, "g2"] = pd.NA
        return found

    return make


def cells(x):
    return ad.AnnData(x, var=pd.DataFrame(index=GENES))


def mapped(folder, dtype):
    def make(x):
        path = folder / f"{len(x)}{dtype[1:]}"
        np.memmap(path, dtype, "w+", shape=x.shape)[:] = x
        return np.memmap(path, dtype, "r", shape=x.shape)

    return make


class Polars:
    """A table that is none of pandas."""

    def __init__(self, x, columns=GENES):
        self.columns, self._x = list(columns), x

    def to_numpy(self):
        return self._x


def torch_coo(x, value):
    """Return COO of torch with one index too large, which its own conversions trust."""
    where = torch.tensor([[0, 1], [value, 2]])
    return torch.sparse_coo_tensor(where, torch.ones(2), x.shape, check_invariants=False)


NATIVE = ["f2", "f4", "f8", "g", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
SWAPPED = [">f2", ">f4", ">f8", ">i2", ">i4", ">i8", ">u8"]
TENSORS = ["bfloat16", "float16", "float64", "int8", "uint8", "uint16", "uint64", "float8_e4m3fn"]
ACCEPTED = {
    **{f"dense {d}": lambda x, d=d: x.astype(d) for d in [*NATIVE, *SWAPPED]},
    **{f"csr {d}": lambda x, d=d: csr(x, data=lambda a: a.astype(d)) for d in [*NATIVE, *SWAPPED]},
    **{f"memmap {d}": d for d in ("<f4", ">f4", ">i2")},
    **{f"tensor {d}": lambda x, d=d: torch.as_tensor(x).to(getattr(torch, d)) for d in TENSORS},
    **{
        f"{kind} {form}": lambda x, form=form, kind=kind: getattr(sp, f"{form}_{kind}")(x)
        for form in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
        for kind in ("matrix", "array")
    },
    "objects": lambda x: x.astype(object),
    "lists": lambda x: x.tolist(),
    "np.matrix": np.asmatrix,
    "nothing masked": np.ma.array,
    "not contiguous": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards in memory": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "read-only": lambda x: np.frombuffer(x.astype("f4").tobytes(), "f4").reshape(x.shape),
    "negative zero": lambda x: np.where(x == 0, -0.0, x),
    "unsorted": backwards,
    "zeros stored": everything_stored,
    "negative zeros stored": lambda x: everything_stored(np.where(x == 0, -0.0, x)),
    "indices int64": lambda x: csr(
        x, indices=lambda a: a.astype("i8"), indptr=lambda a: a.astype("i8")
    ),
    "indices >i4": lambda x: csr(
        x, indices=lambda a: a.astype(">i4"), indptr=lambda a: a.astype(">i8")
    ),
    "indices uint32": lambda x: csr(x, indices=lambda a: a.astype("u4")),
    "gradient": lambda x: torch.tensor(x, requires_grad=True),
    "tensor not contiguous": lambda x: torch.as_tensor(x.T.copy()).T,
    "quantised": lambda x: torch.quantize_per_tensor(
        torch.as_tensor(x, dtype=torch.float32), 1.0, 0, torch.quint8
    ),
    "tensor csr": lambda x: torch.as_tensor(x).to_sparse_csr(),
    "tensor csc": lambda x: torch.as_tensor(x).bfloat16().to_sparse_csc(),
    "tensor coo": lambda x: torch.as_tensor(x).to_sparse_coo(),
    "tensor bsr": lambda x: torch.as_tensor(x).to_sparse_bsr((2, 2)),
    "table": table,
    "table of numbers as objects": lambda x: table(x).astype(object),
    "table of several types": lambda x: table(x).astype(
        {"g0": "Int64", "g1": "f4", "g2": "i8", "g3": "Float32", "g4": "double[pyarrow]"}
    ),
    "table Int64": lambda x: table(x).astype("Int64"),
    "table of arrow": lambda x: table(x).astype("int64[pyarrow]"),
    "sparse table": lambda x: pd.DataFrame.sparse.from_spmatrix(sp.csr_matrix(x), columns=GENES),
    "another table": Polars,
    "cells": cells,
    "cells >f4": lambda x: cells(x.astype(">f4")),
    "view of cells": lambda x: cells(np.r_[x, x])[: len(x)],
}  # fmt: skip

IMPOSSIBLE = r"is no valid (csr|csc|bsr|coo)_\w+ \(.+\); make it anew"
EXPECTED = r"; expected a numpy array, scipy\.sparse matrix, torch tensor, DataFrame or AnnData"
REFUSED = {
    "complex": (lambda x: x + 0j, "holds complex128 values; expected numbers. Complex data not"),
    "dates": (lambda x: x.astype("M8[s]"), r"holds datetime64\[s\] values; expected numbers"),
    "durations": (lambda x: x.astype("m8[s]"), r"holds timedelta64\[s\] values"),
    "text": (lambda x: x.astype(str), "holds <U32 values; expected numbers"),
    "text as objects": (lambda x: x.astype(str).astype(object), r"holds text, for instance '.\.0'"),
    "fields": (lambda x: x.astype([("a", "f8")]), r"holds \[\('a'.*structured_to_unstructured"),
    "an object missing": (lambda x: put(x.astype(object), (0, 0), pd.NA), "none of them missing"),
    "None": (lambda x: None, f"(is NoneType{EXPECTED}|is missing)"),
    "dict": (lambda x: {"x": x}, f"is dict{EXPECTED}"),
    "generator": (lambda x: (row for row in x), f"is generator{EXPECTED}"),
    "ragged": (lambda x: [[1, 2], [1]], "list cannot be read as samples x features"),
    "one number": (lambda x: np.float64(1), r"has 0 dimensions, shape \(\)"),
    "one sample": (lambda x: x[0], r"has 1 dimensions, shape \(8,\).*one sample is \(1, feat"),
    "three dimensions": (lambda x: x[None], r"has 3 dimensions, shape \(1,"),
    "sparse of one dimension": (lambda x: sp.coo_array(x[0]), "has 1 dimensions"),
    "sparse of three": (lambda x: sp.coo_array(x[None]), "has 3 dimensions"),
    "masked": (masked, r"1 of \d+ values are masked, the first at \(1, 2\); impute or drop"),
    "rows masked": (lambda x: list(masked(x)), r"1 of \d+ values are masked"),
    "cells masked": (lambda x: cells(masked(x)), r"1 of \d+ values are masked"),
    "view of cells masked": (lambda x: cells(masked(x))[:12], "1 of 96 values are masked"),
    "nothing in cells": (lambda x: ad.AnnData(var=pd.DataFrame(index=GENES)), "AnnData has no X"),
    "Int64 missing": (with_missing("Int64"), r"1 values are missing \(NA\).* in column 'g2'"),
    "Float64 missing": (with_missing("Float64"), r"1 values are missing \(NA\)"),
    "boolean missing": (with_missing("boolean"), r"1 values are missing \(NA\)"),
    "arrow missing": (with_missing("double[pyarrow]"), r"1 values are missing \(NA\)"),
    "column of text": (lambda x: table(x, g1="a"), "column 'g1' holds string values; .*drop"),
    "column of digits": (lambda x: table(x, g1="1"), "column 'g1' holds string values"),
    "strings": (lambda x: table(x).astype("string"), "column 'g0' holds string values"),
    "categories": (lambda x: table(x, g1=pd.Categorical(x[:, 1])), "column 'g1' holds category"),
    "column of dates": (lambda x: table(x, g1=pd.Timestamp(0)), "column 'g1' holds datetime64"),
    "sparse beside dense": (
        lambda x: table(x, g1=pd.arrays.SparseArray(x[:, 1])), "1 of 8 columns are sparse, or",
    ),
    "sparse without NaN": (lambda x: table(x).astype("Sparse[float]"), "leave out is not 0; pass"),
    "arrow": (lambda x: pa.table(table(x)), "Table names its features .* data.to_pandas()"),
    "layout": (lambda x: torch.as_tensor(x).to_sparse_bsc((2, 2)), "layout torch.sparse_bsc is"),
    "nested": (lambda x: torch.nested.nested_tensor([torch.ones(2)]), "cannot be read as samples"),
    "infinite in float32": (lambda x: put(x, (0, 0), 1e39), r"1e\+39, is beyond what float32 hol"),
    "infinite in float32, sparse": (lambda x: csr(put(x, (0, 0), 1e39)), "use dtype='float64', or"),
    "nothing in float32": (lambda x: x * 1e-50, r"the largest value, 1?.*e-\d+, is beyond"),
    "long doubles": (lambda x: put(x.astype("g"), (0, 0), np.longdouble("1e4000")), "1 of .* inf"),
    "NaN stored": (lambda x: csr(put(x, (0, 0), np.nan)), "1 of .* stored values are NaN"),
    "index 5000": (broken(sp.csr_matrix), IMPOSSIBLE),
    "index 2e9": (broken(sp.csr_array, value=2 * 10**9), IMPOSSIBLE),
    "index -4": (broken(sp.csr_matrix, value=-4), IMPOSSIBLE),
    "index 2^32 + 1": (
        lambda x: csr(x, indices=lambda a: put(a.astype("i8"), 3, 2**32 + 1)), IMPOSSIBLE,
    ),
    "indices of floats": (lambda x: csr(x, indices=lambda a: a + 0.5), "indices are float64"),
    "index of csc": (broken(sp.csc_array), IMPOSSIBLE),
    "index of bsr": (broken(lambda x: sp.bsr_matrix(x, blocksize=(2, 2)), 1), IMPOSSIBLE),
    "row of coo": (broken_coo(0), IMPOSSIBLE),
    "column of coo": (broken_coo(1), IMPOSSIBLE),
    "pointer starts at 3": (lambda x: csr(x, indptr=lambda a: put(a, 0, 3)), IMPOSSIBLE),
    "pointer falls": (lambda x: csr(x, indptr=lambda a: put(a, 3, a[-1])), IMPOSSIBLE),
    "pointer falls to 0": (lambda x: csr(x * 0, indptr=lambda a: put(a, 3, 10**6)), IMPOSSIBLE),
    "pointer too far": (lambda x: csr(x, indptr=lambda a: put(a, -1, 10**6)), IMPOSSIBLE),
    "pointer too short": (lambda x: csr(x, indptr=lambda a: a[:-1]), IMPOSSIBLE),
    "fewer values": (lambda x: csr(x, data=lambda a: a[:-3]), IMPOSSIBLE),
    "index of a tensor": (lambda x: torch_coo(x, 5000), "axis 1 index 5000 exceeds matrix dimen"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_accepted_is_fitted_like_plain_numbers(model, kind, tmp_path):
    make = ACCEPTED[kind]
    make = mapped(tmp_path, make) if isinstance(make, str) else make
    x, y = make(X), make(Y)
    for batch_size in (None, 7):
        found = BCNMF(**QUICK, batch_size=batch_size).fit(x, background=y)
        np.testing.assert_allclose(found.components_, model.components_, atol=1e-5)
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
