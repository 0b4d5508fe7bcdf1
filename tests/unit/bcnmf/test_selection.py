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
from bcnmf.selection import fit_split, matched_cosine, select, summarise
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
    assert "no setting is recommended" in found.advice()
    assert "topics are not specific to the target (1 of 1 settings)" in found.advice()
    assert "times as strongly as the background, below 2" in found.summary.loc[0, "reason"]
    assert found.summary["equally_good"].sum() == 0


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
            "equally_good": [False, True, True], "recommended": [False, True, False],
        }
    )  # fmt: skip
    stability, specificity = plot_selection(summary).axes
    assert {text.get_text() for text in stability.texts} == {"(0.99)", "0.91", "0.42"}
    assert {text.get_text() for text in specificity.texts} == {"(1.10)", "12", "2.50"}
    frames = [patch for patch in stability.patches if isinstance(patch, Rectangle)]
    assert [round(frame.get_x()) for frame in frames] == [1, 1]
    assert [frame.get_y() > 0.5 for frame in frames] == [False, True]
    thick, thin = (frame.get_linewidth() for frame in frames)
    assert thick > 2 * thin
    with pytest.raises(InputError, match="selection summary: no rows to draw"):
        plot_selection(summary.iloc[:0])


def test_the_figure_says_so_where_nothing_is_recommended():
    row = {"k": 2, "alpha": 1.0, "stability": 0.2, "specificity": 1.1}
    refused = pd.DataFrame(
        [row | dict.fromkeys(("eligible", "equally_good", "recommended"), False)]
    )
    figure = plot_selection(refused)
    assert figure.get_suptitle() == "No setting is recommended: all are refused"
    assert not [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def table(settings, n_splits=3):
    """Return fits: by (k, alpha) what is measured, a value or one a split."""
    usual = {
        "stability": 0.9, "stability_starts": 0.99, "null_stability": 0.1, "specificity": 5.0,
        "explained_target": 0.2, "explained_background": 0.02, "explained_contrast": 0.1,
        "null_contrast": -0.01, "converged": True,
    }  # fmt: skip
    return pd.DataFrame(
        [
            {"k": k, "alpha": alpha, "split": split, "half": half}
            | {
                name: value[split] if isinstance(value, list) else value
                for name, value in (usual | measured).items()
            }
            for (k, alpha), measured in settings.items()
            for split in range(n_splits)
            for half in (1, 2)
        ]
    )


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({"stability": 0.69}, "halves find different topics (stability 0.69, below 0.7)"),
        ({"stability": float("nan")}, "halves find different topics (stability nan, below 0.7)"),
        ({"specificity": 1.9}, "the target uses its topics 1.9 times as strongly"),
        ({"explained_contrast": -0.02}, "topics explain -2.0% of left-out samples beyond"),
        ({"explained_contrast": [0.001, 0.009, 0.002]}, "below 1% and no more than comes of"),
        ({"explained_contrast": 0.004, "null_contrast": 0.005}, "no more than comes of nothing"),
        ({"converged": False}, "0% of the fits met their stopping rule: raise max_iter"),
    ],
)
def test_what_shows_nothing_is_refused_in_words(measured, reason):
    found = summarise(table({(2, 1.0): measured, (5, 1.0): measured}))
    assert (found.n_components, found.alpha) == (None, None)
    assert found.summary["reason"].str.contains(reason, regex=False).all()
    assert not found.summary[["eligible", "equally_good", "recommended"]].any(axis=None)
    assert "(2 of 2 settings)" in found.advice()
    assert reason in found.advice()
    # Of two settings, the other one is found.
    other = summarise(table({(2, 1.0): measured, (5, 1.0): {}}))
    assert (other.n_components, other.alpha) == (5, 1.0)
    assert other.summary["eligible"].tolist() == [False, True]


@pytest.mark.parametrize(
    "measured",
    [
        # Little, but the same in every split, and nothing comes of nothing.
        {"explained_contrast": [0.0029, 0.003, 0.0031]},
        # Parts of the background are too small for so many topics: only zero is compared with.
        {"explained_contrast": [0.0029, 0.003, 0.0031], "null_contrast": float("nan")},
        {"explained_contrast": 0.01, "null_contrast": 0.05},
    ],
)
def test_little_is_enough_where_it_is_more_than_comes_of_nothing(measured):
    assert summarise(table({(2, 1.0): measured})).summary["eligible"].all()


def test_settings_as_good_within_their_error_are_a_region():
    found = summarise(
        table(
            {
                (2, 1.0): {"stability": 0.80},
                (2, 2.0): {"stability": [0.93, 0.90, 0.96]},
                (5, 2.0): {"stability": [0.95, 0.96, 0.97]},
                (5, 3.0): {"stability": [0.80, 0.99, 0.97]},
            }
        )
    )
    # The last one is behind by 0.04, but not in all splits.
    assert found.summary["equally_good"].tolist() == [False, False, True, True]
    assert (found.n_components, found.alpha) == (5, 2.0)
    assert "as good within the error of the splits: K = 5 with alpha = 3" in found.advice()


def test_a_single_split_has_the_least_error():
    stability = {(2, 1.0): 0.95, (2, 2.0): 0.96, (2, 3.0): 0.93}
    fits = table({key: {"stability": value} for key, value in stability.items()}, n_splits=1)
    found = summarise(fits)
    assert found.summary["equally_good"].tolist() == [True, True, False]


def test_more_of_a_grid_changes_no_row_that_stands():
    x, y = pair(n=60, m=60)
    options = {"max_iter": 20, "device": "cpu"}
    some = fit_split(x, y, 1, n_components=[2], alphas=[1.0], **options)
    more = fit_split(x, y, 1, n_components=[3, 2], alphas=[2.0, 1.0], **options)
    kept = more[(more["k"] == 2) & (more["alpha"] == 1.0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(some, kept)
    first = fit_split(x, y, 0, n_components=[2], alphas=[1.0], **options)
    assert first.loc[0, "stability"] != some.loc[0, "stability"]


def test_a_background_whose_quarters_are_too_small_has_no_null():
    x, y = pair(m=10)
    fits = fit_split(x, y, 0, n_components=[2, 3], alphas=[1.0], max_iter=20, device="cpu")
    assert fits.groupby("k")["null_stability"].first().isna().tolist() == [False, True]


def test_two_halves_of_one_background_with_unequal_capture_are_refused():
    """What differs by gene-wise capture alone has no program: log-sd 0.3."""
    rng = np.random.default_rng(0)
    programs = rng.gamma(0.3, 1.0, (3, 80))
    counts = rng.poisson(3 * rng.gamma(1.0, 1.0, (200, 3)) @ programs)
    captured = rng.binomial(counts[:100], np.clip(np.exp(rng.normal(-0.6, 0.3, 80)), 0, 1))
    sides = [np.log1p(side) for side in (captured, counts[100:])]
    found = select(
        *sides, n_components=[2, 5], alphas=[1.5, 3.0], n_splits=2, max_iter=200, device="cpu"
    )
    assert found.n_components is None
    assert found.summary["reason"].str.len().gt(0).all()
    assert "no setting is recommended" in found.advice()


OF_UNITS = {
    "n_components": [2], "alphas": [2.0], "n_splits": 2, "max_iter": 40, "device": "cpu",
}  # fmt: skip


def test_what_sets_single_donors_apart_does_not_reproduce_in_halves_of_donors():
    """Each donor has a strong program of its own, and nothing else is new."""
    rng = np.random.default_rng(5)
    donors = np.repeat(list("abcd"), 40)
    own = np.kron(np.eye(4), rng.gamma(2.0, 1.0, (1, 14)))  # (4, 56)
    noise = 0.3 * rng.random((2, 160, 56))
    sides = noise[0] + rng.uniform(2, 6, (160, 1)) * np.repeat(own, 40, axis=0), noise[1]
    options = OF_UNITS | {"n_components": [4], "alphas": [0.5], "max_iter": 100, "n_init": 3}
    by_samples = select(*sides, **options)
    by_donors = select(*sides, **options, units=donors, background_units=np.char.add("o", donors))
    stability = [found.summary["stability"].iloc[0] for found in (by_samples, by_donors)]
    assert stability[0] > 0.8
    assert stability[1] < 0.3
    # Three donors a side are too few for halves: these are of samples then.
    few = np.repeat(["a", "b", "c", "c"], 40)
    again = select(*sides, **options, units=few, background_units=few)
    pd.testing.assert_frame_equal(again.fits, by_samples.fits)


def test_weights_go_with_their_samples():
    x, y = pair()
    plain = select(x, y, **OF_UNITS)
    ones = select(x, y, **OF_UNITS, sample_weight=np.ones(len(x)))
    pd.testing.assert_frame_equal(ones.fits, plain.fits)
    weights = np.where(np.arange(len(x)) < 40, 5.0, 0.2)
    weighted = select(x, y, **OF_UNITS, sample_weight=weights)
    assert not weighted.fits["stability"].equals(plain.fits["stability"])
    with pytest.raises(InputError, match="sample_weight: has shape"):
        select(x, y, **OF_UNITS, sample_weight=np.ones(3))
    with pytest.raises(InputError, match="units of the target: 1 of 240 samples have none"):
        select(x, y, **OF_UNITS, units=["", *["a"] * 239])
