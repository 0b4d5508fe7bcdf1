"""Parts of files: layers, names of genes, values on disk, and tables that can be written."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from awkward_data import cells
from bcnmf.errors import InputError
from bcnmf_pipeline.pair.annotation import named_plainly, with_symbols, writable
from bcnmf_pipeline.pair.own_data import look, samples_of
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.pair.source import forget, heads
from pairs import FEATURES, FORMATS, ROW, WHERE, N, counts_of, own, table_of


@pytest.fixture(autouse=True)
def nothing_remembered():
    yield
    forget()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["mine.h5ad", "mine.zarr"])
def test_values_are_those_of_the_samples_that_are_meant(tmp_path, kind, name):
    """Of a side that holds fractions alone, none of the other side's whole numbers are seen."""
    matrix = counts_of()
    matrix[::2] += 0.5
    data = own(FORMATS[kind](matrix))
    (data.write_zarr if name.endswith("zarr") else data.write_h5ad)(tmp_path / name)
    found = heads(tmp_path / name, ["arm"], "", WHERE)
    target = (found.obs["arm"] == "drug").to_numpy()
    for mask, fraction in ((target, 0.5), (~target, 0.0)):
        values = found.values(mask)
        values = values.data if sp.issparse(values) else values
        assert set(np.unique(values % 1)) == {fraction}
    assert list(found.obs) == ["arm"]


def test_large_matrices_by_columns_are_looked_at_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("bcnmf_pipeline.pair.source._BLOCK", 50)
    own(sp.csc_matrix(counts_of())).write_h5ad(tmp_path / "mine.h5ad")
    found = heads(tmp_path / "mine.h5ad", ["arm"], "", WHERE)
    assert 0 < found.values(np.ones(N, dtype=bool)).nnz <= 8 * 50


@pytest.mark.parametrize("layer", ["counts", "raw"])
def test_a_layer_is_looked_at_and_paired_in_place_of_x(tmp_path, layer):
    data = own(sp.csr_matrix(np.log1p(counts_of())))
    data.layers["counts"] = sp.csr_matrix(counts_of())
    data.raw = ad.AnnData(data.layers["counts"], obs=data.obs, var=data.var)
    data = data[:, :20].copy()  # raw keeps all features
    data.write_h5ad(tmp_path / "mine.h5ad")
    row = ROW | {"layer": layer, "values": ""}
    found = look(tmp_path / "mine.h5ad", row, WHERE)
    assert found.values == "counts"
    assert found.layers == ("counts", "raw")
    assert found.n_features == (20 if layer == "counts" else FEATURES)
    data.raw.var["_index"] = "x"  # as converters from R leave it there
    target, _ = make_pair(data, row, WHERE)
    assert target.uns["study"]["values"] == "counts"
    np.testing.assert_array_equal(
        target.layers["counts"].toarray(), counts_of()[::2, : found.n_features]
    )
    target.write_h5ad(tmp_path / "target.h5ad")
    assert look(tmp_path / "mine.h5ad", row | {"layer": "X"}, WHERE).values == "log"
    with pytest.raises(
        InputError, match=r"column layer: the data set has no layer 'count' \(did you"
    ):
        make_pair(data, row | {"layer": "count"}, WHERE)


def test_counts_are_scaled_over_all_features_or_over_those_that_are_kept():
    counts = counts_of()
    counts[:60, 5] += 40  # a response that takes up half of the counts
    row = ROW | {"n_top_features": "6"}
    kept, _ = make_pair(own(counts), row, WHERE)
    target, background = make_pair(own(counts), row, WHERE, scaled_over="all")
    assert pair_record(kept)["scaled_over"] == "kept"
    assert pair_record(target)["scaled_over"] == "all"
    assert target.var_names.equals(kept.var_names)
    np.testing.assert_allclose(np.expm1(kept.X).sum(axis=1), 1e4, rtol=1e-4)
    for side, rows in ((target, slice(0, None, 2)), (background, slice(1, None, 2))):
        whole = counts[rows].astype(np.float64)
        naive = np.log1p(1e4 * whole / whole.sum(axis=1, keepdims=True))
        places = [int(name.removeprefix("gene")) for name in side.var_names]
        np.testing.assert_allclose(side.X, naive[:, places], rtol=1e-5)
        np.testing.assert_array_equal(side.layers["counts"], whole[:, places])
    logs, _ = make_pair(own(np.log1p(counts)), row | {"values": "log"}, WHERE, scaled_over="all")
    assert "scaled_over" not in pair_record(logs)


def test_the_table_of_samples_can_be_had_alone(tmp_path):
    own().write_h5ad(tmp_path / "mine.h5ad")
    samples = samples_of(tmp_path / "mine.h5ad", WHERE)
    assert samples.astype(str).equals(table_of().astype(str))


def test_symbols_are_used_where_features_have_identifiers():
    names = [f"ENSG{i:011}.2" for i in range(5)]
    var = pd.DataFrame({"Gene_Symbol": ["A", "B", None, "", "B"], "n": range(5)}, index=names)
    found, remarks = with_symbols(var)
    assert found.index.tolist() == ["A", f"B_{names[1]}", names[2], names[3], f"B_{names[4]}"]
    assert found["feature_id"].tolist() == names
    assert len(remarks) == 2
    for own_names in (["A", *names[1:]], ["TP53", "x", "y", "z", "0"]):
        found, remarks = with_symbols(var.set_axis(own_names))
        assert found.index.tolist() == own_names
        assert remarks == []


def test_names_that_are_numbers_are_replaced_by_symbols():
    var = pd.DataFrame({"gene_name": pd.Categorical(["A", "B"])}, index=["0", "1"])
    assert with_symbols(var)[0].index.tolist() == ["A", "B"]
    assert with_symbols(var.drop(columns="gene_name"))[0].index.tolist() == ["0", "1"]


def test_empty_text_is_a_missing_value_and_nothing_else_is():
    obs = pd.DataFrame(
        {
            "text": ["", "NA", " ", "a"], "number": [0, 1, 0, 2],
            "group": pd.Categorical(["", "b", "b", "c"]), "new": pd.array(["", "x", None, "y"]),
        }
    )  # fmt: skip
    found = named_plainly(obs)
    assert found["text"].isna().tolist() == [True, False, True, False]
    assert found["group"].isna().tolist() == [True, False, False, False]
    assert list(found["group"].cat.categories) == ["b", "c"]
    assert found["new"].isna().tolist() == [True, False, True, False]
    assert found["number"].tolist() == [0, 1, 0, 2]
    assert obs["text"].tolist() == ["", "NA", " ", "a"]


def test_tables_of_any_types_can_be_written(tmp_path):
    days = pd.to_datetime(["2020-01-01", "2021-05-06", "2020-01-01"])
    obs = pd.DataFrame(
        {
            "_index": [1, 2, 3], "": ["a", "b", "c"], "day": days,
            "day group": pd.Categorical(days),
            "mixed": ["a", 1, None], "part": pd.cut([1.0, 5.0, 9.0], 2),
            "text": pd.array(["a", None, "b"], dtype="string"),
            "maybe": pd.array([True, None, False], dtype="boolean"), 7: [1.5, 2.5, np.nan],
        },
        index=pd.Index(["x", "y", "z"], name="day"),
    )  # fmt: skip
    data = ad.AnnData(np.ones((3, 1), np.float32), obs=writable(obs))
    data.write_h5ad(tmp_path / "mine.h5ad")
    again = ad.read_h5ad(tmp_path / "mine.h5ad").obs
    assert list(again) == ["day", "day group", "mixed", "part", "text", "maybe", "7"]
    assert again["day"].tolist() == ["2020-01-01", "2021-05-06", "2020-01-01"]
    assert again["mixed"].isna().tolist() == [False, False, True]
    assert again["mixed"].dropna().tolist() == ["a", "1"]
    assert again["maybe"].isna().tolist() == [False, True, False]


def test_names_of_columns_are_as_people_see_them():
    obs = pd.DataFrame({" arm ": ["a"], "e\u0301": ["b"], "kind": ["c"]}, index=["cell"])
    assert named_plainly(obs).columns.tolist() == ["arm", "\u00e9", "kind"]
    both = pd.DataFrame({"arm": ["a"], "arm ": ["b"]}, index=["cell"])
    assert named_plainly(both).columns.tolist() == ["arm", "arm "]


def test_a_column_whose_name_looks_alike_is_found(tmp_path):
    data = cells().copy()
    data.obs = data.obs.rename(columns={"arm": "arme\u0301 "})
    data.write_h5ad(tmp_path / "mine.h5ad")
    row = {"target": "arm\u00e9=drug", "background": "arm\u00e9=vehicle", "label": "kind"}
    assert look(tmp_path / "mine.h5ad", row, WHERE).n_target > 0
