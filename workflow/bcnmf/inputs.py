"""Data as users pass them, brought to numpy or CSR on the host and checked, without torch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError


def host_array(data: Any, name: str) -> np.ndarray | sp.csr_matrix:
    """Return the data as a two-dimensional numpy array or canonical CSR, without densifying."""
    if hasattr(data, "obs") and hasattr(data, "X"):  # AnnData, without importing it
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
        if csr.dtype.kind not in "fiub":
            raise InputError(f"{name}: holds {csr.dtype} values; expected numbers")
        return csr
    array = np.asarray(data)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: holds {array.dtype} values; expected numbers")
    if array.ndim != 2:
        raise InputError(
            f"{name}: has {array.ndim} dimensions, shape {array.shape}; "
            "expected samples x features (one sample: reshape to (1, features))"
        )
    return array


def _from_torch(tensor: Any) -> np.ndarray | sp.csr_matrix:
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


def check_non_negative(values: np.ndarray | sp.csr_matrix, name: str) -> None:
    """Raise `InputError` unless all values are finite, non-negative, and there are any."""
    stored = values.data if sp.issparse(values) else values
    shape = values.shape
    if 0 in shape:
        raise InputError(
            f"{name}: is empty, {shape[0]} samples x {shape[1]} features; "
            "expected at least one of each"
        )
    if stored.size == 0:
        return
    if stored.dtype.kind == "f":
        bad = int(stored.size - np.isfinite(stored).sum())
        if bad:
            raise InputError(
                f"{name}: {bad} of {stored.size} stored values are NaN or infinite; "
                "impute or drop them before the fit"
            )
    if stored.min() < 0:
        raise InputError(
            f"{name}: {int((stored < 0).sum())} negative values, the smallest {stored.min():.6g}; "
            "expected non-negative values (counts, log1p of counts, intensities). "
            "Scaled or centred data cannot be factorised: use the values before scaling"
        )
