"""Triton: usages that solve non-negative least squares, a few samples a program.

Computed in float64 whatever the precision of the factors: topics that nearly coincide differ in the
last digits of their Gram matrix.
"""

from __future__ import annotations

import triton.language as tl

from bcnmf.kernels.accelerated import jit


@jit
def solve(
    product: tl.tensor, gram: tl.tensor, usage: tl.tensor, samples: tl.tensor, k: tl.tensor,
    max_sweeps: tl.tensor, tol: tl.constexpr, width: tl.constexpr, rows_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Minimise ||x - h C||^2 over h >= 0 by cyclic coordinate descent, from `usage` on, in place.

    `product` is X C' (samples, K), `gram` C C' (K, K) in float64. A sample is done when a sweep
    changes none of its usages by more than `tol` times its largest; from then on it stands still,
    while others of its program may go on.
    """
    rows = tl.program_id(0).to(tl.int64) * rows_at_once + tl.arange(0, rows_at_once)
    topics = tl.arange(0, width)
    inside = (rows < samples)[:, None] & (topics < k)[None, :]
    places = rows[:, None] * k + topics[None, :]
    present = tl.load(usage + places, mask=inside, other=0.0).to(tl.float64)
    aim = tl.load(product + places, mask=inside, other=0.0).to(tl.float64)
    # An empty sample has no usages, and rounding would leave it some.
    present = tl.where((tl.max(aim, 1) > 0)[:, None], present, 0.0)
    # Half the gradient, kept up to date.
    slope = -aim
    for topic in range(k):
        own = tl.load(gram + topic * k + topics, mask=topics < k, other=0.0)
        one = tl.sum(tl.where((topics == topic)[None, :], present, 0.0), 1)
        slope += one[:, None] * own[None, :]
    moving = (rows < samples).to(tl.int32)
    left = max_sweeps
    while left > 0:
        most = tl.zeros((rows_at_once,), tl.float64)
        for topic in range(k):
            here = (topics == topic)[None, :]
            own = tl.load(gram + topic * k + topics, mask=topics < k, other=0.0)
            curvature = tl.load(gram + topic * k + topic)
            # An empty topic explains nothing.
            used = tl.where(curvature > 0, 1.0, 0.0)
            before = tl.sum(tl.where(here, present, 0.0), 1)
            step = tl.sum(tl.where(here, slope, 0.0), 1) / tl.where(curvature > 0, curvature, 1.0)
            after = tl.maximum(before - step, 0.0) * used
            change = tl.where(moving > 0, after - before, 0.0)
            slope += change[:, None] * own[None, :]
            present = tl.where(here, (before + change)[:, None], present)
            most = tl.maximum(most, tl.abs(change))
        moving = tl.where(most > tol * tl.max(present, 1), moving, 0)
        left = tl.where(tl.max(moving, 0) > 0, left - 1, 0)
    # Rounding again: on its way to zero a usage comes as near as the digits of others allow.
    present = tl.where(present > 1e-15 * tl.max(present, 1)[:, None], present, 0.0)
    tl.store(usage + places, present.to(usage.dtype.element_ty), mask=inside)
