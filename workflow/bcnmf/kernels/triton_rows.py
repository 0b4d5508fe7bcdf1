"""Triton: passes over the rows of CSR data, one sample a program.

A program goes through its sample's stored values some at a time, gathers what the components hold
at their features, and leaves the sample's own results: nothing of size samples x features is
formed, and nothing is added up across programs, so that the same data give the same numbers.
Components are C' (features, K), usages (samples, K), pointers int64 and features int32.
"""

from __future__ import annotations

import triton.language as tl

from bcnmf.kernels.accelerated import jit


@jit
def times(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor,
    product: tl.tensor, samples: tl.tensor, features: tl.tensor, k: tl.tensor,
    starts: tl.tensor, width: tl.constexpr, values_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Write X C' to `product` (starts, samples, K) for components of `starts` fits.

    Each has a program for every sample, which does what it would do alone.
    """
    row = tl.program_id(0).to(tl.int64) // starts
    start = tl.program_id(0).to(tl.int64) % starts
    components += start * features * k
    found = _times(pointer, index, values, components, row, k, width, values_at_once)
    topics = tl.arange(0, width)
    tl.store(product + (start * samples + row) * k + topics, found, mask=topics < k)


@jit
def multiply(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor, gram: tl.tensor,
    usage: tl.tensor, k: tl.tensor, eps: tl.constexpr, width: tl.constexpr,
    values_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Update h <- h * (x C') / (h C C' + eps); `gram` is C C' (K, K)."""
    row = tl.program_id(0).to(tl.int64)
    found = _times(pointer, index, values, components, row, k, width, values_at_once)
    topics = tl.arange(0, width)
    place = usage + row * k + topics
    present = tl.load(place, mask=topics < k, other=0.0)
    model = tl.zeros_like(present)
    for topic in range(k):
        one = tl.load(usage + row * k + topic)
        model += one * tl.load(gram + topic * k + topics, mask=topics < k, other=0.0)
    tl.store(place, present * (found / (model + eps)), mask=topics < k)


@jit
def poisson_update(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor,
    weights: tl.tensor, usage: tl.tensor, losses: tl.tensor, k: tl.tensor, damping: tl.constexpr,
    eps: tl.constexpr, width: tl.constexpr, values_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Update h <- h * ((x / h C) C' / sums of C)^damping, and leave the loss from before.

    `weights` are the sums of the components; `losses` (samples,) in float64 get what the stored
    values have of the divergence, sum of x log(x / h C) - x. No update if `damping` is zero.
    """
    row = tl.program_id(0).to(tl.int64)
    topics = tl.arange(0, width)
    place = usage + row * k + topics
    present = tl.load(place, mask=topics < k, other=0.0)
    ratio, loss = _poisson(
        pointer, index, values, components, row, present, k, True, eps, width, values_at_once
    )
    tl.store(losses + row, loss)
    if damping > 0:
        ratio /= tl.load(weights + topics, mask=topics < k, other=1.0) + eps
        if damping == 0.5:
            ratio = tl.sqrt(ratio)
        elif damping != 1:
            power = tl.exp(damping * tl.log(tl.where(ratio > 0, ratio, 1.0)))
            ratio = tl.where(ratio > 0, power, 0.0)
        tl.store(place, present * ratio, mask=topics < k)


@jit
def poisson_solve(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor,
    weights: tl.tensor, usage: tl.tensor, k: tl.tensor, max_iter: tl.tensor, tol: tl.constexpr,
    least: tl.constexpr, eps: tl.constexpr, width: tl.constexpr, values_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Update a sample's usages, undamped, until none moves by more than `tol` times its largest.

    Usages below `least` become zero.
    """
    row = tl.program_id(0).to(tl.int64)
    topics = tl.arange(0, width)
    place = usage + row * k + topics
    present = tl.load(place, mask=topics < k, other=0.0)
    weight = tl.load(weights + topics, mask=topics < k, other=1.0) + eps
    left = max_iter
    while left > 0:
        ratio, _ = _poisson(
            pointer, index, values, components, row, present, k, False, eps, width, values_at_once
        )
        updated = present * ratio / weight
        updated = tl.where(updated > least, updated, 0.0)
        change = tl.max(tl.abs(updated - present), 0)
        left = tl.where(change <= tol * tl.max(updated, 0), 0, left - 1)
        present = updated
    tl.store(place, present, mask=topics < k)


@jit
def _times(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor, row: tl.tensor,
    k: tl.tensor, width: tl.constexpr, values_at_once: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Return x C' of one sample (width,)."""
    low, high = tl.load(pointer + row), tl.load(pointer + row + 1)
    lanes, topics = tl.arange(0, values_at_once), tl.arange(0, width)
    total = tl.zeros((values_at_once, width), values.dtype.element_ty)
    for first in range(low, high, values_at_once):
        inside = first + lanes < high
        value = tl.load(values + first + lanes, mask=inside, other=0.0)
        feature = tl.load(index + first + lanes, mask=inside, other=0).to(tl.int64)
        both = inside[:, None] & (topics < k)[None, :]
        part = tl.load(components + feature[:, None] * k + topics[None, :], mask=both, other=0.0)
        total += value[:, None] * part
    return tl.sum(total, 0)


@jit
def _poisson(
    pointer: tl.tensor, index: tl.tensor, values: tl.tensor, components: tl.tensor, row: tl.tensor,
    usage: tl.tensor, k: tl.tensor, with_loss: tl.constexpr, eps: tl.constexpr, width: tl.constexpr,
    values_at_once: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Return (x / h C) C' of one sample (width,), and sum of x log(x / h C) - x, float64."""
    low, high = tl.load(pointer + row), tl.load(pointer + row + 1)
    lanes, topics = tl.arange(0, values_at_once), tl.arange(0, width)
    total = tl.zeros((values_at_once, width), values.dtype.element_ty)
    losses = tl.full((), 0, tl.float64)
    for first in range(low, high, values_at_once):
        inside = first + lanes < high
        value = tl.load(values + first + lanes, mask=inside, other=0.0)
        feature = tl.load(index + first + lanes, mask=inside, other=0).to(tl.int64)
        both = inside[:, None] & (topics < k)[None, :]
        part = tl.load(components + feature[:, None] * k + topics[None, :], mask=both, other=0.0)
        share = value / (tl.sum(part * usage[None, :], 1) + eps)
        total += share[:, None] * part
        if with_loss:
            # A stored zero has no logarithm, and no share in the loss.
            log = tl.log(tl.where(value > 0, share, 1.0))
            losses += tl.sum(value * (log - 1), 0).to(tl.float64)
    return tl.sum(total, 0), losses
