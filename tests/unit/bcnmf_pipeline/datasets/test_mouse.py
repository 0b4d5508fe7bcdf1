"""The mouse protein table in all the forms it comes in, and damaged."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import xlwt

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets import mouse
from bcnmf_pipeline.datasets.mouse import read_mouse
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.plan.sheets import read_sheet
from conftest import ROOT

NAME = "Data_Cortex_Nuclear"
BEHAVIOURS, TREATMENTS, GENOTYPES = ("C/S", "S/C"), ("Memantine", "Saline"), ("Control", "Ts65Dn")


def made_up():
    """Return a table like the source's: 72 mice x 15 rows, 77 proteins, 8 classes of 9 mice."""
    rng = np.random.default_rng(0)
    names = [f"{300 + i}" for i in range(70)] + ["J1291", "J_12"]
    table = pd.DataFrame({"MouseID": [f"{name}_{i}" for name in names for i in range(1, 16)]})
    values = rng.gamma(2.0, 0.5, (1080, 77)).round(9)
    proteins = [f"P{i}_N" for i in range(76)] + ["pGSK3B_Tyr216_N"]
    table = table.join(pd.DataFrame(values, columns=proteins))
    number = np.repeat(np.arange(72), 15)
    table["Genotype"] = np.take(GENOTYPES, number % 2)
    table["Treatment"] = np.take(TREATMENTS, number // 2 % 2)
    table["Behavior"] = np.take(BEHAVIOURS, number // 4 % 2)
    table["class"] = [f"class{i}" for i in number % 8]
    for row, column in ((3, "P0_N"), (4, "P0_N"), (1079, "P5_N")):
        table.loc[row, column] = np.nan
    return table


def as_csv(table, **options):
    return b"\xef\xbb\xbf" + table.to_csv(index=False, **options).encode()


def as_xls(table):
    book = xlwt.Workbook()
    sheet = book.add_sheet("Hoja1")
    for column, name in enumerate(table):
        sheet.write(0, column, name)
        for row, value in enumerate(table[name].tolist(), start=1):
            if not pd.isna(value):
                sheet.write(row, column, value)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def as_zip(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


TABLE = made_up()
CSV = as_csv(TABLE)


@pytest.fixture(scope="module")
def xls():
    return as_xls(TABLE)


@pytest.fixture
def put(tmp_path):
    """Return a function that writes contents to a file and returns its path."""

    def write(content, name="table.zip"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


# --- what is read ------------------------------------------------------------


def test_rows_columns_and_names(put):
    data = read_mouse(put(CSV, f"{NAME}.csv"))
    assert data.shape == (1080, 77)
    assert data.X.dtype == np.float32
    assert data.obs_names.tolist() == TABLE["MouseID"].tolist()
    assert data.var_names.tolist() == [name for name in TABLE if name.endswith("_N")]
    assert list(data.obs) == [
        "MouseID", "mouse", "replicate", "Genotype", "Treatment", "Behavior", "class",
    ]  # fmt: skip
    for name in ("MouseID", "Genotype", "Treatment", "Behavior", "class"):
        assert data.obs[name].tolist() == TABLE[name].tolist()
    assert data.obs.loc["J1291_3", ["mouse", "replicate"]].tolist() == ["J1291", 3]
    assert data.obs.loc["J_12_15", ["mouse", "replicate"]].tolist() == ["J_12", 15]
    assert data.obs.groupby("mouse", observed=True)["replicate"].max().eq(15).all()
    assert data.obs["mouse"].nunique() == 72


def test_missing_values_are_the_mean_of_all_rows(put):
    data = read_mouse(put(CSV))
    mean = np.nanmean(TABLE["P0_N"])
    np.testing.assert_allclose(data[["300_4", "300_5"], "P0_N"].X.ravel(), mean, rtol=1e-6)
    np.testing.assert_allclose(data["300_1", "P0_N"].X, TABLE["P0_N"][0], rtol=1e-6)
    assert data.var.loc[["P0_N", "P1_N", "P5_N"], "n_missing"].tolist() == [2, 0, 1]
    assert data.uns["n_missing"] == 3
    source = data.uns["source"]
    assert "3 missing values" in source["description"]
    assert "10.1371/journal.pone.0129126" in source["citation"]
    assert source["licence"] == "CC BY 4.0"


def test_all_forms_hold_the_same(put, xls, tmp_path):
    expected = read_mouse(put(CSV, "table.csv"))
    forms = {
        "plain.csv": TABLE.to_csv(index=False).encode(),  # without byte order mark
        "windows.csv": as_csv(TABLE, lineterminator="\r\n"),
        f"{NAME}.xls": xls,
        "mice+protein+expression.zip": as_zip({f"{NAME}.xls": xls}),
        "folder.zip": as_zip({"a/": b"", f"a/{NAME}.XLS": xls, f"__MACOSX/a/._{NAME}.xls": b"x"}),
        "csv.zip": as_zip({f"{NAME}.csv": CSV, "readme.txt": b"of the table"}),
        "wrong suffix.csv": as_zip({f"{NAME}.xls": xls}),
    }
    for name, content in forms.items():
        data = read_mouse(put(content, name))
        np.testing.assert_array_equal(data.X, expected.X, err_msg=name)
        pd.testing.assert_frame_equal(data.obs, expected.obs, obj=name)
        pd.testing.assert_frame_equal(data.var, expected.var, obj=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*forms, "table.csv"])


def test_what_is_read_can_be_written(put, tmp_path):
    data = read_mouse(put(CSV))
    data.write_h5ad(tmp_path / "mouse.h5ad")
    again = ad.read_h5ad(tmp_path / "mouse.h5ad")
    np.testing.assert_array_equal(again.X, data.X)
    pd.testing.assert_frame_equal(again.obs, data.obs)
    assert again.uns["source"] == data.uns["source"]


def study_row():
    rows = read_sheet(ROOT / "config" / "studies.tsv").rows
    return next(row for row in rows if row["study"] == "mouse")


@pytest.mark.shared
def test_the_real_table(shared_data):
    path = shared_data / "mice_protein" / f"{NAME}.csv"
    data = read_mouse(path)
    table = pd.read_csv(path)
    proteins = [name for name in table if name.endswith("_N")]
    assert data.shape == (1080, 77)
    assert data.uns["n_missing"] == 1396
    expected = table[proteins].fillna(table[proteins].mean())
    np.testing.assert_allclose(data.X, expected, rtol=1e-6)
    assert data.obs["mouse"].tolist() == table["MouseID"].str.split("_").str[0].tolist()
    target, background = make_pair(data, study_row(), "config/studies.tsv, study mouse")
    assert (target.shape, background.shape) == ((270, 77), (135, 77))
    record = pair_record(target)
    assert record["labels"] == {"Control": 135, "Ts65Dn": 135}
    assert len(record["units"]) == 18
    assert set(record["units"].values()) == {15}
    assert background.obs["mouse"].nunique() == 9
    assert record["warnings"] == []


@pytest.mark.shared
def test_the_negative_value_of_the_source_is_refused_where_it_is_selected(shared_data):
    data = read_mouse(shared_data / "mice_protein" / f"{NAME}.csv")
    negative = np.argwhere(data.X < 0)
    assert data.obs_names[negative[:, 0]].tolist() == ["365_14"]
    assert data.var_names[negative[:, 1]].tolist() == ["RRP1_N"]
    row = study_row() | {"target": "Behavior=S/C;Treatment=Memantine"}
    with pytest.raises(InputError, match=r"target: 1 negative values, the smallest -0.062"):
        make_pair(data, row, "config/studies.tsv, study mouse")


# --- what is refused ---------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none.zip: no such file; expected the mouse protein"):
        read_mouse(tmp_path / "none.zip")


WEB_PAGE = b"\n<!DOCTYPE html><html><body>Moved</body></html>"
CONTENTS = [
    (b"", "the file is empty"),
    (b"\xef\xbb\xbf", "neither a zip nor an .xls nor a comma-separated table"),
    (WEB_PAGE, "a web page, not the mouse protein table"),
    (b'MouseID,A_N\n1_1,"2\n', "neither a zip nor an .xls nor a comma-separated table"),
    (bytes(range(128, 256)), "neither a zip nor an .xls nor a comma-separated table"),
    (as_zip({"readme.txt": b"moved"}), r"holds 0 files .* expected one; found: readme.txt"),
    (as_zip({}), "holds 0 files .* found: nothing"),
    (as_zip({f"a/{NAME}.xls": b"1", f"b/{NAME}.xls": b"2"}), f"holds 2 .* a/{NAME}.xls, b/"),
    (as_zip({f"../{NAME}.csv": CSV}), f"[.][.]/{NAME}.csv leads out of the zip"),
    (as_zip({f"/tmp/{NAME}.csv": CSV}), f"/tmp/{NAME}.csv leads out of the zip"),
    (as_zip({f"..\\{NAME}.csv": CSV}), "leads out of the zip"),
    (as_zip({f"{NAME}.csv": WEB_PAGE}), f"table.zip, {NAME}.csv: a web page"),
    (as_zip({f"{NAME}.xls": b"\xd0\xcf\x11\xe0 cut"}), f", {NAME}.xls: not a readable .xls file"),
    (CSV.replace(b",", b";"), "no column MouseID, .* found 1 columns: MouseID;P0_N"),
]


@pytest.mark.parametrize(("content", "message"), CONTENTS)
def test_other_contents(put, content, message):
    path = put(content)
    with pytest.raises(InputError, match=message) as refused:
        read_mouse(path)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9, 0.999])
def test_files_that_are_cut_short(put, xls, kept):
    zipped = as_zip({f"{NAME}.xls": xls})
    for content, message in (
        (zipped, "a damaged zip"),
        (xls, "not a readable .xls file"),
        (CSV, "rows, expected 1080 .*cut short|nothing in line 1081|neither a zip"),
    ):
        with pytest.raises(InputError, match=message):
            read_mouse(put(content[: int(kept * len(content))]))


def test_a_zip_with_a_spoilt_member(put):
    content = bytearray(as_zip({f"{NAME}.csv": CSV}))
    content[1000:1010] = bytes(10)
    with pytest.raises(InputError, match=r"table.zip: a damaged zip .*fetch it again"):
        read_mouse(put(bytes(content)))


def test_damaged_files_are_never_a_fault_of_the_program(put, capsys):
    """Any byte of a small .xls or zip overwritten: read, or refused, but nothing else."""
    rng = np.random.default_rng(0)
    small = as_xls(TABLE.iloc[:2, :4])
    refused = []
    for content in (small, as_zip({f"{NAME}.xls": small})):
        for _ in range(150):
            spoilt = np.frombuffer(content, dtype=np.uint8).copy()
            spoilt[rng.integers(4, len(spoilt), 20)] = rng.integers(0, 256, 20)
            with pytest.raises(InputError) as error:  # read, it has too few columns
                read_mouse(put(spoilt.tobytes()))
            refused.append(str(error.value))
    capsys.readouterr()  # xlrd prints
    assert any("not a readable .xls" in one for one in refused)
    assert any("a damaged zip" in one for one in refused)


def test_an_encrypted_zip(put):
    content = bytearray(as_zip({f"{NAME}.csv": CSV}))
    for flags in (6, content.index(b"PK\x01\x02") + 8):  # in the entry and in the directory
        content[flags] |= 1
    with pytest.raises(InputError, match=f"{NAME}.csv is encrypted; put the table itself"):
        read_mouse(put(bytes(content)))


def test_a_zip_that_unpacks_to_too_much(put, monkeypatch):
    path = put(as_zip({f"{NAME}.csv": CSV}))
    assert path.stat().st_size < len(CSV) - 1
    monkeypatch.setattr(mouse, "_LARGEST", len(CSV) - 1)
    with pytest.raises(
        InputError, match=f"{NAME}.csv: unpacks to {len(CSV)} bytes, more than the {len(CSV) - 1} "
    ):
        read_mouse(path)
    monkeypatch.setattr(mouse, "_LARGEST", len(CSV))
    assert read_mouse(path).shape == (1080, 77)


def test_no_more_of_a_zip_is_unpacked_than_the_limit(put, monkeypatch):
    path = put(as_zip({f"{NAME}.csv": bytes(40_000_000)}))
    monkeypatch.setattr(mouse, "_LARGEST", 100_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="unpacks to 40000000 bytes, more than the 100000 "):
        read_mouse(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_a_file_that_is_too_large(put, monkeypatch):
    monkeypatch.setattr(mouse, "_LARGEST", len(CSV) - 1)
    with pytest.raises(InputError, match=f"table.zip: {len(CSV)} bytes; .* has 1 to 2 MB"):
        read_mouse(put(CSV))


def drop(name):
    return lambda table: table.drop(columns=name)


def cell(row, column, value):
    def change(table):
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return change


def rename_mouse(table):
    table["MouseID"] = table["MouseID"].replace("301_3", "300_16")
    return table


def no_values(table):
    table["P7_N"] = np.nan
    return table


TABLES = [
    (drop("Genotype"), "no column Genotype; found 81 columns: MouseID, P0_N"),
    (drop(["MouseID", "class"]), "no column MouseID, class; found 80"),
    (drop("P3_N"), "76 columns end in _N, expected 77 proteins"),
    (lambda table: table.assign(New_N=1.0), "78 columns end in _N, expected 77 proteins"),
    (lambda table: table.iloc[:-15], r"1065 rows, expected 1080 \(72 mice x 15 .*source has"),
    (lambda table: pd.concat([table, table[:1]]), "1081 rows, expected 1080"),
    (cell(9, "P2_N", "high"), "column P2_N, MouseID 300_10: 'high' is not a finite number"),
    (cell(9, "P2_N", np.inf), "column P2_N, MouseID 300_10: 'inf' is not a finite number"),
    (no_values, "column P7_N: no value at all"),
    (cell(4, "Behavior", None), "column Behavior: nothing in line 6"),
    (cell(4, "MouseID", None), "column MouseID: nothing in line 6"),
    (cell(4, "MouseID", "300"), "column MouseID: '300'; expected <mouse>_<replicate>"),
    (cell(4, "MouseID", "300_4"), "column MouseID: '300_4' stands more than once"),
    (rename_mouse, "column MouseID: 72 mice with 14 to 16 rows, expected 72 with 15 each"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), TABLES)
def test_other_tables(put, change, message):
    path = put(as_csv(change(TABLE.copy())), "table.csv")
    with pytest.raises(InputError, match=message) as refused:
        read_mouse(path)
    assert str(refused.value).startswith(str(path))
    assert "config/datasets.tsv" in str(refused.value)


def test_text_in_a_workbook_is_found(put):
    path = put(as_xls(cell(9, "P2_N", "n.d.")(TABLE.copy())), "table.xls")
    with pytest.raises(InputError, match=r"column P2_N, MouseID 300_10: 'n.d.' is not a finite"):
        read_mouse(path)
