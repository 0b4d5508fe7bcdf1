"""Running the workflow from tests, in folders of their own."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml
from xdist.scheduler import LoadScopeScheduling

from snakemake_process import run_snakemake

ROOT = Path(__file__).resolve().parents[1]

TINY = {
    "name": "tiny",
    "title": "A tiny run",
    "studies": ["simulation_beta0", "simulation_beta8"],
    "methods": ["pca", "nmf", "cpca_auto", "bcnmf"],
    "seeds": {"default": [0], "simulation": [0]},
    "replicates": {"default": 1, "simulation": 1, "simulation_beta8": 2},
    "simulation": {
        "n_genes": 120, "n_target": 60, "n_background": 60, "n_shared": 2,
        "n_target_programs": 2, "shared_block": 20, "target_block": 20,
    },
    "digits": {"n_target": 40, "n_background": 40},
    "evaluation": {"umap_neighbors": 15, "umap_min_dist": 0.1, "bootstrap": 100},
}  # fmt: skip


class Workflow:
    """Snakemake on one copy of the repository, with its output in one string."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder

    def __call__(self, *arguments: str, settings: dict | None = None):
        if settings is not None:
            path = self.folder / f"{settings.get('name', 'config')}.yaml"
            path.write_text(yaml.safe_dump(settings))
            arguments = (*arguments, "--configfile", str(path))
        # Own cache folders, so that tests neither read nor leave anything elsewhere.
        environment = os.environ | {"PYTHONPATH": str(self.root / "workflow")}
        environment["XDG_CACHE_HOME"] = str(self.folder / ".cache")
        done = run_snakemake(
            [
                "--snakefile", str(self.root / "Snakefile"), "--directory", str(self.folder),
                "--cores", "2", *arguments,
            ],
            environment,
        )  # fmt: skip
        done.output = done.stdout + done.stderr
        return done


def faults_of(done, rule: str) -> list[str]:
    """Return what the failed jobs of a rule say in the terminal, where Snakemake shows their logs.

    Jobs at once may have mixed up what each of them had written there before.
    """
    texts = done.output.split(f"ERROR in rule {rule}: ")[1:]
    parts = [text.partition("\n\n") for text in texts]
    return [message for message, _, rest in parts if rest.startswith("=" * 80)]


class ByRun(LoadScopeScheduling):
    """Keep tests that share a run on one worker: it is made once, and not once a worker.

    Those of a file share its fixtures, those of several files the run of the tiny configuration.
    Groups by marks (`--dist loadgroup`) have no effect with pytest 9.2 and pytest-xdist 3.8.
    """

    def _split_scope(self, nodeid):
        return scope_of(nodeid.split("::")[0])


@cache
def scope_of(file):
    text = (ROOT / file).read_text()
    if "tiny_run" in text:
        return "tiny_run"
    return str(Path(file).parent) if file.startswith("tests/unit/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return ByRun(config, log)


@pytest.fixture
def workflow(tmp_path):
    """Return the repository's workflow, working in an empty folder."""
    return Workflow(ROOT, tmp_path)


def copy_repository(folder: Path) -> Path:
    """Copy what a clone would hold: tests may change it."""
    shutil.copytree(
        ROOT,
        folder,
        ignore=shutil.ignore_patterns(
            ".git", ".venv", ".snakemake", "results", "resources", "logs", "__pycache__", ".*_cache"
        ),
    )
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Return a finished run of the tiny configuration on a copy of the repository."""
    copy = copy_repository(tmp_path_factory.mktemp("tiny") / "repository")
    run = Workflow(copy, copy)
    run.done = run(settings=TINY)
    assert run.done.returncode == 0, run.done.output
    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of small real inputs, which are not part of the repository."""
    folder = Path(os.environ.get("BCNMF_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real inputs in {folder}; set BCNMF_SHARED_DATA to their folder")
    return folder
