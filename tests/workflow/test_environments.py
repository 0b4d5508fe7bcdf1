"""Conda environments and the pip lock say the same, and hold what the scripts import."""

import ast
import re
import sys

import pytest
import yaml

from bcnmf.provenance import PACKAGE, _reachable
from conftest import ROOT

# Where a conda package is called otherwise than on the Python package index, or a module otherwise
# than its package.
CONDA_NAMES = {"pytorch-cpu": "torch"}
MODULES = {
    "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml", "umap": "umap-learn",
    "PIL": "pillow",
}  # fmt: skip
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in pins}


def packages(environment) -> dict[str, str]:
    content = yaml.safe_load(environment.read_text())
    assert content["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    found = dict(re.fullmatch(r"(\S+) =(\S+)", entry).groups() for entry in content["dependencies"])
    return {CONDA_NAMES.get(name, name): version for name, version in found.items()}


def test_everything_is_pinned_exactly():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line
    assert next(line for line in lines if not line.startswith("#")).startswith("torch==")


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environments_carry_the_locked_versions(environment):
    found = packages(environment)
    assert found.pop("python") == "3.11"
    assert found == {name: locked()[name] for name in found}


def scripts_of_rules():
    """Yield (environment, script) of every rule."""
    for rules in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        environment = None
        for line in rules.read_text().splitlines():
            text = line.strip().strip('",')
            if "envs/" in text:
                environment = (rules.parent / text).resolve()
            if text.startswith("../scripts/"):
                yield environment, (rules.parent / text).resolve()


@pytest.mark.parametrize(
    ("environment", "script"), scripts_of_rules(), ids=lambda path: path.stem if path else None
)
def test_environments_hold_what_scripts_import(environment, script):
    held = packages(environment)
    for file in _reachable(script, PACKAGE):
        for name in top_level_imports(file):
            if name in sys.stdlib_module_names or name == "bcnmf":
                continue
            assert MODULES.get(name, name) in held, f"{file} imports {name}, not in {environment}"


def top_level_imports(file):
    """Return modules imported when `file` is imported (imports in functions run only if called)."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]
