"""The small package alone: built, and used where only what it declares is installed."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from packaging.requirements import Requirement

from bcnmf import __version__
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / PROJECT["readme"]).read_text()
PACKAGE = ROOT / "workflow" / "bcnmf"
# Distributions whose modules have another name.
DISTRIBUTION = {
    "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "umap": "umap-learn",
    "yaml": "pyyaml",
}  # fmt: skip
# What imports a library by its name, where it is needed.
LATE = {"import_extra", "import_reader", "import_module"}
# Found in the environment of the tests, but declared by nobody.
# Its CUDA builds bring it, and only where it is there are the kernels that need it imported.
OF_TORCH = {"triton"}
UNDECLARED = ("psutil", "matplotlib", "snakemake", "pytest")
EXTRA = ("anndata", "h5py", "pandas")


def names(requirements):
    return {Requirement(line).name for line in requirements}


DECLARED = names(PROJECT["dependencies"])
EXTRAS = {name: names(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def imports(folder: Path) -> tuple[set[str], set[str]]:
    """Return the distributions that modules import when they are loaded, and later."""
    loaded, late = set(), set()
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        within = {
            id(node)
            for part in ast.walk(tree)
            if isinstance(part, ast.FunctionDef)
            for node in ast.walk(part)
        }
        for_types = {
            id(node)
            for part in ast.walk(tree)
            if isinstance(part, ast.If) and "TYPE_CHECKING" in ast.unparse(part.test)
            for node in ast.walk(part)
        }
        for node in ast.walk(tree):
            if id(node) not in for_types:
                (late if id(node) in within else loaded).update(modules(node))
    known = sys.stdlib_module_names | {"bcnmf", "bcnmf_pipeline"}
    return tuple(
        {DISTRIBUTION.get(name, name) for name in found - known} for found in (loaded, late)
    )


def modules(node: ast.AST) -> set[str]:
    """Return the modules that a statement or a call imports, without what is below them."""
    found = []
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        found = [node.module]
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in LATE:
        found = [one.value for one in node.args[:1] if isinstance(one, ast.Constant)]
    return {name.partition(".")[0] for name in found}


def test_what_is_imported_is_declared():
    loaded, late = imports(PACKAGE)
    assert loaded - OF_TORCH == DECLARED
    assert (
        late - DECLARED - OF_TORCH == EXTRAS["anndata"] | EXTRAS["formats"] | EXTRAS["completion"]
    )


def test_the_extra_of_the_pipeline_is_what_the_pipeline_imports():
    found = {"snakemake"}  # by the Snakefile
    for folder in ("bcnmf_pipeline", "scripts"):
        found = found.union(*imports(ROOT / "workflow" / folder))
    _, late = imports(PACKAGE)
    late -= {"loompy"} | OF_TORCH  # of a rare format
    assert EXTRAS["pipeline"] == (found | late) - DECLARED


def test_what_is_installed_here_fulfils_what_is_declared():
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for requirement in map(Requirement, group):
            if requirement.name != "loompy":
                version = importlib.metadata.version(requirement.name)
                assert requirement.specifier.contains(version), (requirement, version)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder, "-t", "sdist", "-t", "wheel")
    return folder


def build(source: Path, folder: Path, *targets: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *targets]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def content(folder: Path) -> dict[str, bytes]:
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_wheel_is_the_small_package_alone(built):
    found = content(built)
    info = f"bcnmf-{__version__}.dist-info"
    assert {name.split("/")[0] for name in found} == {"bcnmf", info}
    assert {"bcnmf/py.typed", f"{info}/licenses/LICENSE"} <= set(found)
    assert {name for name in found if name.endswith(".py")} == {
        f"bcnmf/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")
    }
    scripts = found[f"{info}/entry_points.txt"].decode()
    assert scripts.strip() == "[console_scripts]\nbcnmf = bcnmf.cli:main"
    metadata = found[f"{info}/METADATA"].decode()
    assert metadata.endswith(README)
    assert "Description-Content-Type: text/markdown" in metadata
    assert "License-Expression: MIT" in metadata


def test_the_description_stands_without_the_repository():
    assert re.findall(r"\]\((?!https?://)[^)]*\)", README) == []
    assert PROJECT["urls"]
    assert all(address.startswith("https://") for address in PROJECT["urls"].values())


def test_classifiers_are_known():
    known = pytest.importorskip("trove_classifiers").classifiers
    assert set(PROJECT["classifiers"]) <= known


def test_the_sdist_gives_the_same_wheel(built, tmp_path):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build(source, tmp_path / "again", "-t", "wheel")
    assert content(tmp_path / "again") == content(built)


def needed(requirements, found: set[str]) -> set[str]:
    """Return distributions and all that they need here."""
    for requirement in map(Requirement, requirements):
        extras = requirement.extras or {""}
        name = requirement.name.lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        lines = importlib.metadata.requires(name) or []
        parsed = [(line, Requirement(line).marker) for line in lines]
        needed(
            [
                line
                for line, marker in parsed
                if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
            ],
            found,
        )
    return found


class Environment:
    """An environment in which the wheel is installed, and of what is installed here a part."""

    def __init__(self, folder: Path, built: Path, requirements: list[str]) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (site,) = (folder / "lib").glob("python*/site-packages")
        with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
            archive.extractall(site)
        for name in needed(requirements, set()):
            for file in importlib.metadata.files(name):
                top = file.parts[0]
                if top not in ("..", "__pycache__") and not (site / top).exists():
                    (site / top).symlink_to(Path(file.locate()).parents[len(file.parts) - 1] / top)

    def __call__(self, *arguments: object, **options):
        # -I: nothing of the folder, of PYTHONPATH or of the user.
        command = [str(self.python), "-I", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def alone(built, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("alone"), built, PROJECT["dependencies"])


@pytest.fixture(scope="module")
def with_files(built, tmp_path_factory):
    requirements = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["anndata"]
    return Environment(tmp_path_factory.mktemp("with_files"), built, requirements)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, samples in (("t", 40), ("b", 30)):
        values = rng.gamma(1, 1, (samples, 20)).astype(np.float32)
        ad.AnnData(values).write_h5ad(folder / f"{name}.h5ad")
        ad.AnnData(values).to_df().to_csv(folder / f"{name}.csv")
    return folder


USE = """
import importlib.util, json, sys
import numpy as np
from bcnmf import BCNMF, NMF, SharedTargetNMF, crossfit

assert "site-packages" in sys.modules["bcnmf"].__file__
rng = np.random.default_rng(0)
X, Y = rng.gamma(1, 1, (30, 12)), rng.gamma(1, 1, (20, 12))
for model in (
    BCNMF(n_components=2, max_iter=20, random_state=0),
    NMF(n_components=2, max_iter=20, random_state=0),
    SharedTargetNMF(n_shared=2, n_target=1, max_iter=20, random_state=0),
):
    usage = model.fit_transform(X, background=Y)
    model.save(sys.argv[1])
    again = type(model).load(sys.argv[1])
    assert usage.shape == (30, 1 if type(model) is SharedTargetNMF else 2)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
assert crossfit(BCNMF(n_components=2, max_iter=20), X, background=Y).score.shape == (30,)
print(json.dumps([name for name in sys.argv[2:] if importlib.util.find_spec(name)]))
"""


@pytest.mark.long
def test_models_work_where_nothing_else_is_installed(alone, tmp_path):
    done = alone("-W", "ignore", "-c", USE, tmp_path / "model.npz", *UNDECLARED, *EXTRA)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.long
def test_what_the_description_shows_runs(alone, tmp_path):
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    done = alone("-W", "ignore", "-c", example, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.npz").exists()


def commands(data: Path, end: str) -> list[list]:
    target, background = data / f"t.{end}", data / f"b.{end}"
    sides = ["--target", target, "--background", background]
    fit = ["fit", *sides, "-k", 2, "--max-iter", 20, "--device", "cpu"]
    return [
        [*fit, "--out", "fit.h5ad", "--model", "m.npz", "--checkpoint", "state.npz"],
        ["project", "--data", target, "--model", "m.npz", "--out", "p.h5ad"],
        ["select", *sides, "-k", 2, "--alpha", 1, "--splits", 1, "--max-iter", 9, "--out", "s.tsv"],
    ]


@pytest.mark.long
def test_without_the_extra_one_line_names_it(alone, data, tmp_path):
    entry = "from importlib.metadata import entry_points as e; e(name='bcnmf')['bcnmf'].load()()"
    for start in (["-m", "bcnmf"], ["-c", entry]):
        done = alone(*start, "--help")
        assert done.returncode == 0, done.stderr
        assert all(command in done.stdout for command in ("fit", "select", "project"))
    for end in ("h5ad", "csv"):
        for command in commands(data, end):
            done = alone("-m", "bcnmf", *command, "--quiet", cwd=tmp_path)
            assert done.returncode == 2
            (line,) = done.stderr.splitlines()
            assert re.fullmatch(
                r"error: this needs \w+, which is not installed; "
                r"pip install 'bcnmf\[anndata\]' brings it",
                line,
            )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("end", ["h5ad", "csv"])
def test_with_the_extra_the_command_line_works(with_files, data, tmp_path, end):
    for command in commands(data, end):
        done = with_files("-m", "bcnmf", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"fit.h5ad", "m.npz", "p.h5ad", "s.tsv"}
    missing = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert with_files("-c", missing, *UNDECLARED).stdout == "[]\n"
