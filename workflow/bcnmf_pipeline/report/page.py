"""The report of a run: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.files import atomic_path
from bcnmf_pipeline.figures.representative import Chosen
from bcnmf_pipeline.report.answer import Answer
from bcnmf_pipeline.report.answer_tables import topics_table
from bcnmf_pipeline.report.evidence import Evidence
from bcnmf_pipeline.report.front import ANSWER, Answered, parts_of, text_of
from bcnmf_pipeline.report.pictures import (
    embedded_figure,
    paragraphs,
    relative_link,
    render_caption,
)
from bcnmf_pipeline.report.reported import DEFINITION, reproduced_of
from bcnmf_pipeline.report.tables import (
    SUMMARY_COLUMNS,
    require,
    study_table,
    what_ran_table,
)
from bcnmf_pipeline.report.topic_words import Topic, introduction, sentences

_SCORES_COLUMNS = ("study", "method", "k", "alpha", "seed", "replicate", "score", "value")
_NULL = "null"  # This figure stands beside the words on how sure an answer is.
_EMBEDDED_BYTES = 1_000_000


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
    answer : Answer or None
        How many of its samples hold something new.
    with_sets : bool
        Whether topics were tested against gene sets.
    evidence : Evidence
        How sure the answer is.
    explorer : str
        JSON of `bcnmf_pipeline.report.explorer.explorer_json`; empty: no map.
    tables : mapping of name to path
        To download.
    """

    fit: Chosen | None = None
    topics: list[Topic] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    ranked_by: str = "by loading"
    answer: Answer | None = None
    with_sets: bool = False
    evidence: Evidence = field(default_factory=Evidence)
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
    reproduced: pd.DataFrame | None = None,
    runs: pd.DataFrame | None = None,
) -> None:
    """Write the report of a run as one self-contained HTML file, and its answers as plain text.

    The file opens without a network: pictures are embedded, style and script are inside. It holds
    no date but those in `provenance`, so equal results give equal bytes.

    Parameters
    ----------
    path : path
        The .html file to write; the text is `tables/answer.txt` beside it.
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
    reproduced : DataFrame, optional
        `tables/reported_vs_reproduced.tsv`.
    runs : DataFrame, optional
        What was fitted: study, method, k, alpha, seed, replicate. By default what has scores.

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
    fitted = scores if runs is None else runs
    drawn = [embedded_figure(figure, path.parent, config_name) for figure in figures]
    details = details or {}
    labels = {row["study"]: details[row["study"]].labels for row in rows if row["study"] in details}
    pictures = {figure["study"]: figure for figure in drawn if figure["name"] == "answer"}
    answered = {
        row["study"]: _answered(row, place, details[row["study"]], pictures)
        for place, row in enumerate(rows, 1)
        if row["study"] in details
    }
    parts = parts_of([one for one in answered.values() if one is not None], drawn)
    in_front = {one.row["study"] for part in parts for one in part.whole}
    shown = [figure for part in parts for figure in part.figures]
    shown += [one.figure for one in answered.values() if one is not None and one.figure]
    shown += [figure for figure in drawn if figure["name"] == _NULL]
    rest = [figure for figure in drawn if not any(figure is one for one in shown)]
    titles = {row["study"]: row["title"] for row in rows}
    beside = None if reproduced is None else reproduced_of(reproduced, titles)
    sections = [
        {
            "row": row,
            "answer": None if row["study"] in in_front else answered.get(row["study"]),
            "runs": _runs_text(fitted[fitted["study"] == row["study"]]),
            "table": study_table(summary[summary["study"] == row["study"]]),
            "evidence": details[row["study"]].evidence if row["study"] in details else Evidence(),
            "nulls": [one for one in drawn if (one["name"], one["study"]) == (_NULL, row["study"])],
            "figures": [figure for figure in rest if figure["study"] == row["study"]],
            **_details(details.get(row["study"]), row, path.parent),
        }
        for row in rows
    ]
    config = {"name": config_name, "title": title}
    page = _environment().get_template("report.html.j2")
    text = page.render(
        config_name=config_name,
        title=title,
        parts=parts,
        front=paragraphs(render_caption(front_file, config=config)) if front_file else [],
        what_ran=what_ran_table(rows, summary, fitted, labels),
        reproduced=beside,
        definition=DEFINITION,
        warnings=list(warnings),
        sections=sections,
        across=[figure for figure in rest if figure["study"] not in names],
        downloads=[_download(name, target, path.parent) for name, target in (tables or {}).items()],
        methods_text=methods_text,
        provenance=_groups(provenance),
    )
    for file, content in ((path, text), (path.parent / "tables" / ANSWER, text_of(parts, beside))):
        with atomic_path(file) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")


def _answered(
    row: Mapping[str, str],
    place: int,
    details: StudyDetails,
    pictures: Mapping[str, Mapping[str, Any]],
) -> Answered | None:
    if details.answer is None:
        return None
    return Answered(
        row, f"#study-{place}", details.answer, details.topics, details.with_sets,
        pictures.get(row["study"]), details.evidence,
    )  # fmt: skip


def _details(details: StudyDetails | None, row: Mapping[str, str], folder: Path) -> dict[str, Any]:
    if details is None:
        return {"words": None, "explorer": "", "downloads": []}
    words = None
    if details.fit is not None and details.topics:
        words = {
            "intro": introduction(details.fit, details.labels, details.ranked_by, details.topics),
            "sentences": sentences(details.topics, row["label"]),
            "table": topics_table(details.topics, row["label"]),
        }
    return {
        "words": words,
        "explorer": details.explorer,
        "downloads": [
            {"name": name, "href": relative_link(path, folder)}
            for name, path in details.tables.items()
        ],
    }


def _download(name: str, path: str | os.PathLike[str], folder: Path) -> dict[str, str]:
    """Return a link to a table: inside the page where it is small, so that one file is enough."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _EMBEDDED_BYTES:
        return {"name": name, "href": relative_link(path, folder), "file": path.name}
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return {
        "name": name,
        "href": f"data:text/tab-separated-values;base64,{content}",
        "file": path.name,
    }


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
    keys = (
        "title", "description", "dataset", "target", "background", "label", "unit", "values",
        "group", "each",
    )  # fmt: skip
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


def _runs_text(fitted: pd.DataFrame) -> str:
    runs = fitted[["method", "k", "alpha", "seed", "replicate"]].drop_duplicates()
    return (
        f"{_count(len(runs), 'fit')}: {_count(runs['method'].nunique(), 'method')}, "
        f"{_count(runs['replicate'].nunique(), 'data replicate')}, "
        f"{_count(runs['seed'].nunique(), 'seed')}"
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _groups(provenance: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (heading, entries): entries without a mapping of their own come first."""
    plain = [(str(k), _text(v)) for k, v in provenance.items() if not isinstance(v, Mapping)]
    groups = [("Run", plain)] if plain else []
    for key, value in provenance.items():
        if isinstance(value, Mapping) and value:
            groups.append(
                (str(key).replace("_", " "), [(str(k), _text(v)) for k, v in value.items()])
            )
    return groups


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
