"""What tells data by their content, whatever holds them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bcnmf.matrices import fingerprint as module
from bcnmf.matrices.fingerprint import fingerprint

MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 0.5, 1e30]),
)


@settings(deadline=None)  # compiles at first
@given(MATRICES, st.randoms(use_true_random=False), st.sampled_from([0, 1]))
def test_another_order_or_value_is_told(values, random, axis):
    order = list(range(values.shape[axis]))
    random.shuffle(order)
    moved = np.take(values, order, axis)
    alike = np.array_equal(moved, values)
    assert (fingerprint(moved, "moved") == fingerprint(values, "values")) == alike
    other = values.copy()
    other[-1, -1] = np.nextafter(other[-1, -1], np.float32(np.inf))
    assert fingerprint(other, "other") != fingerprint(values, "values")


@settings(deadline=None)
@given(MATRICES)
def test_containers_of_the_same_values_are_alike(values):
    stored = sp.csr_matrix(values)
    zeros = sp.coo_matrix(np.ones_like(values)).tocsr()
    zeros.data[:] = values.ravel()
    same = [
        values.astype(np.float64), np.asfortranarray(values), -0.0 + values, values.tolist(),
        stored, sp.csc_matrix(values), zeros, torch.as_tensor(values), pd.DataFrame(values),
        ad.AnnData(values),
    ]  # fmt: skip
    assert {fingerprint(one, "data") for one in same} == {fingerprint(values, "data")}


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_blocks_and_files_do_not_matter(tmp_path, monkeypatch, container):
    rng = np.random.default_rng(0)
    values = rng.poisson(0.5, (50, 20)).astype(np.float32)
    whole = fingerprint(values, "data")
    ad.AnnData(container(values)).write_h5ad(tmp_path / "data.h5ad")
    file = ad.read_h5ad(tmp_path / "data.h5ad", backed="r")
    for size in (1, 300, 1 << 24):
        monkeypatch.setattr(module, "_BYTES_AT_ONCE", size)
        assert fingerprint(container(values), "data") == whole
        assert fingerprint(file, "data") == whole
    assert fingerprint(file[10:30, 5:], "data") == fingerprint(values[10:30, 5:], "data")


def test_swapping_two_values_of_a_large_matrix_is_told():
    values = sp.random(2000, 500, 0.1, format="csr", random_state=0, dtype=np.float32)
    swapped = values.copy()
    swapped.data[[7, 70_007]] = swapped.data[[70_007, 7]]
    assert fingerprint(swapped, "swapped") != fingerprint(values, "values")
