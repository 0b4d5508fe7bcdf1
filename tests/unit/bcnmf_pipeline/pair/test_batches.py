"""Batches of a pair: columns of the sheet, weights of both sides, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError, balanced_weights
from bcnmf_pipeline.pair.batches import batches_of, weights_of
from bcnmf_pipeline.pair.own_data import look
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from pairs import ROW, WHERE, N, own, table_of, warnings_of

RUN = np.where(np.arange(N) % 8 < 6, "r1", "r2")
LANE = np.arange(N) // 60


def test_every_batch_and_unit_of_a_side_counts_alike():
    sides = make_pair(own(run=RUN, lane=LANE), ROW | {"batch": "run, lane"}, WHERE)
    expected = [f"{run} / {lane}" for run, lane in zip(RUN, LANE, strict=True)]
    arm = table_of()["arm"].to_numpy()
    for side, name, found in zip(sides, ("drug", "vehicle"), weights_of(*sides), strict=True):
        batch = np.array(expected)[arm == name]
        assert batches_of(side).tolist() == batch.tolist()
        unit = table_of()["donor"].to_numpy()[arm == name]
        np.testing.assert_allclose(found, balanced_weights(batch, unit))
    record = pair_record(sides[0])
    assert sum(record["batches"].values()) == 60
    assert set(record["batches"]) == set(expected)


def test_without_a_batch_nothing_is_weighed():
    for row in (ROW, ROW | {"batch": ""}):
        sides = make_pair(own(run=RUN), row, WHERE)
        assert weights_of(*sides) == (None, None)
        assert "batches" not in pair_record(sides[0])


def test_units_that_some_samples_lack_do_not_weigh():
    data = own(run=RUN)
    data.obs["donor"] = data.obs["donor"].where(data.obs["arm"] == "drug")
    sides = make_pair(data, ROW | {"batch": "run"}, WHERE)
    target, background = weights_of(*sides)
    np.testing.assert_allclose(background, balanced_weights(sides[1].obs["run"]))
    np.testing.assert_allclose(target, balanced_weights(sides[0].obs["run"], sides[0].obs["donor"]))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"batch": "plate"}, "column batch: the data have no column 'plate'"),
        (
            {"batch": "run"},
            r"column batch: 2 of 60 background .* in 'run'.*add ;run=\* to column b",
        ),
    ],
)
def test_columns_and_values_that_are_not_there_are_refused(tmp_path, change, match):
    run = pd.Series(RUN, dtype=object)
    run[[1, 3]] = None  # of the vehicle
    data = own(run=run.to_numpy())
    with pytest.raises(InputError, match=match):
        make_pair(data, ROW | change, WHERE)
    data.write_h5ad(tmp_path / "mine.h5ad")
    with pytest.raises(InputError, match=match):
        look(tmp_path / "mine.h5ad", ROW | change, WHERE)


def test_a_batch_on_one_side_is_told_and_one_that_decides_too(tmp_path):
    arm = table_of()["arm"].to_numpy()
    apart = own(run=np.where(arm == "drug", "r1", "r2"))
    said = warnings_of(make_pair(apart, ROW | {"batch": "run"}, WHERE)[0])
    assert any(one.startswith("batch (run): no batch is on both sides") for one in said)
    apart.write_h5ad(tmp_path / "mine.h5ad")
    remarks = look(tmp_path / "mine.h5ad", ROW | {"batch": "run"}, WHERE).remarks
    assert [one for one in remarks if one.startswith("batch (run)")] == [
        one for one in said if one.startswith("batch (run)")
    ]
    few = own(run=np.where(np.arange(N) < 4, "r1", "r2"))
    said = warnings_of(make_pair(few, ROW | {"batch": "run"}, WHERE)[0])
    assert "the target's smallest batch has 2 of 60 samples" in " ".join(said)
    assert not any("batch" in one for one in warnings_of(make_pair(few, ROW, WHERE)[0]))
