"""Natural images: how they become small grey squares, and what is refused."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets import natural_images
from bcnmf_pipeline.datasets.natural_images import crop, read_crops, stretch

FOLDER = "bcnmf-e1be4b1/dataset/simulation/n11939491"


def jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def flat(grey, size=(40, 30)):
    return jpeg(Image.new("L", size, grey))


def as_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def as_npz(path, array, name="images"):
    np.savez_compressed(path, **{name: array})
    return path


# --- one photograph ----------------------------------------------------------


def test_a_square_of_the_right_size_is_kept():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(crop(Image.fromarray(pixels)), pixels)


@pytest.mark.parametrize(("extra", "left"), [(2, 1), (3, 1), (8, 4), (9, 4)])
@pytest.mark.parametrize("wide", [True, False])
def test_the_centre_of_the_longer_side_is_kept(extra, left, wide):
    """The shorter side has 28 pixels already: nothing is resized, columns can be counted."""
    columns = np.tile(np.arange(28 + extra, dtype=np.uint8), (28, 1))
    found = crop(Image.fromarray(columns if wide else columns.T))
    expected = np.tile(np.arange(left, left + 28, dtype=np.uint8), (28, 1))
    np.testing.assert_array_equal(found, expected if wide else expected.T)


def test_colours_become_grey_by_their_brightness():
    for colour, grey in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert set(np.unique(crop(Image.new("RGB", (56, 28), colour)))) == {grey}
    for mode in ("CMYK", "L", "P", "RGBA"):
        assert crop(Image.new(mode, (30, 50))).shape == (28, 28)


def test_the_shorter_side_is_resized_by_lanczos():
    pixels = np.random.default_rng(1).integers(0, 256, (56, 90), dtype=np.uint8)
    photograph = Image.fromarray(pixels)
    small = np.asarray(photograph.resize((45, 28), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(crop(photograph), small[:, 8:36])
    # Smaller ones are enlarged, and very long ones keep their shorter side.
    assert crop(Image.new("L", (7, 14))).shape == (28, 28)
    assert crop(Image.new("L", (3000, 1))).shape == (28, 28)


def test_each_image_is_stretched_by_its_own_range():
    images = np.array([[[10, 20], [30, 60]], [[0, 255], [51, 102]], [[7, 7], [7, 7]]])
    expected = [[[0, 51], [102, 255]], [[0, 255], [51, 102]], [[0, 0], [0, 0]]]
    np.testing.assert_allclose(stretch(images.astype(np.uint8)), expected)


# --- many --------------------------------------------------------------------


def test_photographs_come_in_the_order_of_their_names(tmp_path):
    members = {f"{FOLDER}/n_{i}.JPEG": flat(10 * i) for i in (3, 1, 2)}
    others = {
        "bcnmf-e1be4b1/README.md": b"of the repository",
        "bcnmf-e1be4b1/figures/n_9.JPEG": flat(90),
        f"{FOLDER}/": b"",
        f"{FOLDER}/._n_1.JPEG": b"beside it",
        f"__MACOSX/{FOLDER}/._n_3.JPEG": b"beside it",
    }
    path = as_zip(tmp_path / "archive.zip", members | others)
    crops = read_crops(path, 3)
    assert crops.shape == (3, 28, 28)
    assert crops.dtype == np.uint8
    assert [round(one.mean()) for one in crops] == [10, 20, 30]
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_leads_out_of_the_zip_writes_nothing(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    name = "../outside/dataset/simulation/n11939491/n_1.JPEG"
    crops = read_crops(as_zip(inside / "archive.zip", {name: flat(50)}), 1)
    assert crops.shape == (1, 28, 28)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "archive.zip"]


@pytest.mark.parametrize("shape", [(4, 784), (4, 28, 28)])
def test_crops_made_before_are_read_as_they_are(tmp_path, shape):
    crops = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    found = read_crops(as_npz(tmp_path / "crops.npz", crops.reshape(shape)), 4)
    np.testing.assert_array_equal(found, crops)


@pytest.mark.shared
def test_the_real_crops(shared_data):
    crops = read_crops(shared_data / "grass" / "grass28.npz")
    assert crops.shape == (1300, 28, 28)
    assert len(np.unique(crops.reshape(1300, -1), axis=0)) == 1300


# --- what is refused ---------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.zip: no such file; expected a zip with"):
        read_crops(tmp_path / "none.zip")


def test_another_number_of_photographs_is_refused(tmp_path):
    path = as_zip(tmp_path / "few.zip", {f"{FOLDER}/n_1.JPEG": flat(1), "notes.txt": b"x"})
    with pytest.raises(
        InputError, match=r"few.zip: holds 1 different photographs .* expected 1300"
    ):
        read_crops(path)
    twice = {f"{FOLDER}/n_1.JPEG": flat(1), f"copy/{FOLDER}/n_1.JPEG": flat(1)}
    with pytest.raises(InputError, match="holds 1 different photographs in 2 files"):
        read_crops(as_zip(tmp_path / "twice.zip", twice), 2)
    with pytest.raises(InputError, match="its first members: nothing"):
        read_crops(as_zip(tmp_path / "empty.zip", {}))


@pytest.mark.parametrize("content", [b"", b"<html>", flat(1)[:300], b"GIF89a" + bytes(40)])
def test_a_photograph_that_cannot_be_read_is_named(tmp_path, content):
    path = as_zip(tmp_path / "a.zip", {f"{FOLDER}/n_1.JPEG": content})
    with pytest.raises(InputError, match=r"a.zip, .*/n_1.JPEG: not a readable JPEG"):
        read_crops(path, 1)


def test_a_photograph_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    path = as_zip(tmp_path / "a.zip", {f"{FOLDER}/n_1.JPEG": flat(1)})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="not a readable JPEG"):
        read_crops(path, 1)


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(natural_images, "_LARGEST_MEMBER", 100)
    path = as_zip(tmp_path / "a.zip", {f"{FOLDER}/n_1.JPEG": bytes(10**6)})
    with pytest.raises(InputError, match=r"n_1.JPEG: unpacks to 1000000 bytes, more than the 100 "):
        read_crops(path, 1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"<!DOCTYPE html>"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "archive.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"archive.zip: neither a zip nor an .npz file"):
        read_crops(path)


ARRAYS = [
    (
        np.zeros((3, 784), np.uint8),
        r"uint8 of shape \(3, 784\); expected uint8 of shape \(4, 784\)",
    ),
    (np.zeros((4, 784)), r"float64 of shape \(4, 784\)"),
    (np.zeros((4, 27, 28), np.uint8), r"shape \(4, 27, 28\)"),
    (np.array([{}], dtype=object), "neither a zip nor an .npz file"),  # never unpickled
]


@pytest.mark.parametrize(("array", "message"), ARRAYS)
def test_other_arrays_are_refused(tmp_path, array, message):
    with pytest.raises(InputError, match=message):
        read_crops(as_npz(tmp_path / "crops.npz", array), 4)
    with pytest.raises(InputError, match="holds 0 different photographs"):
        read_crops(as_npz(tmp_path / "other.npz", array, name="pictures"), 4)
