"""Conda environments and the pip lock say the same, and hold what the scripts import."""

import ast
import re
import sys
from collections import defaultdict

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from bcnmf import InputError
from bcnmf_pipeline.methods.estimators import ESTIMATORS
from bcnmf_pipeline.plan.environments import FIT, fit_environment
from bcnmf_pipeline.record.provenance import WORKFLOW, _file, _reachable
from conftest import ROOT

# Where a conda package is called otherwise than on the Python package index, or a module otherwise
# than its package.
CONDA_NAMES = {"pytorch-cpu": "torch", "pytorch-gpu": "torch", "matplotlib-base": "matplotlib"}
MODULES = {
    "sklearn": "scikit-learn", "skimage": "scikit-image", "yaml": "pyyaml", "umap": "umap-learn",
    "PIL": "pillow", "llvmlite": "numba",  # which needs just one version of it
}  # fmt: skip
# Imported in a function that the jobs of an environment do not come to: threads of torch are set
# where a script imported it, who brings a .loom is told to install loompy, and kernels in Triton
# are for GPUs, where torch brings it.
NOT_REACHED = {("analysis", "torch"), ("analysis", "loompy"), ("fit", "triton")}
# The environments of fits, by the build of torch: `compute.environment`.
FIT_ENVS = sorted(FIT.values())
# Functions that import the module whose name they are given.
BY_NAME = {"import_module", "import_extra", "import_reader"}
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
# Versions that are known to be on conda-forge, and move numbers.
EXACT = {"numpy", "scipy", "pandas", "h5py", "scikit-image", "torch", "anndata", "scanpy"}


def locked() -> dict[str, set[str]]:
    """Return the versions of each package in the lock: one, or one for each of several Pythons."""
    found = defaultdict(set)
    # torch has no checksum that holds for every machine: it stands in the other file.
    lock = "".join((ROOT / f"requirements.{name}").read_text() for name in ("lock", "in"))
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", lock, re.MULTILINE):
        found[canonicalize_name(name)].add(version)
    return found


def packages(environment) -> dict[str, SpecifierSet]:
    content = yaml.safe_load(environment.read_text())
    found = {}
    for entry in content["dependencies"]:
        name, bounds = re.fullmatch(r"(\S+) (=?[^ =]\S*)", entry).groups()
        exact = re.fullmatch(r"=([0-9.]+)", bounds)
        found[CONDA_NAMES.get(name, name)] = SpecifierSet(f"=={exact[1]}.*" if exact else bounds)
    return found


def test_the_environments_are_those_of_the_rules():
    assert {path.stem for path in ENVIRONMENTS} == {"analysis", *FIT_ENVS}
    assert {environment for environment, _ in scripts_of_rules()} == set(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environments_allow_the_locked_versions(environment):
    content = yaml.safe_load(environment.read_text())
    # `nodefaults` would be taken for a channel of that name.
    assert content["channels"] in (["conda-forge"], ["conda-forge", "bioconda"])
    assert content["name"] == f"bcnmf-{environment.stem}"
    for name, bounds in packages(environment).items():
        if name == "python":
            assert {"3.11", "3.12", "3.13"} == set(
                bounds.filter(["3.10", "3.11", "3.12", "3.13", "3.14"])
            )
            continue
        assert locked()[name], name
        assert set(bounds.filter(locked()[name])) == locked()[name], name
        operators = sorted(one.operator for one in bounds)
        assert operators == (["=="] if name in EXACT else ["<", ">="]), name


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
    stage = "analysis" if environment.stem == "analysis" else "fit"
    for file in _reachable([script, *by_name(script)], WORKFLOW):
        for name in imports(file):
            if name in sys.stdlib_module_names or name.startswith("bcnmf"):
                continue
            if (stage, name) not in NOT_REACHED:
                assert MODULES.get(name, name) in held, f"{file} imports {name}, not in {stage}"


def imports(file):
    """Return the modules that `file` imports, wherever in it, also by the name that it gives."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called in BY_NAME:
                yield node.args[0].value.split(".")[0]


def test_environments_of_fits_differ_in_the_build_of_torch_alone():
    plain, cuda = (packages(ROOT / "envs" / f"{name}.yaml") for name in (FIT["cpu"], FIT["cuda"]))
    assert plain == cuda
    assert "pytorch-gpu" in (ROOT / "envs" / f"{FIT['cuda']}.yaml").read_text()
    assert "torch" not in packages(ROOT / "envs" / "analysis.yaml")


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
