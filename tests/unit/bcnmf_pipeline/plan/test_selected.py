"""Values of a selection: names such as null and 01 are names, and one is found however written."""

import numpy as np
import pandas as pd
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.plan.selected import select
from bcnmf_pipeline.plan.selection_syntax import parse_selection


def chosen(column, value):
    obs = pd.DataFrame({"kind": column})
    return select(obs, parse_selection(f"kind={value}", "sheet"), "sheet").tolist()


@pytest.mark.parametrize("name", ["null", "NA", "nan", "None", "01", "1.0", "TRUE", "no", "1E+05"])
def test_texts_are_names(name):
    assert chosen(["other", name, None], name) == [False, True, False]
    assert chosen(pd.Categorical(["other", name, None]), name) == [False, True, False]


def test_texts_that_look_like_one_number_are_two():
    assert chosen(["1", "01", "1.0"], "1") == [True, False, False]
    with pytest.raises(InputError, match=r"holds no '1\.00'"):
        chosen(["1", "01", "1.0"], "1.00")


@pytest.mark.parametrize("value", ["1", "1.0", "01", "1e0"])
def test_numbers_are_the_same_however_written(value):
    assert chosen([1, 2, 1], value) == [True, False, True]
    assert chosen([1.0, 2.5, np.nan], value) == [True, False, False]


@pytest.mark.parametrize("value", ["True", "TRUE", "true"])
def test_true_and_false_may_be_in_capitals(value):
    assert chosen([True, False], value) == [True, False]


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ("Cafe\u0301", "Caf\xe9"),
        ("B\xa0cells", "B cells"),
        ("drug ", "drug"),
        ("B  cell", "B cell"),
    ],
)
def test_names_that_look_the_same_are_found(found, value):
    assert chosen(["other", found], value) == [False, True]


def test_of_names_that_look_the_same_the_very_one_is_taken():
    assert chosen(["drug", "drug "], "drug") == [True, False]
    with pytest.raises(InputError, match="holds no 'B cell'"):
        chosen(["B  cell", "B\xa0cell"], "B cell")
