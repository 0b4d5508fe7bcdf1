"""Real cells whose answer is known: halves of one blood."""

import numpy as np
import pytest

from bcnmf_pipeline.datasets.pbmc import pbmc68k_reduced


@pytest.fixture(scope="module")
def cells():
    return pbmc68k_reduced()


def test_values_are_logs_of_counts(cells):
    assert cells.shape == (700, 765)
    assert cells.X.min() == 0
    assert cells.X.max() == pytest.approx(6.489)


def test_each_cell_type_is_halved(cells):
    numbers = cells.obs.groupby(["cell_type", "half"], observed=True).size().unstack()
    assert len(numbers) == 10
    assert ((numbers["first"] - numbers["second"]).isin([0, 1])).all()
    assert numbers.loc["B"].tolist() == [48, 47]


def test_halves_are_the_same_each_time(cells):
    assert cells.obs["half"].tolist() == pbmc68k_reduced().obs["half"].tolist()
    assert 0.4 < np.mean(cells.obs["half"][:100] == "first") < 0.6


def test_b_cells_are_told_by_their_kind(cells):
    assert set(cells.obs.loc[cells.obs["kind"] == "B cell", "cell_type"]) == {"B"}
    assert (cells.obs["kind"] == "B cell").sum() == 95
