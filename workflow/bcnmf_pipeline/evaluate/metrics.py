"""Scores against held-out labels: clusterings, embeddings, units of replication."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from bcnmf.errors import InputError
from bcnmf.evidence.units import replicates
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.evaluate.compiled_umap import umap_class


def kmeans_labels(
    values: np.ndarray, n_clusters: int, random_state: int = 42, n_init: int = 10
) -> np.ndarray:
    """Cluster rows by k-means, with the paper's settings by default.

    Parameters
    ----------
    values : ndarray of shape (samples, dimensions)
        Usages or an embedding.
    n_clusters : int
        Number of clusters.
    random_state, n_init : int
        Seed, and number of starts of which the best is kept.

    Returns
    -------
    ndarray of int, shape (samples,)

    Raises
    ------
    InputError
        More clusters than samples, or values that are missing or infinite.
    """
    values = _finite_rows(values)
    if not 1 <= n_clusters <= len(values):
        raise InputError(
            f"n_clusters={n_clusters}: {len(values)} samples can form 1 to {len(values)} clusters"
        )
    model = KMeans(n_clusters=n_clusters, random_state=random_state, n_init=n_init)
    return np.asarray(model.fit_predict(values))


def adjusted_rand(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Return the adjusted Rand index (Hubert & Arabie 1985): 1 if equal, 0 as by chance."""
    return float(adjusted_rand_score(np.asarray(labels), np.asarray(clusters)))


def usage_share(usage: np.ndarray) -> np.ndarray:
    """Return usages divided by their sum per sample.

    Parameters
    ----------
    usage : ndarray of shape (samples, K)
        Non-negative.

    Returns
    -------
    ndarray of shape (samples, K)
        Rows sum to one; a sample that uses no topic at all keeps its row of zeros.

    Raises
    ------
    InputError
        Negative usages (as those of PCA), or values that are missing or infinite.
    """
    usage = _finite_rows(usage)
    if usage.size and usage.min() < 0:
        raise InputError(
            f"usage: the smallest value is {usage.min():.6g}; shares need non-negative usages"
        )
    # Brought to order one first: usages of 1e-300 or 1e300 must not under- or overflow in the sum.
    scaled = _unit_scale(usage)
    totals = scaled.sum(axis=1, keepdims=True)
    share = np.zeros_like(scaled)
    np.divide(scaled, totals, out=share, where=totals > 0)
    return share


def umap_embedding(
    values: np.ndarray, random_state: int = 42, n_neighbors: int = 15, min_dist: float = 0.1
) -> np.ndarray:
    """Embed rows in two dimensions by UMAP, on one thread so that a seed gives one result.

    Parameters
    ----------
    values : ndarray of shape (samples, dimensions)
        Usages.
    random_state : int
        Seed.
    n_neighbors : int
        Size of neighbourhoods; lowered to the number of other samples, with a warning, where there
        are fewer.
    min_dist : float
        Smallest distance in the embedding. Defaults are those of umap-learn.

    Returns
    -------
    ndarray of shape (samples, 2)

    Raises
    ------
    InputError
        Fewer than four samples, or values that are missing or infinite.

    References
    ----------
    McInnes, Healy & Melville (2018), UMAP: Uniform manifold approximation and projection for
    dimension reduction, arXiv 1802.03426.
    """
    values = _finite_rows(values)
    if len(values) < 4:
        raise InputError(f"UMAP needs at least 4 samples; {len(values)} given")
    if n_neighbors > len(values) - 1:
        warnings.warn(
            f"UMAP: n_neighbors={n_neighbors} lowered to {len(values) - 1}, "
            f"there being {len(values)} samples",
            stacklevel=2,
        )
        n_neighbors = len(values) - 1
    # Loaded here: it takes seconds, which only those who embed should wait for.
    model = umap_class()(
        n_components=2,
        n_neighbors=n_neighbors,
        min_dist=min_dist,
        random_state=random_state,
        n_jobs=1,  # What a seed implies; said here, umap-learn need not warn of it.
    )
    # UMAP computes in float32, where the squares of usages of 1e-20 would vanish.
    return np.asarray(model.fit_transform(_unit_scale(values)), dtype=np.float64)


def silhouette(
    values: np.ndarray, labels: np.ndarray, max_samples: int = 10_000, seed: int | None = None
) -> float:
    """Return the mean silhouette width of labelled samples (Rousseeuw 1987).

    Parameters
    ----------
    values : ndarray of shape (samples, dimensions)
        Usages or an embedding.
    labels : ndarray of shape (samples,)
        True labels.
    max_samples : int
        Above this, a random subsample of this size is scored.
    seed : int, optional
        Seed of the subsample; by default one that is always the same.

    Returns
    -------
    float
        In [-1, 1]; NaN where it is undefined (one label only, or no label with two samples).
    """
    values, labels = _finite_rows(values), np.asarray(labels)
    if len(values) > max_samples:
        generator = np.random.default_rng(derive_seed("silhouette") if seed is None else seed)
        chosen = np.sort(generator.choice(len(values), max_samples, replace=False))
        values, labels = values[chosen], labels[chosen]
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(_unit_scale(values), labels))


def unit_majority_ari(
    labels: np.ndarray, clusters: np.ndarray, units: np.ndarray
) -> tuple[float, int]:
    """Score units of replication (mice, donors) instead of samples.

    Each unit goes to the cluster that most of its samples are in (ties: the lowest cluster number).
    A unit whose samples have several labels counts as one for each.

    Parameters
    ----------
    labels, clusters, units : ndarray of shape (samples,)
        True label, cluster (integers from 0) and unit of each sample.

    Returns
    -------
    ari : float
        Adjusted Rand index over units.
    n_units : int
        Number of units, or of units and labels.
    """
    found = replicates(labels, units)
    votes = contingency_matrix(found.of_sample, np.asarray(clusters))
    return adjusted_rand(found.classes, votes.argmax(axis=1)), len(votes)


def merged_clusters(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Merge clusters that have the same majority label.

    The result uses the labels, so its index is no measure of how well clusters were found. It is
    for comparison with publications that did so.

    Parameters
    ----------
    labels, clusters : ndarray of shape (samples,)
        True label and cluster of each sample.

    Returns
    -------
    ndarray of int, shape (samples,)
        The majority label of each sample's cluster, as its place among the sorted labels (ties: the
        label that sorts first).
    """
    votes = contingency_matrix(np.asarray(clusters), np.asarray(labels))
    majority = votes.argmax(axis=1)
    return np.asarray(majority[np.unique(np.asarray(clusters), return_inverse=True)[1]])


def unit_bootstrap_interval(
    labels: np.ndarray,
    clusters: np.ndarray,
    units: np.ndarray,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int | None = None,
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of the sample-level ARI, resampling whole units.

    Samples of one unit are not independent, so units are drawn with replacement and bring all their
    samples along. The clustering is not repeated. A draw of units with one label in one cluster has
    ARI 1, one label in several clusters ARI 0, as in scikit-learn.

    Parameters
    ----------
    labels, clusters, units : ndarray of shape (samples,)
        True label, cluster and unit of each sample.
    n_boot : int
        Number of resamples.
    level : float
        Coverage, between 0 and 1.
    seed : int, optional
        Seed of the resamples; by default one that is always the same.

    Returns
    -------
    low, high : float
    """
    generator = np.random.default_rng(derive_seed("unit bootstrap") if seed is None else seed)
    label_of, cluster_of = (
        np.unique(np.asarray(values), return_inverse=True)[1] for values in (labels, clusters)
    )
    cell = label_of * (cluster_of.max() + 1) + cluster_of
    shape = (label_of.max() + 1, cluster_of.max() + 1)
    tables = np.zeros((len(np.unique(units)), shape[0] * shape[1]))
    np.add.at(tables, (np.unique(np.asarray(units), return_inverse=True)[1], cell), 1.0)
    # How often each unit is drawn is all that matters, and is multinomial.
    draws = generator.multinomial(len(tables), np.full(len(tables), 1 / len(tables)), size=n_boot)
    scores = ari_of_tables((draws @ tables).reshape(n_boot, *shape))
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ari_of_tables(tables: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index of contingency tables (..., labels, clusters)."""
    pairs = _pairs(tables).sum(axis=(-2, -1))
    in_labels = _pairs(tables.sum(axis=-1)).sum(axis=-1)
    in_clusters = _pairs(tables.sum(axis=-2)).sum(axis=-1)
    total = _pairs(tables.sum(axis=(-2, -1)))
    expected = np.divide(in_labels * in_clusters, total, out=np.zeros_like(pairs), where=total > 0)
    room = (in_labels + in_clusters) / 2 - expected
    # No room only if both partitions are all-in-one or all-apart: then they are the same.
    return np.asarray(np.divide(pairs - expected, room, out=np.ones_like(pairs), where=room > 0))


def _finite_rows(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(f"values: shape {values.shape}; expected (samples, dimensions)")
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        raise InputError(f"values: {bad} of {values.size} are NaN or infinite")
    return values


def _unit_scale(values: np.ndarray) -> np.ndarray:
    """Scale by a power of two to magnitudes below one; no digit changes."""
    largest = np.abs(values).max(initial=0.0)
    return values if largest == 0 else np.ldexp(values, -int(np.frexp(largest)[1]))


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1.0) / 2.0
