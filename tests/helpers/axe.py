"""axe-core, which checks accessibility, and Chromium; or why a test goes without them."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def missing(what: str) -> None:
    """Skip a test; where all has to hold, as in .ci/run, a test that is skipped has failed."""
    stop = pytest.fail if os.environ.get("BCNMF_REQUIRE_BROWSER") else pytest.skip
    stop(what)


def browser() -> str:
    """Return the path of Chromium."""
    if BROWSER is None:
        missing("no Chromium on the PATH (Debian: apt-get install chromium)")
    return str(BROWSER)


def axe_script() -> str:
    """Return axe-core's source."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        missing("no axe-core (make .venv/.axe)")
        raise AssertionError  # missing() never returns
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")
