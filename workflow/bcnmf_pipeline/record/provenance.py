"""What a result was made from: digests of code and inputs, versions, device."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

# Folder of the packages whose code a result may depend on.
WORKFLOW = Path(__file__).resolve().parents[2]
_PACKAGES = ("bcnmf", "bcnmf_pipeline")
_REPORTED_VERSIONS = (
    "numpy", "scipy", "pandas", "torch", "scikit-learn", "anndata", "scanpy", "umap-learn",
    "matplotlib", "snakemake",
)  # fmt: skip


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, read in chunks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _REPORTED_VERSIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def code_digest(script: str | os.PathLike[str], folder: Path = WORKFLOW) -> str:
    """Return a digest of a script and of every module of the packages that it can reach.

    Snakemake reruns a rule when its script changes, but knows nothing of what the script imports.
    This digest, given as a parameter of the rule, closes the gap; following the imports keeps a
    change to a figure from refitting everything.

    Parameters
    ----------
    script : path
        A Python script.
    folder : Path
        Folder of the packages.

    Returns
    -------
    str
        Hexadecimal digest of names and contents.
    """
    files = sorted(_reachable(Path(script), folder) - {Path(script)})
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _reachable(start: Path, folder: Path) -> set[Path]:
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        waiting += [found for name in _imports(tree) for found in _files(name, folder)]
    return seen


def _imports(tree: ast.AST) -> list[str]:
    names = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue  # never run
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _files(module: str, folder: Path) -> list[Path]:
    """Return the files that importing `module` runs: the package's own and each parent's."""
    parts = module.split(".")
    if parts[0] not in _PACKAGES:
        return []
    files = []
    for depth in range(1, len(parts) + 1):
        base = folder.joinpath(*parts[:depth])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                files.append(candidate)
    return files


def describe_device() -> dict[str, Any]:
    """Return the torch version, threads and accelerators of this process."""
    import torch

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "mps": torch.backends.mps.is_available(),
    }
