"""The menu of the site: each list of links under a heading of the first page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def menu(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return titles and paths of the pages that each section of a page lists."""
    sections = (section.split("\n", 1) for section in re.split(r"^## ", text, flags=re.M)[1:])
    return {
        caption: re.findall(r"^- \[(.+?)\]\((\S+?\.md)\)", rest, flags=re.M)
        for caption, rest in sections
    }


def _add_menu(app: Sphinx, name: str, source: list[str]) -> None:
    if name != app.config.root_doc:
        return
    for caption, pages in menu(source[0]).items():
        entries = "\n".join(f"{title} <{path}>" for title, path in pages)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _add_menu)
    return {"parallel_read_safe": True}
