"""Target and background: what is selected, refused and fitted, against naive computation."""

from __future__ import annotations

import json
import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf.errors import InputError
from bcnmf.persistence import Fit
from bcnmf_pipeline.evaluate.evaluation import evaluate
from bcnmf_pipeline.fit.run import values_of
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.pair.values import log_per_10k
from bcnmf_pipeline.record.tables import write_json
from pairs import FEATURES, FORMATS, ROW, WHERE, N, counts_of, own, table_of, warnings_of


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


# --- what is fitted ----------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_counts_are_kept_and_fitted_as_log_per_10k(kind):
    counts = counts_of()
    sides = make_pair(own(FORMATS[kind](counts)), ROW, WHERE)
    for side, rows in zip(sides, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        expected = counts[rows].astype(np.float64)
        naive = np.log1p(1e4 * expected / expected.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(dense(side.X), naive, rtol=1e-5)
        np.testing.assert_array_equal(dense(side.layers["counts"]), expected)
        assert side.X.dtype == side.layers["counts"].dtype == np.float32
        assert all(
            sp.issparse(values) == (kind != "dense") for values in (side.X, side.layers["counts"])
        )
        assert side.obs_names.tolist() == [f"cell{i}" for i in range(N)][rows]
        assert side.var_names.tolist() == [f"gene{i}" for i in range(FEATURES)]
        assert values_of(side, "counts", WHERE) is side.layers["counts"]
    assert warnings_of(sides[0]) == []


@pytest.mark.parametrize("values", ["log", "raw"])
@pytest.mark.parametrize("kind", FORMATS)
def test_other_values_are_fitted_as_they_are(kind, values):
    matrix = np.log1p(counts_of()).astype(np.float64)
    target, background = make_pair(own(FORMATS[kind](matrix)), ROW | {"values": values}, WHERE)
    np.testing.assert_array_equal(dense(target.X), matrix[::2].astype(np.float32))
    np.testing.assert_array_equal(dense(background.X), matrix[1::2].astype(np.float32))
    assert target.X.dtype == np.float32
    assert not target.layers
    with pytest.raises(InputError, match=f"the study's values are '{values}'"):
        values_of(target, "counts", WHERE)


def test_whole_numbers_of_other_types_are_counts():
    counts = counts_of()
    expected = make_pair(own(counts), ROW, WHERE)[0]
    for dtype in (np.int64, np.uint8, np.float64):
        given_as = make_pair(own(sp.csr_matrix(counts.astype(dtype))), ROW, WHERE)[0]
        np.testing.assert_array_equal(given_as.X.toarray(), expected.X)


def test_the_data_are_left_as_they_were():
    matrix = sp.csr_matrix(counts_of())
    matrix.data[3] = 0.0  # stored, and dropped from the pair
    data = own(matrix)
    target, _ = make_pair(data, ROW, WHERE)
    assert (target.X.data > 0).all()
    assert data.X.nnz == matrix.nnz == (matrix.data > 0).sum() + 1
    assert data.shape == (N, FEATURES)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(list(FORMATS)),
    st.floats(0.0, 3.0),
    st.sets(st.integers(0, 11), max_size=6),
    st.one_of(st.none(), st.integers(1, 12)),
)
def test_sides_always_match(seed, kind, rate, empty, n_top):
    """Same features in the order of the file, nothing empty, counts whole, sparse as given."""
    # Any feature is in both kinds of both arms, so that none is too few to go on with.
    counts = np.repeat(np.tile(np.eye(12, dtype=np.float32), (2, 1)), 4, axis=0)
    counts += np.random.default_rng(seed).poisson(rate, counts.shape)
    counts[:, list(empty)] = 0
    data = own(FORMATS[kind](counts), kind=["a", "a", "b", "b"] * 24)
    row = ROW | {"unit": "", "n_top_features": "" if n_top is None else str(n_top)}
    target, background = make_pair(data, row, WHERE)
    assert target.var_names.equals(background.var_names)
    assert list(target.var_names) == [name for name in data.var_names if name in target.var_names]
    assert target.n_vars == min(n_top or 12, 12 - len(empty))
    for side, arm in ((target, "drug"), (background, "vehicle")):
        kept = data[data.obs["arm"] == arm, side.var_names]
        kept = kept[np.asarray(kept.X.sum(axis=1)).ravel() > 0]
        assert side.obs_names.equals(kept.obs_names)
        assert isinstance(side.X, np.ndarray if kind == "dense" else sp.csr_matrix)
        original = dense(kept.X)
        np.testing.assert_array_equal(dense(side.layers["counts"]), original)
        totals = original.sum(axis=1, keepdims=True, dtype=np.float64)
        np.testing.assert_allclose(dense(side.X), np.log1p(1e4 * original / totals), rtol=1e-5)


def test_log_per_10k_is_the_same_for_sparse_and_dense():
    counts = counts_of(seed=3)
    sparse = log_per_10k(sp.csr_matrix(counts))
    np.testing.assert_allclose(sparse.toarray(), log_per_10k(counts), rtol=1e-6)
    np.testing.assert_array_equal(counts, counts_of(seed=3))


def test_sparse_data_stay_sparse_in_memory():
    """The pair of 1000 x 100,000 with 100,000 stored values would take 400 MB if made dense."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, 1000, 100_000), rng.integers(0, 100_000, 100_000)
    counts = sp.csr_matrix((np.ones(100_000, dtype=np.float32), places), shape=(1000, 100_000))
    data = own(counts)
    tracemalloc.start()
    target, _ = make_pair(data, ROW, WHERE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    assert target.X.nnz > 40_000


# --- what is recorded --------------------------------------------------------


def test_the_record_says_what_consumers_read(tmp_path):
    data = own()
    data.uns["source"] = {"citation": "Doe 2020", "licence": "CC0"}
    target, background = make_pair(data, ROW | {"background": "donor=d0,d1;arm=vehicle"}, WHERE)
    record = pair_record(target)
    assert {key: record[key] for key in ("n_target", "n_background", "n_features")} == {
        "n_target": 60, "n_background": background.n_obs, "n_features": FEATURES,
    }  # fmt: skip
    assert background.n_obs == 20
    assert record["labels"] == {"a": 30, "b": 30}
    assert record["units"] == {f"d{i}": 10 for i in range(6)}
    assert record["source"] == {"citation": "Doe 2020", "licence": "CC0"}
    assert record["study"] == ROW | {"background": "donor=d0,d1;arm=vehicle"}
    assert "image_shape" not in record
    write_json(record, tmp_path / "pair.json")
    assert json.loads((tmp_path / "pair.json").read_text()) == record
    target.write_h5ad(tmp_path / "target.h5ad")
    assert pair_record(ad.read_h5ad(tmp_path / "target.h5ad")) == record


def test_warnings_survive_the_file(tmp_path):
    target, _ = make_pair(own(), ROW | {"background": "donor=d0"}, WHERE)
    record = pair_record(target)
    assert record["warnings"] == [
        "10 of 20 background samples are in the target too: the label may leak into the fit",
        "the background holds one unit (donor) alone: what tells this unit from others cannot be "
        "told from what tells the sides apart",
    ]
    target.write_h5ad(tmp_path / "target.h5ad")
    assert pair_record(ad.read_h5ad(tmp_path / "target.h5ad")) == record


def test_a_pair_can_be_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "bcnmf_pipeline.evaluate.evaluation.umap_embedding", lambda usage, **_: usage
    )  # takes long
    target, background = make_pair(own(), ROW, WHERE)
    target.write_h5ad(tmp_path / "target.h5ad")
    target = ad.read_h5ad(tmp_path / "target.h5ad")
    rng = np.random.default_rng(0)
    fit = Fit(rng.random((60, 2)), rng.random((60, 2)), rng.random((2, FEATURES)))
    fit.sample_names, fit.background_names, fit.feature_names = (
        names.to_numpy(dtype=str)
        for names in (target.obs_names, background.obs_names, target.var_names)
    )
    fit.info = {"method": "nmf", "k": 2, "alpha": None, "seed": 0, "contrast": ""}
    scores = evaluate([fit], target, background, target.uns["study"], 0, bootstrap=20).scores
    assert set(scores["study"]) == {"mine"}
    assert set(scores.loc[scores["score"] == "ari_umap_units", "n"]) == {6}


def test_small_groups_are_warned_of():
    row = ROW | {"target": "arm=drug;donor=d0,d1,d2,d3", "background": "arm=vehicle;donor=d5"}
    target, _ = make_pair(own(counts_of(96)), row, WHERE)
    assert warnings_of(target) == [
        "1 of 2 classes of kind have fewer than 10 target samples (b: 8): scores rest on few",
        "1 of 2 classes of kind have fewer than 3 target units (donor) (b: 1): scores rest on few",
        "the background holds one unit (donor) alone: what tells this unit from others cannot be "
        "told from what tells the sides apart",
        "the background has only 8 samples",
    ]


def test_features_of_one_side_only_are_warned_of():
    counts = counts_of()
    counts[1::2, 12:] = 0
    target, _ = make_pair(own(counts), ROW, WHERE)
    assert warnings_of(target) == [
        "18 of 30 features are zero in all background samples but not in the target: were they "
        "measured in both?"
    ]
    counts[1::2, 12:] = counts_of()[1::2, 12:]
    counts[1::2, 16:] = 0  # fewer than half
    assert warnings_of(make_pair(own(counts), ROW, WHERE)[0]) == []


def test_without_units_there_are_none_in_the_record():
    target, _ = make_pair(own(donor=np.nan), ROW | {"unit": ""}, WHERE)
    assert "units" not in pair_record(target)


def test_unused_categories_are_dropped():
    data = own()
    data.obs["arm"] = pd.Categorical(data.obs["arm"])
    target, _ = make_pair(data, ROW, WHERE)
    assert list(target.obs["arm"].cat.categories) == ["drug"]
    assert list(data.obs["arm"].cat.categories) == ["drug", "vehicle"]


# --- values that are refused ---


def set_value(value):
    def change(values):
        values[2, 5] = value
        return values

    return change


VALUES = [
    ("counts", set_value(np.nan), "study mine, target: 1 of .* NaN or infinite"),
    ("raw", set_value(np.inf), "target: 1 of .* NaN or infinite"),
    ("log", set_value(-0.5), "target: 1 negative values, the smallest -0.5"),
    ("counts", lambda x: x - 3, "target: [0-9]+ negative values, the smallest -3"),
    ("counts", set_value(0.25), "values: counts, but 1 of .* of the target .*first: 0.25"),
    ("counts", np.log1p, "column values: counts, but .* set `values` to log"),
    ("log", lambda x: x, r"values: log, but all \d+ stored values of the target .*like counts"),
    ("log", lambda x: 40 * np.log1p(x), "values: log, but no logarithm .* target, .*like counts"),
    ("counts", lambda x: x * (np.arange(N) % 2)[:, None], "all 60 samples of the target are zero"),
    ("raw", lambda x: x * (1 - np.arange(N) % 2)[:, None], "all 60 samples of the background are"),
    ("raw", lambda x: x + 1j, "target: holds complex64 values; expected numbers"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize(("values", "change", "message"), VALUES)
def test_bad_values_are_refused(kind, values, change, message):
    data = own(FORMATS[kind](change(counts_of())))
    with pytest.raises(InputError, match=message) as refused:
        make_pair(data, ROW | {"values": values}, WHERE)
    assert str(refused.value).startswith(WHERE)


def test_bad_values_of_other_samples_do_not_matter():
    counts = counts_of()
    counts[[0, 13]] = np.nan  # of donor d0
    row = ROW | {"target": "arm=drug;donor!=d0", "background": "arm=vehicle;donor!=d0"}
    target, _ = make_pair(own(counts), row, WHERE)
    assert target.n_obs == 50


def test_values_of_the_background_are_checked_too():
    counts = counts_of()
    counts[3, 4] = 0.5
    with pytest.raises(InputError, match=r"counts, but 1 of .* of the background"):
        make_pair(own(counts), ROW, WHERE)


def test_few_fractions_among_many_values_are_found(monkeypatch):
    monkeypatch.setattr("bcnmf_pipeline.pair.blocks._BLOCK", 7)
    counts = counts_of()
    counts[2, 5], counts[116, 29] = 0.25, 0.75
    with pytest.raises(InputError, match=r"but 2 of 1800 .*\(the first: 0.25; the largest: "):
        make_pair(own(counts), ROW, WHERE)


def test_the_message_says_where_else_values_stand():
    data = own(np.log1p(counts_of()))
    data.layers["counts"] = counts_of()
    with pytest.raises(
        InputError,
        match=r"X is what is fitted; the file also holds 'counts': name one in column layer$",
    ):
        make_pair(data, ROW, WHERE)
    data.raw = data.copy()
    data.X = data.X - 1
    with pytest.raises(InputError, match=r"negative .*also holds 'counts', 'raw': name one"):
        make_pair(data, ROW | {"values": "log"}, WHERE)


def test_data_without_a_matrix():
    data = ad.AnnData(obs=table_of(), var=pd.DataFrame(index=["gene0"]))
    with pytest.raises(InputError, match="column dataset: the data have no matrix X"):
        make_pair(data, ROW, WHERE)
