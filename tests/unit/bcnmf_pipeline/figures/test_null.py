"""The null's figure shows every refit, and where the fit lies among them."""

import numpy as np
import pandas as pd
import pytest

from bcnmf import InputError
from bcnmf_pipeline.figures.null import plot_null
from figure_checks import check_layout, texts


def tables(methods=("bcnmf", "shared_target"), refits=199, p_value=0.005):
    rng = np.random.default_rng(0)
    null = pd.DataFrame(
        [
            {"method": method, "p_value": p_value, "n_refits": refits,
             "smallest_p": 1 / (refits + 1),
             "by": "units" if method == "bcnmf" else "samples"}
            for method in methods
        ]
    )  # fmt: skip
    draws = [
        pd.DataFrame(
            {"method": method, "draw": range(refits + 1),
             "statistic": [0.05, *rng.normal(0, 0.01, refits)]}
        )
        for method in methods
    ]  # fmt: skip
    return null, pd.concat(draws, ignore_index=True)


def test_every_refit_is_counted_and_the_fit_is_a_line():
    null, draws = tables()
    figure = plot_null(null, draws, labels={"bcnmf": "bcNMF"})
    check_layout(figure)
    assert [axes.get_title() for axes in figure.axes] == ["bcNMF", "shared_target"]
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.patches) == 199
        (line,) = axes.lines
        assert line.get_xdata()[0] == pytest.approx(5)
    assert texts(figure).count("p = 0.005") == 2
    assert figure.axes[0].get_ylabel() == "Refits (units exchanged)"
    assert figure.axes[1].get_xlabel() == "Contrast explained in samples left out (%)"


def test_a_p_that_could_not_be_small_is_shown_with_its_bound():
    figure = plot_null(*tables(["bcnmf"], refits=5, p_value=1 / 6))
    assert "p = 0.17, 0.17 at least" in texts(figure)


def test_what_could_not_be_tested_is_said_and_a_lacking_column_refused():
    null, draws = tables()
    assert texts(plot_null(null.iloc[:0], draws.iloc[:0])) == ["Not tested: too few samples"]
    with pytest.raises(InputError, match="p_value"):
        plot_null(null.drop(columns="p_value"), draws)
