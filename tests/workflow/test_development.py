"""What developers' tools say in several places says the same everywhere."""

import re
import subprocess

import pytest
import yaml

import bcnmf
from conftest import ROOT

ACTIONS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()


def test_pre_commit_has_the_locked_versions():
    lock = (ROOT / "requirements.lock").read_text()
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    found = {
        one["repo"].rpartition("/")[2].removesuffix("-pre-commit"): one["rev"]
        for one in repositories
        if one["repo"] != "local"
    }
    assert set(found) == {"ruff", "snakefmt"}
    for name, version in found.items():
        assert f"\n{name}=={version.removeprefix('v')} " in lock
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in (hook["id"] for one in repositories for hook in one["hooks"]):
        assert hook.partition("-")[0] in lint, hook


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == bcnmf.__version__
    newest = re.search(r"^## (\S+) \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest.group(1) == bcnmf.__version__


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.stem)
def test_actions_name_versions_and_targets_that_exist(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    assert jobs
    for job in jobs.values():
        if "uses" in job:
            assert (ROOT / job["uses"]).exists()
        for step in job.get("steps", []):
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
            for target in re.findall(r"\bmake (\S+)", step.get("run", "")):
                assert f"\n{target}: " in MAKEFILE, target


def test_make_help_names_every_target():
    targets = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE).group(1).split())
    described = set(re.findall(r"^# make (\S+) ", MAKEFILE, re.MULTILINE))
    # The bare `make`, described first, is `make quick`.
    assert described | {"quick"} == targets
    printed = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert all(f"make {target} " in printed for target in described)
    assert "bcnmf-pipeline new" in printed
    assert "SHELL" not in printed


def test_make_clean_follows_a_link_to_scratch_space(tmp_path):
    checkout, scratch = tmp_path / "checkout", tmp_path / "scratch"
    for folder in (checkout, scratch / "old"):
        folder.mkdir(parents=True)
    (checkout / "Makefile").write_text(MAKEFILE)
    (checkout / "requirements.lock").touch()
    (scratch / "README.md").touch()
    (checkout / "results").symlink_to(scratch)
    subprocess.run(["make", "-s", "clean"], cwd=checkout, check=True)
    assert [path.name for path in scratch.iterdir()] == ["README.md"]
