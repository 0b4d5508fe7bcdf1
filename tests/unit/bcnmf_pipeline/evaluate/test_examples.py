"""Images taken for a figure."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from bcnmf_pipeline.evaluate.examples import example_images


def side(values, labels=None):
    obs = pd.DataFrame(
        {"digit": labels} if labels else {}, index=[f"s{i}" for i in range(len(values))]
    )
    var = pd.DataFrame(index=["pixel_1_1", "pixel_1_2"])
    return ad.AnnData(np.asarray(values, dtype=np.float32), obs=obs, var=var)


def test_classes_take_turns_and_stand_sorted():
    target = side([[i, 10 * i] for i in range(6)], list("112120"))
    background = side([[7, 8], [9, 10]])
    table = example_images(target, background, "digit", n_target=4, n_background=5)
    shown = table[table["side"] == "target"].drop_duplicates("place")
    # The first 0, 1 and 2, then the second 1.
    assert shown["sample"].tolist() == ["s5", "s0", "s1", "s2"]
    assert shown["label"].tolist() == ["0", "1", "1", "2"]
    assert table.loc[table["sample"] == "s5", "value"].tolist()[:2] == [5, 50]
    other = table[table["side"] == "background"]
    assert other["value"].tolist() == [7, 8, 9, 10]
    assert set(other["label"]) == {""}


def test_sparse_images_give_the_same():
    dense = side([[0, 1], [2, 0]], ["a", "b"])
    sparse = dense.copy()
    sparse.X = sp.csr_matrix(dense.X)
    pd.testing.assert_frame_equal(
        example_images(dense, dense, "digit"), example_images(sparse, sparse, "digit")
    )


def test_without_a_label_the_first_images_are_taken():
    target = side([[i, i] for i in range(6)])
    table = example_images(target, target, "", n_target=2, n_background=1)
    shown = table[table["side"] == "target"].drop_duplicates("place")
    assert shown["sample"].tolist() == ["s0", "s1"]
    assert set(shown["label"]) == {""}
