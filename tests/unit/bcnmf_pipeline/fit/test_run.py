"""From a row of the methods sheet to a fit with its description."""

import anndata as ad
import numpy as np
import pytest

from bcnmf import BCNMF, InputError, balanced_weights, checkpoint, consensus
from bcnmf_pipeline.fit.run import fit_run, parameters
from bcnmf_pipeline.methods.estimators import DETERMINISTIC as ESTIMATORS_WITHOUT_SEEDS
from bcnmf_pipeline.plan.runs import DETERMINISTIC, Run

ROW = {
    "method": "bcnmf", "label": "bcNMF", "algorithm": "bcnmf", "studies": "*",
    "values": "default", "k": "2", "alpha": "1.5", "contrast": "absolute",
    "loss": "squared_error", "solver": "mu", "max_iter": "7", "tol": "0", "damping": "",
    "penalty": "",
}  # fmt: skip
RUN = Run("mine", 0, "bcnmf", 2, "1.5", 3)
COMPUTE = {"device": "cpu", "dtype": "float64"}


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    sides = [ad.AnnData(rng.poisson(2.0, (rows, 6)).astype(np.float32)) for rows in (12, 9)]
    for side in sides:
        side.uns["study"] = {"values": "log"}
    return sides


def test_the_sheet_and_the_package_agree_on_what_has_no_randomness():
    assert DETERMINISTIC == ESTIMATORS_WITHOUT_SEEDS


def test_parameters_of_each_algorithm():
    assert parameters(RUN, ROW, COMPUTE, {}) == {
        "n_components": 2, "random_state": 3, "alpha": 1.5, "device": "cpu", "dtype": "float64",
        "loss": "squared_error", "solver": "mu", "max_iter": 7, "tol": 0.0, "contrast": "absolute",
    }  # fmt: skip
    pca = ROW | {"algorithm": "pca", "alpha": ""}
    assert parameters(Run("mine", 0, "pca", 2, "none", 0), pca, COMPUTE, {}) == {
        "n_components": 2, "random_state": 0,
    }  # fmt: skip
    cpca = ROW | {"algorithm": "cpca", "alpha": "auto"}
    automatic = parameters(Run("mine", 0, "cpca", 2, "auto2", 0), cpca, COMPUTE, {"auto2": 4.5})
    assert automatic["alpha"] == 4.5


def test_shared_and_target_topics_are_fitted_by_their_row(pair):
    row = ROW | {
        "method": "shared_target", "algorithm": "shared", "alpha": "", "contrast": "",
        "solver": "", "loss": "poisson", "n_shared": "3",
    }  # fmt: skip
    run = Run("mine", 0, "shared_target", 2, "none", 1)
    assert parameters(run, row, COMPUTE, {}) == {
        "n_target": 2, "n_shared": 3, "random_state": 1, "device": "cpu", "dtype": "float64",
        "loss": "poisson", "max_iter": 7, "tol": 0.0,
    }  # fmt: skip
    fit = fit_run(*pair, run, row, COMPUTE)
    assert fit.usage.shape == (12, 2)
    assert fit.shared_components.shape == (3, 6)
    assert fit.info["alpha"] is None


def test_batches_weigh_and_without_them_nothing_does(pair):
    plain = fit_run(*pair, RUN, ROW, COMPUTE)
    assert "weighted" not in plain.info
    for side in pair:
        side.uns["study"]["batch"] = "run"
        side.obs["run"] = ["a"] * 3 + ["b"] * (side.n_obs - 3)
    found = fit_run(*pair, RUN, ROW, COMPUTE)
    names = ("sample_weight", "background_weight")
    weights = {
        name: balanced_weights(side.obs["run"]) for name, side in zip(names, pair, strict=True)
    }
    expected = BCNMF(
        2, alpha=1.5, contrast="absolute", solver="mu", max_iter=7, tol=0, random_state=3,
        device="cpu", dtype="float64",
    ).fit(pair[0].X, background=pair[1].X, **weights)  # fmt: skip
    np.testing.assert_array_equal(found.components, expected.components_)
    assert not np.array_equal(found.components, plain.components)
    assert found.info["weighted"]["batch"] == "run"
    assert found.info["weighted"]["effective_samples"]["sample_weight"] == pytest.approx(9)
    # Baselines know no weights.
    pca = ROW | {"algorithm": "pca", "method": "pca", "alpha": ""}
    assert "weighted" not in fit_run(*pair, Run("mine", 0, "pca", 2, "none", 0), pca, COMPUTE).info
    # One batch a side is none.
    for side in pair:
        side.obs["run"] = "a"
    np.testing.assert_array_equal(fit_run(*pair, RUN, ROW, COMPUTE).usage, plain.usage)


def test_what_to_do_where_the_background_does_not_fit_is_said_in_the_row(pair):
    row = ROW | {
        "method": "shared", "algorithm": "shared", "alpha": "", "solver": "", "contrast": "",
        "loss": "poisson", "n_shared": "3", "second_round": "always", "offsets": "side",
        "shared_from": "",
    }  # fmt: skip
    run = Run("mine", 0, "shared", 2, "none", 1)
    chosen = parameters(run, row, COMPUTE, {})
    assert (chosen["second_round"], chosen["offsets"]) == ("always", "side")
    assert "shared_from" not in chosen
    fit = fit_run(*pair, run, row, COMPUTE)
    assert fit.shared_components.shape == (5, 6)
    assert fit.background_usage.shape[1] == 5
    assert fit.offsets.shape == (6,)


def test_combined_bases_are_fitted_by_their_row(pair):
    row = ROW | {
        "method": "combined", "algorithm": "combined", "alpha": "", "contrast": "relative",
        "solver": "", "loss": "", "penalty": "0.5",
    }  # fmt: skip
    run = Run("mine", 0, "combined", 2, "none", 1)
    assert parameters(run, row, COMPUTE, {}) == {
        "n_components": 2, "random_state": 1, "device": "cpu", "dtype": "float64",
        "contrast": "relative", "penalty": 0.5, "max_iter": 7, "tol": 0.0,
    }  # fmt: skip
    fit = fit_run(*pair, run, row, COMPUTE)
    assert fit.usage.shape == (12, 2)
    assert fit.shared_components.shape == (2, 6)
    assert fit.info["alpha"] is None
    assert fit.info["estimator"]["parameters"]["penalty"] == 0.5


def test_a_run_is_the_estimator_with_the_seed_of_its_name(pair):
    target, background = pair
    fit = fit_run(target, background, RUN, ROW, COMPUTE)
    expected = BCNMF(
        2, alpha=1.5, contrast="absolute", solver="mu", max_iter=7, tol=0, dtype="float64",
        device="cpu", random_state=3,
    ).fit_transform(target.X, background=background.X)  # fmt: skip
    np.testing.assert_array_equal(fit.usage, expected)
    assert fit.sample_names.tolist() == target.obs_names.tolist()
    assert {"method": "bcnmf", "k": 2, "alpha": 1.5, "seed": 3, "n_iter": 7}.items() <= (
        fit.info.items()
    )


def test_what_the_estimator_refuses_names_the_run(pair):
    target, background = pair
    with pytest.raises(InputError, match=r"study mine, method bcnmf, K=9, .*larger than the data"):
        fit_run(target, background, Run("mine", 0, "bcnmf", 9, "1.5", 0), ROW, COMPUTE)
    with pytest.raises(InputError, match="asks for counts, but the study's values are 'log'"):
        fit_run(target, background, RUN, ROW | {"values": "counts"}, COMPUTE)


@pytest.mark.parametrize(
    ("row", "alpha"),
    [
        ({}, "1.5"),
        ({"algorithm": "nmf", "alpha": "", "contrast": ""}, "none"),
        ({"algorithm": "shared", "alpha": "", "solver": "", "n_shared": "3"}, "none"),
        ({"algorithm": "combined", "alpha": "", "solver": "", "loss": "", "penalty": "1"}, "none"),
    ],
)
def test_every_iterative_fit_leaves_its_state_and_discards_that_of_others(
    pair, tmp_path, monkeypatch, capsys, row, alpha
):
    path, written = tmp_path / "state.npz", []
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    original = checkpoint.Checkpoint._write
    monkeypatch.setattr(
        checkpoint.Checkpoint,
        "_write",
        lambda self, state: (original(self, state), written.append(self.path)),
    )
    path.write_bytes(b"of an older version")
    run = Run("mine", 0, "one", 2, alpha, 3)
    fit = fit_run(*pair, run, ROW | row, COMPUTE, checkpoint=path)
    assert "from the start" in capsys.readouterr().out
    assert set(written) == {path}
    assert not path.exists()
    np.testing.assert_array_equal(fit.usage, fit_run(*pair, run, ROW | row, COMPUTE).usage)


def test_a_row_with_starts_is_fitted_by_their_consensus(pair):
    row = ROW | {"contrast": "relative", "starts": "4"}
    fit = fit_run(*pair, RUN, row, COMPUTE)
    estimator = BCNMF(**parameters(RUN, row, COMPUTE, {}))
    found = consensus(estimator, pair[0].X, pair[1].X, 4, random_state=RUN.seed)
    assert np.array_equal(fit.components, found.components_)
    assert fit.info["consensus"]["stability"] == found.stability_.tolist()
    assert fit.info["consensus"]["n_starts"] == 4
    assert fit.info["seed"] == RUN.seed
    assert "consensus" not in fit_run(*pair, RUN, ROW | {"starts": ""}, COMPUTE).info
