"""Whole files or none."""

import numpy as np
import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf.persistence import Fit
from bcnmf_pipeline.record.tables import read_table, write_json, write_table


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        interrupted()
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.tsv"]


def test_files_get_the_usual_permissions_not_those_of_a_temporary_file(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    write_json({"a": 1}, tmp_path / "new" / "file.json")
    assert (tmp_path / "new" / "file.json").stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_tables_come_back(tmp_path, suffix):
    table = pd.DataFrame({"name": ["a # b", "c"], "value": [0.1, np.nan], "count": [1, 2]})
    write_table(table, tmp_path / f"table{suffix}")
    pd.testing.assert_frame_equal(read_table(tmp_path / f"table{suffix}"), table)


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
@pytest.mark.parametrize("column", ["favours", "feature", "group", "label", "symbol", "sample"])
def test_names_that_look_like_numbers_or_missing_values_come_back(tmp_path, column, suffix):
    names = ["NA", "null", "nan", "None", "", "N/A", "01", "1e5", "-inf", "True", '"', " a "]
    table = pd.DataFrame({column: names, "value": [np.inf, np.nan, *range(10)]})
    write_table(table, tmp_path / f"table{suffix}")
    pd.testing.assert_frame_equal(read_table(tmp_path / f"table{suffix}"), table)
    numbers = pd.DataFrame({column: ["01", "02"]})
    write_table(numbers, tmp_path / f"numbers{suffix}")
    pd.testing.assert_frame_equal(read_table(tmp_path / f"numbers{suffix}"), numbers)


def test_an_empty_table_is_named(tmp_path):
    (tmp_path / "table.tsv").touch()
    with pytest.raises(InputError, match=r"table\.tsv: the table is empty"):
        read_table(tmp_path / "table.tsv")


def test_json_is_the_same_whatever_the_order(tmp_path):
    write_json({"b": np.float64(1.5), "a": np.arange(2)}, tmp_path / "one.json")
    write_json({"a": [0, 1], "b": 1.5}, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_equal_fits_are_equal_bytes(tmp_path):
    fit = Fit(np.ones((3, 2)), np.ones((2, 2)), np.ones((2, 4)), info={"k": 2, "alpha": None})
    fit.write(tmp_path / "one.npz")
    Fit.read(tmp_path / "one.npz").write(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert Fit.read(tmp_path / "two.npz").info == {"k": 2, "alpha": None}
