"""What tells data from others by their content."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from bcnmf.kernels import fingerprint as kernels
from bcnmf.matrices.sources import open_source

# Of values read at a time: a copy of them is in float64.
_BYTES_AT_ONCE = 1 << 24


def fingerprint(data: Any, name: str) -> str:
    """Return 16 digits that another value, or another order of rows or columns, would change.

    Parameters
    ----------
    data : ndarray, scipy sparse, torch.Tensor, DataFrame, AnnData or data set in a file
        Samples x features. It matters neither which of these holds the values, nor whether zeros
        are stored, nor how many bits the numbers have.
    name : str
        What to call the data in errors.
    """
    source, total = open_source(data, name), 0
    for piece in source.pieces(max(1, int(_BYTES_AT_ONCE / max(1.0, source.row_bytes)))):
        values, first = source.read(piece), piece.rows.start
        if sp.issparse(values):
            stored = values.data.astype(np.float64, copy=False)
            rest = stored, stored.view(np.uint64), first
            total += int(kernels.of_csr(values.indptr, values.indices, *rest))
        else:
            dense = np.ascontiguousarray(values, dtype=np.float64)
            total += int(kernels.of_dense(dense, dense.view(np.uint64), first))
    return f"{total % 2**64:016x}"
