"""Figures of a report: the picture inside the page, with its caption."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import jinja2
from PIL import Image, UnidentifiedImageError

from bcnmf.errors import InputError

_FIGURE_KEYS = ("study", "name", "png", "pdf", "caption_file", "alt", "fields")
_PNG_DPI = 300
_CSS_DPI = 96
_ENLARGE = 1.3  # seven points of print are small on a screen


def embedded_figure(figure: Mapping[str, Any], folder: Path, config_name: str) -> dict[str, Any]:
    """Return a figure as the page's template takes it.

    Raises
    ------
    InputError
        A key is missing, or the picture or its caption cannot be used.
    """
    missing = [key for key in _FIGURE_KEYS if key not in figure]
    if missing:
        raise InputError(
            f"figure {figure.get('name', '?')!r} of the report: missing key(s) "
            f"{', '.join(missing)}; needed: {', '.join(_FIGURE_KEYS)}"
        )
    if not str(figure["alt"]).strip():
        raise InputError(
            f"figure {figure['name']!r} of the report: `alt` is empty; describe the picture in a "
            "sentence for readers who cannot see it"
        )
    content, width, height = smaller(figure["png"])
    fields = dict(figure["fields"] or {})
    caption = render_caption(
        figure["caption_file"],
        wildcards={"study": str(figure["study"]), "config": config_name},
        config={"name": config_name},
        fields=fields,
    )
    return {
        "study": figure["study"],
        "name": figure["name"],
        "title": fields.get("title") or str(figure["name"]).replace("_", " ").capitalize(),
        "data": base64.b64encode(content).decode("ascii"),
        "width": round(width * _CSS_DPI * _ENLARGE / _PNG_DPI),
        "height": round(height * _CSS_DPI * _ENLARGE / _PNG_DPI),
        "pdf": relative_link(figure["pdf"], folder),
        "caption": paragraphs(caption),
        "alt": figure["alt"],
    }


def smaller(path: str | os.PathLike[str]) -> tuple[bytes, int, int]:
    """Return a PNG as WebP, which has the same pixels in a third of the bytes, and its size.

    Raises
    ------
    InputError
        It is no PNG.
    """
    drawn = BytesIO(Path(path).read_bytes())
    try:
        with Image.open(drawn, formats=["PNG"]) as picture:
            content = BytesIO()
            picture.save(content, "WEBP", lossless=True, method=1, quality=50)
            return content.getvalue(), *picture.size
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{path}: not a whole PNG file; make the figure again") from error


def render_caption(
    caption_file: str | os.PathLike[str],
    *,
    wildcards: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> str:
    """Return the text of a caption file with its fields filled in.

    Parameters
    ----------
    caption_file : path
        Plain text with jinja fields. Snakemake renders the same files and knows only `snakemake`;
        fields of ours are empty there.
    wildcards, config : mapping, optional
        What `snakemake.wildcards` and `snakemake.config` hold.
    fields : mapping, optional
        Further fields. `chosen` (which fits are shown) is empty unless given.

    Raises
    ------
    InputError
        The file is missing, is no valid template, or uses an unknown field.
    """
    # Captions are text here, and are escaped where they are put into the page. To Snakemake they
    # are reStructuredText, in which "mine_" would be a link: underscores get a backslash.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(**(wildcards or {})), config=dict(config or {})
    )
    try:
        source = Path(caption_file).read_text(encoding="utf-8")
        return (
            environment.from_string(source)
            .render({"chosen": ""} | dict(fields or {}) | {"snakemake": snakemake})
            .replace("\\_", "_")
            .strip()
        )
    except FileNotFoundError as error:
        raise InputError(f"{caption_file}: no such caption file; restore it") from error
    except jinja2.TemplateError as error:
        known = ", ".join(sorted({"chosen", "snakemake.wildcards", *(fields or {})}))
        raise InputError(
            f"{caption_file}: the caption cannot be rendered: {error}; known fields: {known}"
        ) from error


def relative_link(target: str | os.PathLike[str], folder: Path) -> str:
    """Return the link to a file from a page in a folder."""
    relative = os.path.relpath(Path(target).absolute(), folder.absolute())
    return quote(Path(relative).as_posix())


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, each as one line."""
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
