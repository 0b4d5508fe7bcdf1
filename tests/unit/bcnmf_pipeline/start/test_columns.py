import numpy as np
import pandas as pd
import pytest

from bcnmf_pipeline.start.columns import columns_text, likely_batches, likely_sides


def test_each_column_is_told_by_its_values():
    obs = pd.DataFrame(
        {
            "arm": ["drug"] * 30 + ["vehicle"] * 20,
            "depth": np.arange(50) / 2,
            "barcode": [f"c{number}" for number in range(50)],
            "donor": pd.Categorical(["a", "b"] * 20 + [None] * 10, categories=["a", "b", "gone"]),
        }
    )
    assert columns_text(obs).splitlines() == [
        "  arm      drug (30), vehicle (20)",
        "  depth    50 numbers from 0 to 24.5",
        "  barcode  50 values, another one for each sample",
        "  donor    a (20), b (20); 10 without a value",
    ]


def test_many_values_are_not_all_listed():
    column = [f"type {letter}" for letter in "abcdefgh" for _ in range(9)]
    (line,) = columns_text(pd.DataFrame({"type": column})).splitlines()
    assert line.endswith("type f (9) and 2 more")


def test_samples_without_columns_are_said_to_have_none():
    assert columns_text(pd.DataFrame(index=["a", "b"])) == "  none"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["stim"] * 3 + ["ctrl"] * 5, ("arm=stim", "arm=ctrl")),
        (["Control"] * 3 + ["Case"] * 5, ("arm=Case", "arm=Control")),
        (["DMSO_24h"] * 2 + ["drug_24h"] * 2 + ["drug_48h"], ("arm=drug_24h", "arm=DMSO_24h")),
        (["T21"] * 2 + ["D21"], ("arm=T21", "arm=D21")),
        (["a,b"] * 2 + ["wt"], ("arm=a\\,b", "arm=wt")),
    ],
)
def test_names_of_values_suggest_the_sides(values, expected):
    obs = pd.DataFrame({"batch": [*"xyzxyzww"], "arm": values + [None] * (8 - len(values))})
    assert tuple(map(str, likely_sides(obs))) == expected


def test_names_of_columns_suggest_batches():
    obs = pd.DataFrame(
        {
            "Sequencing_Run": ["a", "b"], "library": ["x", "y"], "lane": [1, 1], "runner": [0, 1],
            "plate.id": ["p", "q"], "batch": [1, 2], "brunch": ["u", "v"],
        }
    )  # fmt: skip
    assert likely_batches(obs) == ["Sequencing_Run", "library", "plate.id", "batch"]


def test_nothing_is_suggested_where_nothing_suggests_itself():
    assert likely_sides(pd.DataFrame({"batch": list("xyz"), "one": ["a"] * 3})) is None
