"""Handwritten digits in the IDX format, in which MNIST is handed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, STREAM_FAULTS, opened

SIDE = 28
# Two zero bytes, 8 for unsigned bytes, and the number of dimensions.
_IMAGES, _LABELS = 0x00000803, 0x00000801
_KINDS = {_IMAGES: "images", _LABELS: "labels"}
# The 60,000 training images take 47 MB.
_LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Digits:
    """Images of digits and what they show.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, 28, 28)
        0 (paper) to 255 (ink).
    labels : ndarray of uint8, shape (n,)
        0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


def read_digits(files: Sequence[tuple[str | Path, str | Path]]) -> Digits:
    """Read pairs of image and label files, one pair after the other.

    Parameters
    ----------
    files : sequence of (images, labels)
        IDX files, compressed by gzip or not; which of both is told by the contents.

    Returns
    -------
    Digits

    Raises
    ------
    InputError
        A file that is missing, damaged, or something else; images that are not 28 x 28; labels
        other than 0 to 9; not as many labels as images.
    """
    parts = [_read_pair(Path(images), Path(labels)) for images, labels in files]
    return Digits(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _read_pair(images_path: Path, labels_path: Path) -> Digits:
    images = read_idx(images_path, _IMAGES)
    labels = read_idx(labels_path, _LABELS)
    if images.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f"{images_path}: images of {images.shape[1]} x {images.shape[2]} pixels, expected "
            f"{SIDE} x {SIDE}; {AGAIN}"
        )
    if len(images) != len(labels):
        raise InputError(
            f"{labels_path}: {len(labels)} labels for the {len(images)} images of {images_path}; "
            "both have to be of the same set (train or t10k)"
        )
    if labels.size and labels.max() > 9:
        raise InputError(f"{labels_path}: label {labels.max()}, expected 0 to 9; {AGAIN}")
    return Digits(images, labels)


def read_idx(path: str | Path, magic: int) -> np.ndarray:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : path
        The file, compressed by gzip or not.
    magic : int
        The number that it has to begin with: 0x803 for images, 0x801 for labels.

    Returns
    -------
    ndarray of uint8
        As many dimensions as the magic number says.

    Raises
    ------
    InputError
        A file that is missing, damaged, cut short, too long, or something else.
    """
    with opened(path, "MNIST in the IDX format, .gz or not") as stream:
        try:
            content = stream.read(_LARGEST + 1)
        except STREAM_FAULTS as error:
            raise InputError(f"{path}: a damaged .gz file ({error}); {AGAIN}") from error
    if len(content) > _LARGEST:
        raise InputError(f"{path}: more than {_LARGEST} bytes; MNIST has 47 MB at most; {AGAIN}")
    head = 4 * (1 + (magic & 0xFF))
    if len(content) < head:
        raise InputError(
            f"{path}: {len(content)} bytes, fewer than the {head} of an IDX header; {AGAIN}"
        )
    # As whole numbers of any size: a header of nonsense must not overflow.
    found, *shape = np.frombuffer(content[:head], dtype=">u4").tolist()
    if found != magic:
        other = f" (those are {_KINDS[found]})" if found in _KINDS else ""
        raise InputError(
            f"{path}: begins with {found:#010x}{other}, expected {magic:#010x} for IDX "
            f"{_KINDS[magic]}; {AGAIN}"
        )
    values, expected = np.frombuffer(content, dtype=np.uint8, offset=head), math.prod(shape)
    if len(values) != expected:
        what = "cut short" if len(values) < expected else "longer than it says"
        raise InputError(
            f"{path}: {what}: {len(values)} values, its header announces "
            f"{' x '.join(map(str, shape))} = {expected}; {AGAIN}"
        )
    return values.reshape(shape)
