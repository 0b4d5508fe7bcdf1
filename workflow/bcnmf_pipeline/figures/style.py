"""The one look of all figures: sizes, colours, markers, and how a figure becomes files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcnmf.files import atomic_path
from bcnmf.seeds import derive_seed

SINGLE_COLUMN = 3.5  # inches, one column of a journal page
DOUBLE_COLUMN = 7.2  # inches, both columns
TEXT = 7.0  # points
SMALL = 6.0  # points; ticks and notes, nothing smaller is used
INK = "#222222"
FAINT = "#8A8A8A"
OTHER = "#BDBDBD"
ALARM = "#B2182B"  # what is not to be relied on
MAX_CLASSES = 12  # entries of a legend
RASTERISE_ABOVE = 3000  # points of one panel; more of them make a PDF slow, text stays text

_STYLE: dict[str, Any] = {
    # The font that matplotlib carries along: the same figure on every machine.
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "figure.titlesize": TEXT + 1,
    # Names come from the user's sheets: a $ in one of them is a $.
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 4.0,
    "axes.labelpad": 3.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "patch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.2,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.04,
    "figure.constrained_layout.h_pad": 0.04,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "pdf.compression": 6,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Mark:
    """Colour and marker of a method or of a class of the label."""

    colour: str | tuple[float, float, float, float]
    marker: str


# Okabe and Ito's colours, and three of Paul Tol's for the variants.
_METHODS = {
    "pca": Mark("#7A7A7A", "s"),
    "nmf": Mark("#E69F00", "^"),
    "cpca": Mark("#56B4E9", "v"),
    "cpca_auto": Mark("#0072B2", "D"),
    "cpca_grid": Mark("#44AA99", "P"),
    "bcnmf": Mark("#D55E00", "o"),
    "bcnmf_older": Mark("#882255", "p"),
    "bcnmf_poisson": Mark("#CC79A7", "X"),
}
_FURTHER = tuple(
    Mark(colour, marker)
    for colour, marker in zip(
        ("#117733", "#332288", "#999933", "#AA4499", "#661100", "#6699CC", "#B8860B", "#000000"),
        ("<", ">", "h", "*", "d", "8", "H", "P"),
        strict=True,
    )
)
# Paul Tol's bright scheme without its grey (that is for "other"), then his muted one.
_CLASSES = tuple(
    Mark(colour, marker)
    for colour, marker in zip(
        (
            "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377",
            "#332288", "#44AA99", "#999933", "#882255", "#DDAA33", "#222222",
        ),
        ("o", "^", "s", "D", "v", "P", "X", "<", ">", "p", "h", "*"),
        strict=True,
    )
)  # fmt: skip


def method_mark(method: str) -> Mark:
    """Return the colour and marker of a method: the same in every figure.

    A method that the shipped registry does not know gets one by a hash of its name, so that neither
    the other methods nor their order matter; two such methods may share one.
    """
    if method in _METHODS:
        return _METHODS[method]
    return _FURTHER[derive_seed("method colour", method) % len(_FURTHER)]


def method_marks(methods: Sequence[str]) -> dict[str, Mark]:
    """Return marks of several methods that differ from each other as long as there are enough.

    Where two unknown methods share a hash, the one later in the alphabet moves on to a free mark.
    """
    marks = {method: _METHODS[method] for method in methods if method in _METHODS}
    for method in sorted(set(methods) - set(marks)):
        start = derive_seed("method colour", method) % len(_FURTHER)
        places = [_FURTHER[(start + step) % len(_FURTHER)] for step in range(len(_FURTHER))]
        free = [mark for mark in places if mark not in marks.values()]
        marks[method] = (free or places)[0]
    return marks


def natural(name: str) -> tuple[object, ...]:
    """Return a sorting key that puts "type 2" before "type 10"."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def class_marks(classes: Sequence[str]) -> dict[str, Mark]:
    """Return marks for the classes of a label, by their place in the naturally sorted list of all.

    Parameters
    ----------
    classes : sequence of str
        All classes that the study has, not only those of one panel; at most `MAX_CLASSES` are told
        apart, later ones are grey.
    """
    grey = Mark(OTHER, ".")
    names = sorted(set(classes), key=natural)
    marks = dict(zip(names, _CLASSES, strict=False))
    return marks | dict.fromkeys(names[len(_CLASSES) :], grey)


@contextmanager
def style() -> Iterator[None]:
    """Apply the look, over matplotlib's own defaults whatever the user's matplotlibrc says."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def styled(plot: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a plotting function under `style`."""

    @wraps(plot)
    def wrapper(*args: Any, **kwargs: Any) -> Figure:
        with style():
            return plot(*args, **kwargs)

    return wrapper


def new_figure(
    width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """Return an empty figure (inches) that pyplot does not know of, so that none stays open."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Figure) -> None:
    """Let the layout come to rest: panels of fixed shape need more than the one pass of a draw."""
    before: list[np.ndarray] = []
    for _ in range(4):
        figure.draw_without_rendering()
        places = [axes.get_position().get_points() for axes in figure.axes]
        if before and np.allclose(before, places, atol=2e-3):
            return
        before = places


def save(
    figure: Figure, pdf_path: str | os.PathLike[str], png_path: str | os.PathLike[str]
) -> None:
    """Write a figure as PDF (vector, editable text) and PNG (300 dpi).

    Both carry neither date nor versions: the same figure gives the same bytes. Each file appears
    whole or not at all.
    """
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    with style():
        settle(figure)
        with atomic_path(pdf_path) as path:
            figure.savefig(path, format="pdf", dpi=300, metadata=nothing)
        with atomic_path(png_path) as path:
            figure.savefig(path, format="png", dpi=300, metadata={"Software": None})


def scatter(axes: Axes, x: np.ndarray, y: np.ndarray, marks: Sequence[Mark]) -> None:
    """Draw points that each have a mark, in an order that hides no class behind another.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    x, y : ndarray of shape (n,)
        Coordinates; points with a missing one are left out.
    marks : sequence of Mark, length n
        Colour and marker of each point.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    order = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    np.random.default_rng(derive_seed("drawing order")).shuffle(order)
    shown = [marks[int(i)] for i in order]
    points = axes.scatter(
        x[order],
        y[order],
        s=point_size(len(order)),
        c=[mark.colour for mark in shown] or None,
        linewidths=0.15,
        edgecolors="white",
        alpha=0.85,
        rasterized=len(order) > RASTERISE_ABOVE,
    )
    if shown:
        points.set_paths([marker_path(mark.marker) for mark in shown])


def point_size(n: int) -> float:
    """Return the area of a point in points squared: large for few points, small for many."""
    return float(np.clip(2600.0 / max(n, 1), 2.0, 14.0))


def marker_path(marker: str) -> Any:
    """Return the outline of a marker, as scatter draws it."""
    from matplotlib.markers import MarkerStyle

    shape = MarkerStyle(marker)
    return shape.get_path().transformed(shape.get_transform())


def class_handles(marks: dict[str, Mark]) -> list[Line2D]:
    """Return legend entries for the classes of a label."""
    return [
        Line2D(
            [], [], linestyle="none", marker=mark.marker, markersize=4.2,
            markerfacecolor=mark.colour, markeredgecolor="white", markeredgewidth=0.2, label=name,
        )
        for name, mark in marks.items()
    ]  # fmt: skip


def grid_columns(n: int, most: int) -> int:
    """Return how many columns, up to `most`, give the fewest rows, and of these a full grid."""
    return min(range(1, min(n, most) + 1), key=lambda columns: (-(-n // columns), -n % columns))


def row_major(*rows: Sequence[Line2D]) -> tuple[list[Line2D], int]:
    """Return legend entries ordered so that each given row is one row, and the number of columns.

    A legend fills its columns first; short rows are padded with empty entries.
    """
    columns = max(len(row) for row in rows)
    empty = Line2D([], [], linestyle="none", label=" ")
    padded = [[*row, *[empty] * (columns - len(row))] for row in rows]
    return [row[place] for place in range(columns) for row in padded], columns


def bare(axes: Axes) -> None:
    """Remove ticks and keep a thin frame: for maps whose coordinates mean nothing."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=OTHER)


def panel_letter(axes: Axes, letter: str) -> None:
    """Put a bold letter above the top left corner."""
    axes.annotate(
        letter, (0, 1), (-2, 5), xycoords="axes fraction", textcoords="offset points",
        fontweight="bold", fontsize=TEXT + 2, ha="right", va="bottom",
    )  # fmt: skip
