"""The fits of one job: what stands is kept, whatever happened to the job."""

import json

import anndata as ad
import numpy as np
import pytest

from bcnmf import InputError
from bcnmf.persistence import Fit
from bcnmf_pipeline.fit import batch
from bcnmf_pipeline.fit import run as run_module
from bcnmf_pipeline.fit.batch import fit_missing
from bcnmf_pipeline.fit.made import read_made_fit
from bcnmf_pipeline.plan.runs import Run

COMPUTE = {"device": "cpu", "dtype": "float64"}
ROW = {
    "algorithm": "bcnmf", "values": "default", "contrast": "relative", "loss": "squared_error",
    "solver": "mu", "max_iter": "5", "tol": "0", "damping": "", "penalty": "", "n_shared": "",
}  # fmt: skip
METHODS = {
    "bcnmf": {"row": ROW, "code": "1"},
    "cpca_auto": {"row": ROW | {"algorithm": "cpca"}, "code": "1"},
}
FILES = ["mine/0/bcnmf/k2_alpha1.5_seed0.npz", "mine/0/bcnmf/k2_alpha1.5_seed1.npz"]


class Job:
    """A job on two small files, which tells what it fitted."""

    def __init__(self, folder, monkeypatch):
        rng = np.random.default_rng(0)
        self.folder = folder / "fits"
        self.pair = {}
        for side, rows in (("target", 30), ("background", 25)):
            self.pair[side] = str(folder / f"{side}.h5ad")
            data = ad.AnnData(rng.poisson(2.0, (rows, 8)).astype(np.float32))
            data.uns["study"] = {"values": "log"}
            data.write_h5ad(self.pair[side])
        self.fitted = []
        self.stop_at = None
        real = batch.fit_run

        def fit_run(target, background, run, *rest):
            if run.file == self.stop_at:
                raise KeyboardInterrupt
            self.fitted.append(run.file)
            return real(target, background, run, *rest)

        monkeypatch.setattr(batch, "fit_run", fit_run)

    def __call__(self, files=FILES, methods=METHODS, compute=COMPUTE):
        self.fitted = []
        fit_missing(self.pair, files, methods, compute, self.folder)
        return self.fitted


@pytest.fixture
def job(tmp_path, monkeypatch):
    return Job(tmp_path, monkeypatch)


def test_a_second_job_and_a_further_seed_fit_what_is_missing_alone(job):
    assert job() == FILES
    assert job() == []
    more = [*FILES, "mine/0/bcnmf/k3_alpha1.5_seed0.npz", "mine/0/bcnmf/k2_alpha2_seed0.npz"]
    assert job(more) == more[2:]


def test_a_fit_states_what_it_was_made_from(job):
    job()
    info = json.loads((job.folder / FILES[0]).with_suffix(".json").read_text())
    assert info == Fit.read(job.folder / FILES[0]).info
    assert info["code"] == "1"
    assert info["row"] == ROW
    assert info["compute"] == COMPUTE
    assert {"versions", "input_sha256", "seed", "k"} <= info.keys()
    assert info["machine"]["device"] == "cpu"
    assert info["machine"]["torch"].startswith("2.")


def test_a_job_that_was_cut_off_loses_the_fit_at_hand_alone(job):
    job.stop_at = FILES[1]
    with pytest.raises(KeyboardInterrupt):
        job()
    kept = (job.folder / FILES[0]).read_bytes()
    (job.folder / FILES[0]).with_suffix(".json").unlink()  # killed between the two
    job.stop_at = None
    assert job() == FILES[1:]
    assert (job.folder / FILES[0]).read_bytes() == kept
    assert (job.folder / FILES[0]).with_suffix(".json").exists()


def changed(method, **changes):
    return METHODS | {method: METHODS[method] | changes}


def test_a_fit_is_made_again_when_what_it_was_made_from_changes(job):
    files = [FILES[0], "mine/0/cpca_auto/k2_alphaauto1_seed0.npz"]
    assert job(files) == files
    assert json.loads((job.folder / "mine/0/cpca_auto/k2_alphas.json").read_text()).keys() == {
        "auto1", "auto2", "auto3",
    }  # fmt: skip
    assert job(files, changed("cpca_auto", code="2")) == files[1:]
    other = changed("bcnmf", row=ROW | {"max_iter": "6"}) | {"cpca_auto": METHODS["cpca_auto"]}
    assert job(files, other) == files
    single = COMPUTE | {"dtype": "float32"}
    assert job(files, other, single) == files
    target = ad.read_h5ad(job.pair["target"])
    target.X[0, 0] += 1
    target.write_h5ad(job.pair["target"])
    assert job(files, other, single) == files


def test_a_damaged_fit_is_made_again_and_its_reader_is_told_how(job):
    job()
    path = job.folder / FILES[0]
    whole = Fit.read(path).usage
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"k2_alpha1.5_seed0.npz: .*delete .*fits_\*.json as well"):
        read_made_fit(FILES[0], job.folder / "mine/0/fits_0.json")
    assert job() == FILES[:1]
    again = read_made_fit(FILES[0], job.folder / "mine/0/fits_0.json")
    np.testing.assert_array_equal(again.usage, whole)


@pytest.mark.parametrize("file", [*FILES, "a-b/3/cpca_auto/k10_alphaauto2_seed4.npz",
                                  "m/0/nmf/k2_alphanone_seed0.npz"])  # fmt: skip
def test_a_run_is_known_by_its_file(file):
    assert Run.of_file(file).file == file


def spoiled(path, **fitted):
    fit = Fit.read(path)
    fit.info["estimator"]["fitted"] |= fitted
    fit.write(path)


def test_a_stored_fit_that_cannot_be_is_made_again_and_its_reader_is_told(job):
    job()
    spoiled(job.folder / FILES[0], explained_target_=-881900.0)
    made = job.folder / "mine/0/fits_0.json"
    with pytest.raises(InputError, match=r"k2_alpha1.5_seed0.npz: .* -881900: .* as well"):
        read_made_fit(FILES[0], made)
    assert job() == FILES[:1]
    assert read_made_fit(FILES[0], made).info["explained_target"] > 0


def test_a_job_whose_fit_cannot_be_fails_and_leaves_no_file(job, monkeypatch):
    monkeypatch.setattr("bcnmf.estimators.base.explained", lambda *_: 26.0)
    with pytest.raises(InputError, match=r"study mine, method bcnmf, K=2, .* is 26, but all there"):
        job()
    assert not (job.folder / FILES[0]).exists()


def test_the_published_poisson_contrast_is_fitted_and_noted(job, capsys):
    row = ROW | {"loss": "poisson", "max_iter": "300", "damping": "0.5"}
    files = ["mine/0/bcnmf/k2_alpha3_seed0.npz"]
    assert job(files, METHODS | {"bcnmf": {"row": row, "code": "1"}}) == files
    said = capsys.readouterr().out
    assert "seed=0: NOTE: the topics explain the target worse than the best model of a" in said
    assert job(files, METHODS | {"bcnmf": {"row": row, "code": "1"}}) == []


@pytest.fixture
def together(monkeypatch):
    """Return what was fitted in one go, on a machine whose GPU counts for nothing."""
    groups, real = [], run_module.fit_together

    def fit(models, *data, **options):
        groups.append(len(models))
        real(models, *data, **options)

    monkeypatch.setattr(run_module, "fit_together", fit)
    return groups


AUTO = COMPUTE | {"device": "auto"}
SHARED = ROW | {"algorithm": "shared", "loss": "poisson", "solver": "", "n_shared": "2"}
MANY = METHODS | {
    "shared": {"row": SHARED, "code": "1"},
    "many": {"row": ROW | {"starts": "3"}, "code": "1"},
}
MIXED = [
    *FILES, "mine/0/bcnmf/k3_alpha0.5_seed0.npz", "mine/0/many/k2_alpha1.5_seed0.npz",
    "mine/0/cpca_auto/k2_alphaauto1_seed0.npz", "mine/0/shared/k1_alphanone_seed0.npz",
]  # fmt: skip


def test_fits_in_one_set_of_passes_are_those_made_one_by_one(job, together):
    alone = {}
    job(MIXED, MANY)
    assert not together
    for file in MIXED:
        alone[file] = Fit.read(job.folder / file)
        (job.folder / file).unlink()
    # The consensus of many starts, and contrastive PCA, are fitted by themselves.
    assert job(MIXED, MANY, AUTO) == MIXED[3:5]
    assert together == [4]
    for file in MIXED:
        found = Fit.read(job.folder / file)
        for name in ("usage", "components", "background_usage"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone[file], name))
        assert found.info["explained_target"] == alone[file].info["explained_target"]
        assert found.info["seed"] == alone[file].info["seed"]
        assert (job.folder / file).with_suffix(".json").exists()
    assert job(MIXED, MANY, AUTO) == []


def test_of_fits_in_one_go_the_others_are_kept_where_one_fails(job, together):
    files = [FILES[0], "mine/0/bcnmf/k20_alpha1.5_seed0.npz", FILES[1]]
    with pytest.raises(InputError, match=r"K=20, alpha=1.5: n_components=20 is larger than"):
        job(files, compute=AUTO)
    assert not (job.folder / FILES[0]).exists()  # seen before any fit
    job.stop_at = None
    assert job([files[0], files[2]], compute=AUTO) == []
    assert together == [3, 2]


def test_a_stale_checkpoint_of_one_of_several_is_discarded(job, together, capsys):
    stale = (job.folder / FILES[1]).with_suffix(".checkpoint.npz")
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"nothing")
    job(compute=AUTO)
    assert together == [2, 1]
    assert "from the start: " in capsys.readouterr().out
    assert not stale.exists()
    assert all((job.folder / file).exists() for file in FILES)
