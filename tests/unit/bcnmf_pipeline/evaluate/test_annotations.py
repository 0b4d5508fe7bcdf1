"""Further columns that colour maps."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.evaluate.annotations import annotations


def data():
    obs = pd.DataFrame(
        {"line": pd.Categorical(["a", "b", None]), "age": [50, 60, 41]}, index=["s1", "s2", "s3"]
    )
    return ad.AnnData(np.ones((3, 2)), obs=obs)


def test_columns_come_by_sample_and_missing_values_stay_missing():
    table = annotations(data(), ["line", "age"], "studies.tsv, study x")
    assert table["sample"].tolist() == ["s1", "s2", "s3"]
    assert table["line"].tolist() == ["a", "b", None]
    assert table["age"].tolist() == ["50", "60", "41"]
    assert annotations(data(), [], "x").columns.tolist() == ["sample"]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"study x, column colours: .* 'lin' in obs; found: line"):
        annotations(data(), ["lin"], "studies.tsv, study x")


def test_a_column_may_be_called_like_those_of_the_table():
    side = data()
    side.obs["sample"], side.obs["unit"] = ["x", "y", "z"], ["u", "v", "w"]
    table = annotations(side, ["sample", "unit"], "x")
    assert table["sample"].tolist() == ["s1", "s2", "s3"]
    assert table["sample (column)"].tolist() == ["x", "y", "z"]
    assert table["unit"].tolist() == ["u", "v", "w"]
