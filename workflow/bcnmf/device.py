"""Where the arithmetic runs: CPU, CUDA or Apple's MPS, and in which precision."""

from __future__ import annotations

import os
import re

import torch

from bcnmf.errors import InputError, MissingDevice
from bcnmf.sklearn_errors import warn_user

_DTYPES = {"float32": torch.float32, "float64": torch.float64}

if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not come along into a forked process, which would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def resolve_device(device: str) -> torch.device:
    """Choose the torch device.

    Parameters
    ----------
    device : str
        "auto" (CUDA, else MPS, else CPU), "auto:0" (the same, of several CUDA devices that one),
        "cpu", "cuda", "cuda:0", "mps".

    Raises
    ------
    InputError
        The device is unknown, or torch cannot use it here. There is no silent fallback: only "auto"
        chooses, and the fit states what it chose.
    """
    if left_open(device):
        if torch.cuda.is_available():
            return resolve_device(device.replace("auto", "cuda"))
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    unknown = f"device={device!r} is not known; allowed: auto, cpu, cuda, cuda:N, mps"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(unknown) from error
    if chosen.type not in {"cpu", "cuda", "mps"}:
        raise InputError(unknown)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise MissingDevice(
            f"device={device!r}, but torch {torch.__version__} finds no CUDA device; "
            "install a CUDA build of torch, or use device='auto' or 'cpu'"
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise MissingDevice(
            f"device={device!r}, but torch finds no MPS device; use device='auto' or 'cpu'"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise MissingDevice(
            f"device={device!r}, but there are {torch.cuda.device_count()} CUDA devices; use "
            "device='cuda', 'auto' or 'cpu'"
        )
    return chosen


def left_open(device: str) -> bool:
    """Return whether a device is to be chosen: "auto" or "auto:N"."""
    return re.fullmatch(r"auto(:\d+)?", device) is not None


def present_device(device: str, fitted_on: str | None = None) -> torch.device:
    """Choose the device for a fitted model, which may come from another machine.

    Parameters
    ----------
    device : str
        What the model was told. Where there is no such device here, "auto" chooses, and a warning
        says so.
    fitted_on : str, optional
        What "auto" came to; it is taken again if it is here.
    """
    if left_open(device) and fitted_on:
        try:
            return resolve_device(fitted_on)
        except MissingDevice:
            return resolve_device("auto")
    try:
        return resolve_device(device)
    except MissingDevice as missing:
        chosen = resolve_device("auto")
        warn_user(f"the model was fitted with {missing}. It computes on {chosen} now", UserWarning)
        return chosen


def device_of_passes(device: str) -> torch.device:
    """Choose the device for a few passes over data, which "auto" leaves on the CPU.

    They are not worth the way to a GPU, which takes as long.
    """
    return resolve_device("cpu" if left_open(device) else device)


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Choose the floating-point type of the factors; MPS has no float64."""
    if dtype not in _DTYPES:
        raise InputError(f"dtype={dtype!r} is not known; allowed: {', '.join(_DTYPES)}")
    if dtype == "float64" and device.type == "mps":
        raise InputError("dtype='float64' does not exist on MPS; use float32, or device='cpu'")
    return _DTYPES[dtype]


def as_float64(values: torch.Tensor) -> torch.Tensor:
    """Return `values` in float64 (on the CPU where the device has no float64)."""
    if values.device.type == "mps":
        values = values.cpu()
    return values.to(torch.float64)


def gram_float64(components: torch.Tensor) -> torch.Tensor:
    """Return C C' (K, K) of components (K, features) in float64, see `as_float64`."""
    exact = as_float64(components)
    return exact @ exact.T


def to_match(values: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """Return `values` in the precision and on the device of `template`, see `as_float64`."""
    return values.to(template.dtype).to(template.device)


def negligible(dtype: torch.dtype) -> float:
    """Return below which entries of factors are zero, far from any that matters, see `flush`."""
    numbers = torch.finfo(dtype)
    return float(numbers.tiny / numbers.eps)


def flush(*factors: torch.Tensor) -> None:
    """Set negligible entries to zero, in place.

    Multiplicative updates drive entries to zero through subnormal numbers, with which a processor
    is many times slower. Its mode that takes them for zero would do as well, but every thread has
    its own, the caller's and other libraries' among them.
    """
    for factor in factors:
        torch.threshold_(factor, negligible(factor.dtype), 0.0)
