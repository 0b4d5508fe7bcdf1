"""The power of two by which data are divided: found without overflow, applied without loss."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf import InputError
from bcnmf.matrices.in_memory import as_matrix
from bcnmf.matrices.units import Size, check_alike, divided, number

CPU = torch.device("cpu")


def counts(dtype=np.float64):
    found = np.random.default_rng(0).poisson(2.0, (300, 12)).astype(dtype)
    found[0, 0] += 1
    return found


def unit_of(values, dtype="float64"):
    return Size(dtype).add(values).unit("x")


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_matrix])
@given(exponent=st.integers(-470, 470))
@settings(max_examples=25, deadline=None)
def test_the_unit_is_a_power_of_two_near_the_root_mean_square(container, exponent):
    x = counts() * 2.0**exponent
    unit = unit_of(container(x))
    near = counts()[counts() > 0]
    root_mean_square = np.sqrt(np.mean(near**2)) * 2.0**exponent
    assert math.frexp(unit)[0] == 0.5
    assert unit == 1 or 0.5 <= root_mean_square / unit <= 2
    assert (unit == 1) == (abs(exponent + 1) <= 8)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_sums_neither_overflow_nor_underflow(scale):
    size, x = Size("float64").add(counts() * scale), counts()
    assert float(size.total / Fraction(scale)) == pytest.approx(x.sum(), rel=1e-12)
    assert float(size.squares / Fraction(scale) ** 2) == pytest.approx((x**2).sum(), rel=1e-12)
    assert size.filled == np.count_nonzero(x)
    assert number(Fraction(10) ** 400) == math.inf


def test_zeros_do_not_count_stored_or_not():
    x = np.zeros((50, 40))
    x[::7, ::5] = 3e-9
    stored = sp.csr_matrix(np.ones_like(x))
    stored.data[:] = x.ravel()
    assert unit_of(x) == unit_of(stored) == unit_of(sp.csr_matrix(x))
    assert unit_of(x) == pytest.approx(3e-9, rel=1)
    assert unit_of(np.zeros((3, 2))) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e300, -1.0])
def test_values_that_will_be_refused_do_no_harm(bad):
    x = counts()
    x[5, 5] = bad
    assert unit_of(x) > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64, bool])
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_dividing_by_a_power_of_two_changes_no_digit(container, precision, dtype):
    x = container(counts(dtype).astype(np.float32 if dtype is np.float16 else dtype))
    found = divided(x, 2.0**-60, precision, "x")
    dense = found.toarray() if sp.issparse(found) else found
    assert dense.dtype == precision
    np.testing.assert_array_equal(dense, counts(dtype).astype(float) * 2.0**60)


def test_ordinary_data_are_not_copied():
    x = counts(np.float32)
    assert divided(x, 1.0, "float32", "x") is x
    data = as_matrix(x, "x", torch.float32, CPU)
    assert data.unit == 1
    assert np.shares_memory(data.values.numpy(), x)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_values_beyond_the_precision_are_refused_without_a_warning(container):
    with pytest.raises(InputError, match="beyond what float32 holds"):
        as_matrix(container(np.full((3, 2), 1e39)), "target", torch.float32, torch.device("cpu"))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("scale", [1.0, 2.0**-60])
@pytest.mark.parametrize("odd", [1e-60, 1e60])
def test_what_would_become_zero_or_infinite_is_refused(container, scale, odd):
    x = counts() * scale
    x[3, 3] = odd * scale
    unit = scale
    with pytest.raises(InputError, match=r"x: holds values from .*float32 together.*'float64'"):
        divided(container(x), unit, "float32", "x")
    assert divided(container(x), unit, "float64", "x").max() == max(odd, x.max() / unit)


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1e-36, "float32"), (1e36, "float32"), (1e-160, "float64"), (1e160, "float64")],
)
def test_sizes_that_results_cannot_have_are_refused(scale, dtype):
    with pytest.raises(InputError, match=r"x: values are about 1e.*; multiply target and") as at:
        unit_of(counts() * scale, dtype)
    assert ("use dtype='float64'" in str(at.value)) == (dtype == "float32")


@pytest.mark.parametrize("ratio", [1e-13, 1e13, math.inf, math.nan])
def test_sides_too_far_apart_are_refused(ratio):
    target, background = (SimpleNamespace(squared_norm=norm**2) for norm in (2.0, 2 * ratio))
    with pytest.raises(InputError, match="bring both into the same unit"):
        check_alike(target, background)
    check_alike(target, SimpleNamespace(squared_norm=1e20))
