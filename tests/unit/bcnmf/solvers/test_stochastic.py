"""Few passes: close to the full fit, exact usages at the end, any sizes of batches."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from bcnmf import BCNMF, ConvergenceWarning
from bcnmf.matrices.csr_compiled import CompiledSparseMatrix
from bcnmf_pipeline.datasets.simulation import simulate_counts

pytestmark = pytest.mark.filterwarnings("ignore::bcnmf.errors.ConvergenceWarning")


def log_values(counts):
    shares = sp.diags(1e4 / np.asarray(counts.sum(1)).ravel()) @ sp.csr_matrix(counts)
    return sp.csr_matrix(shares.log1p(), dtype=np.float32)


@pytest.fixture(scope="module")
def simulated():
    drawn = simulate_counts(
        beta=2, n_genes=600, n_target=4000, n_background=3000, shared_block=50, target_block=24,
        random_state=0,
    )  # fmt: skip
    sides = (drawn[drawn.obs["side"] == side].X for side in ("target", "background"))
    return tuple(log_values(side) for side in sides)


def fitted(data, solver, **settings):
    x, y = data
    chosen = {"n_components": 7, "alpha": 1.0, "tol": 0, "device": "cpu"}
    return BCNMF(solver=solver, **(chosen | settings)).fit(x, background=y)


def test_a_few_passes_come_within_a_hundredth_where_the_full_fit_needs_more(simulated, monkeypatch):
    updates, update = [], CompiledSparseMatrix.multiplicative_pass

    def counted(self, *args):
        updates.append(self.shape[0])
        return update(self, *args)

    monkeypatch.setattr(CompiledSparseMatrix, "multiplicative_pass", counted)
    settings = {"n_components": 2, "alpha": 2.0, "random_state": 1}
    full = fitted(simulated, "safeguarded", max_iter=150, **settings)
    few = fitted(simulated, "stochastic", max_iter=8, **settings)
    # Without topics the objective at relative alpha 2 is -||X||^2.
    explained = -float(simulated[0].power(2).sum()) - full.objective_[-1]
    assert few.objective_[-1] <= full.objective_[-1] + 0.01 * explained
    needed = int(np.argmax(full.objective_ <= full.objective_[-1] + 0.01 * explained))
    # It began with updates, passes over both sides, before the first objective; one more pass of
    # the others solved the usages.
    assert needed + len(updates) / 2 > few.n_iter_ + 1


def test_the_last_objective_and_the_usages_are_exact(simulated):
    model = fitted(simulated, "stochastic", max_iter=2)
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), 1, rtol=1e-5)
    sides = zip(simulated, (model.usage_, model.background_usage_), (1, -model.alpha_), strict=True)
    objective = sum(
        weight * np.square(side.toarray() - usage @ model.components_).sum(dtype=np.float64)
        for side, usage, weight in sides
    )
    scale = float(simulated[0].power(2).sum())
    assert model.objective_[-1] == pytest.approx(objective, abs=1e-5 * scale)
    np.testing.assert_allclose(model.transform(simulated[0][:50]), model.usage_[:50], atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 13, 100, 10_000])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 30.0])
def test_ragged_batches_and_unequal_sides(batch_size, container, alpha):
    rng = np.random.default_rng(0)
    x, y = (rng.poisson(1.0, (rows, 9)).astype(float) for rows in (37, 5))
    model = BCNMF(
        3, alpha=alpha, solver="stochastic", batch_size=batch_size, max_iter=3, tol=0, device="cpu"
    ).fit(container(x), background=container(y))  # fmt: skip
    assert np.isfinite(model.components_).all()
    assert np.isfinite(model.usage_).all()
    assert model.background_usage_.shape == (5, 3)
    assert model.objective_.shape == (4,)


def test_a_seed_gives_the_same_numbers_and_another_seed_others(simulated):
    one, same, other = (
        fitted(simulated, "stochastic", max_iter=2, random_state=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.components_, same.components_)
    assert not np.array_equal(one.components_, other.components_)


def test_it_stops_when_passes_change_nothing_and_says_when_they_did(simulated):
    settled = fitted(simulated, "stochastic", max_iter=60, tol=1e-2)
    assert settled.converged_
    assert settled.n_iter_ < 60
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        fitted(simulated, "stochastic", max_iter=2, tol=1e-6)


def test_data_on_disk_are_read_in_runs_of_rows(simulated, tmp_path):
    paths = [tmp_path / f"{name}.h5ad" for name in ("target", "background")]
    for path, side in zip(paths, simulated, strict=True):
        ad.AnnData(side[:700]).write_h5ad(path)
    backed = [ad.read_h5ad(path, backed="r") for path in paths]
    settings = {"max_iter": 3, "batch_size": 200}
    model = fitted(backed, "stochastic", **settings)
    inside = fitted([side[:700] for side in simulated], "stochastic", **settings)
    np.testing.assert_allclose(model.objective_[-1], inside.objective_[-1], rtol=0.05)
