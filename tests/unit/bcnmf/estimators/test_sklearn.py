"""Scikit-learn's contract: its own checks, names, outputs, errors, seeds, pipelines."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.exceptions
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from bcnmf import BCNMF, NMF, CombinedBasisNMF, ConvergenceWarning, InputError, SharedTargetNMF

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")

QUICK = {"max_iter": 5, "tol": 0, "device": "cpu"}
# By name, with the reason why a check cannot hold; at most three.
EXPECTED_FAILED_CHECKS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "the start draws usages of every sample, so "
    "repeated ones have other usages, and other minima; test_weights.py compares from one start"
    for kind in ("dense", "sparse")
}
GENES = [f"gene{i}" for i in range(12)]


# The data of the checks have two features and more: fewer than the default of ten topics.
@parametrize_with_checks(
    [NMF(2, device="cpu"), BCNMF(2, alpha=0, device="cpu")],
    expected_failed_checks=lambda _: EXPECTED_FAILED_CHECKS,
    xfail_strict=True,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return tuple(rng.poisson(1.0, (rows, 12)).astype(np.float32) for rows in (30, 20))


def all_models():
    return [
        NMF(3, **QUICK),
        BCNMF(3, alpha=0.5, **QUICK),
        SharedTargetNMF(3, 2, **QUICK),
        CombinedBasisNMF(3, **QUICK),
    ]


def named(values, kind, names=GENES):
    if kind == "table":
        return pd.DataFrame(values, columns=names)
    return ad.AnnData(values, var=pd.DataFrame(index=names))


@pytest.fixture(params=all_models(), ids=lambda model: type(model).__name__)
def model(request):
    return request.param


@pytest.mark.parametrize("kind", ["table", "AnnData"])
def test_names_of_features_are_kept_and_have_to_agree(data, model, kind, tmp_path):
    x, y = (named(side, kind) for side in data)
    model.fit(x, background=y).save(tmp_path / "model.npz")
    for fitted in (model, type(model).load(tmp_path / "model.npz")):
        assert fitted.feature_names_in_.tolist() == GENES
        assert fitted.n_features_in_ == 12
        np.testing.assert_array_equal(fitted.transform(x), fitted.transform(data[0]))
        with pytest.raises(InputError, match=r"X has 12 features, the model 12: .* another order"):
            fitted.transform(named(data[0], kind, GENES[::-1]))
    other = named(data[1], kind, ["strange", *GENES[1:]])
    with pytest.raises(InputError, match=r"background has 12 features, target 12: 1 are missing"):
        model.fit(x, background=other)
    # Numbers of columns are no names, and a side without names takes the order of the other.
    model.fit(x, background=data[1])
    model.fit(pd.DataFrame(data[0]), background=y)
    assert not hasattr(model, "feature_names_in_")


def test_outputs_may_be_tables(data, model):
    x, y = data
    model.fit(x, background=y)
    columns = [f"{type(model).__name__.lower()}{i}" for i in range(len(model.components_))]
    assert model.get_feature_names_out().tolist() == columns
    index = [f"cell{i}" for i in range(30)]
    model.set_output(transform="pandas")
    try:
        found = model.transform(pd.DataFrame(x, index=index))
        fitted = model.fit_transform(pd.DataFrame(x, index=index), background=y)
    finally:
        model.set_output(transform="default")
    for table in (found, fitted):
        assert table.columns.tolist() == columns
        assert table.index.tolist() == index
    np.testing.assert_array_equal(fitted, model.usage_)


def test_tags_say_what_is_true(data, model):
    tags = get_tags(model)
    assert tags.input_tags.sparse
    assert tags.input_tags.positive_only
    assert not tags.input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == ["float32"]
    x, y = (sp.csr_array(side) for side in data)
    assert model.fit_transform(x, background=y).dtype == "float32"
    assert model.transform(x).dtype == "float32"
    assert get_tags(NMF(dtype="float64")).transformer_tags.preserves_dtype == ["float64"]


def test_an_estimator_that_is_not_fitted_says_so(data):
    for model in all_models():
        with pytest.raises(sklearn.exceptions.NotFittedError):
            check_is_fitted(model)
        with pytest.raises(
            InputError, match=f"this {type(model).__name__} is not fitted"
        ) as raised:
            model.transform(data[0])
        assert isinstance(raised.value, sklearn.exceptions.NotFittedError)
        check_is_fitted(model.fit(data[0], background=data[1]))


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_warnings_are_those_of_scikit_learn_at_the_users_line(data, method):
    x, y = data
    for model in all_models():
        model.set_params(tol=1e-9)
        with pytest.warns(ConvergenceWarning, match="max_iter=5") as caught:
            getattr(model, method)(x, background=y)
        assert issubclass(caught[0].category, sklearn.exceptions.ConvergenceWarning)
        assert caught[0].filename == __file__


def test_every_kind_of_random_state(data, model):
    x, y = data

    def topics(random_state):
        model.set_params(random_state=random_state, init="random")
        return model.fit(x, background=y).components_

    np.testing.assert_array_equal(topics(np.int64(3)), topics(3))
    assert model.seed_ == 3
    for make in (np.random.RandomState, np.random.default_rng):
        state = make(0)
        first, second = topics(state), topics(state)
        np.testing.assert_array_equal(first, topics(make(0)))
        assert not np.array_equal(first, second)
    assert not np.array_equal(topics(None), topics(None))
    drawn = model.components_
    stored = model.to_fit().info["estimator"]["parameters"]["random_state"]
    assert stored == model.seed_
    np.testing.assert_array_equal(topics(stored), drawn)
    for wrong in (-1, 1.5, True, "seed"):
        with pytest.raises(InputError, match=f"random_state={wrong!r} is not allowed; expected an"):
            topics(wrong)


def test_a_checkpoint_needs_a_seed_that_can_be_had_again(data, tmp_path):
    x, y = data
    with pytest.raises(InputError, match="random_state=None: a fit with a checkpoint needs an int"):
        BCNMF(3, random_state=None).fit(x, background=y, checkpoint=tmp_path / "state.npz")


def test_the_background_goes_through_a_pipeline(data):
    x, y = data
    chain = make_pipeline(MaxAbsScaler(), BCNMF(3, alpha=0.5, **QUICK))
    found = chain.fit_transform(x, bcnmf__background=y)
    expected = BCNMF(3, alpha=0.5, **QUICK).fit_transform(
        MaxAbsScaler().fit_transform(x), background=y
    )
    np.testing.assert_array_equal(found, expected)
    assert chain.get_feature_names_out().tolist() == ["bcnmf0", "bcnmf1", "bcnmf2"]
