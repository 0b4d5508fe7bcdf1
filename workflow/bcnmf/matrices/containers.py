"""Tables, tensors and other holders of data, opened: what numpy would drop of them is refused."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import scipy.sparse as sp

from bcnmf.errors import InputError, NotNumbers

_ALLOWED = "a numpy array, scipy.sparse matrix, torch tensor, DataFrame or AnnData"
# What each layout of torch is in scipy, and where it keeps its pointers and indices.
_COMPRESSED = {
    "torch.sparse_csr": (sp.csr_matrix, "crow_indices", "col_indices"),
    "torch.sparse_csc": (sp.csc_matrix, "ccol_indices", "row_indices"),
    "torch.sparse_bsr": (sp.bsr_matrix, "crow_indices", "col_indices"),
}
# Floating types of torch that numpy has too.
_OF_NUMPY = ("torch.float16", "torch.float32", "torch.float64")
_FAULTS = (TypeError, ValueError, RuntimeError)
# Objects that are numbers, as pandas calls them.
_NUMBERS_OF_PANDAS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
_FILL = "impute or drop them before the fit"


def is_anndata(data: Any) -> bool:
    """Return whether data are an AnnData, without importing it."""
    # On the class: to ask a backed view itself for its X reads all of it.
    return hasattr(type(data), "obs") and hasattr(type(data), "X")


def opened(data: Any, name: str) -> Any:
    """Return data as a numpy array, or as whatever scipy.sparse has; not yet checked.

    Raises
    ------
    InputError
        They are of a kind that is not known, hold text, or say of values that they are missing.
    """
    if is_anndata(data):
        if data.X is None:
            raise InputError(f"{name}: the AnnData has no X; set it, or name a layer")
        # A view of one forgets masks.
        whole = getattr(getattr(data, "_adata_ref", None), "X", None)
        data = data.copy().X if isinstance(whole, np.ma.MaskedArray) else data.X
    try:
        return _opened(data, name)
    except InputError:
        raise
    except _FAULTS as error:
        raise InputError(
            f"{name}: {type(data).__name__} cannot be read as samples x features ({error}); "
            f"pass {_ALLOWED}"
        ) from error


def _opened(data: Any, name: str) -> Any:
    if sp.issparse(data):
        return data
    if _is(data, "torch", "Tensor"):
        return _from_torch(data, name)
    if _is(data, "pandas", "DataFrame"):
        data = _from_pandas(data, name)
    elif hasattr(data, "columns") and hasattr(data, "to_numpy"):  # a table of another library
        data = data.to_numpy()
    elif hasattr(data, "coords") or hasattr(data, "column_names"):
        raise InputError(
            f"{name}: {type(data).__name__} names its features in a way that is not read; pass a "
            "DataFrame: data.to_pandas()"
        )
    if isinstance(data, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in data):
        data = np.ma.stack(data)
    if sp.issparse(data):
        return data
    if isinstance(data, np.ma.MaskedArray):
        _check_mask(np.ma.getmaskarray(data), name)
    array = np.asarray(data)
    return _numbers(array, data, name) if array.dtype == object else array


def _is(data: Any, module: str, kind: str) -> bool:
    """Whether data are of a class of a library, which is not imported for it."""
    return module in sys.modules and isinstance(data, getattr(sys.modules[module], kind))


def _check_mask(mask: np.ndarray, name: str) -> None:
    if mask.any():
        first = tuple(map(int, np.argwhere(mask)[0]))
        raise InputError(
            f"{name}: {int(mask.sum())} of {mask.size} values are masked, the first at {first}; "
            f"{_FILL}, or take data.filled(0) if they are zeros"
        )


def _numbers(objects: np.ndarray, data: Any, name: str) -> np.ndarray:
    """Return Python objects as numbers, as scikit-learn does."""
    if objects.ndim == 0:
        raise InputError(f"{name}: is {type(data).__name__}; expected {_ALLOWED}")
    text = next((one for one in objects.flat if isinstance(one, str | bytes)), None)
    if text is not None:
        raise InputError(f"{name}: holds text, for instance {text!r}; expected numbers")
    try:
        return objects.astype(np.float64)
    except TypeError as error:
        raise NotNumbers(f"{name}: {error}; expected numbers, none of them missing") from error
    except ValueError as error:
        raise InputError(f"{name}: holds object values; expected numbers ({error})") from error


def _from_pandas(table: Any, name: str) -> Any:
    pandas = sys.modules["pandas"]
    sparse = [isinstance(kind, pandas.SparseDtype) for kind in table.dtypes]
    if all(sparse) and all(kind.fill_value == 0 for kind in table.dtypes) and sparse:
        return table.sparse.to_coo()
    if any(sparse):
        raise InputError(
            f"{name}: {sum(sparse)} of {len(sparse)} columns are sparse, or what they leave out is "
            "not 0; pass scipy CSR, or make them alike: data.sparse.to_dense() or "
            "pandas.DataFrame.sparse.from_spmatrix"
        )
    # Columns of plain numbers say NaN where values are missing, which is looked for later.
    plain = [isinstance(kind, np.dtype) and kind.kind != "O" for kind in table.dtypes]
    rest = table.loc[:, ~np.array(plain, dtype=bool)]
    missing = rest.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"{name}: {int(missing.sum())} values are missing (NA), the first in column "
            f"{rest.columns[int(missing.any(0).argmax())]!r}; {_FILL}"
        )
    for at in range(len(plain)):
        kind, column = table.dtypes.iloc[at], table.columns[at]
        found = str(kind)
        if found == "object":
            found = pandas.api.types.infer_dtype(table.iloc[:, at])
        elif kind.kind in "fiubc":
            continue
        if found not in _NUMBERS_OF_PANDAS:
            raise NotNumbers(
                f"{name}: column {column!r} holds {found} values; expected numbers, or leave it "
                f"out: data = data.drop(columns=[{column!r}])"
            )
    kinds = [getattr(kind, "numpy_dtype", kind) for kind in table.dtypes]
    return table.to_numpy(np.result_type(*kinds) if kinds else None)


def _from_torch(tensor: Any, name: str) -> Any:
    if hasattr(tensor, "get_mask"):
        _check_mask(~tensor.get_mask().cpu().numpy(), name)
        tensor = tensor.get_data()
    tensor = tensor.detach().cpu()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    layout, shape = str(tensor.layout), tuple(tensor.shape)
    if layout == "torch.strided":
        return _numpy(tensor)
    if layout == "torch.sparse_coo":
        # Not by torch's own conversion, which trusts the indices.
        return sp.coo_array((_numpy(tensor._values()), tuple(_numpy(tensor._indices()))), shape)
    if layout not in _COMPRESSED:
        raise InputError(
            f"{name}: layout {layout} is not read; pass data.to_dense().to_sparse_csr()"
        )
    container, *pointers = _COMPRESSED[layout]
    pointer, index = (_numpy(getattr(tensor, one)()) for one in pointers)
    return container((_numpy(tensor.values()), index, pointer), shape)


def _numpy(tensor: Any) -> np.ndarray:
    """Return a tensor as numpy has it: bfloat16 and narrower as float32."""
    if tensor.is_floating_point() and str(tensor.dtype) not in _OF_NUMPY:
        tensor = tensor.float()
    return np.asarray(tensor.resolve_conj().resolve_neg().numpy())
