"""Starting factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bcnmf.errors import InputError

Factors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_DRAWN_AT_ONCE = 1 << 16


def random_factors(
    n: int, m: int, features: int, k: int, seed: int, dtype: torch.dtype, device: torch.device
) -> Factors:
    """Draw components (K, features), usage (n, K), background usage (m, K) from uniform(0, 1).

    Drawn in float64 on the CPU, in this order, so that a seed gives the same start in every
    precision and on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes = ((k, features), (n, k), (m, k))
    components, usage, background_usage = (
        _drawn(shape, generator, dtype).to(device) for shape in shapes
    )
    return components, usage, background_usage


def _drawn(shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    """Draw from uniform(0, 1) in float64, a few rows at a time so that no wide copy is formed."""
    drawn = torch.empty(shape, dtype=dtype)
    step = max(1, _DRAWN_AT_ONCE // max(1, shape[1]))
    for start in range(0, shape[0], step):
        part = drawn[start : start + step]
        part[:] = torch.rand(part.shape, generator=generator, dtype=torch.float64)
    return drawn


def given_factors(
    init: Sequence[Any],
    n: int,
    m: int,
    features: int,
    k: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Factors:
    """Check and copy user-supplied (components, usage, background_usage).

    Raises
    ------
    InputError
        Wrong number of arrays, wrong shapes, or negative or non-finite entries.
    """
    shapes = {"components": (k, features), "usage": (n, k), "background_usage": (m, k)}
    components, usage, background_usage = given_arrays(init, shapes, dtype, device)
    return components, usage, background_usage


def given_arrays(
    init: Sequence[Any],
    shapes: Mapping[str, tuple[int, int]],
    dtype: torch.dtype,
    device: torch.device,
) -> list[torch.Tensor]:
    """Check and copy user-supplied factors, as many as `shapes` (name -> shape) has.

    Raises
    ------
    InputError
        Wrong number of arrays, wrong shapes, or negative or non-finite entries.
    """
    if len(init) != len(shapes):
        expected = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        count = {2: "two", 3: "three"}[len(shapes)]
        raise InputError(f"init: {len(init)} arrays given; expected {count}: {expected}")
    factors = []
    for (name, shape), given in zip(shapes.items(), init, strict=True):
        host = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given
        array = np.array(host, dtype=np.float64)
        if array.shape != shape:
            raise InputError(f"init: {name} has shape {array.shape}; expected {shape}")
        if not np.isfinite(array).all() or (array < 0).any():
            raise InputError(f"init: {name} has negative, NaN or infinite entries")
        factors.append(torch.as_tensor(array, dtype=dtype).to(device))
    return factors
