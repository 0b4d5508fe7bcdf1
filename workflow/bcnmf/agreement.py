"""What the topics of many starts agree on: their programs, and how stable each is.

After Kotliar et al. 2019 (cNMF), with two departures (docs/how_sure_evidence.md). Outliers
are dropped from the medians, not before the clustering: with more topics than programs that would
leave K clusters to fewer programs, and cut those that all starts find in two. And a program's
stability counts starts, not silhouettes: in how many is it found again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A program below it is flagged: too few starts find it again (docs/how_sure_evidence.md).
UNSTABLE = 0.7
# A topic is the program found again where it is nearer to it than this share of the way from the
# program to the next one.
_AGAIN = 0.5
_KMEANS_RUNS = 10


@dataclass(frozen=True)
class Agreement:
    """Programs of many starts.

    Attributes
    ----------
    programs : ndarray of shape (K, features)
        Median of each cluster of topics; rows of unit norm.
    stability : ndarray of shape (K,)
        In [0, 1], see `agreement`.
    support : ndarray of shape (K,)
        In how many starts each is found again.
    dropped : ndarray of bool, shape (starts, K)
        Which topics were outliers and entered no median.
    cluster : ndarray of shape (starts, K)
        The program, from 0 on, to whose cluster each topic belongs.
    """

    programs: np.ndarray
    stability: np.ndarray
    support: np.ndarray
    dropped: np.ndarray
    cluster: np.ndarray

    def ordered(self, order: np.ndarray) -> Agreement:
        """Return the same with the programs in another order."""
        return Agreement(
            self.programs[order], self.stability[order], self.support[order], self.dropped,
            np.argsort(order)[self.cluster],
        )  # fmt: skip


def agreement(spectra: np.ndarray, neighbours: float, max_distance: float, seed: int) -> Agreement:
    """Cluster the topics of many starts into programs.

    Topics are brought to unit norm and clustered by k-means into as many programs as a start has
    topics. The mean distance of a topic to its nearest neighbours is large where few starts found
    it; such outliers enter no median, unless a cluster has nothing else. Then the topics of each
    start are assigned one to one to the programs, such that the sum of cosines is largest. A start
    has found a program again where the topic assigned to it is less than half as far away from it
    as the next program is. The stability of a program is the sum of the cosines in the starts that
    found it again, over the number of all starts.

    Parameters
    ----------
    spectra : ndarray of shape (starts, K, features)
        Topics, non-negative.
    neighbours : float
        How many neighbours, as a share of the starts.
    max_distance : float
        Largest mean distance, between topics of unit norm, of a topic that is no outlier.
    seed : int
        Of k-means.
    """
    starts, k, features = spectra.shape
    topics = _unit(spectra)
    dropped = _density(topics, max(1, round(neighbours * starts))) > max_distance
    cluster = _clusters(topics.reshape(-1, features), k, seed).reshape(starts, k)
    programs = np.zeros((k, features))
    for number in range(k):
        members = cluster == number
        kept = members & ~dropped
        programs[number] = np.median(topics[kept if kept.any() else members], axis=0)
    programs = _unit(programs)
    cosines = np.stack([_assigned(programs, one) for one in topics])
    # A lone program has no next one; a topic with nothing in common is not the program.
    apart = _distance(programs @ programs.T) + 2 * np.sqrt(2) * np.eye(k)
    again = _distance(cosines) < _AGAIN * np.minimum(apart.min(axis=1), np.sqrt(2))
    stability = np.where(again, cosines, 0.0).mean(axis=0)
    return Agreement(programs, stability, again.sum(axis=0), dropped, cluster)


def _clusters(topics: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Return the cluster of each topic (topics,), none of them empty."""
    from sklearn.cluster import KMeans

    distinct = np.unique(topics.round(6), axis=0)
    if len(distinct) < k:  # topics that coincide in all starts: any one to one assignment will do
        return np.arange(len(topics)) % k
    return np.asarray(KMeans(k, n_init=_KMEANS_RUNS, random_state=seed).fit_predict(topics))


def _density(topics: np.ndarray, nearest: int) -> np.ndarray:
    """Return the mean distance of each topic (starts, K) to its nearest ones, itself left out."""
    everything = topics.reshape(-1, topics.shape[-1])
    nearest = min(nearest, len(everything) - 1)
    found = np.empty(topics.shape[:2])
    for start, own in enumerate(topics):  # one start at a time: memory
        distances = np.partition(_distance(own @ everything.T), nearest, axis=1)
        # The distance to itself is zero up to rounding, and one of the smallest.
        found[start] = distances[:, : nearest + 1].sum(axis=1) / nearest
    return found


def _assigned(programs: np.ndarray, topics: np.ndarray) -> np.ndarray:
    """Return the cosine (K,) of each program with the topic assigned to it."""
    from scipy.optimize import linear_sum_assignment

    cosines = programs @ topics.T
    rows, columns = linear_sum_assignment(cosines, maximize=True)
    return np.asarray(cosines[rows, columns])


def _distance(cosines: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(2 - 2 * cosines, 0.0)))


def _unit(topics: np.ndarray) -> np.ndarray:
    """Return topics (..., features) of unit norm in float64; one of zeros stays so."""
    topics = np.asarray(topics, dtype=np.float64)
    norms = np.linalg.norm(topics, axis=-1, keepdims=True)
    return np.asarray(np.divide(topics, norms, out=np.zeros_like(topics), where=norms > 0))
