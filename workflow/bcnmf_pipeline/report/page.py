"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.figures.representative import Chosen
from bcnmf_pipeline.report.tables import (
    SUMMARY_COLUMNS,
    reported_table,
    require,
    study_table,
    topics_table,
    what_ran_table,
)
from bcnmf_pipeline.report.topic_words import Topic, introduction, sentences

_SCORES_COLUMNS = ("study", "method", "k", "alpha", "seed", "replicate", "score", "value")
_FIGURE_KEYS = ("study", "name", "png", "pdf", "caption_file", "alt", "fields")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DPI = 300
_EMBEDDED_BYTES = 1_000_000
_CSS_DPI = 96
_ENLARGE = 1.3  # seven points of print are small on a screen


@dataclass(frozen=True)
class StudyDetails:
    """What a report says of a study beyond its scores and figures.

    Attributes
    ----------
    fit : Chosen or None
        The fit whose topics are described.
    topics : list of Topic
        Most associated first.
    labels : mapping
        Names of methods.
    ranked_by : str
        How leading features were chosen, in words.
    explorer : str
        JSON of `bcnmf_pipeline.report.explorer.explorer_json`; empty: no map.
    tables : mapping of name to path
        To download.
    """

    fit: Chosen | None = None
    topics: list[Topic] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    ranked_by: str = "by loading"
    explorer: str = ""
    tables: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)


def write_report(
    path: str | os.PathLike[str],
    *,
    config_name: str,
    title: str,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    figures: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    studies: Sequence[Mapping[str, Any]] | pd.DataFrame,
    warnings: Sequence[str],
    tables: Mapping[str, str | os.PathLike[str]] | None = None,
    front_file: str | os.PathLike[str] | None = None,
    details: Mapping[str, StudyDetails] | None = None,
    methods_text: str = "",
) -> None:
    """Write the report of a run as one self-contained HTML file.

    The file opens without a network: pictures are embedded, style and script are inside. It holds
    no date but those in `provenance`, so equal results give equal bytes.

    Parameters
    ----------
    path : path
        The .html file to write.
    config_name, title : str
        Name of the configuration and title of the run.
    scores : DataFrame
        `tables/scores.tsv`: study, method, k, alpha, seed, replicate, score, value.
    summary : DataFrame
        `tables/summary.tsv`: study, method, method_label, k, alpha, score, mean, sd, n_runs,
        n_replicates, n_seeds, n, reported, source.
    figures : sequence of mapping
        study ("" or a name that is no study puts the figure before the studies), name, png, pdf,
        caption_file, alt, fields (further names that the caption may use, and `title`, if given).
    provenance : mapping
        What to state about how the run was made; nested mappings become tables of their own.
    studies : sequence of mapping, or DataFrame
        Rows of the studies sheet, in the order of the report: study, and title, description,
        dataset, target, background, label, unit, values where known.
    warnings : sequence of str
        What a reader has to know; one paragraph each.
    tables : mapping of name to path, optional
        Files to offer for download, linked relative to the report.
    front_file : path, optional
        Introduction in the form of a caption (plain text; `snakemake.config` is known).
    details : mapping of study to StudyDetails, optional
        Topics, interactive map and tables of each study.
    methods_text : str
        See `bcnmf_pipeline.report.methods_text`.

    Raises
    ------
    InputError
        A column or key is missing, or a picture or caption cannot be used.
    """
    path = Path(path)
    require(scores, _SCORES_COLUMNS, "scores")
    require(summary, SUMMARY_COLUMNS, "summary")
    rows = _study_rows(studies)
    names = [row["study"] for row in rows]
    drawn = [_figure(figure, path.parent, config_name) for figure in figures]
    sections = [
        {
            "row": row,
            "runs": _runs_text(scores[scores["study"] == row["study"]]),
            "table": study_table(summary[summary["study"] == row["study"]]),
            "figures": [figure for figure in drawn if figure["study"] == row["study"]],
            **_details((details or {}).get(row["study"]), row, path.parent),
        }
        for row in rows
    ]
    config = {"name": config_name, "title": title}
    page = _environment().get_template("report.html.j2")
    text = page.render(
        config_name=config_name,
        title=title,
        front=_paragraphs(render_caption(front_file, config=config)) if front_file else [],
        what_ran=what_ran_table(rows, summary),
        reported=reported_table(summary, {row["study"]: row["title"] for row in rows}),
        warnings=list(warnings),
        sections=sections,
        across=[figure for figure in drawn if figure["study"] not in names],
        downloads=[_download(name, target, path.parent) for name, target in (tables or {}).items()],
        methods_text=methods_text,
        provenance=_groups(provenance),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _details(details: StudyDetails | None, row: Mapping[str, str], folder: Path) -> dict[str, Any]:
    if details is None:
        return {"words": None, "explorer": "", "downloads": []}
    words = None
    if details.fit is not None and details.topics:
        words = {
            "intro": introduction(details.fit, details.labels, details.ranked_by),
            "sentences": sentences(details.topics, row["label"]),
            "table": topics_table(details.topics, row["label"]),
        }
    return {
        "words": words,
        "explorer": details.explorer,
        "downloads": [
            {"name": name, "href": _relative(path, folder)} for name, path in details.tables.items()
        ],
    }


def _download(name: str, path: str | os.PathLike[str], folder: Path) -> dict[str, str]:
    """Return a link to a table: inside the page where it is small, so that one file is enough."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _EMBEDDED_BYTES:
        return {"name": name, "href": _relative(path, folder), "file": path.name}
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return {
        "name": name,
        "href": f"data:text/tab-separated-values;base64,{content}",
        "file": path.name,
    }


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
    # Captions are text here, and are escaped where they are put into the page.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    snakemake = SimpleNamespace(
        wildcards=SimpleNamespace(**(wildcards or {})), config=dict(config or {})
    )
    try:
        source = Path(caption_file).read_text(encoding="utf-8")
        return (
            environment.from_string(source)
            .render({"chosen": ""} | dict(fields or {}) | {"snakemake": snakemake})
            .strip()
        )
    except FileNotFoundError as error:
        raise InputError(f"{caption_file}: no such caption file; restore it") from error
    except jinja2.TemplateError as error:
        known = ", ".join(sorted({"chosen", "snakemake.wildcards", *(fields or {})}))
        raise InputError(
            f"{caption_file}: the caption cannot be rendered: {error}; known fields: {known}"
        ) from error


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("bcnmf_pipeline.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _study_rows(studies: Sequence[Mapping[str, Any]] | pd.DataFrame) -> list[dict[str, str]]:
    """Return the rows as text, with every key the page asks for."""
    records = studies.to_dict("records") if isinstance(studies, pd.DataFrame) else studies
    keys = ("title", "description", "dataset", "target", "background", "label", "unit", "values")
    rows = []
    for record in records:
        if "study" not in record:
            raise InputError(
                f"studies of the report: a row without the key study; found {', '.join(record)}"
            )
        cells = {k: "" if v is None or v is np.nan else str(v) for k, v in record.items()}
        row = dict.fromkeys(keys, "") | cells
        rows.append(row | {"title": row["title"] or row["study"]})
    return rows


def _runs_text(scores: pd.DataFrame) -> str:
    runs = scores[["method", "k", "alpha", "seed", "replicate"]].drop_duplicates()
    return (
        f"{_count(len(runs), 'fit')}: {_count(runs['method'].nunique(), 'method')}, "
        f"{_count(runs['replicate'].nunique(), 'data replicate')}, "
        f"{_count(runs['seed'].nunique(), 'seed')}"
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _figure(figure: Mapping[str, Any], folder: Path, config_name: str) -> dict[str, Any]:
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
    content = Path(figure["png"]).read_bytes()
    width, height = png_size(content, figure["png"])
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
        "pdf": _relative(figure["pdf"], folder),
        "caption": _paragraphs(caption),
        "alt": figure["alt"],
    }


def png_size(content: bytes, name: str | os.PathLike[str]) -> tuple[int, int]:
    """Return width and height of a PNG file in pixels.

    Raises
    ------
    InputError
        It is no PNG.
    """
    if content[:8] != _PNG_SIGNATURE or len(content) < 24:
        raise InputError(f"{name}: not a PNG file; make the figure again")
    return struct.unpack(">II", content[16:24])


def _relative(target: str | os.PathLike[str], folder: Path) -> str:
    relative = os.path.relpath(Path(target).absolute(), folder.absolute())
    return quote(Path(relative).as_posix())


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def _groups(provenance: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (heading, entries): entries without a mapping of their own come first."""
    plain = [(str(k), _text(v)) for k, v in provenance.items() if not isinstance(v, Mapping)]
    groups = [("Run", plain)] if plain else []
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            groups.append((str(key), [(str(k), _text(v)) for k, v in value.items()]))
    return groups


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
