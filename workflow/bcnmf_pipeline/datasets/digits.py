"""Handwritten digits over patches of a photograph, from images that ship with the packages."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import skimage.data
from skimage.io import imread
from skimage.transform import resize
from sklearn.datasets import load_digits

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed

_SOURCE = {
    "description": (
        "digits of scikit-learn (load_digits) laid over patches of photographs of scikit-image"
    ),
    "citation": (
        "Digits: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, "
        "doi:10.24432/C50P49. Photographs: scikit-image, van der Walt et al. 2014, "
        "doi:10.7717/peerj.453. Design: Li, Yang and Li, arXiv 2602.22387, and Abid et al. 2018, "
        "doi:10.1038/s41467-018-04608-8"
    ),
    "licence": "digits CC BY 4.0; photographs CC0",
}
# All grey, under CC0, and part of scikit-image's wheel.
_PHOTOGRAPHS = ("camera", "brick", "grass", "gravel")
_WHITE = 255.0
_DIMMED = 0.8


def digits_on_texture(
    n_target: int = 360,
    n_background: int = 360,
    classes: Sequence[int] = (0, 1),
    size: int = 16,
    textures: Sequence[str] = ("camera",),
    window: int = 96,
    random_state: int = 0,
) -> ad.AnnData:
    """Lay digits over patches of photographs, with further patches as the background set.

    A target image is the pixelwise maximum of a digit and 0.8 times a patch; a background image is
    a patch. Digits and patches are in the same units, 0 (black) to 255. A patch is a square window
    at a random place of a photograph, shrunk to `size` and stretched so that it covers 0 to 255.
    Targets take their patches from the left halves of the photographs, the background set from the
    right halves, so that no pixel of a photograph is in both.

    It is a small stand-in, without downloads, for the paper's digits on natural images.

    Parameters
    ----------
    n_target : int
        Number of target images, as equal in number over the classes as the digits allow. No digit
        is used twice: zeros and ones are 178 + 182 in all.
    n_background : int
        Number of background images.
    classes : sequence of int
        Digits 0 to 9.
    size : int
        Rows and columns of an image, at least 8. Digits, 8 x 8 in the source, are enlarged by cubic
        splines.
    textures : sequence of str
        Photographs to take patches from, each equally likely: camera, brick, grass, gravel.
    window : int
        Side of the window in pixels of the photograph, `size` to 256.
    random_state : int
        Seed, >= 0.

    Returns
    -------
    AnnData
        X: float32 (n_target + n_background) x size**2, 0 to 255, rows of the image one after the
        other. obs: `side` (target, background), `digit` ("none" in the background), `texture`.
        uns: `image_shape` [size, size], `source`.

    Raises
    ------
    InputError
        An argument out of its range, more targets than digits, or a photograph that the installed
        scikit-image does not hold.

    Notes
    -----
    What hides the digits is structure as large as they are. Windows of `camera` have it, as whole
    natural scenes do (dark figure against bright sky, horizon). Fine and even textures (brick,
    grass, gravel) do not: over them every method separates zeros from ones, plain NMF included.
    """
    _check_arguments(n_target, n_background, classes, size, window, random_state)

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed("digits on texture", random_state, name))

    photographs = _photographs(textures)
    digits, labels = _digits(stream("digits"), n_target, classes, size)
    left = {name: image[:, : image.shape[1] // 2] for name, image in photographs.items()}
    right = {name: image[:, image.shape[1] // 2 :] for name, image in photographs.items()}
    under, target_textures = _patches(stream("target patches"), left, n_target, window, size)
    alone, textures_alone = _patches(stream("background"), right, n_background, window, size)

    images = np.concatenate([np.maximum(digits, _DIMMED * under), alone])
    obs = pd.DataFrame(
        {
            "side": pd.Categorical(["target"] * n_target + ["background"] * n_background),
            "digit": pd.Categorical([*labels, *["none"] * n_background]),
            "texture": pd.Categorical(target_textures + textures_alone),
        },
        index=[f"target_{i + 1}" for i in range(n_target)]
        + [f"background_{i + 1}" for i in range(n_background)],
    )
    rows, columns = np.indices((size, size)).reshape(2, -1)
    names = [f"pixel_{row + 1}_{column + 1}" for row, column in zip(rows, columns, strict=True)]
    return ad.AnnData(
        images.reshape(len(images), -1).astype(np.float32),
        obs=obs,
        var=pd.DataFrame({"row": rows, "column": columns}, index=names),
        uns={"image_shape": np.array([size, size]), "source": dict(_SOURCE)},
    )


def _check_arguments(
    n_target: int,
    n_background: int,
    classes: Sequence[int],
    size: int,
    window: int,
    random_state: int,
) -> None:
    # Half of a photograph is 256 pixels wide.
    ranges = {
        "n_target": (n_target, 1, None),
        "n_background": (n_background, 1, None),
        "size": (size, 8, 256),
        "window": (window, size, 256),
        "random_state": (random_state, 0, None),
    }
    for name, (value, least, most) in ranges.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            allowed = f">= {least}" if most is None else f"from {least} to {most}"
            raise InputError(f"digits_on_texture: {name}={value!r}; expected an integer {allowed}")
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(range(10)):
        raise InputError(
            f"digits_on_texture: classes={classes!r}; expected different digits from 0 to 9"
        )


def _photographs(textures: Sequence[str]) -> dict[str, np.ndarray]:
    """Read photographs from the installed scikit-image.

    `skimage.data.camera()` and the like would download a file that is not there.
    """
    unknown = [name for name in textures if name not in _PHOTOGRAPHS]
    if unknown or not textures:
        raise InputError(
            f"digits_on_texture: textures={textures!r}; expected some of {', '.join(_PHOTOGRAPHS)}"
        )
    folder = Path(skimage.data.__file__).parent
    images = {}
    for name in textures:
        path = folder / f"{name}.png"
        if not path.is_file():
            raise InputError(
                f"digits_on_texture: {path} is missing: scikit-image {version('scikit-image')} was "
                "installed without its images; install it from PyPI or conda-forge"
            )
        images[name] = imread(path).astype(float)
    return images


def _digits(
    rng: np.random.Generator, n: int, classes: Sequence[int], size: int
) -> tuple[np.ndarray, list[str]]:
    """Return digits (n, size, size) from 0 to 255 and their classes."""
    source = load_digits()
    shuffled = rng.permutation(np.flatnonzero(np.isin(source.target, classes)))
    if n > len(shuffled):
        raise InputError(
            f"digits_on_texture: n_target={n}, but scikit-learn holds {len(shuffled)} digits of "
            f"the classes {', '.join(map(str, classes))}; use at most {len(shuffled)}"
        )
    labels = pd.Series(source.target[shuffled])
    # The first of each class, then the second of each, ...: equal numbers as long as they last.
    turn = labels.groupby(labels).cumcount().to_numpy()
    chosen = shuffled[np.argsort(turn, kind="stable")[:n]]
    images = [
        np.clip(resize(digit / 16.0, (size, size), order=3), 0.0, 1.0)
        for digit in source.images[chosen]
    ]
    return _WHITE * np.array(images), [str(label) for label in source.target[chosen]]


def _patches(
    rng: np.random.Generator, photographs: dict[str, np.ndarray], n: int, window: int, size: int
) -> tuple[np.ndarray, list[str]]:
    """Return patches (n, size, size) from 0 to 255 and the names of their photographs."""
    names = [str(name) for name in rng.choice(list(photographs), n)]
    return np.array([_patch(rng, photographs[name], window, size) for name in names]), names


def _patch(rng: np.random.Generator, photograph: np.ndarray, window: int, size: int) -> np.ndarray:
    row, column = (rng.integers(length - window + 1) for length in photograph.shape)
    cut = photograph[row : row + window, column : column + window]
    patch = resize(cut, (size, size), anti_aliasing=True)
    # No window of these photographs is of one grey, not even of 8 pixels.
    low, high = patch.min(), patch.max()
    return np.asarray(_WHITE * (patch - low) / (high - low))
