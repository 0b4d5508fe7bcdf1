"""Compiled functions, kept on disk where that is possible."""

import errno
import os
import subprocess
import sys

import pytest
from numba.core.caching import CacheImpl, IndexDataCacheFile

from bcnmf import compiled_cache
from bcnmf.kernels.compiled import compiled
from conftest import ROOT


def double(x):
    return 2 * x


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    monkeypatch.setattr(compiled_cache, "_said", [])


def test_without_a_folder_for_the_cache_functions_work_and_one_warning_says_what_to_do(monkeypatch):
    def no_folder(self, function):
        raise RuntimeError("cannot cache function 'double': no locator available")

    monkeypatch.setattr(CacheImpl, "__init__", no_folder)
    with pytest.warns(UserWarning, match="Set NUMBA_CACHE_DIR or XDG_CACHE_HOME") as caught:
        functions = [compiled()(double) for _ in range(2)]
    assert len(caught) == 1
    assert [function(3) for function in functions] == [6, 6]


@pytest.mark.parametrize("at", ["_load_index", "_save_index"])
def test_a_cache_that_is_full_or_may_not_be_read_ends_no_computation(monkeypatch, tmp_path, at):
    def refuse(self, *arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, at, refuse)
    functions = [compiled()(double) for _ in range(2)]
    with pytest.warns(UserWarning, match=r"cannot be kept \(.*No space left on device\)") as caught:
        assert [function(1.5) for function in functions] == [3.0, 3.0]
    assert len(caught) == 1


def test_functions_are_kept_where_they_can_be(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled()(double).stats.cache_path is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "from bcnmf_pipeline.evaluate.compiled_umap import umap_class; umap_class()",
        "from bcnmf_pipeline.datasets.pbmc import pbmc68k_reduced; pbmc68k_reduced()",
    ],
    ids=["umap", "pbmc"],
)
def test_libraries_that_insist_on_a_cache_work_without(use):
    code = (
        "import numba.core.caching as c\n"
        "def no_folder(self, function): raise RuntimeError('no locator available')\n"
        f"c.CacheImpl.__init__ = no_folder\n{use}"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Set NUMBA_CACHE_DIR or XDG_CACHE_HOME") == 1
