"""What to do where the background does not fit the target: programs it lacks, genes it misses.

A program of strong usage that the background lacks is the first that target topics find, and what
is sought stays hidden under it. A gene that the target captures better than the background is in
excess wherever shared topics load on it. Both are told here from what target topics are for.
"""

from __future__ import annotations

import numpy as np
import torch

from bcnmf.device import as_float64
from bcnmf.matrices.base import Matrix
from bcnmf.seeds import derive_seed
from bcnmf.solvers.descent import Descent
from bcnmf.solvers.usage import flat_usage, solve_usage

# A kind of sample that the background lacks: topics with so many times the share of the target's
# samples that they have of the background's, which in some samples are most of the total. A program
# that samples have besides their kind is not. So few samples are too few to be called a kind.
_LACKING = 50.0
_MOST_OF_A_SAMPLE, _SAMPLES, _LEAST_SAMPLES = 0.5, 0.01, 20
# Of a fit to half the background, the share in the target over that in the other half: programs
# have 1.9 to 3, what remains where the first round has found all 0.6, topics of nothing at all 1.2
# to 1.7, because they were fitted to the target.
STANDS_OUT = 1.5
# Halves of fewer samples say nothing: of 15, topics of nothing had 3 and 250.
ENOUGH_TO_JUDGE = 100
# Topics fitted to both sides that the target uses so many times as much are not shared.
_NOT_SHARED = 5.0
# So many samples of the background tell; more take time and, read from a file, memory.
_MOST_ROWS = 5000
# Offsets: one over the variance that is expected of them, and how far they may go.
_CERTAINTY = 25.0
_LEAST, _MOST = 0.1, 10.0


def shares(usage: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
    """Return what part of each sample's fitted total each topic is, (samples, K)."""
    parts = usage * components.sum(1)
    return parts / parts.sum(1, keepdim=True).clamp(min=torch.finfo(parts.dtype).tiny)


def shared(
    components: torch.Tensor, background_usage: torch.Tensor, usage: torch.Tensor
) -> torch.Tensor:
    """Return which topics that were fitted to both sides the background uses too, bool (K,).

    That which the background uses most always is one.
    """
    own, other = (shares(one, components).mean(0) for one in (usage, background_usage))
    found = own <= _NOT_SHARED * other
    found[other.argmax()] = True
    return found


def enrichment(
    fitted: Descent, background: Matrix, components: torch.Tensor, k: int, loss: str
) -> torch.Tensor:
    """Return the mean share of the last K topics in the target over that in a background, (K,).

    Parameters
    ----------
    fitted : Descent
        The fit of the target, its last K topics those of the target.
    background : Matrix
        Samples, of which usages of `components` are solved.
    components : torch.Tensor
        As those of the fit, for the background: without offsets.
    k : int
        Number of target topics.
    loss : str
        See `bcnmf.solvers.staged.Settings`.
    """
    own = shares(fitted.usages[0], fitted.components)[:, -k:].mean(0)
    usage = flat_usage(background, components)
    solve_usage(background, components, usage, loss)
    other = shares(usage, components)[:, -k:].mean(0)
    return own / other.clamp(min=torch.finfo(own.dtype).tiny)


def absent(
    fitted: Descent,
    background: Matrix,
    shared: torch.Tensor,
    loss: str,
) -> torch.Tensor:
    """Return which target topics are a kind of sample that the background lacks, bool (n_target,).

    `fitted` is the fit of the target, `shared` is W_s without offsets.
    """
    own = shares(fitted.usages[0], fitted.components)[:, len(shared) :]
    nothing = torch.zeros(own.shape[1], dtype=torch.bool, device=own.device)
    # The background need not be looked at where no sample is mostly of target topics.
    if not _most_of_samples(own):
        return nothing
    topics = torch.cat([shared, fitted.components[len(shared) :]])
    found = enrichment(fitted, background, topics, own.shape[1], loss) > _LACKING
    return found if _most_of_samples(own[:, found]) else nothing


def _most_of_samples(share: torch.Tensor) -> bool:
    """Return whether these topics together are most of enough samples."""
    samples = int((share.sum(1) > _MOST_OF_A_SAMPLE).sum())
    return samples >= max(_LEAST_SAMPLES, _SAMPLES * len(share))


def halves(background: Matrix, seed: int) -> tuple[Matrix, Matrix]:
    """Return two random halves of the background."""
    rng = np.random.default_rng(derive_seed("halves of the background", seed))
    drawn = rng.permutation(background.shape[0])[: 2 * _MOST_ROWS]
    half = (len(drawn) + 1) // 2
    first, second = (background.rows(np.sort(part)) for part in (drawn[:half], drawn[half:]))
    return first, second


def offsets(target: Matrix, shared: torch.Tensor) -> torch.Tensor:
    """Return by how much more the target captures each gene than shared topics say, (features,).

    Gene g of sample i is taken as o_g m_ig + a_g d_i: what shared topics say, times the offset, and
    a part in proportion to the sample's total d_i. A change of capture is a matter of every sample
    in proportion to m_ig, a program of the target is not, and goes to a_g. Least squares with
    weights 1 / d_i, as counts vary, the offset shrunken towards one by how little is known of it.

    Parameters
    ----------
    target : Matrix
        X.
    shared : torch.Tensor of shape (n_shared, features)
        W_s.
    """
    usage = flat_usage(target, shared)
    solve_usage(target, shared, usage, "poisson")
    totals = target.times(torch.ones_like(shared[:1]))
    depth = totals / totals.mean()
    # Samples without counts say nothing.
    weighted = usage / depth.clamp(min=torch.finfo(usage.dtype).eps)
    topics, exact, of_weighted = as_float64(shared), as_float64(usage), as_float64(weighted)
    observed = (
        as_float64(target.transposed_times(weighted)),
        as_float64(target.transposed_times(torch.ones_like(totals))[0]),
    )
    # Sums over samples, divided by depth: of x m, of m m, of x d, of m d, of d d.
    x_m = (observed[0] * topics).sum(0)
    m_m = (topics * ((of_weighted.T @ exact) @ topics)).sum(0)
    x_d, m_d = observed[1], exact.sum(0) @ topics
    d_d = as_float64(depth).sum()
    covariance = (x_m - m_m) - m_d * (x_d - m_d) / d_d
    variance = (m_m - m_d**2 / d_d).clamp(min=0)
    noise = m_d / d_d / target.unit
    tiny = torch.finfo(torch.float64).tiny
    found = 1 + covariance / (variance + _CERTAINTY * noise).clamp(min=tiny)
    return found.clamp(_LEAST, _MOST).to(shared.dtype).to(shared.device)
