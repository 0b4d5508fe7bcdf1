"""Seeds: from what users pass as `random_state`, and from names."""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

import numpy as np

from bcnmf.errors import InputError

RandomState = int | np.integer[Any] | np.random.RandomState | np.random.Generator | None


def derive_seed(*names: object) -> int:
    """Hash names to a seed, so that adding a study or a method changes no other result.

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


def seed_of_start(seed: int, number: int) -> int:
    """Return the seed of a fit's start: the fit's own for the first one, derived for the others.

    Parameters
    ----------
    seed : int
        Seed of the fit. Counting on from it would give neighbouring seeds the same starts.
    number : int
        Which start, from 0 on.
    """
    return seed if number == 0 else derive_seed("start", seed, number)


def seed_of(random_state: RandomState) -> int:
    """Return the seed that scikit-learn's `random_state` stands for.

    Parameters
    ----------
    random_state : int, None, RandomState or Generator
        An integer is the seed itself. None draws one from numpy's global random numbers, a
        RandomState or Generator from its own, so that each call gives another one.

    Raises
    ------
    InputError
        Anything else, or a negative integer.
    """
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if random_state is None:
        return int(np.random.randint(2**31 - 1))  # noqa: NPY002 (scikit-learn's meaning of None)
    whole = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    if not whole or random_state < 0:
        raise InputError(
            f"random_state={random_state!r} is not allowed; expected an integer of at least 0, "
            "None, numpy.random.RandomState or numpy.random.Generator"
        )
    return int(random_state)
