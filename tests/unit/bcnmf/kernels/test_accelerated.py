"""Where Triton keeps what it compiles."""

import os
from pathlib import Path

import pytest

from bcnmf.kernels import accelerated

NOWHERE = "/proc/nobody"


@pytest.fixture
def kept_in(monkeypatch):
    """Return a function that says where kernels are kept in an environment."""

    def ask(**environment: object) -> str:
        for name in ("TRITON_CACHE_DIR", "TRITON_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        accelerated.keep_compiled.cache_clear()
        accelerated._of_this_process.clear()
        accelerated.keep_compiled()
        # Else it stays in the environment after the test.
        monkeypatch.setenv("TRITON_CACHE_DIR", os.environ.get("TRITON_CACHE_DIR", ""))
        return os.environ["TRITON_CACHE_DIR"]

    yield ask
    accelerated.keep_compiled.cache_clear()


def test_below_the_home(kept_in, tmp_path):
    assert kept_in(HOME=tmp_path) == str(tmp_path / ".triton" / "cache")


def test_in_the_cache_of_a_user_whose_home_cannot_be_written(kept_in, tmp_path):
    assert kept_in(HOME=NOWHERE, XDG_CACHE_HOME=tmp_path) == str(tmp_path / "triton")


def test_as_long_as_the_process_where_nothing_can_be_written(kept_in):
    folder = Path(kept_in(HOME=NOWHERE, XDG_CACHE_HOME=NOWHERE))
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["TRITON_CACHE_DIR", "TRITON_HOME"])
def test_where_the_user_says(kept_in, name, tmp_path):
    assert kept_in(HOME=NOWHERE, **{name: tmp_path}) in {str(tmp_path), ""}
