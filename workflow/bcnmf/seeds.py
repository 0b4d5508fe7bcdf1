"""Seeds that derive from names, so that adding a study or a method changes no other result."""

from __future__ import annotations

import hashlib


def derive_seed(*names: object) -> int:
    """Hash names to a seed.

    Parameters
    ----------
    *names : object
        What the random numbers are for, for instance ``("simulation", "replicate", 3)``. Only their
        ``str`` matters.

    Returns
    -------
    int
        A seed in [0, 2**31), the same on every machine and Python version.
    """
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
