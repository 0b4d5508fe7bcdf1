"""Data of every kind that a user may pass, and what is to become of each."""

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp
import torch

N, M, FEATURES = 20, 16, 8
GENES = [f"g{i}" for i in range(FEATURES)]


def counts(n):
    found = np.random.default_rng(n).poisson(1.0, (n, FEATURES)).astype(float)
    found[: n // 2, :3] += 5
    return found + np.eye(n, FEATURES)


X, Y = counts(N), counts(M)


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
