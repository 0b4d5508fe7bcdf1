"""Conda environments and the pip lock say the same, and hold what the scripts import."""

import ast
import re
import sys

import pytest
import yaml

from bcnmf import InputError
from bcnmf_pipeline.methods.estimators import ESTIMATORS
from bcnmf_pipeline.plan.environments import FIT, fit_environment
from bcnmf_pipeline.record.provenance import WORKFLOW, _file, _reachable
from conftest import ROOT

# Where a conda package is called otherwise than on the Python package index, or a module otherwise
# than its package.
CONDA_NAMES = {"pytorch-cpu": "torch", "pytorch-gpu": "torch"}
MODULES = {
    "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml", "umap": "umap-learn",
    "PIL": "pillow",
}  # fmt: skip
# The environments of fits, by the build of torch: `compute.environment`.
FIT_ENVS = sorted(FIT.values())
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


def scripts_of_rules() -> list[tuple]:
    """Return (environment, script) of every rule, sorted."""
    found = set()
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in re.split(r"^\s*(?:use )?rule\b", rules.read_text(), flags=re.MULTILINE)[1:]:
            script = re.search(r'script:\s+"([^"]+)"', rule)
            conda = re.search(r'conda:\s+(?:"([^"]+)"|fit_env)', rule)
            if script:
                names = [conda[1]] if conda[1] else [f"../../envs/{name}.yaml" for name in FIT_ENVS]
                found |= {
                    ((rules.parent / name).resolve(), (rules.parent / script[1]).resolve())
                    for name in names
                }
    return sorted(found)


def test_every_script_belongs_to_a_rule():
    used = {script for _, script in scripts_of_rules()}
    assert used == set((ROOT / "workflow" / "scripts").rglob("*.py"))


def by_name(script):
    """Return modules that a script imports by a name that it is given."""
    folder = WORKFLOW / "bcnmf_pipeline" / "figures"
    return {
        "fit.py": [_file(module, WORKFLOW) for module, _ in ESTIMATORS.values()],
        "answer.py": [_file(module, WORKFLOW) for module, _ in ESTIMATORS.values()],
        "figure.py": sorted(folder.glob("*.py")),
    }.get(script.name, [])


@pytest.mark.parametrize(("environment", "script"), scripts_of_rules(), ids=lambda path: path.stem)
def test_environments_hold_what_scripts_import(environment, script):
    held = packages(environment)
    for file in _reachable([script, *by_name(script)], WORKFLOW):
        for name in top_level_imports(file):
            if name in sys.stdlib_module_names or name.startswith("bcnmf"):
                continue
            assert MODULES.get(name, name) in held, f"{file} imports {name}, not in {environment}"


def top_level_imports(file):
    """Return modules imported when `file` is imported (imports in functions run only if called)."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_environments_of_fits_differ_in_the_build_of_torch_alone():
    plain, cuda = (packages(ROOT / "envs" / f"{name}.yaml") for name in (FIT["cpu"], FIT["cuda"]))
    assert plain == cuda
    assert "pytorch-gpu" in (ROOT / "envs" / f"{FIT['cuda']}.yaml").read_text()


@pytest.mark.parametrize(
    ("device", "environment", "chosen"),
    [
        ("auto", "auto", "fit"), ("cpu", "auto", "fit"), ("cuda", "auto", "fit-cuda"),
        ("cuda:1", "auto", "fit-cuda"), ("auto", "cuda", "fit-cuda"), ("mps", "cpu", "fit"),
    ],
)  # fmt: skip
def test_the_environment_follows_the_device(device, environment, chosen):
    compute = {"device": device, "environment": environment}
    assert fit_environment(compute, "here") == chosen


@pytest.mark.parametrize(("device", "environment"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_an_environment_that_cannot_use_the_device_is_refused(device, environment):
    with pytest.raises(InputError, match=r"mine, key compute.environment: .* set .* to auto"):
        fit_environment({"device": device, "environment": environment}, "mine")
