"""Weights by which batches count alike, and what is said where a batch is the condition."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bcnmf import InputError, balanced_weights
from bcnmf.batches import checked, effective_size, named, one_sided
from bcnmf.checks import sample_names

codes = hnp.arrays(int, st.integers(1, 60), elements=st.integers(0, 4))


@given(codes, st.integers(0, 2**31))
def test_every_batch_and_every_unit_of_it_counts_alike(batch, seed):
    unit = np.random.default_rng(seed).integers(0, 3, len(batch))
    weights = balanced_weights(batch, unit)
    assert weights.mean() == pytest.approx(1)
    assert (weights > 0).all()
    share = len(batch) / len(np.unique(batch))
    for one in np.unique(batch):
        inside = batch == one
        assert weights[inside].sum() == pytest.approx(share)
        units = [weights[inside & (unit == name)].sum() for name in np.unique(unit[inside])]
        assert units == pytest.approx([share / len(units)] * len(units))
    alone = balanced_weights(batch)
    sums = [alone[batch == one].sum() for one in np.unique(batch)]
    assert sums == pytest.approx([share] * len(sums))
    assert effective_size(alone) <= len(batch) * (1 + 1e-12)
    # Within a unit and batch all samples count alike.
    parts = pd.Series(weights).groupby([batch, unit]).nunique()
    assert (parts == 1).all()


def test_of_several_columns_each_combination_is_a_batch():
    table = pd.DataFrame({"run": ["a", "a", "b", "b"], "lane": [1, 1, 1, 2]})
    expected = [2 / 3, 2 / 3, 4 / 3, 4 / 3]
    np.testing.assert_allclose(balanced_weights(table), expected)
    np.testing.assert_allclose(balanced_weights(table.to_numpy()), expected)
    assert named(table, "batch").tolist() == ["a / 1", "a / 1", "b / 1", "b / 2"]
    # The same weights whatever the names, and whichever the order.
    shuffled = balanced_weights(pd.Series(["y", "x", "y", "z"])[[1, 0, 3, 2]])
    np.testing.assert_allclose(shuffled, [4 / 3, 2 / 3, 4 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (["a", None, "b", np.nan], r"batch: 2 of 4 samples have none \(nan, None"),
        (pd.Series(["a", pd.NA]), "1 of 2 samples have none"),
        (np.ma.array(["a", "b"], mask=[True, False]), "1 of 2 samples have none"),
        ([], r"batch: has shape \(0,\); expected one a sample"),
        (np.ones((2, 2, 2)), r"batch: has shape \(2, 2, 2\)"),
    ],
)
def test_samples_without_a_batch_are_refused_with_their_number(batch, match):
    with pytest.raises(InputError, match=match):
        balanced_weights(batch)


def test_a_unit_a_sample():
    with pytest.raises(InputError, match=r"units: has shape \(2,\); expected one a sample, \(3,\)"):
        balanced_weights(["a", "b", "b"], ["x", "y"])


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, 2], r"sample_weight: has shape \(2,\); expected one a sample, \(3,\)"),
        (np.ones((3, 1)), r"has shape \(3, 1\)"),
        (1.0, r"has shape \(\)"),
        ([1, -2, -1], "2 of 3 weights are negative, the smallest -2; give numbers of at least 0"),
        ([1, np.nan, np.inf], "2 of 3 weights are NaN, masked or infinite; give 0 to samples"),
        (np.ma.array([1, 1, 1], mask=[1, 0, 0]), "1 of 3 weights are NaN, masked"),
        ([0, 0, 0], "all weights are zero, so no sample is left"),
        (["a", "b", "c"], "holds what is no number"),
        ([1, 1e-12, 1], "goes from 1e-12 to 1; .* divide the weights of both sides by their mean"),
        (pd.Series([1, 2, 3], index=["c", "b", "a"]), "another order"),
        (pd.Series([1, 2, 3], index=["a", "b", "x"]), "1 are missing, for instance c"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weights, match):
    names = np.array(["a", "b", "c"], dtype=object)
    with pytest.raises(InputError, match=match):
        checked(weights, "sample_weight", 3, names)


def test_weights_of_named_samples_have_to_be_in_their_order():
    cells = ad.AnnData(np.ones((3, 2)), obs=pd.DataFrame(index=["a", "b", "c"]))
    weights = pd.Series([1, 2, 3], index=["a", "b", "c"])
    found = checked(weights, "sample_weight", 3, sample_names(cells))
    assert found.tolist() == [1, 2, 3]
    assert found.dtype == np.float64
    assert checked(weights, "sample_weight", 3, None).tolist() == [1, 2, 3]
    assert checked(None, "sample_weight", 3, None) is None


def test_batches_on_one_side_are_named_and_a_batch_that_is_the_condition_is_told():
    both = one_sided(["a", "b", "b"], ["b", "a"])
    assert (both.sentence, both.remedy, both.confounded) == ("", "", False)
    partly = one_sided(["a", "a", "b", "c"], ["b", "d"])
    assert partly.target == ["a", "c"]
    assert partly.background == ["d"]
    assert partly.shared == ["b"]
    assert partly.sentence.startswith(
        "75% of the target are in batches that the other side lacks (a, c) and 50% of the "
        "background is in a batch that the other side lacks (d)"
    )
    assert "leave samples of these batches out" in partly.remedy
    apart = one_sided(["a", "a"], ["b"])
    assert apart.confounded
    assert apart.sentence.startswith("no batch is on both sides")
    assert "measured in the same batch" in apart.remedy
