"""Files and rows as people have them: what is read, what is refused, and the remedy that is named.

Run as a script, this prints the table of all cases as Markdown.
"""

from __future__ import annotations

import gzip
import os
import pickle
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from awkward_data import (
    FEATURES,
    N,
    archive,
    cells,
    content,
    counts,
    cut_short,
    frame,
    h5ad,
    h5mu,
    hdf5,
    identifiers,
    in_home,
    misspelt,
    nullable,
    parent,
    parquet,
    parquet_without_names,
    renamed,
    repeated_cells,
    repeated_genes,
    saved_folder,
    scaled,
    several_samples,
    table,
    tar,
    tenx_folder,
    tenx_h5,
    text_table,
    unused_levels,
    with_columns,
    zarr,
)
from bcnmf.errors import InputError
from bcnmf.readers import read
from bcnmf_pipeline.pair.own_data import look
from bcnmf_pipeline.pair.pairing import make_pair, pair_record

WHERE = "mine.tsv, study mine"
ROW = {
    "study": "mine", "target": "arm=drug", "background": "arm=vehicle", "label": "", "unit": "",
    "values": "", "layer": "", "each": "", "colours": "", "n_top_features": "",
}  # fmt: skip


@dataclass
class Case:
    """What is given, and what is said (`refused`) or noticed (`remark`)."""

    what: str
    make: Callable[[Path], Path]
    refused: str = ""
    remark: str = ""
    row: dict[str, str] = field(default_factory=dict)
    values: str = "counts"


HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SERIES = gzip.compress(b'!Series_title\t"A study"\n!Series_geo_accession\t"GSE1"\n')
RDS = gzip.compress(b"X\n\x00\x00\x00\x03\x00\x04\x03\x02")
MTX = b"%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 3\n"
LATIN = frame().rename(index={"cell0": "zell\xe4"}).to_csv().encode("latin-1")
OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)

FILES = [
    Case("a path with spaces, quotes, capitals and letters of other scripts",
         h5ad(name="OneDrive - Uni/Łukasz's \"Data\"/My çells.h5ad")),
    Case("a path with curly brackets", h5ad(name="{x}/mine.h5ad"), "call the file or folder oth"),
    Case("a path from the home folder, `~/in home.h5ad`", in_home),
    Case("a name that is nearly right", misspelt,
         r"no such file \(did you mean '.*cells\.h5ad'\?\)"),
    Case("the folder of an .h5ad", parent(h5ad()),
         r"without matrix\.mtx .* name one .* mine\.h5ad"),
    Case("an .h5ad cut short", cut_short(h5ad()),
         "damaged or cut short .*; copy or download it ag"),
    Case("an empty .h5ad", content("mine.h5ad", b""), "it is empty; copy or download it again"),
    Case("a web page called .h5ad", content("mine.h5ad", HTML),
         r"web page or record \('Sign in'\) saved in place .* not the page that links to it"),
    Case("a pointer of Git LFS", content("mine.h5ad", LFS), "pointer of Git LFS.* `git lfs pull`"),
    Case("a table called .h5ad", content("mine.h5ad", b"sample,gene\n"),
         "text that begins with 'sample,gene'; if it is a table .* call it mine.csv"),
    Case("a folder of Cell Ranger 3, packed, an antibody in it", tenx_folder(),
         remark="1 features that are no genes were left out (Antibody Capture)"),
    Case("a folder of STARsolo, not packed", tenx_folder("features.tsv")),
    Case("a folder of Cell Ranger 2 (genes.tsv)", tenx_folder("genes.tsv")),
    Case("a folder of GEO, names with a prefix", tenx_folder("genes.tsv.gz", "GSM12_Patient1_")),
    Case("a folder with two samples", several_samples,
         r"holds 2 matrices \(GSM1_a_matrix.mtx.gz, G"),
    Case("a matrix.mtx alone", content("matrix.mtx", MTX),
         "no features.tsv beside it .* put the files of 10x Genomics into one folder"),
    Case("counts.mtx", content("counts.mtx", MTX), "names neither samples .* call it matrix.mtx"),
    Case("an .h5 of 10x Genomics, table of samples beside", tenx_h5),
    Case("an .h5 of something else", hdf5("mine.h5", "weights"),
         r"HDF5 that holds weights; in Pyth"),
    Case("an .h5mu of one modality, annotation outside of it", h5mu("rna"), row={"unit": "donor"}),
    Case("an .h5mu of two modalities", h5mu("rna", "atac"),
         r"holds 2 modalities \(atac, rna\); write the one .* mudata.read\(\"mine.h5mu\"\).mod"),
    Case("a .zarr", zarr),
    Case("a .loom without loompy", hdf5("mine.loom", "matrix", "row_attrs", "col_attrs"),
         "reading it needs loompy, .* `pip install loompy`"),
    Case("an .h5seurat", hdf5("mine.h5seurat", "assays", "cell.names", "meta.data"),
         r"Seurat file .* in R: SeuratDisk::Convert\(\"mine.h5seurat\", dest = \"h5ad\"\)"),
    Case("an .rds", content("mine.rds", RDS),
         r"R object .*::writeH5AD\(Seurat::as.SingleCellExperiment\(readRDS\(\"mine.rds\""),
    Case("a folder of saveHDF5SummarizedExperiment", saved_folder,
         r"in R: zellkonverter::writeH5AD\(HDF5Array::loadHDF5SummarizedExperiment\(\"se\"\)"),
    Case("an Excel workbook", archive("mine.xlsx", "[Content_Types].xml", "xl/workbook.xml"),
         r"Excel workbook; in Excel save .* pandas.read_excel\(\"mine.xlsx\", index_col=0\)"),
    Case("an old Excel workbook called .csv", content("mine.csv", OLD_EXCEL),
         r"\(\.xls\); in Excel"),
    Case("a .zip", archive("mine.zip", "matrix.mtx"), "a .zip archive of matrix.mtx; unzip it"),
    Case("a .tar.gz", tar, r"a .tar archive; unpack it \(tar -xf 'mine.tar.gz'\)"),
    Case("an .npz of numpy", archive("mine.npz", "data.npy"),
         r"scipy.sparse.load_npz\(\"mine.npz\"\)"),
    Case("a pickle", content("mine.pkl", pickle.dumps([1])), r"pandas.read_pickle\(\"mine.pkl\"\)"),
    Case("a series matrix of GEO", content("GSE1_series_matrix.txt.gz", SERIES),
         "GEO series record .* supplementary files"),
    Case("a .csv, table of samples beside", text_table("mine.csv")),
    Case("a .tsv.gz of genes x samples", text_table("mine.tsv.gz", frame().T, sep="\t"),
         remark="mine.tsv.gz has samples in columns: it was turned"),
    Case("a European .csv: semicolons, 0,5",
         text_table("mine.csv", frame() / 2, sep=";", decimal=","),
         values="log"),
    Case("a .csv with text among the features, no table beside",
         text_table("mine.csv", frame().assign(arm=table()["arm"]), obs=""),
         remark="1 columns of mine.csv are not numbers and were taken as annotation of samples "
                "('arm')"),
    Case("a .csv with numbers alone, no table beside", text_table("mine.csv", obs=""),
         r"no annotation of its samples.* put a table '.*mine\.obs\.csv' beside it"),
    Case("a .csv of text alone", text_table("mine.csv", frame().astype(str) + " g"),
         "all 12 columns hold text, for instance '3.0 g' in 'G0'"),
    Case("a .csv in Latin-1", content("mine.csv", LATIN),
         "mine.csv: line 2, character 5: byte 0xE4 is no UTF-8; .* 'zellä,.*; save it as "),
    Case("a .txt in UTF-16", text_table("mine.txt", sep="\t", encoding="utf-16")),
    Case("a .tsv in UTF-16, with line ends of old Macs",
         text_table("mine.tsv", sep="\t", encoding="utf-16", lineterminator="\r")),
    Case("a .csv with empty rows and columns behind",
         content("mine.csv", frame().assign(**{"": ""}).to_csv().encode() + b"," * 13 + b"\r\n"),
         "no annotation of its samples"),
    Case("a .csv.gz cut short", cut_short(text_table("mine.csv.gz")),
         "packed, but damaged or cut short .*; copy or download it again"),
    Case("a .parquet, table of samples beside", parquet),
    Case("a .parquet without names of samples", parquet_without_names,
         r"names no samples; .* table.set_index"),
]  # fmt: skip

ROWS = [
    Case("a column that is not there", h5ad(), "no column 'Arm' \\(did you mean 'arm'\\?\\)",
         row={"target": "Arm=drug"}),
    Case("a value that is not there", h5ad(), "holds no 'drugs' \\(did you mean 'drug'\\?\\)",
         row={"target": "arm=drugs"}),
    Case("columns and values with spaces, capitals, quotes and =",
         h5ad(cells(obs=table().rename(columns={"arm": "The Arm = \"x\"", "kind": "Cell's type"})
                    .replace("drug", "5 µM, 'A=1'"))),
         row={"target": "The Arm \\= \"x\"=5 µM\\, 'A\\=1'", "label": "Cell's type",
              "background": "The Arm \\= \"x\"=vehicle"}),
    Case("an = without a backslash", renamed(arm="a=b"),
         "cannot read .a=b=drug.*a backslash before a comma, semicolon or equals sign",
         row={"target": "a=b=drug", "background": "a\\=b=vehicle"}),
    Case("the same samples on both sides", h5ad(),
         "the same 30 samples, so nothing can be new to one; select others, such as arm!=drug",
         row={"background": "arm=drug"}),
    Case("samples on both sides", h5ad(),
         remark="10 of 20 background samples are in the target too: the label may leak into the "
                "fit",
         row={"background": "donor=d0"}),
    Case("a target of three samples", with_columns(few=["yes"] * 5 + ["no"] * 55),
         "3 samples are selected .* need at least 4", row={"target": "arm=drug;few=yes"}),
    Case("a label of numbers", with_columns(age=np.arange(N) / 7),
         "'age' has 30 different numbers in 30 .* pandas.qcut, .* or leave the label empty",
         row={"label": "age"}),
    Case("a label that is a name", with_columns(name=table().index),
         "'name' has 30 different classes in 30 target samples", row={"label": "name"}),
    Case("a label that some samples lack", with_columns(kind=[None, "a", "b", "b"] * 15),
         "15 of 30 target samples have no value in 'kind'; select those .* add ;kind=b to column",
         row={"label": "kind"}),
    Case("a label that is empty text in some", with_columns(kind=["", "a", "b", "b"] * 15),
         "15 of 30 target samples have no value in 'kind'; .* add ;kind=b to column target",
         row={"label": "kind"}),
    Case("a unit that some samples lack", with_columns(donor=["", "d1", "d0", "d1"] * 15),
         "column unit: 15 of 30 target .* 'donor'; .* add ;donor=d0 to", row={"unit": "donor"}),
    Case("a label with a class 'nan'", with_columns(kind=["nan", "b", "a", "b"] * 15),
         remark="the label kind has a class 'nan': if these samples have no label, leave them out "
                "by ;kind!=nan in column target", row={"label": "kind"}),
    Case("a label of one class", h5ad(), row={"label": "arm"},
         remark="all target samples have 'drug' in the label arm: it tells nothing apart, and "
                "there are no scores against it"),
    Case("a label 01, 02", with_columns(kind=["01", "01", "02", "02"] * 15), row={"label": "kind"}),
    Case("a label of true and false", with_columns(kind=[True, True, False, False] * 15),
         row={"label": "kind", "target": "arm=drug;kind=True,False"}),
    Case("columns of nullable types", h5ad(nullable()),
         row={"target": "treated=True;dose=10", "background": "dose=0.0"}),
    Case("categories that no sample has", h5ad(unused_levels())),
    Case("a category that no sample has as the target", h5ad(unused_levels()),
         "holds no 'wash'", row={"target": "arm=wash"}),
    Case("units on both sides and in both classes", h5ad(), row={"unit": "donor", "label": "kind"}),
    Case("a column of colours that is not there", h5ad(),
         "column colours: the data have no column 'donors' \\(did you mean 'donor'\\?\\)",
         row={"colours": "kind,donors"}),
    Case("scaled values, counts in a layer", h5ad(scaled()),
         "negative values.* the file also holds 'counts', 'raw': name one in column layer"),
    Case("the layer counts", h5ad(scaled()), row={"layer": "counts"}),
    Case("the layer raw", h5ad(scaled()), row={"layer": "raw"}),
    Case("a layer that is not there", h5ad(scaled()),
         r"column layer: .* no layer 'Counts' \(did you mean 'counts'\?\); layers: counts, raw",
         row={"layer": "Counts"}),
    Case("log values declared counts", h5ad(cells(np.log1p(counts()))),
         "column values: counts, but .* set `values` to log", row={"values": "counts"}),
    Case("counts declared log", h5ad(),
         "values: log, but all .* look like counts. Set `values` to counts, or to raw",
         row={"values": "log"}),
    Case("counts declared raw", h5ad(), row={"values": "raw"}, values="raw",
         remark="all values are whole numbers, but are fitted as they are (values: raw): large "
                "samples then outweigh others. If they are counts, set `values` to counts"),
    Case("log values, values empty", h5ad(cells(np.log1p(counts()))), values="log"),
    Case("values in millions with fractions, values empty", h5ad(cells(counts() * 1234.5)),
         values="raw",
         remark="values go up to 11110.5 with fractions, so they are neither counts nor logs, and "
                "are fitted as they are (values: raw). If they are normalised counts (TPM, CPM), "
                "name a layer of counts in column layer, or store numpy.log1p of them and set "
                "`values` to log"),
    Case("missing values", h5ad(cells(np.where(counts() > 6, np.nan, counts()))),
         "are NaN or infinite; impute or drop them"),
    Case("genes called twice", h5ad(repeated_genes()),
         remark="1 names of features stand more than once ('G0'): -1, -2 and so on were appended"),
    Case("genes called by Ensembl, symbols in var", h5ad(identifiers()),
         remark="features are called as var['feature_name'] has them, not 'ENSG00000000000' and so "
                "on"),
    Case("cells called twice", h5ad(repeated_cells()),
         r"1 names of selected samples stand more than once.* data\.obs_names_make_unique\(\)"),
]  # fmt: skip


def outcome(case, folder):
    """Return what the look says, and what it found."""
    path = case.make(folder)
    try:
        return "", look(path, ROW | case.row, WHERE)
    except InputError as error:
        return str(error), None


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "loompy", None)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", FILES + ROWS, ids=lambda case: case.what.replace(" ", "_"))
def test_what_is_read_and_what_is_refused(case, tmp_path):
    message, found = outcome(case, tmp_path)
    if case.refused:
        assert message.startswith(WHERE)
        assert re.search(case.refused, message), message
        return
    assert not message
    assert found.values == case.values
    assert {found.n_target, found.n_background} <= {20, 30}
    if case.remark:
        assert case.remark in found.remarks
    # What was looked at is what is paired, written and read again.
    row = ROW | case.row | {"label": found.label, "values": found.values}
    target, background = make_pair(read(found.path), row, WHERE, scaled_over="all")
    assert (target.n_obs, background.n_obs) == (found.n_target, found.n_background)
    assert target.var_names.tolist() == [
        name for name in found.features if name in set(target.var_names)
    ]
    if case.remark and found.label:
        assert case.remark in pair_record(target)["warnings"]
    for side in (target, background):
        side.write_h5ad(tmp_path / "side.h5ad")
        again = ad.read_h5ad(tmp_path / "side.h5ad")
        assert again.obs_names.equals(side.obs_names)
        assert sorted(again.obs) == sorted(side.obs)


def test_all_faults_of_a_row_are_told_at_once(tmp_path):
    path = h5ad()(tmp_path)
    row = ROW | {"target": "arm=drog", "unit": "patient", "colours": "kin", "n_top_features": "99"}
    with pytest.raises(InputError) as refused:
        look(path, row, WHERE)
    lines = str(refused.value).splitlines()
    assert [line.removeprefix(f"{WHERE}, column ").partition(":")[0] for line in lines] == [
        "target", "unit", "colours", "n_top_features",
    ]  # fmt: skip


def test_a_file_that_is_written_anew_is_looked_at_again(tmp_path):
    path = h5ad()(tmp_path)
    assert look(path, ROW, WHERE).n_features == FEATURES
    h5ad(cells()[:, :5].copy())(tmp_path)
    assert look(path, ROW, WHERE).n_features == 5


def as_markdown():
    """Return the table of all cases: what is given, and what is said."""
    lines = ["| given | found or said |", "|---|---|"]
    for case in FILES + ROWS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HOME"] = folder
            message, found = outcome(case, Path(folder))
            said = message.removeprefix(f"{WHERE}, ").replace(folder, "…")
        if found is not None:
            said = f"read: {found.n_target} + {found.n_background} samples, {found.values}"
            said += "".join(f"; {one}" for one in found.remarks if one == case.remark)
        changes = ", ".join(f"{key} `{value}`" for key, value in case.row.items())
        given = case.what + (f" ({changes})" if changes else "")
        lines.append(" | ".join(["", given, said, ""]).replace("\n", "<br>").strip())
    return "\n".join(lines)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    sys.modules["loompy"] = None
    print(as_markdown())
