"""Target and background: what is selected, refused and fitted, against naive computation."""

from __future__ import annotations

import json
import re
import tracemalloc

import anndata as ad
import h5py
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
from bcnmf_pipeline.pair.own_data import look
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.pair.values import log_per_10k
from bcnmf_pipeline.record.tables import write_json

WHERE = "config/studies.tsv, study mine"
ROW = {
    "study": "mine", "dataset": "mine.h5ad", "target": "arm=drug", "background": "arm=vehicle",
    "label": "kind", "unit": "donor", "values": "counts", "n_top_features": "",
}  # fmt: skip
N, FEATURES = 120, 30
FORMATS = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}


def counts_of(n=N, features=FEATURES, seed=0):
    counts = np.random.default_rng(seed).poisson(2.0, (n, features)).astype(np.float32)
    counts[:, 0] += 1  # no sample is zero throughout
    return counts


def table_of(n=N):
    """Return samples that alternate between the arms, in 6 donors an arm, 3 a kind."""
    number = np.arange(n)
    donor = number // 2 % 6
    return pd.DataFrame(
        {
            "arm": np.where(number % 2 == 0, "drug", "vehicle"),
            "kind": pd.Categorical(np.where(donor < 3, "a", "b")),
            "donor": [f"d{i}" for i in donor],
        },
        index=[f"cell{i}" for i in number],
    )


def own(matrix=None, **columns):
    matrix = counts_of() if matrix is None else matrix
    var = pd.DataFrame(index=[f"gene{i}" for i in range(matrix.shape[1])])
    return ad.AnnData(matrix, obs=table_of(matrix.shape[0]).assign(**columns), var=var)


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def sizes(path, row):
    found = look(path, row, WHERE)
    assert (found.target.sum(), found.background.sum()) == (found.n_target, found.n_background)
    return found.n_target, found.n_background, found.n_features


def warnings_of(target):
    return pair_record(target)["warnings"]


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


# --- features and samples that are left out ----------------------------------


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


# --- what is refused, by the look at the file and by the pairing --------------


def no_change(data):
    return data


def without_labels(data):
    data.obs["kind"] = np.where(np.arange(N) < 7, None, data.obs["kind"].astype(object))
    return data


def without_any_label(data):
    data.obs["kind"] = np.nan
    return data


def without_units(data):
    data.obs["donor"] = np.where(np.arange(N) == 4, None, data.obs["donor"].astype(object))
    return data


def one_kind(data):
    data.obs["kind"] = np.where(data.obs["arm"] == "drug", "a", data.obs["kind"].astype(object))
    return data


def mixed_unit(data):
    data.obs["donor"] = "d0"
    return data


def repeated_features(data):
    data.var_names = ["gene0", *data.var_names[:-1]]
    return data


def repeated_samples(data):
    data.obs_names = ["cell0", "x", "cell0", *data.obs_names[3:]]
    return data


COMMON = [
    ({"target": "arm"}, no_change, "column target: cannot read 'arm'; expected column=value"),
    ({"target": "arms=drug"}, no_change, "column target: .*no column 'arms'.*mean 'arm'.*'donor'"),
    ({"target": "arm=durg"}, no_change, "target: column 'arm' holds no 'durg'.*mean 'drug'"),
    ({"background": "arm!=vehical"}, no_change, "background: column 'arm' holds no 'vehical'"),
    ({"background": "arm=drug;arm=vehicle"}, no_change, "column background: no sample is selected"),
    ({"label": "kinds"}, no_change, "column label: the data have no column 'kinds'"),
    ({"unit": "patient"}, no_change, "column unit: the data have no column 'patient'"),
    ({}, without_labels, r"column label: 4 of 60 .* no value in 'kind'.*add ;kind=a,b to column"),
    ({"unit": ""}, without_any_label, "label: 60 of 60 .* no value in 'kind'; name another column"),
    ({}, without_units, r"column unit: 1 of 60 .* 'donor'.*;donor=d0,d1,d2,d3,d4,\.\.\. to"),
    ({}, repeated_samples, "1 names of selected samples .* 'cell0'.*obs_names_make_unique"),
    ({"n_top_features": "31"}, no_change, "n_top_features: 31 are more than the 30 features"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "spoil", "message"), COMMON)
def test_both_refuse_the_same_rows(tmp_path, changes, spoil, message):
    data = spoil(own())
    data.write_h5ad(tmp_path / "mine.h5ad")
    with pytest.raises(InputError, match=message) as refused:
        look(tmp_path / "mine.h5ad", ROW | changes, WHERE)
    assert str(refused.value).startswith(WHERE)
    with pytest.raises(InputError, match=message) as refused:
        make_pair(data, ROW | changes, WHERE)
    assert str(refused.value).startswith(WHERE)


ALLOWED = [
    (one_kind, "all target samples have 'a' in the label kind: it tells nothing apart, and there "
               "are no scores against it"),
    (mixed_unit, "the target and the background hold one unit (donor) alone: what tells this unit "
                 "from others cannot be told from what tells the sides apart"),
    (repeated_features, "1 names of features stand more than once ('gene0'): -1, -2 and so on were "
                        "appended"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "remark"), ALLOWED)
def test_both_go_on_with_a_remark(tmp_path, change, remark):
    data = change(own())
    data.write_h5ad(tmp_path / "mine.h5ad")
    found = look(tmp_path / "mine.h5ad", ROW, WHERE)
    assert remark in found.remarks
    target, background = make_pair(data, ROW, WHERE)
    assert remark in warnings_of(target)
    assert target.var_names.is_unique
    assert target.var_names.tolist() == background.var_names.tolist() == found.features.tolist()


def test_too_few_samples_for_a_map(tmp_path):
    data = own(picked=["yes"] * 5 + ["no"] * (N - 5))
    data.write_h5ad(tmp_path / "mine.h5ad")
    row = ROW | {"target": "arm=drug;picked=yes"}
    with pytest.raises(InputError, match=r"column target: 3 samples .* at least 4"):
        look(tmp_path / "mine.h5ad", row, WHERE)
    counts = counts_of()
    counts[6:, :] = 0
    counts[1] = 1
    with pytest.raises(InputError, match=r"column target: 3 samples .* at least 4"):
        make_pair(own(counts), ROW, WHERE)


def test_repeated_names_of_other_samples_do_not_matter(tmp_path):
    data = own()
    data.obs_names = ["cell0"] * 3 + list(data.obs_names[3:])
    data.write_h5ad(tmp_path / "mine.h5ad")
    row = ROW | {"target": "arm=drug;donor!=d0,d1", "background": "arm=vehicle;donor!=d0,d1"}
    assert sizes(tmp_path / "mine.h5ad", row)[2] == FEATURES


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
    monkeypatch.setattr("bcnmf_pipeline.pair.values._BLOCK", 7)
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


# --- the look at the file ----------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.h5ad"
    own(sp.csr_matrix(counts_of())).write_h5ad(path)
    return path


def test_the_look_counts_what_the_pairing_selects(file):
    row = ROW | {"target": "arm=drug;donor!=d0", "n_top_features": "20", "panels": "scores"}
    assert sizes(file, row) == (50, 60, FEATURES)
    target, background = make_pair(ad.read_h5ad(file), row, WHERE)
    assert (target.n_obs, background.n_obs) == (50, 60)


def test_the_look_reads_neither_all_of_the_matrix_nor_other_columns(file, monkeypatch):
    monkeypatch.setattr("bcnmf_pipeline.pair.source._LOOKED_AT", 20)
    with h5py.File(file, "r+") as opened:
        opened["X/data"][opened["X/indptr"][2] : opened["X/indptr"][4]] = np.nan  # not looked at
        opened["obs/other"] = np.arange(3)  # of another length
        opened["obs"].attrs["column-order"] = ["arm", "kind", "donor", "other"]
    assert sizes(file, ROW) == (60, 60, FEATURES)
    with pytest.raises((KeyError, ValueError)):
        ad.read_h5ad(file)


def test_files_of_the_first_anndata_are_read(tmp_path):
    """Before 0.7, tables were structured arrays, with the names of categories in uns."""
    path = tmp_path / "old.h5ad"
    obs = np.zeros(12, dtype=[("index", "S8"), ("arm", "S8"), ("kind", "i1")])
    obs["index"] = [f"cell{i}".encode() for i in range(12)]
    obs["arm"] = [b"drug", b"vehicle"] * 6
    obs["kind"] = [0, 0, 1, 1] * 3
    var = np.array([(b"gene0",), (b"gene1",)], dtype=[("index", "S8")])
    with h5py.File(path, "w") as opened:
        opened["X"], opened["obs"], opened["var"] = np.ones((12, 2), np.float32), obs, var
        opened["uns/kind_categories"] = np.array([b"a", b"b"])
    row = ROW | {"unit": "", "target": "arm=drug;kind=a,b"}
    with pytest.warns(match="very old version of AnnData"):
        assert sizes(path, row) == (6, 6, 2)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:3000])


def lose_matrix(path):
    with h5py.File(path, "r+") as opened:
        del opened["X"]


def lose_index(path):
    with h5py.File(path, "r+") as opened:
        del opened["obs"].attrs["_index"]


FILES = [
    (lambda path: path.unlink(), "no such file; .* from the working directory"),
    (lambda path: path.write_text("sample,gene\n"), "not a readable .h5ad file"),
    (cut_short, "not a readable .h5ad file"),
    (lose_index, "not a readable .h5ad file"),
    (lose_matrix, "holds no X; expected an .h5ad file with a matrix X"),
]


@pytest.mark.parametrize(("spoil", "message"), FILES)
def test_files_that_cannot_be_used(file, spoil, message):
    spoil(file)
    with pytest.raises(InputError, match=message) as refused:
        look(file, ROW, WHERE)
    assert str(refused.value).startswith(f"{WHERE}, column dataset: {file}: ")


def test_components_as_images_need_images(tmp_path):
    data = own()
    data.write_h5ad(tmp_path / "cells.h5ad")
    row = ROW | {"panels": "scores,basis"}
    with pytest.raises(InputError, match=r"column figure: digits .* no uns\['image_shape'\]"):
        look(tmp_path / "cells.h5ad", ROW | {"figure": "digits"}, WHERE)
    with pytest.raises(InputError, match=r"column panels: basis .* no uns\['image_shape'\]"):
        look(tmp_path / "cells.h5ad", row, WHERE)
    data.uns["image_shape"] = np.array([5, 6])
    data.write_h5ad(tmp_path / "images.h5ad")
    assert sizes(tmp_path / "images.h5ad", row) == (60, 60, FEATURES)
    with pytest.raises(InputError, match="column n_top_features: 9, but the data are images"):
        look(tmp_path / "images.h5ad", row | {"n_top_features": "9"}, WHERE)
