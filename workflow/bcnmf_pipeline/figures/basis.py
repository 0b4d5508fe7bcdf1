"""Components of image data, drawn as images."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcnmf.errors import InputError
from bcnmf_pipeline.figures.representative import AUTOMATIC, representative_runs
from bcnmf_pipeline.figures.style import DOUBLE_COLUMN, OTHER, SMALL, new_figure, styled
from bcnmf_pipeline.figures.tables import method_label, require_columns

PER_LINE = 10


@styled
def plot_basis(
    loadings: pd.DataFrame,
    image_shape: Sequence[int],
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    feature_names: Sequence[str] | None = None,
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw the components of the representative fit of each method as images.

    Parameters
    ----------
    loadings : DataFrame
        method, k, alpha, replicate, seed, topic, feature, loading, with every pixel of every topic.
    image_shape : sequence of int
        Rows and columns of the image.
    methods : sequence of str, optional
        Methods from top to bottom.
    labels : mapping, optional
        Names of methods.
    feature_names : sequence of str, optional
        Pixel names in row-major order; by default the names sorted by the numbers in them.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        A row of images per method (several where K exceeds ten), each scaled by its own largest
        absolute loading: white to black for non-negative components, purple to orange for signed
        ones, zero in white.

    Raises
    ------
    InputError
        A column is missing, or the pixels do not fill the image.
    """
    require_columns(loadings, ("topic", "feature", "loading"), "loadings")
    shape = tuple(int(size) for size in image_shape)
    chosen = representative_runs(loadings, methods, automatic=automatic)
    pictures = [
        component_images(one.rows(loadings, "loadings"), shape, feature_names) for one in chosen
    ]
    columns = min(PER_LINE, max(len(images) for images in pictures))
    lines = [-(-len(images) // columns) for images in pictures]
    margin = 1.05
    gap = 0.08
    cell = min(0.9, (DOUBLE_COLUMN - margin) / columns - gap)
    height = sum(lines) * (cell * shape[0] / shape[1] + 0.18) + 0.08
    figure = new_figure(margin + columns * (cell + gap), height, layout="compressed")
    panels = figure.subplots(sum(lines), columns, squeeze=False)
    line = 0
    for one, images, n_lines in zip(chosen, pictures, lines, strict=True):
        block = panels[line : line + n_lines].ravel()
        for axes, (topic, image) in zip(block, images.items(), strict=False):
            draw_picture(axes, image, topic)
        for axes in block[len(images) :]:
            axes.set_axis_off()
        block[0].set_ylabel(
            f"{_wrap(method_label(one.method, labels))}\n{one.setting.replace(', ', chr(10))}",
            rotation=0, ha="right", va="center", labelpad=5,
        )  # fmt: skip
        line += n_lines
    return figure


def component_images(
    loadings: pd.DataFrame, shape: tuple[int, ...], feature_names: Sequence[str] | None = None
) -> dict[int, np.ndarray]:
    """Return each component of a fit as an image, by topic.

    Raises
    ------
    InputError
        Names without numbers (and no order given), or not every pixel of the image is there.
    """
    names = list(feature_names) if feature_names is not None else _pixel_order(loadings["feature"])
    wide = loadings.pivot_table(index="topic", columns="feature", values="loading")
    missing = [name for name in names if name not in wide.columns]
    if len(names) != shape[0] * shape[1] or missing or wide.isna().any(axis=None):
        raise InputError(
            f"table loadings, column feature: found {wide.shape[1]} pixels "
            f"({int(wide.isna().sum().sum())} loadings missing); an image of "
            f"{shape[0]} x {shape[1]} needs {shape[0] * shape[1]}; images of more than 1000 pixels "
            "keep only their top features, so leave the panel `basis` out for this study"
        )
    return {int(topic): wide.loc[topic, names].to_numpy().reshape(shape) for topic in wide.index}


def _pixel_order(features: pd.Series) -> list[str]:
    names = [str(name) for name in pd.unique(features)]
    numbers = {name: tuple(int(n) for n in re.findall(r"\d+", name)) for name in names}
    if not all(numbers.values()):
        bad = next(name for name in names if not numbers[name])
        raise InputError(
            f"table loadings, column feature: {bad!r} has no number to tell the pixel's place; "
            "name pixels like pixel_0, pixel_1 ... in row-major order, or give feature_names"
        )
    return sorted(names, key=numbers.__getitem__)


def draw_picture(axes: Axes, image: np.ndarray, topic: int) -> None:
    """Draw one component as an image, scaled by its largest absolute loading."""
    top = float(np.nanmax(np.abs(image))) or 1.0
    signed = bool((image < 0).any())
    axes.imshow(
        image / top,
        cmap="PuOr_r" if signed else "gray_r",
        vmin=-1 if signed else 0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=OTHER)
    axes.set_title(str(topic), fontsize=SMALL, pad=2)


def _wrap(text: str, width: int = 16) -> str:
    return "\n".join(textwrap.wrap(text, width)) or text
