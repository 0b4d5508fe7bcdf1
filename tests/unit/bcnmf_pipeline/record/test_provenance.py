"""What a result depends on: the digest follows imports and nothing else."""

import hashlib

from bcnmf_pipeline.record.provenance import code_digest, file_digest, versions


def package(tmp_path):
    folder = tmp_path / "bcnmf"
    (folder / "sub").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "model.py": "from bcnmf.helper import f\n",
        "helper.py": "def f():\n    from bcnmf.sub import late\n    return late\n",
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
    before = code_digest(script, folder.parent)
    assert code_digest(script, folder.parent) == before
    (folder / "unused.py").write_text("x = 2\n")
    assert code_digest(script, folder.parent) == before
    for name in ("sub/late.py", "helper.py", "model.py", "__init__.py", "sub/__init__.py"):
        (folder / name).write_text((folder / name).read_text() + "# changed\n")
        after = code_digest(script, folder.parent)
        assert after != before, name
        before = after


def test_the_digest_of_a_module_holds_the_module_itself(tmp_path):
    folder, _ = package(tmp_path)
    before = code_digest(folder / "model.py", folder.parent)
    for name in ("helper.py", "model.py"):
        (folder / name).write_text((folder / name).read_text() + "x = 3\n")
        after = code_digest(folder / "model.py", folder.parent)
        assert after != before, name
        before = after


def test_imports_for_type_checkers_are_not_followed(tmp_path):
    folder, script = package(tmp_path)
    (folder / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bcnmf.unused import x\n"
    )
    before = code_digest(script, folder.parent)
    (folder / "unused.py").write_text("x = 2\n")
    assert code_digest(script, folder.parent) == before


def test_file_digest_and_versions(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert file_digest(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert versions()["torch"].startswith("2.")
