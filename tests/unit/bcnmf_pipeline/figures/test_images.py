"""Figures look as they did: small pictures of them, compared with a tolerance.

After a change that is meant, look at the new pictures, then renew them:
    BCNMF_RENEW=1 .venv/bin/python -m pytest tests/unit/bcnmf_pipeline/figures/test_images.py
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bcnmf_pipeline.figures import style
from bcnmf_pipeline.figures.answer import plot_answer
from bcnmf_pipeline.figures.beta import plot_beta
from bcnmf_pipeline.figures.each import plot_each
from bcnmf_pipeline.figures.embedding import plot_embedding
from bcnmf_pipeline.figures.enrichment import plot_enrichment
from bcnmf_pipeline.figures.loadings import plot_loadings
from bcnmf_pipeline.figures.mouse import plot_mouse
from bcnmf_pipeline.figures.scores import plot_scores
from bcnmf_pipeline.figures.selection import plot_selection
from bcnmf_pipeline.figures.single_cell import plot_single_cell
from plot_tables import answer_tables, beta_scores, each_tables, mouse_scores, study_tables

BASELINE = Path(__file__).parent / "baseline"
DPI = 40
# Root mean square over pixels, of 255. An empty panel makes 9 and more.
TOLERANCE = 5.0


@pytest.fixture(scope="module")
def draw():
    """Return name -> function that draws it, from made-up tables that all machines draw alike."""
    tables = study_tables(seeds=2)
    samples, topics = tables["samples"], tables["topics"]
    loadings, features = tables["loadings"], tables["features"]
    units = samples.drop_duplicates("sample")[["sample", "unit"]]
    return {
        "answer": lambda: plot_answer(
            **answer_tables(), method="bcnmf", label_name="group", unit="donor"
        ),
        "each": lambda: plot_each(**each_tables(("B cells", "T cells")), method="bcnmf"),
        "beta": lambda: plot_beta(beta_scores(replicates=4)),
        "scores": lambda: plot_scores(mouse_scores()),
        "embedding": lambda: plot_embedding(samples),
        "loadings": lambda: plot_loadings(loadings, topics, features, method="bcnmf"),
        "mouse": lambda: plot_mouse(samples, topics, loadings, features),
        "single_cell": lambda: plot_single_cell(
            samples,
            units,
            mouse_scores(),
            topics,
            loadings,
            features,
            methods=["nmf", "bcnmf", "pca", "cpca_auto"],
        ),
        "enrichment": lambda: plot_enrichment(enrichment(), method="bcnmf"),
        "selection": lambda: plot_selection(selection()),
    }


def enrichment():
    rng = np.random.default_rng(0)
    rows = [
        {"method": "bcnmf", "k": 3, "alpha": None, "topic": topic, "collection": "c",
         "term": f"HALLMARK_SET_{term}", "overlap": 5 + term, "set_size": 20,
         "p_adjusted": float(10.0 ** -rng.uniform(0, 9))}
        for topic in (1, 2, 3) for term in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def selection():
    rows = [
        {"k": k, "alpha": alpha, "stability": 1 - 0.1 * k / alpha, "specificity": alpha * 1.2,
         "eligible": alpha > 1.5, "equally_good": (k, alpha) in ((2, 2), (2, 3)),
         "recommended": (k, alpha) == (2, 3)}
        for k in (2, 5) for alpha in (1, 2, 3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def picture(figure, path):
    figure.set_dpi(DPI)
    with style.style():
        style.settle(figure)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def difference(one, other):
    pixels = [np.asarray(Image.open(path).convert("RGB"), dtype=float) for path in (one, other)]
    assert pixels[0].shape == pixels[1].shape, f"{other.name} has another size: renew it?"
    return float(np.sqrt(np.mean((pixels[0] - pixels[1]) ** 2)))


NAMES = (
    "answer", "each", "beta", "scores", "embedding", "loadings", "mouse", "single_cell",
    "enrichment", "selection",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_looks_as_before(draw, name, tmp_path):
    if os.environ.get("BCNMF_RENEW"):
        BASELINE.mkdir(exist_ok=True)
        picture(draw[name](), BASELINE / f"{name}.png")
    found = difference(picture(draw[name](), tmp_path / f"{name}.png"), BASELINE / f"{name}.png")
    assert found < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_the_tolerance_is_too_small_for_an_empty_panel(draw, name, tmp_path):
    figure = draw[name]()
    axes = max(figure.axes, key=lambda one: one.get_position().width * one.get_position().height)
    for artist in [*axes.collections, *axes.images, *axes.patches, *axes.lines, *axes.texts]:
        artist.set_visible(False)
    found = difference(picture(figure, tmp_path / f"{name}.png"), BASELINE / f"{name}.png")
    assert found > TOLERANCE
