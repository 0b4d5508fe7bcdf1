"""The AnnData bridge and the command line on files."""

import os
import re
import signal

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from bcnmf import BCNMF, InputError, balanced_weights
from bcnmf.agreement import UNSTABLE
from bcnmf.cli import main
from bcnmf.files import check_writable
from bcnmf.persistence import Fit
from bcnmf.tools import crossfit, fit, looks_like_counts, project, write
from programs import new_program


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    sides = []
    for n in (25, 20):
        side = ad.AnnData(sp.csr_matrix(rng.poisson(1.0, (n, 8)).astype(np.float32)))
        side.var_names = [f"gene{i}" for i in range(8)]
        sides.append(side)
    return sides


def test_results_stand_where_scanpy_users_look(pair):
    target, background = pair
    model = fit(target, background, n_components=2, solver="mu", tol=0, max_iter=10, device="cpu")
    expected = BCNMF(2, solver="mu", tol=0, max_iter=10, device="cpu").fit_transform(
        target.X, background=background.X
    )
    np.testing.assert_array_equal(target.obsm["X_bcnmf"], expected)
    np.testing.assert_array_equal(target.varm["bcnmf_loadings"], model.components_.T)
    assert target.uns["bcnmf"]["n_iter"] == 10
    # What has to be written into a file is not the generator but the seed that it gave.
    fit(
        target, background, n_components=2, max_iter=2, tol=0, random_state=np.random.default_rng(0)
    )
    assert isinstance(target.uns["bcnmf"]["parameters"]["random_state"], int)


@pytest.fixture
def cells():
    """Return sides of two donors each, and which target cells hold a new program."""
    x, y, holds = new_program(n=120, m=120)
    sides = []
    for values in (x, y):
        side = ad.AnnData(sp.csr_matrix(values.astype(np.float32)))
        side.var_names = [f"gene{i}" for i in range(24)]
        side.obs["donor"] = np.where(np.arange(120) < 60, "d1", "d2")
        sides.append(side)
    return *sides, holds


def test_scores_survive_a_file(cells, tmp_path):
    target, background, holds = cells
    model = fit(target, background, n_components=2, alpha=3.0, max_iter=40, device="cpu")
    np.testing.assert_array_equal(target.obs["bcnmf_target_score"], model.target_score(target.X))
    found, classified = crossfit(target, background, model)
    write(target, tmp_path / "fit.h5ad")
    stored = ad.read_h5ad(tmp_path / "fit.h5ad")
    np.testing.assert_array_equal(stored.obs["bcnmf_above"], found.above)
    np.testing.assert_array_equal(stored.obs["bcnmf_crossfit_score"], found.score)
    assert stored.obs["bcnmf_above"][holds].mean() > 0.9
    np.testing.assert_array_equal(stored.varm["bcnmf_loadings"], model.components_.T)
    facts = stored.uns["bcnmf"]
    assert facts["parameters"]["n_background"] == 10
    for one, expected in ((facts, found), (facts["coverage"], classified)):
        assert one["share"] == expected.share
        assert one["auroc"] == expected.auroc
        np.testing.assert_array_equal(one["interval"], expected.interval)
        np.testing.assert_array_equal(one["threshold"], expected.threshold)
        assert not one["by_unit"]
    by_unit, _ = crossfit(target, background, model, unit="donor")
    assert by_unit.by_unit
    assert target.uns["bcnmf"]["by_unit"]
    with pytest.raises(InputError, match=r"target: obs has no column 'batch'; found: .*donor"):
        crossfit(target, background, model, unit="batch")


def test_a_model_without_background_scores_nothing(pair, tmp_path):
    model = fit(pair[0], n_components=2, alpha=0.0, max_iter=5, tol=0, device="cpu")
    assert "bcnmf_target_score" not in pair[0].obs
    model.save(tmp_path / "model.npz")
    assert project(pair[1], tmp_path / "model.npz").shape == (20, 2)
    assert "bcnmf_target_score" not in pair[1].obs


def test_a_fitted_model_projects_as_its_file_does(pair, tmp_path):
    target, background = pair
    model = fit(target, background, n_components=2, max_iter=5, tol=0, device="cpu")
    model.save(tmp_path / "model.npz")
    saved = project(background, tmp_path / "model.npz")
    scores = background.obs.pop("bcnmf_target_score")
    np.testing.assert_array_equal(project(background, model), saved)
    np.testing.assert_array_equal(background.obs["bcnmf_target_score"], scores)


def test_counts_are_told_from_log_values_and_marks(pair):
    assert looks_like_counts(pair[0])
    for values in (np.log1p(pair[0].X.toarray()), (pair[0].X.toarray() > 0).astype(float)):
        assert not looks_like_counts(ad.AnnData(values))


def answer_command(tmp_path, *more):
    return [
        "fit", "--target", str(tmp_path / "t.h5ad"), "--background", str(tmp_path / "b.h5ad"),
        "-k", "2", "--alpha", "3", "--max-iter", "40", "--device", "cpu", "--model",
        str(tmp_path / "model.npz"), "--out", str(tmp_path / "fit.h5ad"), *more,
    ]  # fmt: skip


def test_the_command_line_ends_with_the_answer(cells, tmp_path, capsys):
    target, background, _ = cells
    target.write_h5ad(tmp_path / "t.h5ad")
    background.write_h5ad(tmp_path / "b.h5ad")
    assert main(answer_command(tmp_path)) == 0
    printed = capsys.readouterr()
    facts = ad.read_h5ad(tmp_path / "fit.h5ad").uns["bcnmf"]
    above = round(facts["share"] * 120)
    low, high = facts["interval"]
    assert (
        f"{above} of 120 target samples ({facts['share']:.0%}, 95% interval {low:.0%} to "
        f"{high:.0%}) hold something that the background does not; 5% would by chance. Each was "
        "judged by a fit that had not seen it."
    ) in printed.out
    assert "A classifier that tells target from background finds" in printed.out
    assert re.search(r"topic 1: gene\d+, gene\d+", printed.out)
    assert "can tell them apart" in printed.out
    assert "whole numbers" not in printed.err
    assert main(answer_command(tmp_path, "--unit", "donor")) == 0
    printed = capsys.readouterr().out
    assert "judged by a fit that had not seen its donor" in printed
    assert "can tell them apart" not in printed
    command = ["project", "--model", str(tmp_path / "model.npz"), "--data"]
    assert main([*command, str(tmp_path / "b.h5ad"), "--out", str(tmp_path / "p.h5ad")]) == 0
    assert "target score in obs['bcnmf_target_score']" in capsys.readouterr().out
    assert ad.read_h5ad(tmp_path / "p.h5ad").obs["bcnmf_target_score"].min() >= 0


def test_batches_count_alike_on_the_command_line(cells, tmp_path, capsys):
    sides = [side.copy() for side in cells[:2]]
    for side, name in zip(sides, "tb", strict=True):
        side.obs["run"] = np.where(np.arange(side.n_obs) < 30, "r1", "r2")
        side.write_h5ad(tmp_path / f"{name}.h5ad")
    assert main(answer_command(tmp_path, "--batch", "run", "--unit", "donor")) == 0
    assert "remark: no batch" not in capsys.readouterr().err
    found = ad.read_h5ad(tmp_path / "fit.h5ad")
    names = ("sample_weight", "background_weight")
    weights = {
        name: balanced_weights(side.obs["run"], side.obs["donor"])
        for name, side in zip(names, sides, strict=True)
    }
    model = BCNMF(**BCNMF.load(tmp_path / "model.npz").get_params())
    expected = model.fit_transform(sides[0], background=sides[1], **weights)
    np.testing.assert_array_equal(found.obsm["X_bcnmf"], expected)
    sides[1].obs["run"] = "r3"
    sides[1].write_h5ad(tmp_path / "b.h5ad")
    assert main(answer_command(tmp_path, "--batch", "run", "--folds", "0")) == 0
    assert "remark: no batch is on both sides" in capsys.readouterr().err
    assert main(answer_command(tmp_path, "--batch", "plate")) == 2
    assert "target: obs has no column 'plate'" in capsys.readouterr().err


def test_a_fit_is_written_though_judging_was_stopped(cells, tmp_path, monkeypatch):
    from bcnmf import crossfitting

    def stopped(*_, **__):
        raise KeyboardInterrupt

    for side, name in zip(cells[:2], "tb", strict=True):
        side.write_h5ad(tmp_path / f"{name}.h5ad")
    monkeypatch.setattr(crossfitting, "crossfit", stopped)
    assert main(answer_command(tmp_path)) == 130
    assert "bcnmf_target_score" in ad.read_h5ad(tmp_path / "fit.h5ad").obs


def test_folds_may_be_left_out_and_too_few_samples_are_told(cells, tmp_path, capsys):
    target, background, _ = cells
    target.X.data = np.round(target.X.data * 3)
    target.write_h5ad(tmp_path / "t.h5ad")
    background[:5].copy().write_h5ad(tmp_path / "b.h5ad")
    assert main(answer_command(tmp_path, "--folds", "0", "--n-background", "3")) == 0
    printed = capsys.readouterr()
    assert "hold something" not in printed.out + printed.err
    assert "remark: the values are whole numbers. If they are counts" in printed.err
    assert Fit.read(tmp_path / "model.npz").background_components.shape == (2, 24)
    assert main(answer_command(tmp_path)) == 0
    printed = capsys.readouterr()
    assert "not judged how many samples hold something new: background: has 5" in printed.err
    assert "bcnmf_target_score" in ad.read_h5ad(tmp_path / "fit.h5ad").obs


def test_features_have_to_agree(pair):
    target, background = pair
    with pytest.raises(
        InputError, match=r"background has 7 features, target 8: 1 are missing.*gene7"
    ):
        fit(target, background[:, :7].copy(), n_components=2)
    with pytest.raises(InputError, match="stand in another order"):
        fit(target, background[:, ::-1].copy(), n_components=2)
    with pytest.raises(InputError, match="target: has no layer 'counts'; found: none"):
        fit(target, background, layer="counts", n_components=2)


def test_models_know_their_features_and_layers_are_fitted_by_name(pair, tmp_path):
    target, background = pair
    for side in pair:
        side.layers["counts"] = 2 * side.X
    model = fit(target, background, layer="counts", n_components=2, max_iter=5, tol=0, device="cpu")
    expected = BCNMF(2, max_iter=5, tol=0, device="cpu").fit_transform(
        target.layers["counts"], background=background.layers["counts"]
    )
    np.testing.assert_array_equal(target.obsm["X_bcnmf"], expected)
    model.save(tmp_path / "model.npz")
    with pytest.raises(InputError, match=r"X has 8 features, the model 8: .*another order"):
        project(target[:, ::-1].copy(), tmp_path / "model.npz")
    with pytest.raises(InputError, match="stand in another order"):
        fit(target, background[:, ::-1].copy(), layer="counts", n_components=2)


def test_fit_and_project_on_the_command_line(pair, tmp_path, capsys):
    for side, name in zip(pair, ("target", "background"), strict=True):
        side.write_h5ad(tmp_path / f"{name}.h5ad")
    files = {name: str(tmp_path / name) for name in ("target.h5ad", "background.h5ad")}
    out, model = tmp_path / "fit.h5ad", tmp_path / "model.npz"
    status = main(
        ["fit", "--target", files["target.h5ad"], "--background", files["background.h5ad"],
         "-k", "2", "--solver", "mu", "--tol", "0", "--max-iter", "15", "--device", "cpu",
         "--out", str(out), "--model", str(model)]
    )  # fmt: skip
    assert status == 0
    assert "2 topics of 25 samples" in capsys.readouterr().out
    fitted = ad.read_h5ad(out)
    assert fitted.obsm["X_bcnmf"].shape == (25, 2)
    assert Fit.read(model).feature_names.tolist() == [f"gene{i}" for i in range(8)]
    assert len(Fit.read(model).sample_names) == 25
    projected = tmp_path / "projected.h5ad"
    status = main(
        ["project", "--model", str(model), "--data", files["background.h5ad"], "--out",
         str(projected)]
    )  # fmt: skip
    assert status == 0
    assert ad.read_h5ad(projected).obsm["X_bcnmf"].shape == (20, 2)
    np.testing.assert_allclose(
        project(pair[1], model), ad.read_h5ad(projected).obsm["X_bcnmf"], rtol=1e-6
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_model_made_on_a_gpu_is_projected_without_one(pair, tmp_path):
    model, data, out = (tmp_path / name for name in ("model.npz", "data.h5ad", "out.h5ad"))
    fit(*pair, n_components=2, max_iter=5, tol=0, device="cpu").save(model)
    expected = project(pair[1], model)
    stored = Fit.read(model)
    stored.info["estimator"]["parameters"]["device"] = "cuda:0"
    stored.write(model)
    pair[1].write_h5ad(data)
    command = ["project", "--model", str(model), "--data", str(data), "--out", str(out)]
    with pytest.warns(UserWarning, match="fitted with device='cuda:0', but torch"):
        assert main(command) == 0
    np.testing.assert_array_equal(ad.read_h5ad(out).obsm["X_bcnmf"], expected)


def test_command_line_errors_are_one_line(pair, tmp_path, capsys):
    pair[0].write_h5ad(tmp_path / "target.h5ad")
    arguments = ["fit", "--target", str(tmp_path / "target.h5ad"), "-k", "2", "--out", "x.h5ad"]
    assert main(arguments) == 2
    assert "error: background is missing" in capsys.readouterr().err
    assert main(["fit", "--target", "none.h5ad", "-k", "2", "--out", "x.h5ad"]) == 2
    assert "none.h5ad: no such file" in capsys.readouterr().err
    (tmp_path / "text.h5ad").write_text("hello")
    assert main(["fit", "--target", str(tmp_path / "text.h5ad"), "-k", "2", "--out", "x"]) == 2
    assert "not a readable .h5ad file" in capsys.readouterr().err


def fit_command(tmp_path, *more):
    return [
        "fit", "--target", str(tmp_path / "target.h5ad"), "--background",
        str(tmp_path / "background.h5ad"), "-k", "2", "--max-iter", "15", "--device", "cpu",
        "--out", str(tmp_path / "fit.h5ad"), *more,
    ]  # fmt: skip


@pytest.fixture
def files(pair, tmp_path):
    for side, name in zip(pair, ("target", "background"), strict=True):
        side.layers["counts"] = side.X.copy()
        side.write_h5ad(tmp_path / f"{name}.h5ad")
    return tmp_path


def test_files_are_read_in_batches_and_written_whole(files):
    assert main(fit_command(files)) == 0
    whole = ad.read_h5ad(files / "fit.h5ad")
    assert whole.uns["bcnmf"]["parameters"]["alpha"] == BCNMF().alpha
    (files / "fit.h5ad").unlink()
    assert main(fit_command(files, "--batch-size", "7")) == 0
    batched = ad.read_h5ad(files / "fit.h5ad")
    np.testing.assert_allclose(batched.obsm["X_bcnmf"], whole.obsm["X_bcnmf"], rtol=0.02, atol=0.02)
    np.testing.assert_array_equal(batched.X.toarray(), whole.X.toarray())
    np.testing.assert_array_equal(batched.layers["counts"].toarray(), whole.X.toarray())


def test_layers_are_not_read_in_batches(files, capsys):
    assert main(fit_command(files, "--batch-size", "7", "--layer", "counts")) == 2
    assert "layer 'counts' cannot be read in batches" in capsys.readouterr().err


def test_a_stopped_command_says_where_its_state_is(files, capsys, monkeypatch):
    from bcnmf.checkpoint import Checkpoint

    original = Checkpoint.after_iteration

    def interrupted(self, state):
        os.kill(os.getpid(), signal.SIGINT)
        original(self, state)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "after_iteration", interrupted)
        assert main(fit_command(files, "--checkpoint", str(files / "state.npz"))) == 130
    assert "state.npz" in capsys.readouterr().err
    assert not (files / "fit.h5ad").exists()
    assert main(fit_command(files, "--checkpoint", str(files / "state.npz"))) == 0
    assert not (files / "state.npz").exists()


@pytest.mark.parametrize(
    ("option", "out", "message"),
    [
        ("--out", "folder", "is a folder; give the path of a file"),
        ("--out", "file/o.h5ad", r"cannot be written, since no file can be made in \S+file"),
        ("--out", "/proc/o.h5ad", "no file can be made in /proc"),
        ("--model", "folder", "is a folder"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_data_are_read(
    tmp_path, monkeypatch, capsys, option, out, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    places = {"--out": "fine.h5ad"} | {option: out}
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--target", "none.h5ad", "-k", "2", *[x for p in places.items() for x in p]])
    assert re.search(f"argument {option}: .*{message}", capsys.readouterr().err)


def test_a_file_can_be_written_into_a_folder_that_is_made_for_it(tmp_path):
    path = tmp_path / "new" / "folder" / "fit.h5ad"
    assert check_writable(path) == path
    assert list(tmp_path.iterdir()) == []


def test_a_consensus_of_starts_stands_beside_its_topics(files, tmp_path, capsys):
    out, model = tmp_path / "c.h5ad", tmp_path / "c.npz"
    more = ("--starts", "4", "--seed", "3", "--model", str(model))
    assert main(fit_command(files, *more, "--out", str(out))) == 0
    agreed = ad.read_h5ad(out).uns["bcnmf"]["consensus"]
    assert agreed["stability"].shape == agreed["support"].shape == (2,)
    printed = capsys.readouterr().out
    for number, (stability, support) in enumerate(
        zip(agreed["stability"], agreed["support"], strict=True), 1
    ):
        word = "unstable" if stability < UNSTABLE else "stability"
        assert (
            f"topic {number} ({word} {stability:.2f}, found again by {support} of 4 starts)"
        ) in printed
    assert Fit.read(model).info["consensus"]["support"] == agreed["support"].tolist()
    again = BCNMF.load(model)
    assert again.seed_ == 3


def test_a_consensus_has_no_checkpoint(files, tmp_path, capsys):
    more = ("--starts", "4", "--checkpoint", str(tmp_path / "state.npz"))
    assert main(fit_command(files, *more)) == 2
    assert "a consensus of starts has none" in capsys.readouterr().err
