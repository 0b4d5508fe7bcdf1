"""Handwritten digits laid over natural images: the paper's first real study."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.seeds import derive_seed
from bcnmf_pipeline.datasets.idx import SIDE, Digits
from bcnmf_pipeline.datasets.natural_images import stretch

TWO, TEN = (0, 1), tuple(range(10))
# Images of each digit in the whole of MNIST: 60,000 for training and 10,000 for tests.
OF_DIGIT = (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)
DIMMED = 0.8
WHITE = 255.0
# In the published run the images labelled 4 were drawn from the fives.
PUBLISHED_FAULTS = {4: 5}
_SOURCE = {
    "citation": (
        "Digits: LeCun, Cortes and Burges, MNIST. Images: Deng et al. 2009, ImageNet, "
        "doi:10.1109/CVPR.2009.5206848, synset n11939491. Design: Li, Yang and Li, "
        "arXiv 2602.22387, and Abid et al. 2018, doi:10.1038/s41467-018-04608-8"
    ),
    "licence": "MNIST CC BY-SA 3.0; ImageNet's own terms, not redistributed",
}


def digits_on_images(
    digits: Digits,
    crops: np.ndarray,
    *,
    classes: Sequence[int] = TWO,
    share: float = 0.1,
    split: object = 0,
    published: bool = False,
) -> ad.AnnData:
    """Lay digits over one half of the natural images; the other half is the background set.

    A target image is the pixelwise maximum of a digit and 0.8 times a natural image that was
    stretched to 0 to 255 before. A background image is a stretched natural image of the other
    half, as it is. So no natural image is in both sets.

    Parameters
    ----------
    digits : Digits
        To draw from.
    crops : ndarray of uint8, shape (n, 28, 28)
        Natural images; the smaller half of an uneven number goes under the digits.
    classes : sequence of int
        Digits to draw.
    share : float
        How many of each digit: this share of those that the whole of MNIST has, rounded down, or
        all that there are if that is less. 0.1 gives 690 zeros and 787 ones.
    split : object
        Name of the split. Halves, digits and what lies under which are drawn by seeds that derive
        from it: the same name gives the same split, whatever the other splits are.
    published : bool
        Repeat what went wrong in the published run: images labelled 4 are drawn from the fives,
        and the background set is in 0 to 1 while the targets are in 0 to 255.

    Returns
    -------
    AnnData
        X: float32 (targets + backgrounds) x 784, 0 (black) to 255 (`published`: backgrounds to 1),
        rows of the image one after the other. obs: `side` (target, background), `digit` ("none" in
        the background; with `published` what the image is labelled), `drawn_from` (what it shows),
        `image` (number of the natural image, from 0). uns: `image_shape` [28, 28], `source`.

    Raises
    ------
    InputError
        An argument out of its range, or no image of a digit.

    Notes
    -----
    The paper does not state these; they were chosen so: every natural image is stretched by its own
    darkest and brightest pixel, 0.8 applies after that and to targets only; each digit gets one of
    the images of its half at random, with replacement, there being fewer of these than digits;
    digits are drawn without replacement. With `published`, as many fours are drawn as there should
    be, by a draw of their own from the fives, so that an image may be in once as 4 and once as 5.
    """
    _check(crops, classes, share)

    def stream(*name: object) -> np.random.Generator:
        return np.random.default_rng(derive_seed("digits on images", split, *name))

    under, alone = halves(len(crops), stream("halves"))
    sources = PUBLISHED_FAULTS if published else {}
    # A stream a digit: the zeros and ones of a split are the same whatever other digits there are.
    drawn = {
        digit: _draw(digits, sources.get(digit, digit), digit, share, stream("digit", digit))
        for digit in classes
    }
    labels = np.repeat(list(drawn), [len(chosen) for chosen in drawn.values()])
    chosen = np.concatenate(list(drawn.values()))
    places = stream("places").choice(under, len(chosen))
    bright = stretch(crops)
    targets = overlay(digits.images[chosen], bright[places])
    backgrounds = bright[alone] / (WHITE if published else 1.0)
    return _assemble(
        np.concatenate([targets, backgrounds]),
        labels=[str(label) for label in labels] + ["none"] * len(alone),
        shown=[str(label) for label in digits.labels[chosen]] + ["none"] * len(alone),
        images=np.concatenate([places, alone]),
        n_target=len(chosen),
        description=_description(digits, len(chosen), len(alone), classes, published),
    )


def halves(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split the numbers 0 to n - 1 at random into two sorted halves without a common number."""
    order = rng.permutation(n)
    return np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def overlay(digits: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the pixelwise maximum of digits and 0.8 times images, both in 0 to 255."""
    return np.maximum(np.asarray(digits, dtype=np.float64), DIMMED * images)


def number_of(digit: int, share: float) -> int:
    """Return how many images of a digit a share of the whole of MNIST is, rounded down."""
    # A tenth of 6990 is 699, not what rounding errors leave of it.
    return math.floor(share * OF_DIGIT[digit] + 1e-9)


def _check(crops: np.ndarray, classes: Sequence[int], share: float) -> None:
    if not 0 < share <= 1:
        raise InputError(f"digits_on_images: share={share!r}; expected a number above 0, up to 1")
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(TEN):
        raise InputError(
            f"digits_on_images: classes={classes!r}; expected different digits from 0 to 9"
        )
    if crops.ndim != 3 or crops.shape[1:] != (SIDE, SIDE) or len(crops) < 2:
        raise InputError(
            f"digits_on_images: natural images of shape {crops.shape}; expected at least two of "
            f"{SIDE} x {SIDE} pixels"
        )


def _draw(
    digits: Digits, source: int, digit: int, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Return which images stand for a digit."""
    there = np.flatnonzero(digits.labels == source)
    wanted = min(number_of(digit, share), len(there))
    if not wanted:
        raise InputError(
            f"digits_on_images: {len(there)} images of the digit {source} and share={share:g}, "
            f"which is {number_of(digit, share)} of them; there has to be at least one"
        )
    return np.sort(rng.choice(there, wanted, replace=False))


def _description(
    digits: Digits, n_target: int, n_background: int, classes: Sequence[int], published: bool
) -> str:
    text = (
        f"{n_target} digits {', '.join(map(str, classes))} drawn from {len(digits.labels)} of "
        f"MNIST, laid over natural images dimmed to {DIMMED:g}; background: {n_background} other "
        "natural images"
    )
    if not published:
        return f"{text}; both in 0 to 255"
    fault = "; images labelled 4 were drawn from the fives" if 4 in classes else ""
    return f"{text}; as published: targets in 0 to 255, background in 0 to 1{fault}"


def _assemble(
    pixels: np.ndarray,
    *,
    labels: list[str],
    shown: list[str],
    images: np.ndarray,
    n_target: int,
    description: str,
) -> ad.AnnData:
    n_background = len(pixels) - n_target
    obs = pd.DataFrame(
        {
            "side": pd.Categorical(["target"] * n_target + ["background"] * n_background),
            "digit": pd.Categorical(labels),
            "drawn_from": pd.Categorical(shown),
            "image": images,
        },
        index=[f"target_{i + 1}" for i in range(n_target)]
        + [f"background_{i + 1}" for i in range(n_background)],
    )
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1)
    names = [f"pixel_{row + 1}_{column + 1}" for row, column in zip(rows, columns, strict=True)]
    return ad.AnnData(
        pixels.reshape(len(pixels), -1).astype(np.float32),
        obs=obs,
        var=pd.DataFrame({"row": rows, "column": columns}, index=names),
        uns={
            "image_shape": np.array([SIDE, SIDE]),
            "source": {"description": description} | _SOURCE,
        },
    )
