"""Which matrix holds which data: the door from what users pass to what solvers compute with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bcnmf.errors import InputError
from bcnmf.kernels import accelerated
from bcnmf.matrices.base import Matrix
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf.matrices.csr_device import DeviceSparseMatrix
from bcnmf.matrices.csr_fused import FusedSparseMatrix
from bcnmf.matrices.dense import DenseMatrix
from bcnmf.matrices.inputs import Values, check_non_negative, host_array
from bcnmf.matrices.units import Size, divided
from bcnmf.matrices.weighting import Weighting


def as_matrix(
    data: Any,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    unit: float | None = None,
    weighting: Weighting | None = None,
) -> Matrix:
    """Check user data and bring them to the device.

    Parameters
    ----------
    data : ndarray, scipy sparse, torch.Tensor or AnnData
        Samples x features, non-negative and finite.
    name : str
        What to call the data in errors, for instance "target".
    dtype, device : torch.dtype, torch.device
        Where and how the factors are computed.
    unit : float, optional
        By what the values are divided; by default what suits them, see `bcnmf.matrices.units`.
    weighting : Weighting, optional
        Which samples are taken, and by what they are multiplied.

    Raises
    ------
    InputError
        Not two-dimensional, empty, with negative, missing or infinite values, or sparse on MPS.
    """
    values = host_array(data, name)
    check_non_negative(values, name, numpy_name(dtype))
    check_device(sp.issparse(values), name, device)
    precision = numpy_name(dtype)
    if unit is None:
        unit = Size(precision).add(values).unit(name)
    if weighting is not None and len(weighting.left_out):
        values = values[weighting.kept]
    factor = None if weighting is None else weighting.factor
    found = matrix_of(divided(values, unit, precision, name, factor), dtype, device)
    found.unit, found.weighting = unit, weighting
    return found


def check_device(sparse: bool, name: str, device: torch.device) -> None:
    """Raise `InputError` if the device cannot hold such data."""
    if sparse and device.type == "mps":
        raise InputError(
            f"{name}: sparse data cannot be used on MPS (torch has no CSR products there); "
            "use device='cpu', or pass a dense array if it fits into memory"
        )


def matrix_of(
    values: Values, dtype: torch.dtype, device: torch.device, threads: int | None = None
) -> Matrix:
    """Return checked values on the host as a matrix on the device."""
    if not sp.issparse(values):
        # By numpy, which knows all byte orders.
        native = np.asarray(values, numpy_name(dtype), order="C")
        if native.flags.writeable:
            return DenseMatrix(torch.from_numpy(native).to(device))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return DenseMatrix(torch.from_numpy(native).to(device))
    if accelerated.present(device):
        return FusedSparseMatrix(values, dtype, device)
    if device.type == "cpu":
        return CompiledSparseMatrix(values, dtype, threads)
    return DeviceSparseMatrix(values, dtype, device)


def numpy_name(dtype: torch.dtype) -> str:
    """Return what numpy calls a type of torch."""
    return str(dtype).removeprefix("torch.")
