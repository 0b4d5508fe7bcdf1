"""The look into own data against the pairing: what both refuse, and what is read for it."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf.errors import InputError
from bcnmf_pipeline.pair.own_data import look
from bcnmf_pipeline.pair.pairing import make_pair
from pairs import FEATURES, ROW, WHERE, N, counts_of, own, warnings_of


def sizes(path, row):
    found = look(path, row, WHERE)
    assert (found.target.sum(), found.background.sum()) == (found.n_target, found.n_background)
    return found.n_target, found.n_background, found.n_features


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
    ({}, without_units, r"column unit: 1 of 60 .* 'donor'.*add ;donor=\* to"),
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
