"""A single-cell study in one figure: maps of every method, scores, and the genes of topics."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure, SubFigure

from bcnmf_pipeline.figures.embedding import Colouring, draw_umap, name_setting
from bcnmf_pipeline.figures.loadings import LoadingParts, draw_loadings, loading_parts
from bcnmf_pipeline.figures.representative import AUTOMATIC, Chosen, representative_runs
from bcnmf_pipeline.figures.scores import draw_scores
from bcnmf_pipeline.figures.style import (
    DOUBLE_COLUMN,
    TEXT,
    class_handles,
    new_figure,
    panel_letter,
    styled,
)
from bcnmf_pipeline.figures.tables import method_label, require_columns, shorten, unstable_text

_GENES = 20  # of all topics together


@styled
def plot_single_cell(
    samples: pd.DataFrame,
    annotations: pd.DataFrame,
    scores: pd.DataFrame,
    topics: pd.DataFrame,
    loadings: pd.DataFrame,
    features: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    label_name: str = "",
    unit: str = "unit",
    method: str = "bcnmf",
    n_topics: int = 5,
    marked: Collection[str] = (),
    automatic: Collection[str] = AUTOMATIC,
) -> Figure:
    """Draw what the paper shows of a single-cell study.

    Parameters
    ----------
    samples : DataFrame
        method, k, alpha, replicate, seed, sample, label, umap_1, umap_2.
    annotations : DataFrame
        sample, and a column for each further colouring of the maps; it may have none.
    scores : DataFrame
        method, k, alpha, seed, replicate, score, value, and `reported` where known.
    topics, loadings, features : DataFrame
        As for `bcnmf_pipeline.figures.loadings.plot_loadings`.
    methods : sequence of str, optional
        Methods whose maps are shown, from left to right; by default all.
    labels : mapping, optional
        Names of methods, in the order of the rows of scores.
    label_name, unit : str
        What the label and the unit are.
    method : str
        The method whose topics are shown.
    n_topics : int
        How many of its topics, those most associated with the label.
    marked : collection of str
        Genes whose names are bold.
    automatic : collection of str
        Methods with automatic alphas.

    Returns
    -------
    Figure
        a: UMAPs of the methods, a row for the label and for each annotation; b: adjusted Rand
        indices, bars, runs and reported values; c: top genes of the topics most associated with the
        label, with the genes' own tests beside and the topics' below.

    Raises
    ------
    InputError
        A column is missing, or the method has no rows.
    """
    require_columns(samples, ("sample", "label", "umap_1", "umap_2"), "samples")
    require_columns(annotations, ("sample",), "annotations")
    chosen = representative_runs(samples, methods, automatic=automatic)
    colourings = {
        label_name or "label": samples.drop_duplicates("sample").set_index("sample")["label"]
    }
    named = annotations.drop_duplicates("sample").set_index("sample")
    colourings |= {name: named[name] for name in named.columns if name != label_name}
    parts = loading_parts(
        loadings, topics, features, method=method, classes=samples["label"].unique(),
        n_features=max(3, _GENES // min(n_topics, topics["topic"].nunique())), n_topics=n_topics,
        automatic=automatic,
    )  # fmt: skip
    n_settings = scores.drop_duplicates(["method", "k", "alpha"]).shape[0]
    maps = 0.3 + sum(_map_height(len(chosen), values) for values in colourings.values())
    bars = 1.0 + 0.27 * n_settings
    genes = parts.height + 1.6
    figure = new_figure(DOUBLE_COLUMN, maps + bars + genes)
    blocks = figure.subfigures(3, 1, height_ratios=[maps, bars, genes], squeeze=False)
    top, middle, bottom = blocks[:, 0]
    _maps(top, chosen, samples, topics, colourings, labels)
    panels = draw_scores(
        middle, scores, methods=list(labels) if labels else None, labels=labels, unit=unit,
        automatic=automatic,
    )  # fmt: skip
    panel_letter(panels[0], "b")
    _genes(bottom, parts, labels, marked)
    return figure


def _map_height(n_maps: int, values: pd.Series) -> float:
    lines = -(-min(int(values.nunique()), 13) // 6)
    return DOUBLE_COLUMN / max(n_maps, 3) + 0.24 + 0.13 * lines


def _maps(
    block: SubFigure,
    chosen: Sequence[Chosen],
    samples: pd.DataFrame,
    topics: pd.DataFrame,
    colourings: Mapping[str, pd.Series],
    labels: Mapping[str, str] | None,
) -> None:
    heights = [_map_height(len(chosen), values) for values in colourings.values()]
    heights[0] += 0.3  # the titles
    # Not at a panel, which would take its room from the panels of this line alone.
    block.text(0.004, 0.995, "a", fontweight="bold", fontsize=TEXT + 2, ha="left", va="top")
    lines = block.subfigures(len(colourings), 1, height_ratios=heights, squeeze=False)[:, 0]
    for line, (name, values) in zip(lines, colourings.items(), strict=True):
        colouring = Colouring(values)
        panels = line.subplots(1, max(len(chosen), 3), squeeze=False)[0]
        for axes, one in zip(panels, chosen, strict=False):
            rows = one.rows(samples, "samples")
            draw_umap(axes, rows.assign(label=rows["sample"].map(values)), colouring)
            if line is lines[0]:
                axes.set_title(textwrap.fill(method_label(one.method, labels), 18))
                name_setting(axes, one.setting + unstable_text(one.rows(topics, "topics")))
        for axes in panels[len(chosen) :]:
            axes.remove()
        if colouring.continuous:
            colouring.legend(line, name, DOUBLE_COLUMN, list(panels[: len(chosen)]))
            continue
        entries = colouring.classes.legend(18)
        line.legend(
            handles=class_handles(entries), loc="outside lower center", ncols=min(6, len(entries)),
            title=shorten(name, 60),
        )  # fmt: skip


def _genes(
    block: SubFigure,
    parts: LoadingParts,
    labels: Mapping[str, str] | None,
    marked: Collection[str],
) -> None:
    heat = draw_loadings(block, parts, marked)
    one = parts.chosen
    heat.set_title(f"{shorten(method_label(one.method, labels), 26)}, {one.setting}", loc="left")
    panel_letter(heat, "c")
    block.legend(handles=class_handles(parts.entries()), loc="outside lower center", ncols=4)
