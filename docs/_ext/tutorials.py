"""Pages of cells: docs/tutorials/ and docs/pictures.md, whose cells `make docs` runs.

A cell of commands begins with ``%%bash -e``: a command that fails ends the build. Readers of the
site do not see that line. Each page has a folder of its own that holds what a checkout does after
`make setup`; in_kernel.py makes it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "docs" / "_build"
SHELL = "%%bash -e\n"
# What the outputs of a page depend on besides its own cells.
_CODE = ("workflow", "config", "profiles", "Snakefile", "requirements.lock")
_CODE += ("docs/_ext/in_kernel.py", "docs/_ext/slurm.py")


def prepare() -> None:
    """Have kernels of this Python alone, whose files are in docs/_build, none of them at home."""
    home = BUILD / "kernels"
    jupyter = ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    for name in (*jupyter, "IPYTHONDIR", "MPLCONFIGDIR"):
        os.environ[name] = str(home)
    os.environ |= {"JUPYTER_PATH": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    settings = home / "profile_default" / "ipython_kernel_config.py"
    settings.parent.mkdir(parents=True, exist_ok=True)
    first = str(Path(__file__).with_name("in_kernel.py"))
    # What a kernel warns of, and a client tells, is not about the page.
    settings.write_text(
        f"c.InteractiveShellApp.exec_files = [{first!r}]\nc.IPKernelApp.log_level = 'ERROR'\n"
    )
    logging.getLogger("traitlets").setLevel(logging.WARNING)


def code_digest() -> str:
    """Return a digest of the code and the settings by which cells are computed."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _CODE for path in _files(ROOT / name)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _as_typed(app: Sphinx, tree: nodes.document) -> None:
    """Show cells of commands as a user types them."""
    for block in tree.findall(nodes.literal_block):
        if block.rawsource.startswith(SHELL):
            block.rawsource = block.rawsource.removeprefix(SHELL)
            block.children = [nodes.Text(block.rawsource)]
            block["language"] = "bash"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("doctree-read", _as_typed)
    return {"parallel_read_safe": True}
