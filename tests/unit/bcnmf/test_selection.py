"""Choosing the number of topics and the contrast without labels."""

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from bcnmf import InputError
from bcnmf.cli import main
from bcnmf.selection import matched_cosine, select, summarise
from bcnmf.tools import select as select_anndata
from bcnmf_pipeline.figures.selection import plot_selection


def pair(n=240, m=200, features=60):
    """Two strong shared programs, and two weak ones in the target alone."""
    rng = np.random.default_rng(3)
    programs = np.zeros((4, features))
    for number in range(4):
        programs[number, number * 12 : number * 12 + 12] = rng.gamma(2.0, 1.0, 12)
    shared = [6 * rng.random((size, 2)) for size in (n, m)]
    own = np.eye(2)[rng.integers(2, size=n)] * rng.uniform(0.5, 1.5, (n, 1))
    x = np.hstack([shared[0], own]) @ programs + 0.3 * rng.random((n, features))
    y = shared[1] @ programs[:2] + 0.3 * rng.random((m, features))
    return x, y


def test_the_recommended_topics_are_the_targets_own():
    x, y = pair()
    found = select(
        x, y, n_components=[2, 5], alphas=[0.0, 2.0], n_splits=2, max_iter=100, device="cpu"
    )
    assert (found.n_components, found.alpha) == (2, 2.0)
    summary = found.summary.set_index(["k", "alpha"])
    # The shared programs reproduce as well, and are no more used by the target.
    assert summary.loc[(2, 0.0), "stability"] > 0.9
    assert summary.loc[(2, 0.0), "specificity"] < 1.5
    assert not summary.loc[(2, 0.0), "eligible"]
    assert summary.loc[(2, 2.0), "stability"] > 0.9
    assert summary.loc[(2, 2.0), "specificity"] > 5
    assert summary["recommended"].sum() == 1
    assert len(found.fits) == 4 * 2 * 2
    assert found.fits["explained_target"].between(0, 1).all()
    assert "K = 2, alpha = 2" in found.advice()


def test_sparse_data_and_a_seed_give_the_same_table():
    x, y = pair()
    options = {
        "n_components": [2], "alphas": [2.0], "n_splits": 1, "max_iter": 40, "device": "cpu",
    }  # fmt: skip
    once = select(x, y, **options)
    again = select(sp.csr_matrix(x), sp.csr_matrix(y), **options)
    pd.testing.assert_frame_equal(once.fits, again.fits, rtol=1e-3)
    assert not select(x, y, **options, random_state=1).fits.equals(once.fits)


def test_an_order_of_the_grid_changes_no_number():
    x, y = pair()
    options = {"n_components": [2], "n_splits": 1, "max_iter": 30, "device": "cpu"}
    one = select(x, y, alphas=[1.0, 2.0], **options).summary
    other = select(x, y, alphas=[2.0, 1.0], **options).summary
    pd.testing.assert_frame_equal(one, other)


def test_without_specific_topics_nothing_is_recommended():
    x, _ = pair()
    found = select(x, x, n_components=[2], alphas=[0.5], n_splits=1, max_iter=30, device="cpu")
    assert found.n_components is None
    assert found.alpha is None
    assert not found.summary["recommended"].any()
    assert "no setting has topics specific to the target" in found.advice()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_matched_cosine_knows_neither_order_nor_scale(k, seed):
    rng = np.random.default_rng(seed)
    topics = rng.random((k, 20)) + 0.01
    like = topics[rng.permutation(k)] * rng.uniform(0.1, 10, (k, 1))
    assert matched_cosine(topics, like) == pytest.approx(1)
    other = rng.random((k, 20))
    assert matched_cosine(topics, other) == pytest.approx(matched_cosine(other, topics))
    assert matched_cosine(topics, np.zeros_like(topics)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": []}, "n_components: nothing to try"),
        ({"n_components": [2, 2]}, "holds a value twice"),
        ({"n_components": [0]}, "at least 1"),
        ({"alphas": [-1.0]}, "alphas=-1.0"),
        ({"n_splits": 0}, "n_splits=0"),
        ({"min_specificity": 0.5}, "min_specificity=0.5"),
        ({"loss": "poisson"}, "the Poisson contrast has no minimum"),
        ({"n_components": [200]}, "n_components=200 is larger than the data"),
    ],
)
def test_what_cannot_be_tried_is_refused(change, message):
    x, y = pair()
    with pytest.raises(InputError, match=message):
        select(x, y, **({"n_components": [2], "alphas": [1.0], "n_splits": 1} | change))


def test_too_few_samples_and_data_on_disk_are_refused(tmp_path):
    x, y = pair()
    with pytest.raises(InputError, match="background: has 3 samples"):
        select(x, y[:3], n_components=[2], alphas=[1.0])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=x)
        with pytest.raises(InputError, match="target: is on disk"):
            select(stored, y, n_components=[2], alphas=[1.0])


def test_the_command_writes_the_table_and_says_what_it_recommends(tmp_path, capsys):
    for values, name in zip(pair(), ("target", "background"), strict=True):
        ad.AnnData(sp.csr_matrix(values, dtype=np.float32)).write_h5ad(tmp_path / f"{name}.h5ad")
    command = [
        "select", "--target", str(tmp_path / "target.h5ad"), "--background",
        str(tmp_path / "background.h5ad"), "-k", "2", "--alpha", "0", "2", "--splits", "1",
        "--max-iter", "60", "--device", "cpu", "--out", str(tmp_path / "select.tsv"),
    ]  # fmt: skip
    assert main(command) == 0
    assert "recommended: K = 2, alpha = 2" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "select.tsv", sep="\t")
    assert list(table["alpha"]) == [0, 2]
    assert list(table["recommended"]) == [False, True]


def test_features_have_to_be_the_same():
    x, y = (ad.AnnData(side) for side in pair())
    y.var_names = [f"other {name}" for name in y.var_names]
    with pytest.raises(InputError, match="60 are missing"):
        select_anndata(x, y, n_components=[2], alphas=[1.0])


def test_the_figure_shows_every_number_and_frames_the_recommended_setting():
    summary = pd.DataFrame(
        {
            "k": [2, 2, 5], "alpha": [1.0, 2.0, 2.0], "stability": [0.99, 0.91, 0.42],
            "specificity": [1.1, 12.4, 2.5], "eligible": [False, True, True],
            "recommended": [False, True, False],
        }
    )  # fmt: skip
    stability, specificity = plot_selection(summary).axes
    assert {text.get_text() for text in stability.texts} == {"(0.99)", "0.91", "0.42"}
    assert {text.get_text() for text in specificity.texts} == {"(1.10)", "12", "2.50"}
    frames = [patch for patch in stability.patches if isinstance(patch, Rectangle)]
    assert [frame.get_xy() for frame in frames] == [(0.5, -0.5)]
    with pytest.raises(InputError, match="selection summary: no rows to draw"):
        plot_selection(summary.iloc[:0])


def test_topics_without_a_feature_in_common_are_not_eligible_whatever_their_specificity():
    rows = {"k": 2, "split": 0, "explained_target": 0.01, "explained_background": 0.01}
    fits = pd.DataFrame(
        [
            rows | {"alpha": alpha, "half": half, "stability": stability, "specificity": 5.0,
                    "converged": True}
            for alpha, stability in ((1.0, 0.02), (3.0, 2e-12))
            for half in (1, 2)
        ]
    )  # fmt: skip
    found = summarise(fits)
    assert found.summary["eligible"].tolist() == [True, False]
    assert found.alpha == 1.0
    assert summarise(fits[fits["alpha"] == 3.0]).n_components is None
