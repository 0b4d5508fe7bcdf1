"""Data in every format give the same AnnData as was written, and say what was changed."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from awkward_data import (
    FEATURES,
    N,
    cells,
    counts,
    frame,
    h5ad,
    h5mu,
    parquet,
    table,
    tenx_folder,
    tenx_h5,
    text_table,
    zarr,
)  # fmt: skip
from bcnmf.errors import InputError, MissingExtra
from bcnmf.formats import kind_of
from bcnmf.readers import files_of, read
from conftest import ROOT

FORMATS = {
    "h5ad": h5ad(), "zarr": zarr, "h5mu": h5mu("rna"), "10x_h5": tenx_h5,
    "10x_mtx": tenx_folder("genes.tsv.gz"), "table": text_table("mine.csv"), "parquet": parquet,
}  # fmt: skip


def dense(data):
    return data.X.toarray() if sp.issparse(data.X) else data.X


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_what_was_written(kind, tmp_path):
    path = FORMATS[kind](tmp_path)
    assert kind_of(path) == kind
    data = read(path)
    np.testing.assert_array_equal(dense(data), counts())
    assert sp.issparse(data.X) == (kind not in ("table", "parquet"))
    assert data.obs_names.tolist() == table().index.tolist()
    assert data.var_names.tolist() == [f"G{i}" for i in range(FEATURES)]
    for name, column in table().items():
        assert data.obs[name].astype(str).tolist() == column.tolist()
    assert "remarks" not in data.uns


@pytest.mark.filterwarnings("ignore")
def test_a_matrix_in_a_folder_can_be_named_itself(tmp_path):
    folder = tenx_folder(prefix="GSM1_a_")(tmp_path)
    tenx_folder("genes.tsv", prefix="GSM2_b_")(tmp_path)
    first, second = folder / "GSM1_a_matrix.mtx.gz", folder / "GSM2_b_matrix.mtx"
    assert read(first).shape == (N, FEATURES - 1)  # an antibody is left out
    assert read(second).shape == (N, FEATURES)
    assert [file.name for file in files_of(second)] == [
        "GSM2_b_matrix.mtx", "GSM2_b_genes.tsv", "GSM2_b_barcodes.tsv", "obs.csv",
    ]  # fmt: skip


def test_what_a_reading_depends_on_is_told(tmp_path):
    assert files_of(h5ad()(tmp_path)) == [tmp_path / "mine.h5ad"]
    text_table("mine.tsv.gz", obs="obs.tsv", sep="\t")(tmp_path)
    assert files_of(tmp_path / "mine.tsv.gz") == [
        tmp_path / "mine.tsv.gz",
        tmp_path / "mine.obs.tsv",
    ]


@pytest.mark.parametrize("sep", [",", "\t", ";"])
def test_names_and_text_stay_what_they_are(sep, tmp_path):
    names = ["NA", "null", "01", "nan"]
    values = pd.DataFrame(np.eye(4) + 0.5, index=names, columns=["1e3", "NA", "TRUE", "007"])
    values.to_csv(tmp_path / "mine.csv", sep=sep, decimal="," if sep == ";" else ".")
    notes = {"batch": ["01", "02", "01", "02"], "age": [1, 2, 30, 4], "dose": ["0.5", "1", "2", ""]}
    pd.DataFrame(notes | {"arm": ["NA", "null", "", "true"]}, index=names).to_csv(
        tmp_path / "mine.obs.csv"
    )
    data = read(tmp_path / "mine.csv")
    assert data.obs_names.tolist() == names
    assert data.var_names.tolist() == ["1e3", "NA", "TRUE", "007"]
    np.testing.assert_array_equal(data.X, np.eye(4) + 0.5)
    assert data.obs["batch"].tolist() == notes["batch"]
    assert data.obs["age"].tolist() == notes["age"]
    assert data.obs["dose"].tolist()[:3] == [0.5, 1.0, 2.0]
    assert data.obs["dose"].isna().tolist() == [False, False, False, True]
    # R writes NA for what is missing.
    assert data.obs["arm"].isna().tolist() == [True, False, True, False]
    assert data.obs["arm"].dropna().tolist() == ["null", "true"]


def test_a_table_as_r_writes_it_has_no_name_over_the_names(tmp_path):
    (tmp_path / "mine.csv").write_text('"NA","G, 1"\n"c0",1,2\n"c1",3,NA\n')
    data = read(tmp_path / "mine.csv")
    assert data.obs_names.tolist() == ["c0", "c1"]
    assert data.var_names.tolist() == ["NA", "G, 1"]
    np.testing.assert_array_equal(data.X, [[1, 2], [3, np.nan]])


def test_a_table_may_start_with_a_mark_of_utf_8_and_be_packed(tmp_path):
    text = "\ufeffcell,G0\nć,1\n".encode()
    (tmp_path / "mine.txt.gz").write_bytes(gzip.compress(text))
    data = read(tmp_path / "mine.txt.gz")
    assert data.obs_names.tolist() == ["ć"]
    assert data.var_names.tolist() == ["G0"]


def test_samples_are_matched_by_name_and_the_rest_left_out(tmp_path):
    frame().to_csv(tmp_path / "mine.csv")
    table()[::-1].iloc[:40].to_csv(tmp_path / "mine.obs.csv")
    data = read(tmp_path / "mine.csv")
    assert data.obs_names.tolist() == table().index[20:].tolist()
    np.testing.assert_array_equal(data.X, counts()[20:])
    assert data.obs["donor"].tolist() == table()["donor"].tolist()[20:]
    assert data.uns["remarks"].tolist() == [
        "20 of 60 samples of mine.csv have no row in mine.obs.csv and were left out"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda obs: obs.set_axis([f"x{i}" for i in range(N)]),
            "none of its names, such as 'x0', is",
        ),
        (
            lambda obs: pd.concat([obs, obs[:1]]),
            "1 names stand more than once, for instance 'cell0'",
        ),
    ],
)
def test_a_table_of_other_samples_is_refused(change, message, tmp_path):
    frame().to_csv(tmp_path / "mine.csv")
    change(table()).to_csv(tmp_path / "mine.obs.csv")
    with pytest.raises(
        InputError, match=rf"mine\.obs\.csv: {message}.*one row a sample of mine.csv"
    ):
        read(tmp_path / "mine.csv")


def test_three_files_of_different_samples_are_refused(tmp_path):
    folder = tenx_folder("genes.tsv")(tmp_path)
    barcodes = folder / "barcodes.tsv"
    barcodes.write_text("".join(barcodes.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"60 columns, but genes.tsv names 12 and barcodes.tsv 59"):
        read(folder)


@pytest.mark.filterwarnings("ignore")
def test_repeated_names_of_features_are_made_unique(tmp_path):
    data = cells()
    data.var_names = ["G0", "G1", "G0", *data.var_names[3:]]
    data.write_h5ad(tmp_path / "mine.h5ad")
    for backed in (False, True):
        found = read(tmp_path / "mine.h5ad", backed=backed)
        assert found.var_names[:3].tolist() == ["G0", "G1", "G0-1"]
        assert len(found.uns["remarks"]) == 1


def test_only_an_h5ad_is_left_on_disk(tmp_path):
    assert read(h5ad()(tmp_path), backed=True).isbacked
    with pytest.raises(InputError, match=r"bcnmf.readers.read\(\"mine.csv\"\).write_h5ad"):
        read(text_table("mine.csv")(tmp_path), backed=True)


def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch):
    path = tenx_h5(tmp_path)
    monkeypatch.setitem(sys.modules, "scanpy", None)
    with pytest.raises(MissingExtra, match=r"bc_matrix\.h5: reading it needs scanpy, which is not"):
        read(path)


def test_a_file_of_one_format_called_otherwise_is_read(tmp_path):
    path = h5ad(name="mine.h5")(tmp_path)
    assert kind_of(path) == "h5ad"
    np.testing.assert_array_equal(dense(read(path)), counts())


@pytest.mark.filterwarnings("ignore")
def test_a_loom_is_read_by_its_library(tmp_path):
    pytest.importorskip("loompy", reason="loompy, which reads .loom, is not installed")
    cells().write_loom(tmp_path / "mine.loom")
    np.testing.assert_array_equal(dense(read(tmp_path / "mine.loom")), counts())


def test_readers_load_no_library_before_a_file_needs_it():
    code = (
        "import sys, bcnmf.readers\n"
        "print([name for name in ('anndata', 'h5py', 'pandas') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "[]\n", done.stderr


def test_what_is_read_can_be_written(tmp_path):
    frame().assign(arm=table()["arm"]).to_csv(tmp_path / "mine.csv")
    data = read(tmp_path / "mine.csv")
    data.write_h5ad(tmp_path / "again.h5ad")
    again = ad.read_h5ad(tmp_path / "again.h5ad")
    assert again.uns["remarks"].tolist() == data.uns["remarks"].tolist() != []


@pytest.mark.parametrize("scale", [1e39, 1e-50])
def test_numbers_of_any_size_are_read(tmp_path, scale):
    values = frame(counts().astype(float) * scale)
    values.to_csv(tmp_path / "mine.csv")
    np.testing.assert_allclose(read(tmp_path / "mine.csv").X, values, rtol=1e-12)
