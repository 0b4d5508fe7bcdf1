"""Data as users pass them, brought to numpy or CSR on the host and checked, without torch."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError

# np.ndarray or scipy.sparse.csr_matrix, which has no types.
Values: TypeAlias = Any

_MASKED = 1 << 18


def is_anndata(data: Any) -> bool:
    """Return whether data are an AnnData, without importing it."""
    # On the class: to ask a backed view itself for its X reads all of it.
    return hasattr(type(data), "obs") and hasattr(type(data), "X")


def host_array(data: Any, name: str) -> Values:
    """Return the data as a two-dimensional numpy array or canonical CSR, without densifying."""
    if is_anndata(data):
        data = data.X
    if hasattr(data, "to_numpy") and hasattr(data, "columns"):  # a pandas table
        data = data.to_numpy()
    if type(data).__module__.partition(".")[0] == "torch":
        data = _from_torch(data)
    if sp.issparse(data):
        csr = sp.csr_matrix(data)
        if not csr.has_canonical_format:
            csr = csr.copy()
            csr.sum_duplicates()
        _check_numbers(csr.dtype, name)
        return csr
    array = np.asarray(data)
    if array.dtype == object:
        array = _numbers(array, name)
    _check_numbers(array.dtype, name)
    if array.ndim != 2:
        raise InputError(
            f"{name}: has {array.ndim} dimensions, shape {array.shape}; "
            "expected samples x features. Reshape your data: one sample is (1, features)"
        )
    return array


def _check_numbers(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "fiub":
        more = ". Complex data not supported" if dtype.kind == "c" else ""
        raise InputError(f"{name}: holds {dtype} values; expected numbers{more}")


def _numbers(objects: np.ndarray, name: str) -> np.ndarray:
    """Return Python objects as numbers, as scikit-learn does."""
    try:
        return objects.astype(np.float64)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    except ValueError as error:
        raise InputError(f"{name}: holds object values; expected numbers ({error})") from error


def _from_torch(tensor: Any) -> Values:
    tensor = tensor.detach().cpu()
    if str(tensor.layout) == "torch.strided":
        return tensor.numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        csr = tensor.to_sparse_csr()
    return sp.csr_matrix(
        (csr.values().numpy(), csr.col_indices().numpy(), csr.crow_indices().numpy()),
        shape=tuple(csr.shape),
    )


def check_non_negative(values: Values, name: str) -> None:
    """Raise `InputError` unless all values are finite, non-negative, and there are any."""
    stored = values.data if sp.issparse(values) else values
    shape = values.shape
    if 0 in shape:
        raise InputError(
            f"{name}: is empty, {shape[0]} samples x {shape[1]} features: 0 "
            f"{'feature' if shape[0] else 'sample'}(s) (shape={shape}) while a minimum of 1 is "
            "required."
        )
    faults = Faults()
    faults.count(stored)
    faults.check(name)


@dataclass
class Faults:
    """What is wrong with values that are looked at part by part.

    Attributes
    ----------
    stored, bad, negative : int
        Values seen; those that are NaN or infinite; those below zero where none is bad.
    smallest : float
        The smallest of the negative ones.
    """

    stored: int = 0
    bad: int = 0
    negative: int = 0
    smallest: float = math.inf

    def count(self, values: np.ndarray) -> bool:
        """Add some values; return whether they are without fault."""
        self.stored += values.size
        before = self.bad + self.negative
        # A few rows at a time: a mask of all would take a quarter of their size.
        step = max(1, _MASKED // max(1, values[:1].size))
        for start in range(0, len(values), step):
            self._count(values[start : start + step])
        return self.bad + self.negative == before

    def check(self, name: str) -> None:
        """Raise `InputError` if any value was at fault; `name` is what to call the data."""
        if self.bad:
            raise InputError(
                f"{name}: {self.bad} of {self.stored} stored values are NaN or infinite; "
                "impute or drop them before the fit"
            )
        if self.negative:
            raise InputError(
                f"{name}: {self.negative} negative values, the smallest {self.smallest:.6g}; "
                "expected non-negative values (counts, log1p of counts, intensities). Negative "
                "values in data that were scaled or centred cannot be factorised: use the values "
                "before scaling"
            )

    def _count(self, part: np.ndarray) -> None:
        if part.size == 0:
            return
        bad = part.size - int(np.isfinite(part).sum()) if part.dtype.kind == "f" else 0
        self.bad += bad
        if bad == 0 and part.min() < 0:
            self.negative += int((part < 0).sum())
            self.smallest = min(self.smallest, float(part.min()))
