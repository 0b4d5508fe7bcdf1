"""MNIST's files: what is read, and what is refused."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets import idx
from bcnmf_pipeline.datasets.idx import read_digits, read_idx

IMAGES, LABELS = 0x803, 0x801
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
NUMBERS = np.array([3, 0, 9, 3, 1], dtype=np.uint8)


def as_idx(values, magic):
    return struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()


@pytest.fixture
def put(tmp_path):
    def write(content, name="file", packed=True):
        path = tmp_path / f"{name}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
        return path

    return write


@pytest.fixture
def files(put):
    return put(as_idx(PIXELS, IMAGES), "images"), put(as_idx(NUMBERS, LABELS), "labels")


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels_are_read(put, packed):
    images = put(as_idx(PIXELS, IMAGES), "images", packed)
    labels = put(as_idx(NUMBERS, LABELS), "labels", packed)
    digits = read_digits([(images, labels)])
    np.testing.assert_array_equal(digits.images, PIXELS)
    np.testing.assert_array_equal(digits.labels, NUMBERS)
    assert digits.images.dtype == digits.labels.dtype == np.uint8


def test_sets_are_joined_in_the_order_given(files, put):
    more = put(as_idx(PIXELS[:2, ::-1], IMAGES), "a"), put(as_idx(NUMBERS[:2], LABELS), "b")
    digits = read_digits([more, files])
    assert digits.labels.tolist() == [3, 0, 3, 0, 9, 3, 1]
    np.testing.assert_array_equal(digits.images[0], PIXELS[0, ::-1])
    np.testing.assert_array_equal(digits.images[2:], PIXELS)


WHOLE = as_idx(PIXELS, IMAGES)
CONTENTS = [
    (b"", "0 bytes, fewer than the 16 of an IDX header"),
    (WHOLE[:15], "15 bytes, fewer than the 16"),
    (WHOLE[:-1], "cut short: 3919 values, its header announces 5 x 28 x 28 = 3920"),
    (WHOLE + b"x", "longer than it says: 3921 values"),
    (as_idx(NUMBERS, LABELS) + bytes(9), r"begins with 0x00000801 \(those are labels\), expected "),
    (b"<!DOCTYPE html><html>", r"begins with 0x3c21444f, expected 0x00000803 for IDX images"),
    (struct.pack(">4I", IMAGES, 2**32 - 1, 2**32 - 1, 2**32 - 1), "cut short: 0 values"),
]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("content", "message"), CONTENTS)
def test_other_contents_are_refused(put, content, message, packed):
    path = put(content, packed=packed)
    with pytest.raises(InputError, match=message) as refused:
        read_idx(path, IMAGES)
    assert str(refused.value).startswith(str(path))
    assert "config/datasets.tsv" in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.gz: no such file; expected MNIST in the IDX"):
        read_idx(tmp_path / "none.gz", IMAGES)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_gz_that_was_cut_is_refused(put, files, kept):
    whole = files[0].read_bytes()
    path = put(whole[: int(kept * len(whole))], "cut", packed=False)
    with pytest.raises(InputError, match=r"a damaged \.gz file"):
        read_idx(path, IMAGES)


def test_a_spoilt_gz_is_refused(put, files):
    whole = bytearray(files[0].read_bytes())
    whole[200:220] = bytes(20)
    with pytest.raises(InputError, match=r"a damaged \.gz file"):
        read_idx(put(bytes(whole), "spoilt", packed=False), IMAGES)


def test_no_more_is_unpacked_than_mnist_has(put, monkeypatch):
    blank = as_idx(np.zeros((5, 28, 28), dtype=np.uint8), IMAGES)
    monkeypatch.setattr(idx, "_LARGEST", len(blank))
    assert read_idx(put(blank), IMAGES).shape == (5, 28, 28)
    with pytest.raises(InputError, match=f"more than {len(blank)} bytes"):
        read_idx(put(blank + bytes(10**6)), IMAGES)


def test_images_and_labels_have_to_belong_together(files, put):
    images, labels = files
    with pytest.raises(InputError, match=r"few.gz: 4 labels for the 5 images of .*images.gz"):
        read_digits([(images, put(as_idx(NUMBERS[:4], LABELS), "few"))])
    with pytest.raises(InputError, match=r"begins with 0x00000803 \(those are images\)"):
        read_digits([(images, images)])
    with pytest.raises(InputError, match=r"letters.gz: label 10, expected 0 to 9"):
        read_digits([(images, put(as_idx(NUMBERS + np.uint8(1), LABELS), "letters"))])
    small = put(as_idx(PIXELS[:, :14], IMAGES), "small")
    with pytest.raises(InputError, match=r"small.gz: images of 14 x 28 pixels, expected 28 x 28"):
        read_digits([(small, labels)])


@pytest.mark.shared
def test_the_real_test_set(shared_data):
    folder = shared_data / "mnist"
    digits = read_digits(
        [(folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz")]
    )
    assert digits.images.shape == (10_000, 28, 28)
    assert np.bincount(digits.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert digits.labels[:5].tolist() == [7, 2, 1, 0, 4]
