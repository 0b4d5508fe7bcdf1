"""Scores against scikit-learn and scipy, and against loops."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from bcnmf.errors import InputError
from bcnmf.evidence.units import benjamini_hochberg
from bcnmf_pipeline.evaluate.association import (
    auroc_per_class,
    class_moments,
    welch_test,
)
from bcnmf_pipeline.evaluate.metrics import (
    adjusted_rand,
    ari_of_tables,
    kmeans_labels,
    merged_clusters,
    silhouette,
    umap_embedding,
    unit_bootstrap_interval,
    unit_majority_ari,
    usage_share,
)

SEEDS = st.integers(0, 100_000)


def blobs(n=60, dimensions=4, groups=3, gap=8.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % groups
    return generator.random((n, dimensions)) + gap * np.eye(groups, dimensions)[labels], labels


def counts(n=40, columns=7, classes=2, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.array([f"class{i}" for i in generator.integers(0, classes, n)])
    labels[: 2 * classes] = [f"class{i}" for i in range(classes)] * 2
    return generator.poisson(1.5, (n, columns)).astype(float), labels


# k-means, ARI, shares, UMAP, silhouette


def test_kmeans_finds_separate_groups():
    values, labels = blobs()
    clusters = kmeans_labels(values, 3)
    assert adjusted_rand(labels, clusters) == 1.0
    assert set(clusters) == {0, 1, 2}
    np.testing.assert_array_equal(clusters, kmeans_labels(values, 3))


def test_kmeans_does_not_depend_on_tiny_scales():
    values, _ = blobs()
    np.testing.assert_array_equal(kmeans_labels(values, 3), kmeans_labels(values * 2.0**-70, 3))


@pytest.mark.parametrize("n_clusters", [0, 61])
def test_kmeans_refuses_numbers_of_clusters(n_clusters):
    with pytest.raises(InputError, match="60 samples can form 1 to 60 clusters"):
        kmeans_labels(blobs()[0], n_clusters)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, classes=st.integers(1, 4), clusters=st.integers(1, 4))
def test_ari_of_tables_equals_scikit_learn(seed, classes, clusters):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, 12)
    assigned = generator.integers(0, clusters, 12)
    table = np.zeros((classes, clusters))
    np.add.at(table, (labels, assigned), 1)
    expected = adjusted_rand_score(labels, assigned)
    assert ari_of_tables(table) == pytest.approx(expected)
    assert adjusted_rand(labels, assigned) == pytest.approx(expected)
    # Names of clusters mean nothing.
    renamed = generator.permutation(clusters)[assigned]
    assert adjusted_rand(labels, renamed) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, exponent=st.integers(-280, 280))
def test_share_sums_to_one_and_ignores_scale(seed, exponent):
    usage = np.random.default_rng(seed).gamma(0.5, size=(6, 3))
    usage[2] = 0.0
    share = usage_share(usage)
    np.testing.assert_allclose(share[[0, 1, 3, 4, 5]].sum(axis=1), 1.0)
    np.testing.assert_array_equal(share[2], 0.0)
    np.testing.assert_allclose(usage_share(usage * 10.0**exponent), share, rtol=1e-9)


def test_share_of_rows_of_very_different_size():
    usage = np.array([[1e20, 3e20], [1e-20, 3e-20]])
    np.testing.assert_allclose(usage_share(usage), [[0.25, 0.75], [0.25, 0.75]])


def test_share_refuses_signed_and_missing_usages():
    with pytest.raises(InputError, match="smallest value is -2; shares need non-negative"):
        usage_share(np.array([[1.0, -2.0]]))
    with pytest.raises(InputError, match="1 of 2 are NaN"):
        usage_share(np.array([[1.0, np.nan]]))
    with pytest.raises(InputError, match="shape"):
        usage_share(np.ones(3))


@pytest.mark.filterwarnings("error::UserWarning")
def test_umap_repeats_itself_whatever_the_unit():
    values, labels = blobs()
    first = umap_embedding(values)
    assert first.shape == (60, 2)
    np.testing.assert_array_equal(first, umap_embedding(values))
    # Squares of these vanish in float32.
    np.testing.assert_array_equal(first, umap_embedding(values * 2.0**-90))
    assert adjusted_rand(labels, kmeans_labels(first, 3)) == 1.0
    assert not np.array_equal(first, umap_embedding(values, random_state=1))


def test_umap_says_that_it_lowers_the_neighbours():
    values, _ = blobs(10)
    with pytest.warns(UserWarning, match="n_neighbors=15 lowered to 9, there being 10 samples"):
        assert np.isfinite(umap_embedding(values)).all()
    with pytest.raises(InputError, match="at least 4 samples; 3 given"):
        umap_embedding(values[:3])


def test_silhouette_by_hand():
    values = np.array([[0.0], [1.0], [10.0], [11.0]])
    # Own distance 1; other groups at 10.5 and 9.5 on average.
    expected = np.mean([(10.5 - 1) / 10.5, (9.5 - 1) / 9.5] * 2)
    assert silhouette(values, np.array(list("aabb"))) == pytest.approx(expected)
    assert silhouette(values * 2.0**-600, np.array(list("aabb"))) == pytest.approx(expected)
    assert np.isnan(silhouette(values, np.array(list("aaaa"))))
    assert np.isnan(silhouette(values, np.array(list("abcd"))))


def test_silhouette_of_many_samples_takes_a_fixed_part():
    values, labels = blobs(300, gap=1.0)
    first = silhouette(values, labels, max_samples=100)
    assert first == silhouette(values, labels, max_samples=100)
    assert first != silhouette(values, labels, max_samples=100, seed=1)
    assert first == pytest.approx(silhouette(values, labels), abs=0.1)


# Units of replication


def test_majority_vote_by_hand():
    units = np.repeat(["m1", "m2", "m3", "m4"], 3)
    labels = np.repeat(["a", "a", "b", "b"], 3)
    clusters = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1])
    assert unit_majority_ari(labels, clusters, units) == (1.0, 4)
    clusters[6:8] = 0  # m3 moves to the cluster of the others
    expected = adjusted_rand_score([0, 0, 1, 1], [0, 0, 0, 1])
    assert unit_majority_ari(labels, clusters, units) == (pytest.approx(expected), 4)


def test_majority_vote_breaks_ties_by_the_lowest_cluster():
    units, labels = np.array(list("xxyy")), np.array(list("aabb"))
    assert unit_majority_ari(labels, np.array([0, 1, 1, 1]), units) == (1.0, 2)
    assert unit_majority_ari(labels, np.array([1, 0, 0, 0]), units)[0] == 0.0


def test_a_unit_of_several_labels_counts_for_each():
    labels, units = np.array(list("aabbab")), np.array(list("uuuuvv"))
    assert unit_majority_ari(labels, np.array([0, 0, 1, 1, 0, 1]), units) == (1.0, 4)
    # The votes of u are 0 for a and 1 for b, those of v 0 for both.
    expected = adjusted_rand([0, 1, 0, 1], [0, 1, 0, 0])
    found = unit_majority_ari(labels, np.array([0, 0, 1, 1, 0, 0]), units)
    assert found == (pytest.approx(expected), 4)


def naive_bootstrap(labels, clusters, units, n_boot, seed):
    """Resample units one draw at a time, by repeating their rows."""
    names = np.unique(units)
    draws = np.random.default_rng(seed).multinomial(
        len(names), [1 / len(names)] * len(names), size=n_boot
    )
    scores = []
    for draw in draws:
        rows = []
        for name, times in zip(names, draw, strict=True):
            rows += list(np.flatnonzero(units == name)) * times
        scores.append(adjusted_rand_score(labels[rows], clusters[rows]))
    return tuple(np.percentile(scores, [2.5, 97.5]))


@pytest.mark.parametrize("seed", [0, 1])
def test_bootstrap_equals_loop(seed):
    generator = np.random.default_rng(seed)
    units = np.repeat([f"unit{i}" for i in range(7)], generator.integers(2, 6, 7))
    labels = np.where(np.isin(units, ["unit1", "unit4", "unit5"]), "a", "b")
    clusters = np.where(generator.random(len(units)) < 0.8, labels == "a", generator.integers(0, 3))
    found = unit_bootstrap_interval(labels, clusters, units, n_boot=200, seed=seed)
    assert found == pytest.approx(naive_bootstrap(labels, clusters, units, 200, seed))
    assert found[0] < adjusted_rand(labels, clusters) < found[1]


def test_bootstrap_of_the_mouse_design_is_fast_and_wider_than_samples_suggest():
    units = np.repeat([f"mouse{i:02}" for i in range(18)], 15)
    labels = np.repeat(["control"] * 9 + ["trisomic"] * 9, 15)
    clusters = (labels == "trisomic").astype(int)
    clusters[:15] = 1  # one mouse misassigned
    assert adjusted_rand(labels, clusters) == pytest.approx(0.7894, abs=5e-5)
    started = time.process_time()
    naive_bootstrap(labels, clusters, units, 100, 0)
    naive, started = time.process_time() - started, time.process_time()
    low, high = unit_bootstrap_interval(labels, clusters, units)  # a thousand draws
    assert time.process_time() - started < naive
    by_sample = unit_bootstrap_interval(labels, clusters, np.arange(270))
    assert high == 1.0
    assert high - low > 2 * (by_sample[1] - by_sample[0])
    assert (low, high) == unit_bootstrap_interval(labels, clusters, units)
    value, n_units = unit_majority_ari(labels, clusters, units)
    assert n_units == 18
    assert value == pytest.approx(adjusted_rand_score([0] * 9 + [1] * 9, [1] + [0] * 8 + [1] * 9))


# Tests of association


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 4), offset=st.sampled_from([0.0, 1e6]))
def test_moments_equal_numpy(seed, classes, offset):
    values, labels = counts(classes=classes, seed=seed)
    values += offset * (values > 0)
    dense = class_moments(values, labels)
    for found in (dense, class_moments(sp.csr_matrix(values), labels)):
        for i, name in enumerate(found.classes):
            part = values[labels == name]
            np.testing.assert_allclose(found.means[i], part.mean(axis=0), rtol=1e-12)
            expected = part.var(axis=0, ddof=1)
            np.testing.assert_allclose(found.variances[i], expected, rtol=1e-9, atol=1e-12)


def test_moments_of_sparse_values_do_not_cancel():
    # A sum of squares minus a squared sum would leave nothing of this variance.
    values = 1e9 + np.array([[0.0], [1.0], [2.0], [3.0]])
    found = class_moments(sp.csr_matrix(values), np.zeros(4))
    assert found.variances[0, 0] == pytest.approx(5 / 3)


def test_moments_of_repeated_entries():
    twice = sp.csr_matrix(([1.0, 2.0, 4.0], [0, 0, 0], [0, 2, 3]), shape=(2, 1))
    assert twice.nnz == 3
    found = class_moments(twice, np.zeros(2))
    assert found.means[0, 0] == 3.5
    assert found.variances[0, 0] == pytest.approx(0.5)
    assert twice.nnz == 3


def test_sparse_values_are_not_made_dense(monkeypatch):
    values, labels = counts()
    matrix = sp.csr_matrix(values)

    def refuse(*_args, **_kwargs):
        raise AssertionError("densified")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, refuse)
    assert np.isfinite(welch_test(matrix, labels).p_value).all()


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, sparse=st.booleans(), scale=st.sampled_from([1.0, 1e-20, 1e12]))
def test_two_classes_equal_scipy(seed, sparse, scale):
    values, labels = counts(seed=seed)
    values *= scale
    found = welch_test(sp.csr_matrix(values) if sparse else values, labels)
    first, second = values[labels == "class0"], values[labels == "class1"]
    expected = stats.ttest_ind(first, second, equal_var=False)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-9)
    higher = np.where(first.mean(axis=0) >= second.mean(axis=0), "class0", "class1")
    np.testing.assert_array_equal(found.favours, higher)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(3, 5), scale=st.sampled_from([1.0, 1e-20, 1e12]))
def test_more_classes_equal_scipy(seed, classes, scale):
    values, labels = counts(60, classes=classes, seed=seed)
    values += np.random.default_rng(seed).random(values.shape)
    values *= scale
    found = welch_test(values, labels)
    parts = [values[labels == name] for name in np.unique(labels)]
    expected = stats.f_oneway(*parts, equal_var=False, axis=0)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-8)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-7, atol=1e-300)
    means = np.array([part.mean(axis=0) for part in parts])
    np.testing.assert_array_equal(found.favours, np.unique(labels)[means.argmax(axis=0)])


def test_constant_class_among_three_is_the_limit_of_a_small_variance():
    values, labels = counts(60, classes=3)
    values[labels == "class1"] = 0.0
    found = welch_test(sp.csr_matrix(values), labels)
    nearly = values.copy()
    nearly[labels == "class1"] += 1e-5 * np.random.default_rng(0).normal(
        size=nearly[labels == "class1"].shape
    )
    parts = [nearly[labels == name] for name in np.unique(labels)]
    limit = stats.f_oneway(*parts, equal_var=False, axis=0)
    np.testing.assert_allclose(found.statistic, limit.statistic, rtol=1e-4)
    np.testing.assert_allclose(found.p_value, limit.pvalue, rtol=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
def test_columns_that_cannot_be_tested(classes):
    values, labels = counts(classes=classes)
    values[:, 0] = 0.1  # constant
    values[:, 1] = labels == "class1"  # constant within every class
    found = welch_test(values, labels)
    assert np.isnan(found.statistic[0])
    assert np.isnan(found.p_value[0])
    assert np.isinf(found.statistic[1])
    assert found.p_value[1] == 0.0
    assert found.favours[1] == "class1"
    assert np.isfinite(found.p_value[2:]).all()


def test_single_samples_are_left_out_of_the_test():
    values, labels = counts()
    with_one = np.append(labels, "one")
    found = welch_test(np.vstack([values, values[:1] + 100]), with_one)
    expected = welch_test(values, labels)
    np.testing.assert_allclose(found.p_value, expected.p_value)
    assert (found.favours == "one").all()
    two = welch_test(values[:2], np.array(["a", "b"]))
    assert np.isnan(two.p_value).all()
    with pytest.raises(InputError, match="at least two classes; found class0"):
        welch_test(values, np.full(len(values), "class0"))


def test_benjamini_hochberg_by_hand():
    found = benjamini_hochberg([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(found, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg([np.nan])).all()


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 4))
def test_auroc_equals_scikit_learn(seed, classes):
    values, labels = counts(classes=classes, seed=seed)
    names, found = auroc_per_class(values, labels)
    for i, name in enumerate(names):
        for column in range(values.shape[1]):
            expected = roc_auc_score(labels == name, values[:, column])
            assert found[i, column] == pytest.approx(expected)


def test_auroc_needs_two_classes():
    with pytest.raises(InputError, match="at least two classes"):
        auroc_per_class(np.ones((3, 1)), np.array(list("aaa")))


def test_merged_clusters_have_their_majority_label():
    labels = np.array(["b", "b", "a", "a", "a", "c", "c", "b"])
    clusters = np.array([5, 5, 0, 0, 2, 2, 7, 7])
    # 5 -> b; 0 -> a; 2 is half a, half c: the first; 7 is half b, half c: the first.
    assert merged_clusters(labels, clusters).tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    np.testing.assert_array_equal(merged_clusters(labels, np.arange(8)), [1, 1, 0, 0, 0, 2, 2, 1])


def test_merging_can_only_be_done_with_the_labels_at_hand():
    """Many clusters of noise: merged, they seem to know the labels."""
    rng = np.random.default_rng(0)
    labels, clusters = rng.integers(0, 2, 300), rng.integers(0, 150, 300)
    assert abs(adjusted_rand(labels, clusters)) < 0.05
    assert adjusted_rand(labels, merged_clusters(labels, clusters)) > 0.2
