"""A target of which half of the samples hold a program that the background does not have."""

import numpy as np


def new_program(n=90, m=70, features=24, seed=0, strength=3.0, poisson=False):
    """Return target (n, features), background (m, features), and who holds it (n,)."""
    rng = np.random.default_rng(seed)
    programs = np.zeros((4, features))
    for number in range(4):
        programs[number, number * 6 : number * 6 + 6] = rng.gamma(2.0, 1.0, 6)
    shared = rng.gamma(1.0, 2.0, (n + m, 3))
    holds = np.arange(n) % 2 == 0
    own = np.zeros((n + m, 1))
    own[:n][holds] = strength * rng.uniform(0.5, 1.5, (holds.sum(), 1))
    means = np.hstack([shared, own]) @ programs + 0.1
    values = rng.poisson(means).astype(float) if poisson else means + rng.random(means.shape)
    return values[:n], values[n:], holds
