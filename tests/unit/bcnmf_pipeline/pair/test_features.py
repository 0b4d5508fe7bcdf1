"""Features and samples that the pairing leaves out, against naive computation."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from pairs import FEATURES, FORMATS, ROW, WHERE, N, counts_of, own, warnings_of


def naive_top(values, n_top):
    """Return scanpy's flavour seurat: log dispersion, in units of its bin of 20 by log mean."""
    mean, variance = values.mean(axis=0), values.var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = pd.Series(np.where(variance > 0, np.log(variance / mean), np.nan))
    bins = pd.cut(pd.Series(np.log1p(mean)), bins=20).astype(str)
    centre, spread = (dispersion.groupby(bins).transform(one) for one in ("mean", "std"))
    alone = spread.isna()
    spread[alone], centre[alone] = centre[alone], 0.0
    score = ((dispersion - centre) / spread).fillna(-np.inf)
    return sorted(np.argsort(-score.to_numpy(), kind="stable")[:n_top])


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("values", ["counts", "log", "raw"])
def test_highly_variable_features_are_those_of_the_naive_formula(values, kind, monkeypatch):
    rng = np.random.default_rng(5)
    matrix = rng.poisson(rng.gamma(1.0, 2.0, 200) * rng.gamma(2.0, 0.5, (N, 200))) + 0.0
    matrix[:, 0] += 1
    per_10k = 1e4 * matrix / matrix.sum(axis=1, keepdims=True)
    given_as = {"counts": matrix, "log": np.log1p(matrix), "raw": 1.5 * matrix}[values]
    expected = {"counts": per_10k, "log": matrix, "raw": 1.5 * matrix}[values]
    if kind == "csr":  # nothing on the way may make it dense
        monkeypatch.setattr(sp.csr_matrix, "toarray", None, raising=False)
        monkeypatch.setattr(sp.csr_matrix, "todense", None, raising=False)
    row = ROW | {"values": values, "n_top_features": "50"}
    target, background = make_pair(own(FORMATS[kind](given_as)), row, WHERE)
    there = np.flatnonzero(matrix.any(axis=0))  # empty features take no part
    names = [f"gene{there[i]}" for i in naive_top(expected[:, there], 50)]
    assert 150 < len(there) < 200
    assert target.var_names.tolist() == background.var_names.tolist() == names
    if values == "counts":
        totals = np.asarray(target.layers["counts"].sum(axis=1)).ravel()
        sums = np.asarray(np.expm1(target.X).sum(axis=1)).ravel()
        np.testing.assert_allclose(sums[totals > 0], 1e4, rtol=1e-4)


def test_at_a_tie_exactly_as_many_features_are_kept_and_the_first_ones():
    counts = np.repeat(counts_of(features=60), 2, axis=1)  # each feature twice
    for n_top in (5, 24, 51):
        target, _ = make_pair(own(counts), ROW | {"n_top_features": str(n_top)}, WHERE)
        assert target.n_vars == n_top
        kept = {int(name.removeprefix("gene")) for name in target.var_names}
        assert all(feature - 1 in kept for feature in kept if feature % 2)


def test_features_that_do_not_vary_are_taken_last():
    counts = np.full((N, 100), 3, dtype=np.float32)
    row = ROW | {"values": "raw", "n_top_features": "4"}
    target, _ = make_pair(own(counts), row, WHERE)
    assert target.var_names.tolist() == ["gene0", "gene1", "gene2", "gene3"]
    assert warnings_of(target)[-1].startswith("4 of the 4 highly variable features have no rank")
    counts[:, 5:7] = counts_of(features=2) + 1
    target, _ = make_pair(own(counts), row, WHERE)
    assert target.var_names.tolist() == ["gene0", "gene1", "gene5", "gene6"]
    assert warnings_of(target)[-1].startswith("2 of the 4 highly variable features have no rank")


def test_empty_features_and_samples_are_left_out_and_counted():
    counts = counts_of()
    counts[:, [3, 7]] = 0
    counts[::2, 11] = 0  # in the background only
    counts[[0, 2, 5]] = 0
    target, background = make_pair(own(sp.csr_matrix(counts)), ROW, WHERE)
    assert target.shape == (N // 2 - 2, FEATURES - 2)
    assert background.shape == (N // 2 - 1, FEATURES - 2)
    assert not {"gene3", "gene7"} & set(target.var_names)
    assert not {"cell0", "cell2"} & set(target.obs_names)
    assert "cell5" not in background.obs_names
    assert warnings_of(target) == [
        "2 of 60 target samples are zero in all 30 features and were left out",
        "1 of 60 background samples are zero in all 30 features and were left out",
        "2 of 30 features are zero in all samples of target and background and were left out",
    ]


def test_samples_without_any_of_the_kept_features_are_left_out():
    counts = counts_of(features=60)
    counts[:, 1:] = np.random.default_rng(1).poisson(0.05, (N, 59))
    counts[:4, 5] = 40
    target, background = make_pair(own(counts), ROW | {"n_top_features": "3"}, WHERE)
    assert (target.layers["counts"].sum(axis=1) > 0).all()
    assert np.isfinite(target.X).all()
    left_out = N - target.n_obs - background.n_obs
    stated = [
        re.match(r"(\d+) of \d+ \w+ samples are zero in all 3", one) for one in warnings_of(target)
    ]
    assert left_out == sum(int(one[1]) for one in stated if one) > 0


def test_more_top_features_than_are_not_zero_keep_all():
    counts = counts_of()
    counts[:, 10:] = 0
    target, _ = make_pair(own(counts), ROW | {"n_top_features": "20"}, WHERE)
    assert target.n_vars == 10
    assert "n_top_features is 20, but 10 features are not zero" in warnings_of(target)[-1]


def test_images_keep_all_their_pixels():
    images = counts_of()
    images[:, 3] = 0
    data = own(images)
    data.uns["image_shape"] = np.array([5, 6])
    target, _ = make_pair(data, ROW | {"values": "raw"}, WHERE)
    assert target.n_vars == FEATURES
    assert pair_record(target)["image_shape"] == [5, 6]
    with pytest.raises(InputError, match=r"n_top_features: 9, but .* 5 x 6 pixels"):
        make_pair(data, ROW | {"values": "raw", "n_top_features": "9"}, WHERE)
    for other in ([4, 6], [5, 6, 1], [5.0, 6.0], "5 x 6"):  # not of these features
        data.uns["image_shape"] = np.array(other)
        target, _ = make_pair(data, ROW | {"values": "raw"}, WHERE)
        assert target.n_vars == FEATURES - 1
        assert "image_shape" not in pair_record(target)
