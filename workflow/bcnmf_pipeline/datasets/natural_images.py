"""Natural images as small grey squares: from JPEGs in a zip, or from crops made before."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from bcnmf.errors import InputError
from bcnmf_pipeline.datasets.archives import AGAIN, Member, existing, listed, members_of, opened_zip

SIDE = 28
N_IMAGES = 1300
FOLDER = "dataset/simulation/n11939491"
# The array of a file of crops.
ARRAY = "images"
# Photographs of ImageNet take 0.1 MB on average, and a few MB at most.
_LARGEST_MEMBER = 64 * 2**20
_LARGEST_CROPS = 64 * 2**20
# What Pillow raises on damaged files.
_IMAGE_FAULTS = (
    UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError,
    SyntaxError, ValueError,
)  # fmt: skip


def read_crops(path: str | Path, n_images: int = N_IMAGES) -> np.ndarray:
    """Read natural images as grey squares of 28 x 28 pixels.

    Parameters
    ----------
    path : path
        A zip with the photographs under ``dataset/simulation/n11939491/*.JPEG`` (in any folder, as
        the archive of a repository has it), or an .npz with an array `images` of crops made
        before, (n, 784) or (n, 28, 28), unsigned bytes. Which of both is told by the contents.
    n_images : int
        How many there have to be.

    Returns
    -------
    ndarray of uint8, shape (n_images, 28, 28)
        Photographs in the order of their names; crops in that of the file.

    Raises
    ------
    InputError
        A file that is missing, damaged, or something else; another number of images; a photograph
        that cannot be read.

    Notes
    -----
    Photographs are read into memory one by one. Nothing is unpacked to the disk, so that no name
    in a zip can lead out of a folder.
    """
    path = existing(path, f"a zip with {FOLDER}/*.JPEG, or an .npz with an array {ARRAY}")
    with opened_zip(path, path, "neither a zip nor an .npz file") as archive:
        members = members_of(archive, path)
        crops = next((member for member in members if member.name == f"{ARRAY}.npy"), None)
        if crops is not None:
            content = io.BytesIO(crops.content(_LARGEST_CROPS))
            return _check_crops(np.load(content, allow_pickle=False), n_images, path)
        return np.array([_crop_of(member) for member in _photographs(members, n_images, path)])


def crop(photograph: Image.Image) -> np.ndarray:
    """Return a photograph as a grey square: its shorter side shrunk to 28 pixels, its centre cut.

    With Pillow: grey first (mode L: 0.299 R + 0.587 G + 0.114 B), then `resize` by its Lanczos
    filter, the longer side rounded to whole pixels, then the centre, at an uneven difference one
    pixel nearer to the upper left. Which comes first is not stated in the paper.

    Parameters
    ----------
    photograph : Image
        Of any size and mode.

    Returns
    -------
    ndarray of uint8, shape (28, 28)
    """
    grey = photograph.convert("L")
    shorter = min(grey.size)
    width, height = (max(SIDE, round(length * SIDE / shorter)) for length in grey.size)
    small = grey.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(small.crop((left, top, left + SIDE, top + SIDE)), dtype=np.uint8)


def stretch(crops: np.ndarray) -> np.ndarray:
    """Return images that each cover 0 to 255, darkest to brightest pixel.

    Parameters
    ----------
    crops : ndarray, shape (n, rows, columns)

    Returns
    -------
    ndarray of float, the same shape
        An image of one grey, which has nothing to stretch, becomes black.
    """
    values = np.asarray(crops, dtype=np.float64)
    low = values.min(axis=(1, 2), keepdims=True)
    spread = values.max(axis=(1, 2), keepdims=True) - low
    stretched = np.zeros_like(values)
    np.divide(255.0 * (values - low), spread, out=stretched, where=spread > 0)
    return stretched


def _photographs(members: Sequence[Member], n_images: int, path: Path) -> list[Member]:
    """Return the members that are photographs, by name."""
    wanted = PurePosixPath(FOLDER).parts
    found = []
    for member in members:
        parts = member.parts
        inside = parts[-len(wanted) - 1 : -1] == wanted
        # Hidden files are what some systems leave beside each member.
        if inside and parts[-1].lower().endswith((".jpeg", ".jpg")) and parts[-1][0] != ".":
            found.append((parts[-1], member))
    names = {name for name, _ in found}
    if len(found) != n_images or len(names) != n_images:
        raise InputError(
            f"{path}: holds {len(names)} different photographs in {len(found)} files "
            f"{FOLDER}/*.JPEG, expected {n_images}; its first members: "
            f"{listed([member.name for member in members])}; {AGAIN}"
        )
    return [member for _, member in sorted(found, key=lambda pair: pair[0])]


def _crop_of(member: Member) -> np.ndarray:
    content = member.content(_LARGEST_MEMBER)
    try:
        with warnings.catch_warnings():
            # A picture of more pixels than any photograph has is refused, not only warned of.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as photograph:
                return crop(photograph)
    except _IMAGE_FAULTS as error:
        raise InputError(f"{member.place}: not a readable JPEG ({error}); {AGAIN}") from error


def _check_crops(crops: np.ndarray, n_images: int, path: Path) -> np.ndarray:
    shapes = [(n_images, SIDE * SIDE), (n_images, SIDE, SIDE)]
    if crops.dtype != np.uint8 or crops.shape not in shapes:
        raise InputError(
            f"{path}, array {ARRAY}: {crops.dtype} of shape {crops.shape}; expected uint8 of shape "
            f"{' or '.join(map(str, shapes))}; {AGAIN}"
        )
    return crops.reshape(n_images, SIDE, SIDE)
