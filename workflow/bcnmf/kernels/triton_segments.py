"""Triton: what components need, from the transpose of CSR data.

The transpose is kept by tiles of rows (`bcnmf.matrices.csr_fused`): a segment is one feature's
stored values within one tile. A program adds up one segment; segments of a tile run at about the
same time and read the same usages. The sums of the tiles are added up afterwards, in their order.
"""

from __future__ import annotations

import triton.language as tl

from bcnmf.kernels.accelerated import jit


@jit
def transposed_times(
    pointer: tl.tensor, sample: tl.tensor, values: tl.tensor, usage: tl.tensor,
    components: tl.tensor, sums: tl.tensor, samples: tl.tensor, features: tl.tensor,
    segments: tl.tensor, k: tl.tensor, starts: tl.tensor, poisson: tl.constexpr,
    eps: tl.constexpr, width: tl.constexpr, values_at_once: tl.constexpr,
) -> None:  # fmt: skip
    """Write X' H of each segment to `sums` (starts, segments, K), or if `poisson` (X / H C)' H.

    `pointer` (segments + 1,) says where segments begin, `sample` which rows hold their values;
    `usage` is (starts, samples, K); `components` (features, K), of one start, matter only if
    `poisson`. Each start has a program for every segment, which does what it would do alone.
    """
    segment = tl.program_id(0).to(tl.int64) // starts
    start = tl.program_id(0).to(tl.int64) % starts
    usage += start * samples * k
    low, high = tl.load(pointer + segment), tl.load(pointer + segment + 1)
    lanes, topics = tl.arange(0, values_at_once), tl.arange(0, width)
    total = tl.zeros((values_at_once, width), values.dtype.element_ty)
    if poisson:
        place = components + (segment % features) * k + topics
        topic = tl.load(place, mask=topics < k, other=0.0)
    for first in range(low, high, values_at_once):
        inside = first + lanes < high
        value = tl.load(values + first + lanes, mask=inside, other=0.0)
        row = tl.load(sample + first + lanes, mask=inside, other=0).to(tl.int64)
        both = inside[:, None] & (topics < k)[None, :]
        part = tl.load(usage + row[:, None] * k + topics[None, :], mask=both, other=0.0)
        if poisson:
            value /= tl.sum(part * topic[None, :], 1) + eps
        total += value[:, None] * part
    tl.store(sums + (start * segments + segment) * k + topics, tl.sum(total, 0), mask=topics < k)
