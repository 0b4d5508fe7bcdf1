"""What a result depends on: the digest follows imports, and what Python runs of them."""

import hashlib
import os

import pytest

from bcnmf_pipeline.methods.estimators import ESTIMATORS
from bcnmf_pipeline.record import provenance
from bcnmf_pipeline.record.provenance import WORKFLOW, code_digest, file_digest

HELPER = '''"""Helps."""
from __future__ import annotations


def f(x: int, scale=0) -> int:
    """Return it."""
    from bcnmf.sub import late
    return [x, scale, late, "a # b"]
'''


def package(tmp_path):
    folder = tmp_path / "bcnmf"
    (folder / "sub").mkdir(parents=True)
    for name, text in {
        "__init__.py": '__version__ = "1"\n',
        "model.py": "from bcnmf.helper import f\nfrom bcnmf.errors import E\n",
        "helper.py": HELPER,
        "errors.py": "E = 1\n",
        "unused.py": "x = 1\n",
        "sub/__init__.py": "",
        "sub/late.py": "y = 2\n",
    }.items():
        (folder / name).write_text(text)
    script = tmp_path / "fit.py"
    script.write_text("import numpy\nfrom bcnmf.model import f\n")
    return folder, script


def test_the_digest_follows_imports_into_functions_and_packages(tmp_path):
    folder, script = package(tmp_path)
    before = code_digest(script, folder=tmp_path)
    assert code_digest(script, folder=tmp_path) == before
    (folder / "unused.py").write_text("x = 2\n")
    assert code_digest(script, folder=tmp_path) == before
    files = ("sub/late.py", "helper.py", "model.py", "__init__.py", "sub/__init__.py", "../fit.py")
    for name in files:
        (folder / name).write_text((folder / name).read_text() + "changed = 1\n")
        after = code_digest(script, folder=tmp_path)
        assert after != before, name
        before = after


NOTHING = {
    "comment": ("def f", "# Why.\ndef f"),
    "docstring": ("Return it.", "Return it, and more."),
    "docstring of a module": ('"""Helps."""\n', ""),
    "formatting": ("[x, scale, late, ", "[\n        x, scale,\n        late,\n        "),
    "annotation": ("x: int, scale=0) -> int", "x: float, scale=0)"),
}
SOMETHING = {
    "default": ("scale=0", "scale=1"),
    "type of a constant": ("scale=0", "scale=False"),
    "order": ("[x, scale,", "[scale, x,"),
    "text": ("a # b", "a # c"),
    "name": ("def f(", "def g("),
    "import": ("from bcnmf.sub import late", "from bcnmf.sub import late as later"),
}


@pytest.mark.parametrize("kind", [*NOTHING, *SOMETHING])
def test_what_python_runs_counts_and_nothing_else(tmp_path, kind):
    folder, script = package(tmp_path)
    before = code_digest(script, folder=tmp_path)
    old, new = (NOTHING | SOMETHING)[kind]
    assert old in HELPER
    (folder / "helper.py").write_text(HELPER.replace(old, new))
    assert (code_digest(script, folder=tmp_path) == before) == (kind in NOTHING)


def test_a_change_that_keeps_size_and_second_is_seen(tmp_path):
    folder, script = package(tmp_path)
    before = code_digest(script, folder=tmp_path)
    stat = (folder / "helper.py").stat()
    (folder / "helper.py").write_text(HELPER.replace("scale=0", "scale=1"))
    os.utime(folder / "helper.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert code_digest(script, folder=tmp_path) != before


def test_the_version_and_imports_for_type_checkers_rerun_nothing(tmp_path):
    folder, script = package(tmp_path)
    before = code_digest(script, folder=tmp_path)
    (folder / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\n__version__ = '2'\n"
        "if TYPE_CHECKING:\n    from bcnmf.unused import x\n"
    )
    changed = code_digest(script, folder=tmp_path)  # by the import of typing
    (folder / "__init__.py").write_text("from typing import TYPE_CHECKING\n__version__ = '3'\n")
    assert code_digest(script, folder=tmp_path) == changed != before


def test_what_moves_no_number_is_left_out(tmp_path):
    folder, script = package(tmp_path)
    before = code_digest(script, folder=tmp_path)
    (folder / "errors.py").write_text("E = 2\n")
    assert code_digest(script, folder=tmp_path) == before
    for name in provenance._PLUMBING:
        assert WORKFLOW.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


def reached_by(algorithm):
    starts = ("bcnmf_pipeline.fit.run", ESTIMATORS[algorithm][0])
    plumbing = {provenance._file(name, WORKFLOW) for name in provenance._PLUMBING}
    files = [provenance._file(start, WORKFLOW) for start in starts]
    return {
        str(file.relative_to(WORKFLOW))
        for file in provenance._reachable(files, WORKFLOW, plumbing)
        if file.name != "__init__.py"
    }


def test_a_fit_depends_on_its_estimator_solver_matrices_and_kernels_alone():
    for algorithm in ESTIMATORS:
        allowed = (
            "bcnmf/", "bcnmf_pipeline/fit/run.py", "bcnmf_pipeline/methods/",
            # Weights of batches, and what names their columns.
            "bcnmf_pipeline/pair/batches.py", "bcnmf_pipeline/plan/selected.py",
            "bcnmf_pipeline/plan/selection_syntax.py",
        )  # fmt: skip
        assert [file for file in reached_by(algorithm) if not file.startswith(allowed)] == []
    assert any("bcnmf/kernels/" in file for file in reached_by("bcnmf"))
    assert "bcnmf/solvers/multiplicative.py" in reached_by("nmf")
    assert not any("solvers" in file or "kernels" in file for file in reached_by("pca"))


@pytest.mark.parametrize(
    ("algorithm", "module"),
    [("shared", "shared_target"), ("combined", "combined_basis"), ("cpca", "cpca")],
)
def test_an_estimator_is_nothing_to_fits_by_others(algorithm, module):
    using = {name for name in ESTIMATORS if any(module in file for file in reached_by(name))}
    assert using == {algorithm}


def test_file_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()
