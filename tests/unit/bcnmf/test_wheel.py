"""The small package alone: built, unpacked elsewhere, run with nothing beside what it declares."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Distributions whose modules have another name.
DISTRIBUTION = {"sklearn": "scikit-learn", "llvmlite": "numba"}

# Refuses every installed module but those of the allowed distributions, as if it were not there.
EMPTY = """
import importlib.metadata, sys

class NotInstalled:
    known = importlib.metadata.packages_distributions()

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        homes = {home.lower().replace("_", "-") for home in self.known.get(top, ["bcnmf"])}
        if top == "bcnmf_pipeline" or homes.isdisjoint(ALLOWED):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
sys.path.insert(0, FOLDER)
"""

USE = """
import bcnmf, numpy as np, runpy

assert bcnmf.__file__.startswith(FOLDER), bcnmf.__file__
rng = np.random.default_rng(0)
X, Y = rng.gamma(1, 1, (30, 12)), rng.gamma(1, 1, (20, 12))
model = bcnmf.BCNMF(n_components=2, max_iter=20, random_state=0)
usage = model.fit_transform(X, background=Y)
model.save(FOLDER + "/model.npz")
again = bcnmf.BCNMF.load(FOLDER + "/model.npz")
assert usage.shape == (30, 2) and again.components_.shape == (2, 12)
np.testing.assert_array_equal(again.transform(X), model.transform(X))
for module in ("pandas", "anndata", "scanpy", "matplotlib", "h5py", "snakemake"):
    assert module not in sys.modules, module
sys.argv = ["bcnmf", "--help"]
runpy.run_module("bcnmf", run_name="__main__")
"""


def needed(name: str, found: set[str]) -> set[str]:
    """Return a distribution and all that it needs, without extras."""
    name = name.lower().replace("_", "-")
    if name in found:
        return found
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # for another platform
        return found
    found.add(name)
    for line in requirements:
        if "extra ==" not in line:
            needed(re.match(r"[\w.-]+", line).group(), found)
    return found


def declared() -> set[str]:
    return {re.match(r"[\w.-]+", line).group() for line in PROJECT["dependencies"]}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the folder into which the built wheel was unpacked."""
    made = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
               "--no-build-isolation", "--wheel-dir", str(made), str(ROOT)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = made.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(made / "unpacked")
    return made / "unpacked"


def test_a_wheel_is_the_small_package_alone(wheel):
    (info,) = wheel.glob("*.dist-info")
    assert {path.name for path in wheel.iterdir()} == {"bcnmf", info.name}
    assert (wheel / "bcnmf" / "py.typed").exists()
    scripts = (info / "entry_points.txt").read_text()
    assert scripts.strip() == "[console_scripts]\nbcnmf = bcnmf.cli:main"


def test_it_works_where_nothing_else_is_installed(wheel):
    allowed = {"bcnmf"}
    for name in declared():
        needed(name, allowed)
    assert not allowed & {"pandas", "anndata", "psutil", "h5py"}
    code = f"FOLDER, ALLOWED = {str(wheel)!r}, {allowed!r}\n{EMPTY}\n{USE}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in ("fit", "select", "project"):
        assert command in done.stdout


def imports(path: Path, late: bool) -> set[str]:
    """Return the distributions that a module imports when it is loaded, or in functions."""
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    typing = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    names = set()
    for node in ast.walk(tree):
        if (id(node) in inside) is not late or id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
    known = sys.stdlib_module_names | {"bcnmf"}
    return {DISTRIBUTION.get(name, name) for name in names - known}


def test_dependencies_are_what_the_package_imports():
    modules = sorted((ROOT / "workflow" / "bcnmf").rglob("*.py"))
    loaded = {path: imports(path, late=False) for path in modules}
    assert set.union(*loaded.values()) == declared(), {
        path.name: found - declared() for path, found in loaded.items() if found - declared()
    }
    extra = {"anndata", "pandas"}  # pandas comes with anndata
    for path in modules:
        assert imports(path, late=True) <= declared() | extra, path
