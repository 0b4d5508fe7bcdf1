"""Natural images as small grey squares: from JPEGs in a zip, or from crops made before."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from bcnmf.errors import InputError

SIDE = 28
N_IMAGES = 1300
FOLDER = "dataset/simulation/n11939491"
# The array of a file of crops.
ARRAY = "images"
# Photographs of ImageNet take 0.1 MB on average, and a few MB at most.
_LARGEST_MEMBER = 64 * 2**20
_LARGEST_CROPS = 64 * 2**20
_NPZ = f"{ARRAY}.npy"
_AGAIN = "delete the file and fetch it again, or take one that config/datasets.tsv names"
# What zipfile, numpy and Pillow raise on damaged files.
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)
_IMAGE_FAULTS = (
    UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, OSError,
    SyntaxError, ValueError,
)  # fmt: skip


def read_crops(path: str | os.PathLike, n_images: int = N_IMAGES) -> np.ndarray:
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
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected a zip with {FOLDER}/*.JPEG, or an .npz with an array "
            f"{ARRAY}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if _NPZ in archive.namelist():
                return _check_crops(_array(archive, path), n_images, path)
            entries = _photographs(archive, n_images, path)
            return np.array([_crop_of(archive, entry, path) for entry in entries])
    except InputError:
        raise
    except _ZIP_FAULTS as error:
        raise InputError(f"{path}: neither a zip nor an .npz file ({error}); {_AGAIN}") from error


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
    return np.divide(255.0 * (values - low), spread, out=np.zeros_like(values), where=spread > 0)


def _photographs(archive: zipfile.ZipFile, n_images: int, path: Path) -> list[zipfile.ZipInfo]:
    """Return the entries that are photographs, by name."""
    wanted = PurePosixPath(FOLDER).parts
    found = []
    for entry in archive.infolist():
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        inside = parts[-len(wanted) - 1 : -1] == wanted
        # Hidden files are what some systems leave beside each member.
        if inside and parts[-1].lower().endswith((".jpeg", ".jpg")) and parts[-1][0] != ".":
            found.append((parts[-1], entry))
    names = {name for name, _ in found}
    if len(found) != n_images or len(names) != n_images:
        held = ", ".join(archive.namelist()[:5]) or "nothing"
        raise InputError(
            f"{path}: holds {len(names)} different photographs in {len(found)} files "
            f"{FOLDER}/*.JPEG, expected {n_images}; its first members: {held}; {_AGAIN}"
        )
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _crop_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> np.ndarray:
    place = f"{path}, {entry.filename}"
    content = _member(archive, entry, _LARGEST_MEMBER, place)
    try:
        with warnings.catch_warnings():
            # A picture of more pixels than any photograph has is refused, not only warned of.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as photograph:
                return crop(photograph)
    except _IMAGE_FAULTS as error:
        raise InputError(f"{place}: not a readable JPEG ({error}); {_AGAIN}") from error


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, largest: int, place: str) -> bytes:
    with archive.open(entry) as stream:
        # The size that the zip states need not be true.
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise InputError(f"{place}: unpacks to more than {largest} bytes; {_AGAIN}")
    return content


def _array(archive: zipfile.ZipFile, path: Path) -> np.ndarray:
    content = _member(archive, archive.getinfo(_NPZ), _LARGEST_CROPS, f"{path}, {_NPZ}")
    return np.load(io.BytesIO(content), allow_pickle=False)


def _check_crops(crops: np.ndarray, n_images: int, path: Path) -> np.ndarray:
    shapes = [(n_images, SIDE * SIDE), (n_images, SIDE, SIDE)]
    if crops.dtype != np.uint8 or crops.shape not in shapes:
        raise InputError(
            f"{path}, array {ARRAY}: {crops.dtype} of shape {crops.shape}; expected uint8 of shape "
            f"{' or '.join(map(str, shapes))}; {_AGAIN}"
        )
    return crops.reshape(n_images, SIDE, SIDE)
