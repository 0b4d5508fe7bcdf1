"""What a result was made from: digests of code and of files."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

# Folder of the packages whose code a result may depend on.
WORKFLOW = Path(__file__).resolve().parents[2]
_PACKAGES = ("bcnmf", "bcnmf_pipeline")
# Modules that move no number: what they decide reaches a job as its parameters (the plan), or they
# tell what happens (logs, messages, progress), or where it happens (GPUs).
_PLUMBING = (
    "bcnmf.errors",
    "bcnmf.progress",
    "bcnmf_pipeline.fit.batch",
    "bcnmf_pipeline.fit.gpus",
    "bcnmf_pipeline.plan.environments",
    "bcnmf_pipeline.plan.runs",
    "bcnmf_pipeline.plan.sheets",
    "bcnmf_pipeline.record.job",
    "bcnmf_pipeline.record.made_with",
    "bcnmf_pipeline.record.provenance",
)
_FOR_READERS = ("__version__", "__all__")


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, read in chunks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_digest(*starts: str | Path, folder: Path = WORKFLOW) -> str:
    """Return a digest of scripts or modules and of all that they can reach of the packages.

    Snakemake reruns a rule when its parameters change, and knows nothing of what a script imports.
    This digest is a parameter of the rule, so that a change of the code reruns what it touches:
    following the imports keeps a change of a figure from refitting everything. What counts is what
    Python runs: comments, docstrings, formatting and annotations of arguments do not, nor do the
    modules of `_PLUMBING`.

    Parameters
    ----------
    *starts : Path or str
        Files, or names of modules.
    folder : Path
        Folder of the packages.

    Returns
    -------
    str
        Hexadecimal digest of names and syntax trees.
    """
    digest = hashlib.sha256()
    plumbing = [folder.joinpath(*name.split(".")).with_suffix(".py") for name in _PLUMBING]
    for file in sorted(_reachable([_file(start, folder) for start in starts], folder, plumbing)):
        # A script has its file's name alone, a module its place, wherever the folder is.
        name = file.relative_to(folder) if file.is_relative_to(folder) else file.name
        digest.update(f"{name} {_read(file).syntax}\n".encode())
    return digest.hexdigest()[:16]


def _file(start: str | Path, folder: Path) -> Path:
    return start if isinstance(start, Path) else _files(start, folder)[-1]


def _reachable(starts: list[Path], folder: Path, left_out: Collection[Path] = ()) -> set[Path]:
    """Return files and what they import of the packages, leaving some out with their imports."""
    seen: set[Path] = set()
    waiting = list(starts)
    while waiting:
        file = waiting.pop()
        if file in seen or file in left_out:
            continue
        seen.add(file)
        waiting += [found for name in _read(file).imports for found in _files(name, folder)]
    return seen


class _Source(NamedTuple):
    """What a file imports, wherever in it, and a digest of its syntax tree."""

    imports: tuple[str, ...]
    syntax: str


def _read(file: Path) -> _Source:
    stat = file.stat()
    return _parsed(file, stat.st_mtime_ns, stat.st_size)


@cache
def _parsed(file: Path, _time: int, _size: int) -> _Source:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    imports: list[str] = []
    words: list[str] = []
    _walk(tree, words, imports)
    return _Source(tuple(imports), hashlib.sha256(" ".join(words).encode()).hexdigest())


def _walk(node: object, words: list[str], imports: list[str]) -> None:
    """Put the syntax below a node into words, and note its imports.

    Written here and not by `ast.dump`, whose words differ between versions of Python.
    """
    if isinstance(node, list):
        words.append("[")
        for item in node:
            _walk(item, words, imports)
        words.append("]")
        return
    if not isinstance(node, ast.AST):
        words.append(repr(node))
        return
    if _never_runs(node):
        return
    if isinstance(node, ast.Import):
        imports += [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        imports.append(node.module)
        imports += [f"{node.module}.{alias.name}" for alias in node.names]
    words.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        hint = name == "returns" or (name == "annotation" and isinstance(node, ast.arg))
        # What is read and what is written shows by its place.
        if value is not None and value != [] and name != "ctx" and not hint:
            words.append(name)
            _walk(value, words, imports)


def _never_runs(node: ast.AST) -> bool:
    """Whether a statement moves nothing: a docstring, an import for type checkers, the version."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return any(getattr(target, "id", "") in _FOR_READERS for target in node.targets)
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def _files(module: str, folder: Path) -> list[Path]:
    """Return the files that importing `module` runs: each parent's, and at last its own."""
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
