"""What a run was made with, stated by those who made it."""

import hashlib
import json
import os
import subprocess

import pytest
import torch

from bcnmf_pipeline.record import made_with
from bcnmf_pipeline.record.made_with import (
    checkout,
    fits_of,
    joined_versions,
    machine,
    machines,
    own_files,
    versions,
)


def test_versions_are_of_what_is_installed(monkeypatch):
    monkeypatch.setattr(made_with, "PACKAGES", ("numpy", "no-such-package"))
    assert versions().keys() == {"python", "numpy"}


def test_a_machine_states_processor_threads_and_build_of_torch():
    found = machine("cpu")
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()
    assert found["torch"] == torch.__version__
    assert found["cpu"].strip()


def test_a_gpu_is_stated_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", {"cuda:1": "NVIDIA H100"}.get)
    assert machine("cuda:1")["device"] == "NVIDIA H100"


def git(folder, *words):
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "a clone"
    (root / "workflow").mkdir(parents=True)
    (root / "Snakefile").write_text("x = 1\n")
    (root / ".gitignore").write_text("__pycache__\n")
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Start")
    return root


def test_the_commit_of_a_checkout_and_its_changes_are_found(repository):
    found = checkout(repository)
    assert len(found["commit"]) == 40
    assert found["changed"] == []
    (repository / "mine.h5ad").write_text("data of one's own are no change")
    (repository / "workflow" / "__pycache__").mkdir()
    (repository / "workflow" / "__pycache__" / "x.pyc").write_text("nor is what git leaves out")
    assert checkout(repository) == found
    (repository / "Snakefile").write_text("x = 2\n")
    (repository / "workflow" / "new é.py").write_text("")
    assert checkout(repository) == found | {"changed": ["Snakefile", "workflow/new é.py"]}


def test_without_git_the_commit_is_unknown(repository, tmp_path, monkeypatch):
    inside = repository / "unpacked"
    (inside / "workflow").mkdir(parents=True)
    assert checkout(inside) == {"commit": "unknown"}  # and not that of what is around it
    assert checkout(tmp_path) == {"commit": "unknown"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout(repository) == {"commit": "unknown"}


def test_a_repository_without_a_commit_is_unknown(tmp_path):
    git(tmp_path, "init", "-q")
    assert checkout(tmp_path) == {"commit": "unknown"}


def test_an_unpacked_commit_is_known_by_its_folder(tmp_path):
    folder = tmp_path / ("0123456789" * 4)
    assert checkout(folder)["commit"] == folder.name


def test_files_are_known_by_size_and_digest(tmp_path):
    content = {"cells 1.csv": b"a,b\n", "store.zarr/x/0": b"12", "tenx/matrix.mtx": b"3"}
    for name, text in content.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (tmp_path / "tenx" / "notes.txt").write_text("not read")
    asked = [tmp_path / name for name in ("cells 1.csv", "store.zarr", "tenx", "tenx/matrix.mtx")]
    assert own_files(map(str, asked)) == [
        {
            "file": str(tmp_path / name), "bytes": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
        }
        for name, text in content.items()
    ]  # fmt: skip


HERE = {"cpu": "Xeon", "device": "cpu", "threads": 1, "torch": "2.13.0+cpu"}
GPU = HERE | {"device": "NVIDIA H100", "torch": "2.13.0+cu130"}


def test_fits_are_counted_by_machine():
    fits = [{"machine": HERE}, {"machine": GPU}, {"machine": HERE}, {"device": "cuda:0"}]
    assert machines(fits) == [
        HERE | {"fits": 2}, GPU | {"fits": 1}, {"cpu": "unknown", "device": "cuda:0", "fits": 1},
    ]  # fmt: skip


def test_a_package_stands_once_or_with_all_its_versions():
    environments = {
        "analysis": {"python": "3.13.0", "numpy": "2.4.6", "matplotlib": "3.11.2"},
        "fit": {"python": "3.12.1", "numpy": "2.4.6", "torch": "2.13.0"},
    }
    made = {"python": "3.12.1", "numpy": "2.4.6", "torch": "2.12.0", "matplotlib": "not installed"}
    fits = [{"versions": made}, {"versions": environments["fit"]}, {"versions": made}]
    assert joined_versions(environments, fits) == {
        "python": "3.13.0 (analysis); 3.12.1 (fit)",
        "numpy": "2.4.6",
        "matplotlib": "3.11.2",
        "torch": "2.13.0 (fit); 2.12.0 (2 of 3 fits)",
    }


def test_what_is_stated_beside_fits_is_found_by_their_lists(tmp_path):
    for name in ("a/0/nmf/k2.json", "b/1/nmf/k2.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(json.dumps({"name": name}))
    lists = []
    for study in ("a/0", "b/1"):
        lists.append(tmp_path / study / "fits_0.json")
        lists[-1].write_text(json.dumps({"fits": [f"{study}/nmf/k2.npz"]}))
    found = [fit["name"] for fit in fits_of(map(os.fspath, lists))]
    assert found == ["a/0/nmf/k2.json", "b/1/nmf/k2.json"]
