"""Which conda environment a fit runs in."""

from __future__ import annotations

from collections.abc import Mapping

from bcnmf.errors import InputError

FIT = {"cpu": "fit", "cuda": "fit-cuda"}
# Devices that each build of torch can use.
_DEVICES = {"cpu": ("auto", "cpu", "mps"), "cuda": ("auto", "cuda")}


def fit_environment(compute: Mapping[str, str], where: str) -> str:
    """Return the name of the environment of fits, a file of ``envs/`` without its suffix.

    Parameters
    ----------
    compute : mapping
        `device`, and `environment`: cpu, cuda, or auto, which follows the device: CUDA where that
        is asked for by name, else the CPU. What a GPU is there is not looked at, since environments
        are made on machines other than those that compute.
    where : str
        Name of the configuration for the message.

    Raises
    ------
    InputError
        The environment holds a torch that cannot use the device.
    """
    device, environment = compute["device"], compute["environment"]
    kind = device.split(":")[0]
    if environment == "auto":
        environment = "cuda" if kind == "cuda" else "cpu"
    if kind not in _DEVICES[environment]:
        allowed = ", ".join(_DEVICES[environment])
        raise InputError(
            f"{where}, key compute.environment: {environment!r} holds a build of torch for the "
            f"devices {allowed}, but compute.device is {device!r}; set compute.environment to auto"
        )
    return FIT[environment]
