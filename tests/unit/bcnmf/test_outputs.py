"""What the command line writes: tried before, in its place afterwards or said to be elsewhere."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from bcnmf import BCNMF
from bcnmf.cli import main
from bcnmf.files import check_storable
from bcnmf.tools import write
from conftest import ROOT


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    for name, samples in (("target", 25), ("background", 20)):
        side = ad.AnnData(rng.gamma(1, 1, (samples, 8)).astype(np.float32))
        side.write_h5ad(tmp_path / f"{name}.h5ad")
    return tmp_path


def fit_command(folder, *more):
    sides = [
        part
        for name in ("target", "background")
        for part in (f"--{name}", str(folder / f"{name}.h5ad"))
    ]
    settings = ["-k", "2", "--max-iter", "15", "--device", "cpu"]
    return ["fit", *sides, *settings, "--out", str(folder / "fit.h5ad"), *more]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--model": "fit.h5ad"}, "--out and --model are one file"),
        ({"--checkpoint": "fit.h5ad"}, "--out and --checkpoint are one file"),
        ({"--model": "s.npz", "--checkpoint": "s.npz"}, "--model and --checkpoint are one file"),
        ({"--out": "link.h5ad"}, "--out and --background are one file"),
    ],
)
def test_outputs_are_neither_one_another_nor_inputs(files, monkeypatch, capsys, options, message):
    monkeypatch.chdir(files)
    (files / "link.h5ad").symlink_to("background.h5ad")
    assert main(fit_command(files, *[x for pair in options.items() for x in pair])) == 2
    assert message in capsys.readouterr().err


def full_disk(monkeypatch, folder):
    """Let nothing be written into a folder, as if that was found when it is written to."""
    original = Path.replace

    def replace(self, target):
        if self.parent == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def test_a_fit_for_which_there_is_no_room_goes_elsewhere(
    files, tmp_path_factory, monkeypatch, capsys
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    full_disk(monkeypatch, files)
    before = sorted(files.iterdir())
    assert main(fit_command(files, "--model", str(files / "model.npz"))) == 2
    assert sorted(files.iterdir()) == before
    (model,), (fitted,) = (elsewhere.glob(f"{name}-*") for name in ("model", "fit"))
    assert BCNMF.load(model).components_.shape[0] == 2
    assert "X_bcnmf" in ad.read_h5ad(fitted).obsm
    said = capsys.readouterr().err
    for path in (model, fitted):
        assert f"It is in {path} instead" in said


def test_so_do_usages_and_settings(files, tmp_path_factory, monkeypatch, capsys):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    model = files / "model.npz"
    assert main(fit_command(files, "--model", str(model), "--folds", "0")) == 0
    full_disk(monkeypatch, files)
    target, background = str(files / "target.h5ad"), str(files / "background.h5ad")
    out = str(files / "p.h5ad")
    assert main(["project", "--model", str(model), "--data", target, "--out", out]) == 2
    sides = ["--target", target, "--background", background, "--out", str(files / "s.tsv")]
    numbers = ["-k", "2", "--alpha", "1", "--splits", "1", "--max-iter", "5", "--device", "cpu"]
    assert main(["select", *sides, *numbers]) == 2
    assert len(list(elsewhere.glob("p-*.h5ad"))) == len(list(elsewhere.glob("s-*.tsv"))) == 1


def test_a_fit_is_written_though_sigterm_came_while_samples_were_judged(files, monkeypatch):
    def killed(*arguments, **options):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("bcnmf.tools.crossfit", killed)
    with pytest.raises(SystemExit) as ended:
        main(fit_command(files))
    assert ended.value.code == 128 + signal.SIGTERM
    assert "X_bcnmf" in ad.read_h5ad(files / "fit.h5ad").obsm


def command_line(files, *more, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    command = [sys.executable, "-m", "bcnmf", *fit_command(files, "--folds", "0", *more)]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


def test_a_fit_is_written_though_nobody_reads_what_is_printed(files):
    reader, writer = os.pipe()
    os.close(reader)
    done = command_line(files, stdout=writer)
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert "X_bcnmf" in ad.read_h5ad(files / "fit.h5ad").obsm


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_fit_is_written_though_what_is_printed_has_no_room(files):
    with open("/dev/full", "w") as full:
        done = command_line(files, stdout=full)
    assert done.returncode != 0
    assert "error: [Errno 28] No space left on device" in done.stderr
    assert "X_bcnmf" in ad.read_h5ad(files / "fit.h5ad").obsm


def test_warnings_of_the_command_line_are_one_line(files, tmp_path):
    package, home = tmp_path / "alone", tmp_path / "no folder"
    shutil.copytree(
        ROOT / "workflow" / "bcnmf", package / "bcnmf", ignore=shutil.ignore_patterns("__pycache__")
    )
    # As where nothing may be written, for root too.
    for folder in {path.parent for path in package.rglob("*.py")}:
        (folder / "__pycache__").touch()
    home.touch()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-m", "bcnmf", *fit_command(files, "--folds", "0", "--quiet")],
        env=environment | {"TMPDIR": "/nowhere"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert sum("Set NUMBA_CACHE_DIR or XDG_CACHE_HOME to a folder" in line for line in lines) == 1
    assert all(line.startswith(("warning: ", "remark: ")) for line in lines), lines


@pytest.mark.parametrize("command", ["fit", "project"])
def test_annotation_that_no_h5ad_holds_is_named_before(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    data = ad.AnnData(np.random.default_rng(0).gamma(1, 1, (30, 8)).astype(np.float32))
    data.to_df().to_parquet("data.parquet")
    pd.DataFrame({"day": pd.Timestamp("2020-01-01")}, index=data.obs_names).to_parquet(
        "data.obs.parquet"
    )
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("bcnmf.tools.BCNMF", None)  # nothing is fitted
    options = {
        "fit": ["--target", "data.parquet", "--background", "data.parquet", "-k", "2"],
        "project": ["--data", "data.parquet", "--model", "model.npz"],
    }
    assert main([command, *options[command], "--out", "fit.h5ad"]) == 2
    said = capsys.readouterr().err
    assert "fit.h5ad: the annotation of the data cannot be written as .h5ad" in said
    assert "day" in said
    assert sorted(tmp_path.iterdir()) == before


def test_annotation_that_an_h5ad_holds_is_no_fault(tmp_path):
    data = ad.AnnData(np.ones((3, 2), np.float32))
    data.obs = data.obs.assign(text=["a", None, "b"], number=[1, 2, 3], mark=[True, False, True])
    data.obs["kind"] = pd.Categorical(["x", "y", "x"])
    data.uns["remarks"] = np.array(["one", "two"], dtype=object)
    check_storable(data, tmp_path / "out.h5ad")
    write(data, tmp_path / "out.h5ad")
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5ad"]
