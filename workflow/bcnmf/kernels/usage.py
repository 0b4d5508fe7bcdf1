"""Usages of fixed components for the squared error: non-negative least squares, any device."""

from __future__ import annotations

import numpy as np
import torch

from bcnmf.kernels import accelerated
from bcnmf.kernels.nnls import nnls_rows


def nonnegative_least_squares(
    product: torch.Tensor,
    gram: torch.Tensor,
    usage: torch.Tensor,
    max_sweeps: int = 5000,
    tol: float = 1e-8,
) -> torch.Tensor:
    """Minimise ||X - H C||^2 over H >= 0 by cyclic coordinate descent on the Gram matrix.

    Parameters
    ----------
    product : torch.Tensor of shape (samples, K)
        X C'.
    gram : torch.Tensor of shape (K, K)
        C C'.
    usage : torch.Tensor of shape (samples, K)
        Where to start; updated in place.
    max_sweeps : int
        Sweeps over the K topics at most.
    tol : float
        Stop when a sweep changes no usage of a sample by more than `tol` times its largest (on an
        accelerator without Triton: of all samples, and not below the precision of the factors).

    Returns
    -------
    torch.Tensor
        `usage`, each row the solution for one sample (unique if C has full row rank).
    """
    if accelerated.present(usage.device):
        _solve_on_device(product, gram, usage, max_sweeps, tol)
        return usage
    if usage.device.type == "cpu":
        gram64 = np.ascontiguousarray(gram.numpy(), dtype=np.float64)
        nnls_rows(product.numpy(), gram64, usage.numpy(), max_sweeps, tol)
        return usage
    # All samples at once, in their precision: more sweeps than each needs, but few launches.
    gram = gram.to(usage)
    diagonal = gram.diagonal().tolist()
    tol = max(tol, 4 * torch.finfo(usage.dtype).eps)
    for sweep in range(max_sweeps):
        largest_change = usage.new_zeros(())
        for topic, curvature in enumerate(diagonal):
            if curvature <= 0:  # an empty topic explains nothing
                usage[:, topic] = 0
                continue
            column = usage[:, topic]
            step = (product[:, topic] - usage @ gram[:, topic]) / curvature
            updated = (column + step).clamp_(min=0)
            largest_change = torch.maximum(largest_change, (updated - column).abs().max())
            usage[:, topic] = updated
        # Every look at the change waits for the device, hence not after each sweep.
        if sweep % 5 == 4 and float(largest_change) <= tol * max(float(usage.max()), 1e-30):
            break
    return usage


def _solve_on_device(
    product: torch.Tensor, gram: torch.Tensor, usage: torch.Tensor, max_sweeps: int, tol: float
) -> None:
    """Do the same by one launch of a kernel in Triton, in place."""
    from bcnmf.kernels import triton_usage

    if not usage.is_contiguous():
        raise TypeError("usages must be contiguous, samples x topics")
    (n, k), options = usage.shape, accelerated.block_of_rows(usage.shape[1])
    accelerated.launch(
        triton_usage.solve, -(-n // options["rows_at_once"]), product.contiguous(),
        gram.to(torch.float64).contiguous(), usage, n, k, max_sweeps, tol=tol, **options,
    )  # fmt: skip
