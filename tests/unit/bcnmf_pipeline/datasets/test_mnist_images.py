"""Digits on natural images: splits, the rule of the overlay, and the published faults."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from bcnmf import BCNMF
from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.idx import Digits
from bcnmf_pipeline.datasets.mnist_images import (
    OF_DIGIT,
    TEN,
    TWO,
    digits_on_images,
    halves,
    number_of,
    overlay,
)
from bcnmf_pipeline.datasets.natural_images import stretch
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.plan.sheets import read_sheet
from conftest import ROOT

RNG = np.random.default_rng(0)
# 30 of each digit, bars of random brightness.
LABELS = np.tile(np.arange(10, dtype=np.uint8), 30)
IMAGES = np.zeros((300, 28, 28), dtype=np.uint8)
IMAGES[:, 8:20, 12:16] = RNG.integers(100, 256, (300, 12, 4))
DIGITS = Digits(IMAGES, LABELS)
CROPS = RNG.integers(0, 200, (40, 28, 28), dtype=np.uint8)


def study_row(name):
    rows = read_sheet(ROOT / "config" / "studies.tsv").rows
    return next(row for row in rows if row["study"] == name)


def sides(data):
    return data[data.obs["side"] == "target"], data[data.obs["side"] == "background"]


# --- numbers and rules -------------------------------------------------------


def test_a_tenth_of_mnist_is_what_the_paper_has():
    assert [number_of(digit, 0.1) for digit in TWO] == [690, 787]
    assert sum(OF_DIGIT) == 70_000
    assert [number_of(digit, 0.1) for digit in TEN] == [n // 10 for n in OF_DIGIT]
    assert sum(number_of(digit, 0.1) for digit in TEN) == 6996
    assert [number_of(digit, 1.0) for digit in TEN] == list(OF_DIGIT)


def test_the_overlay_is_the_maximum_of_digit_and_dimmed_image():
    digit = np.array([[[0, 255], [100, 204]]], dtype=np.uint8)
    image = np.array([[[255.0, 255.0], [100.0, 255.0]]])
    np.testing.assert_allclose(overlay(digit, image), [[[204, 255], [100, 204]]])


def test_targets_and_backgrounds_follow_from_digits_and_stretched_images():
    data = digits_on_images(DIGITS, CROPS, share=0.002)
    bright = stretch(CROPS).reshape(40, -1)
    target, background = sides(data)
    np.testing.assert_allclose(background.X, bright[background.obs["image"]], rtol=1e-6)
    under = 0.8 * bright[target.obs["image"]]
    rise = target.X - under
    assert rise.min() >= -1e-3
    above = rise > 1e-3
    assert 0 < above.sum() < above.size / 2
    # Where a digit shines through it is one of its class, as it is.
    for row in range(target.n_obs):
        digits = IMAGES[int(target.obs["digit"].iloc[row]) == LABELS].reshape(30, -1)
        assert (np.abs(digits[:, above[row]] - target.X[row, above[row]]) < 1e-3).all(1).any()
    assert data.X.dtype == np.float32
    assert background.X.max() == 255
    assert background.X.min() == 0


def test_rows_and_columns_are_named():
    data = digits_on_images(DIGITS, CROPS, share=0.002)
    assert data.shape == (13 + 15 + 20, 784)
    assert data.obs_names[0] == "target_1"
    assert data.obs_names[-1] == "background_20"
    assert data.var_names[[0, 27, 28, -1]].tolist() == [
        "pixel_1_1", "pixel_1_28", "pixel_2_1", "pixel_28_28",
    ]  # fmt: skip
    assert data.obs["digit"].value_counts().to_dict() == {"none": 20, "1": 15, "0": 13}
    assert data.uns["image_shape"].tolist() == [28, 28]
    assert "28 digits 0, 1 drawn from 300 of MNIST" in data.uns["source"]["description"]


def test_what_is_made_can_be_written(tmp_path):
    data = digits_on_images(DIGITS, CROPS, share=0.002)
    data.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.X, data.X)
    assert again.uns["source"] == data.uns["source"]


# --- splits ------------------------------------------------------------------


@pytest.mark.parametrize(("n", "first"), [(1300, 650), (5, 2), (2, 1)])
def test_halves_are_disjoint_and_whole(n, first):
    under, alone = halves(n, np.random.default_rng(3))
    assert len(under) == first
    assert sorted([*under, *alone]) == list(range(n))


def test_no_image_is_under_a_digit_and_in_the_background():
    for split in range(5):
        target, background = sides(digits_on_images(DIGITS, CROPS, split=split, share=0.002))
        assert not set(target.obs["image"]) & set(background.obs["image"])
        assert len(set(background.obs["image"])) == 20


def test_a_split_depends_on_its_name_alone():
    def make(split, **changes):
        return digits_on_images(DIGITS, CROPS, split=split, **{"share": 0.002} | changes)

    first = make("split 0")
    np.testing.assert_array_equal(make("split 0").X, first.X)
    other = make("split 1")
    assert not np.array_equal(other.X, first.X)
    assert set(other[other.obs["side"] == "background"].obs["image"]) != set(
        first[first.obs["side"] == "background"].obs["image"]
    )
    # With all ten digits, and as published, the halves are the same.
    for changed in (make("split 0", classes=TEN), make("split 0", published=True)):
        np.testing.assert_array_equal(
            changed[changed.obs["side"] == "background"].obs["image"],
            first[first.obs["side"] == "background"].obs["image"],
        )


def test_the_first_split_stays_what_it_is():
    """A change here would change every result: seeds, order of draws, or numpy's generators."""
    data = digits_on_images(DIGITS, CROPS, split="split 0", share=0.002)
    target, background = sides(data)
    assert background.obs["image"].tolist()[:8] == FIRST_BACKGROUNDS
    assert target.obs["image"].tolist()[:8] == FIRST_UNDER


FIRST_BACKGROUNDS = [3, 4, 6, 7, 15, 17, 20, 22]
FIRST_UNDER = [23, 9, 13, 12, 23, 14, 13, 19]


def test_no_digit_is_used_twice_and_all_are_used_if_there_are_fewer():
    lone = Digits(np.arange(300, dtype=np.int64)[:, None, None] * np.ones((28, 28)), LABELS)
    dark = np.zeros((4, 28, 28), dtype=np.uint8)
    target, _ = sides(digits_on_images(lone, dark, classes=TEN, share=1.0))
    assert sorted(target.X[:, 0]) == list(range(300))
    target, _ = sides(digits_on_images(lone, dark, classes=TEN, share=0.002))
    assert len(set(target.X[:, 0])) == target.n_obs == sum(number_of(d, 0.002) for d in TEN)


# --- the published protocol --------------------------------------------------


def test_published_fours_are_fives():
    ours = digits_on_images(DIGITS, CROPS, classes=TEN, share=0.002)
    published = digits_on_images(DIGITS, CROPS, classes=TEN, share=0.002, published=True)
    for data, shown in ((ours, "4"), (published, "5")):
        fours = data[data.obs["digit"] == "4"]
        assert fours.n_obs == number_of(4, 0.002)
        assert set(fours.obs["drawn_from"]) == {shown}
        rest = data[data.obs["digit"] != "4"].obs
        assert (rest["drawn_from"].astype(str) == rest["digit"].astype(str)).all()
    assert "labelled 4 were drawn from the fives" in published.uns["source"]["description"]
    assert "fives" not in ours.uns["source"]["description"]


def test_published_units_differ_between_the_sides():
    ours = sides(digits_on_images(DIGITS, CROPS, share=0.002))
    published = sides(digits_on_images(DIGITS, CROPS, share=0.002, published=True))
    np.testing.assert_array_equal(published[0].X, ours[0].X)
    np.testing.assert_allclose(published[1].X * 255, ours[1].X, rtol=1e-6, atol=1e-4)
    assert published[1].X.max() == 1


def test_alpha_100000_in_mixed_units_is_1_54_in_equal_ones():
    """The published setting and ours are one: after the first update the iterates are the same."""
    pairs = [
        sides(digits_on_images(DIGITS, CROPS, share=0.002, published=published))
        for published in (True, False)
    ]
    fits = [
        BCNMF(2, alpha=alpha, contrast="absolute", solver="mu", max_iter=50, tol=0, dtype="float64")
        .fit(target.X, background=background.X)
        for alpha, (target, background) in zip((1e5, 1e5 / 255**2), pairs, strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(fits[0].components_, fits[1].components_, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(fits[0].usage_, fits[1].usage_, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["digits_two", "digits_ten_published"])
def test_the_studies_of_the_sheet_make_pairs(name):
    row = study_row(name)
    published = row["dataset"].endswith("_published")
    data = digits_on_images(
        DIGITS, CROPS, classes=TEN if "ten" in name else TWO, share=0.002, published=published
    )
    target, background = make_pair(data, row, name)
    record = pair_record(target)
    assert record["image_shape"] == [28, 28]
    assert record["warnings"] == []
    assert set(record["labels"]) == {str(d) for d in (TEN if "ten" in name else TWO)}
    assert background.n_obs == 20
    assert (row["extra_scores"] == "merged") is published


# --- what is refused ---------------------------------------------------------


ARGUMENTS = [
    ({"share": 0}, r"share=0; expected a number above 0, up to 1"),
    ({"share": 1.5}, "share=1.5"),
    ({"classes": ()}, "expected different digits from 0 to 9"),
    ({"classes": (1, 1)}, "expected different digits"),
    ({"classes": (3, 10)}, "expected different digits"),
    ({"share": 1e-5}, "30 images of the digit 0 and share=1e-05, which is 0 of them"),
]


@pytest.mark.parametrize(("changes", "message"), ARGUMENTS)
def test_arguments_out_of_range(changes, message):
    with pytest.raises(InputError, match=message):
        digits_on_images(DIGITS, CROPS, **changes)


def test_a_digit_that_is_not_there_and_other_images():
    few = Digits(IMAGES[LABELS != 1], LABELS[LABELS != 1])
    with pytest.raises(InputError, match="0 images of the digit 1"):
        digits_on_images(few, CROPS)
    with pytest.raises(InputError, match=r"of shape \(40, 784\); expected at least two of 28 x 28"):
        digits_on_images(DIGITS, CROPS.reshape(40, -1))
