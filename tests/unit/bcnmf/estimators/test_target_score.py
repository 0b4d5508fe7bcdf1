"""The target score of models: what it is beside, what is kept for it, and real cells."""

import copy
import gc
import pickle
import weakref

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from bcnmf import BCNMF, NMF, CombinedBasisNMF, InputError, SharedTargetNMF
from bcnmf.persistence import Fit
from bcnmf.scoring import background_topics, target_score_of
from bcnmf_pipeline.evaluate.metrics import kmeans_labels
from programs import new_program

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def fitted(x, y, **parameters):
    return BCNMF(2, device="cpu", max_iter=100, **parameters).fit(x, background=y)


def test_models_score_beside_topics_of_their_background():
    x, y, holds = new_program()
    model = fitted(x, y, n_background=3)
    assert roc_auc_score(holds, model.target_score(x)) > 0.99
    assert model.background_components_.shape == (3, 24)
    np.testing.assert_array_equal(
        model.background_components_, background_topics(y, 3, device="cpu")
    )
    score, usage = target_score_of(x, model.components_, model.background_components_, device="cpu")
    np.testing.assert_array_equal(model.target_score(x), score)
    np.testing.assert_array_equal(model.target_usage(x), usage)


def test_topics_of_the_background_do_not_touch_the_fit():
    x, y, _ = new_program()
    one, other = fitted(x, y, n_background=3), fitted(x, y)
    one.target_score(x)
    np.testing.assert_array_equal(one.components_, other.components_)


def test_shared_and_combined_models_score_beside_their_shared_topics():
    x, y, holds = new_program(poisson=True)
    counts = SharedTargetNMF(3, 1, device="cpu").fit(x, background=y)
    score, share = target_score_of(
        x, counts.components_, counts.shared_components_, loss="poisson", device="cpu"
    )
    np.testing.assert_allclose(counts.target_score(x), score, rtol=1e-5)
    np.testing.assert_allclose(share, counts.target_share(), atol=0.01)
    assert roc_auc_score(holds, score) > 0.95
    combined = CombinedBasisNMF(4, device="cpu").fit(x, background=y)
    score, _ = target_score_of(
        x, combined.target_components_, combined.shared_components_, device="cpu"
    )
    np.testing.assert_allclose(combined.target_score(x), score, rtol=1e-5)


def test_the_background_is_kept_as_it_is_until_its_topics_are_fitted():
    x, y, _ = new_program()
    y = sp.csr_matrix(y)
    kept = weakref.ref(y)
    model = fitted(x, y)
    del y
    gc.collect()
    assert kept() is not None
    model.target_score(x)
    gc.collect()
    assert kept() is None
    np.testing.assert_array_equal(model.target_score(x), model.target_score(x))


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_copies_and_pickles_hold_topics_and_no_data(duplicate):
    x, y, _ = new_program(m=3000)
    model = fitted(x, y)
    found = duplicate(model)
    assert found._background is None
    assert len(pickle.dumps(found)) - len(pickle.dumps(clone(model))) < y.nbytes / 2
    np.testing.assert_array_equal(found.target_score(x), model.target_score(x))


def test_saved_models_score_new_samples(tmp_path):
    x, y, _ = new_program()
    for model in (
        fitted(x, y),
        SharedTargetNMF(3, 2, device="cpu").fit(x, background=y),
        CombinedBasisNMF(3, device="cpu").fit(x, background=y),
    ):
        model.save(tmp_path / "model.npz")
        loaded = type(model).load(tmp_path / "model.npz")
        np.testing.assert_array_equal(loaded.target_score(y), model.target_score(y))
    assert Fit.read(tmp_path / "model.npz").background_components.size == 0
    fitted(x, y).save(tmp_path / "model.npz")
    assert Fit.read(tmp_path / "model.npz").background_components.shape == (10, 24)


def test_a_new_fit_has_topics_of_its_own_background():
    x, y, _ = new_program()
    model = fitted(x, y)
    first = model.background_components_
    model.fit(x, background=y[:40])
    np.testing.assert_array_equal(
        model.background_components_, background_topics(y[:40], device="cpu")
    )
    assert not np.array_equal(first, model.background_components_)


def test_a_model_without_background_says_so(tmp_path):
    x, y, _ = new_program()
    model = NMF(2, device="cpu").fit(x)
    assert not model.has_target_score
    with pytest.raises(InputError, match=r"this NMF has no topics of a background.*fitted without"):
        model.target_score(x)
    model.save(tmp_path / "model.npz")
    assert pickle.loads(pickle.dumps(model)).transform(x).shape == (90, 2)
    # Files of jobs hold no topics of the background.
    fitted(x, y).to_fit().write(tmp_path / "job.npz")
    loaded = BCNMF.load(tmp_path / "job.npz")
    with pytest.raises(InputError, match="comes from a file that holds none; fit it with"):
        loaded.target_score(x)
    assert NMF(2, device="cpu").fit(x, background=y).target_score(x).shape == (90,)


def test_a_background_that_was_changed_is_told(tmp_path):
    x, y, _ = new_program()
    model = fitted(x, y)
    y -= y.mean(0)
    with pytest.raises(InputError, match=r"cannot be fitted any more \(background: \d+ negative"):
        model.save(tmp_path / "model.npz")


def test_a_file_may_be_closed_after_the_fit(tmp_path):
    x, y, _ = new_program()
    for name, values in (("x", x), ("y", y)):
        ad.AnnData(sp.csr_matrix(values)).write_h5ad(tmp_path / f"{name}.h5ad")
    sides = [ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r") for name in "xy"]
    model = BCNMF(2, device="cpu", max_iter=20).fit(sides[0], background=sides[1])
    score = model.target_score(sides[0])
    for side in sides:
        side.file.close()
    np.testing.assert_allclose(model.target_score(x), score, rtol=1e-3, atol=1e-3)
    model.save(tmp_path / "model.npz")


def test_samples_need_the_features_of_the_fit():
    x, y, _ = new_program()
    model = fitted(x, y)
    with pytest.raises(InputError, match="X has 20 features"):
        model.target_score(x[:, :20])
    with pytest.raises(InputError, match="n_background=0 is not allowed"):
        BCNMF(2, n_background=0).fit(x, background=y)
    with pytest.raises(InputError, match="not fitted"):
        BCNMF(2).target_score(x)


def two_means(score, label):
    return adjusted_rand_score(label, kmeans_labels(score[:, None], 2))


@pytest.fixture(scope="module")
def kang(shared_data):
    """Return counts and log values of both sides, and which target cells were stimulated."""
    data = ad.read_h5ad(shared_data / "kang" / "kang.h5ad")
    donor, group = (data.obs[name].to_numpy(dtype=str) for name in ("donor", "group_id"))
    sides = [donor == "101", (donor == "107") & (group == "ctrl")]
    counts = [sp.csr_matrix(data.X[side], dtype=np.float32) for side in sides]
    return counts, [log_values(side) for side in counts], group[sides[0]] == "stim"


def log_values(counts):
    shares = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ counts
    return sp.csr_matrix(shares.log1p(), dtype=np.float32)


@pytest.mark.shared
@pytest.mark.parametrize("k", [2, 10])
def test_stimulated_cells_are_found_among_real_ones(kang, k):
    _, (target, background), stimulated = kang
    model = BCNMF(k, device="cpu", random_state=0).fit(target, background=background)
    score = model.target_score(target)
    assert roc_auc_score(stimulated, score) >= 0.985
    assert two_means(score, stimulated) >= 0.80


@pytest.mark.shared
def test_stimulated_cells_are_found_from_counts(kang):
    (target, background), _, stimulated = kang
    model = SharedTargetNMF(device="cpu", random_state=0).fit(target, background=background)
    score = model.target_score(target)
    assert roc_auc_score(stimulated, score) >= 0.985
    assert two_means(score, stimulated) >= 0.80
