"""Names of features: those that both sides have are honoured, whatever holds them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf import BCNMF, InputError, coverage, crossfit
from bcnmf.checks import check_same_names, feature_names
from bcnmf.selection import select

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

QUICK = {"n_components": 2, "alpha": 0.5, "max_iter": 5, "tol": 0, "device": "cpu"}
GENES = [f"g{i}" for i in range(6)]
SWAPPED = [2, 0, 1, 3, 5, 4]
ORDER = "the same features stand in another order.*, number 0 counted from 0, is "
RNG = np.random.default_rng(0)
X, Y = (RNG.poisson(1.0, (n, 6)) + 1.0 for n in (20, 16))

NAMES = {
    "text": GENES,
    "numpy's text": list(map(np.str_, GENES)),
    "bytes": [gene.encode() for gene in GENES],
    "categories": pd.CategoricalIndex(GENES),
    "arrow": pd.Index(GENES, dtype="string[pyarrow]"),
    "levels": pd.MultiIndex.from_tuples([("chr1", gene) for gene in GENES]),
    "identifiers": [5, 7, 9, 11, 13, 15],
    "numbers": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
    "positions": range(6),
    "mixed": ["a", 1, 2, 3, 4, 5],
}


class Polars:
    """A table that is none of pandas."""

    def __init__(self, x, columns):
        self.columns, self._x = list(columns), x

    def to_numpy(self):
        return self._x


def table(x, names):
    return pd.DataFrame(x, columns=names)


def cells(x, names):
    return ad.AnnData(x, var=pd.DataFrame(index=pd.Index(names).astype(str)))


def backed(folder):
    def make(x, names):
        path = folder / f"{len(x)}{names[0]}.h5ad"
        cells(x, names).write_h5ad(path)
        return ad.read_h5ad(path, backed="r")

    return make


def swapped(names):
    return pd.Index(names)[SWAPPED]


@pytest.mark.parametrize("kind", NAMES)
def test_columns_in_another_order_are_refused(kind, tmp_path):
    names = pd.Index(NAMES[kind])
    x, y = table(X, names), table(Y, names)
    expected = BCNMF(**QUICK).fit(X, background=Y).components_
    model = BCNMF(**QUICK).fit(x, background=y)
    np.testing.assert_array_equal(model.components_, expected)
    model.save(tmp_path / "model.npz")
    for fitted in (model, BCNMF.load(tmp_path / "model.npz")):
        fitted.transform(x)
        if kind != "positions":
            assert all(type(name) is str for name in fitted.feature_names_in_)
            with pytest.raises(InputError, match=f"X has 6 features, the model 6: {ORDER}"):
                fitted.transform(x.iloc[:, SWAPPED])
            with pytest.raises(InputError, match=f"X has 6 features, the model 6: {ORDER}"):
                fitted.target_score(x.iloc[:, SWAPPED])
    other = y.iloc[:, SWAPPED]
    for enter in (
        lambda: BCNMF(**QUICK).fit(x, background=other),
        lambda: BCNMF(**QUICK, batch_size=7).fit(x, background=other),
        lambda: crossfit(BCNMF(**QUICK), x, background=other),
        lambda: coverage(x, other),
        lambda: select(x, other, n_components=[2], alphas=[1.0], device="cpu"),
    ):
        with pytest.raises(InputError, match=f"background has 6 features, target 6: {ORDER}"):
            enter()


@pytest.mark.parametrize("holders", ["cells table", "table cells", "backed cells", "table Polars"])
def test_holders_of_two_kinds_are_compared(holders, tmp_path):
    kinds = {"cells": cells, "table": table, "backed": backed(tmp_path), "Polars": Polars}
    first, second = (kinds[kind] for kind in holders.split())
    BCNMF(**QUICK).fit(first(X, GENES), background=second(Y, GENES))
    with pytest.raises(InputError, match=f"{ORDER}'g2' in place of 'g0'"):
        BCNMF(**QUICK).fit(first(X, GENES), background=second(Y, swapped(GENES)))


def test_text_is_compared_whatever_it_is_kept_as():
    for one, other in (("bytes", "text"), ("categories", "arrow")):
        BCNMF(**QUICK).fit(table(X, NAMES[one]), background=table(Y, NAMES[other]))
    BCNMF(**QUICK).fit(table(X, NAMES["identifiers"]), background=cells(Y, NAMES["identifiers"]))


def test_positions_are_the_order_of_data_without_names():
    numbered = table(Y, range(6)).iloc[:, SWAPPED]
    with pytest.raises(InputError, match=f"{ORDER}'2' in place of '0'"):
        BCNMF(**QUICK).fit(X, background=numbered)
    with pytest.raises(InputError, match=f"{ORDER}'2' in place of '0'"):
        BCNMF(**QUICK).fit(X, background=Y).transform(numbered)
    BCNMF(**QUICK).fit(table(X, range(6)), background=table(Y, GENES))


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        ("abd", "abc", "1 are missing, for instance c; 1 are not in target, for instance d"),
        ("ab", "abc", "background has 2 features, target 3: 1 are missing, for instance c"),
        ("abcz", "abc", "background has 4 features, target 3: 1 are not in target, for instance z"),
        ("acb", "abc", "another order.* number 1 counted from 0, is 'c' in place of 'b'"),
        ("aab", "abb", "or repeat: .* number 1 counted from 0, is 'a' in place of 'b'"),
        ("abb", "ab", "or repeat: .* number 2 counted from 0, is 'b' in place of None"),
        (None, "102", "number 0 counted from 0, is '0' in place of '1'"),
        ("021", None, "number 1 counted from 0, is '2' in place of '1'"),
    ],
)
def test_the_first_that_differs_is_named_with_the_remedy(found, expected, message):
    sides = (
        None if side is None else np.array(list(side), dtype=object) for side in (found, expected)
    )
    with pytest.raises(InputError, match=rf"{message}.* data\[names\] of a table"):
        check_same_names(*sides, "background", "target")


def test_repeated_names_in_one_order_are_accepted():
    names = list("aabcde")
    assert feature_names(table(X, names)).tolist() == names
    BCNMF(**QUICK).fit(table(X, names), background=table(Y, names))


@pytest.mark.parametrize("make", [table, cells])
def test_units_belong_to_samples_by_their_names(make):
    samples = [f"cell{i}" for i in range(len(X))]
    target = make(X, GENES)
    names = "obs_names" if make is cells else "index"
    setattr(target, names, samples)
    units = pd.Series(np.repeat(["a", "b"], len(X) // 2), index=samples)
    options = {"folds": 2, "background_units": np.repeat(["a", "b"], len(Y) // 2)}
    judged = crossfit(BCNMF(**QUICK), target, background=Y, units=units, **options)
    for given in (units.to_numpy(), units.reset_index(drop=True), list(units)):
        found = crossfit(BCNMF(**QUICK), target, background=Y, units=given, **options)
        np.testing.assert_array_equal(found.fold, judged.fold)
    match = "units of the target has 20 samples, target 20: the same samples stand in another order"
    with pytest.raises(InputError, match=f"{match}.*is 'cell19' in place of 'cell0'"):
        crossfit(BCNMF(**QUICK), target, background=Y, units=units[::-1], **options)
