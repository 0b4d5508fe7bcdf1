"""The report of a run: one HTML file that needs nothing else, and a table for the terminal."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from bcnmf.errors import InputError
from bcnmf.io import atomic_path
from bcnmf.plotting.representative import Chosen
from bcnmf.topic_words import Topic, introduction, sentences

SCORE_TITLES = {
    "ari_usage": "ARI usage",
    "ari_usage_share": "ARI usage share",
    "ari_umap": "ARI UMAP",
    "ari_usage_units": "ARI usage, units",
    "ari_usage_share_units": "ARI usage share, units",
    "ari_umap_units": "ARI UMAP, units",
    "ari_usage_merged": "ARI usage, clusters merged by label",
    "ari_usage_share_merged": "ARI usage share, clusters merged by label",
    "ari_umap_merged": "ARI UMAP, clusters merged by label",
    "silhouette_usage": "Silhouette usage",
    "silhouette_usage_share": "Silhouette usage share",
    "silhouette_umap": "Silhouette UMAP",
    "auroc_best": "AUROC of the best topic",
    "program_cosine": "Cosine to the true programs, mean",
    "program_cosine_least": "Cosine to the true programs, least",
    "shared_leakage": "Energy on shared genes",
}
_TERMINAL_SCORES = ("ari_usage", "ari_usage_share", "ari_umap", "ari_usage_merged")
_SUMMARY_COLUMNS = (
    "study", "method", "method_label", "k", "alpha", "score", "mean", "sd",
    "n_runs", "n_replicates", "n_seeds", "n", "reported", "source", "alpha_setting",
)  # fmt: skip
_SCORES_COLUMNS = ("study", "method", "k", "alpha", "seed", "replicate", "score", "value")
# What makes a row of a table. Not alpha itself: automatic alphas differ between replicates.
_SETTING = ["method", "k", "alpha_setting"]
_FIGURE_KEYS = ("study", "name", "png", "pdf", "caption_file", "alt", "fields")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DPI = 300
_EMBEDDED_BYTES = 1_000_000
_CSS_DPI = 96
_ENLARGE = 1.3  # seven points of print are small on a screen


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read, what is sorted by, and small lines below it."""

    text: str
    sort: str = ""
    notes: tuple[str, ...] = ()
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]


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
        JSON of `bcnmf.explorer.explorer_json`; empty: no map.
    tables : mapping of name to path
        To download.
    """

    fit: Chosen | None = None
    topics: list[Topic] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    ranked_by: str = "by loading"
    explorer: str = ""
    tables: Mapping[str, str | os.PathLike] = field(default_factory=dict)


def write_report(
    path: str | os.PathLike,
    *,
    config_name: str,
    title: str,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    figures: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    studies: Sequence[Mapping[str, Any]] | pd.DataFrame,
    warnings: Sequence[str],
    tables: Mapping[str, str | os.PathLike] | None = None,
    front_file: str | os.PathLike | None = None,
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
        See `bcnmf.methods_text`.

    Raises
    ------
    InputError
        A column or key is missing, or a picture or caption cannot be used.
    """
    path = Path(path)
    _require(scores, _SCORES_COLUMNS, "scores")
    _require(summary, _SUMMARY_COLUMNS, "summary")
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


def topics_table(topics: Sequence[Topic], label_name: str) -> Table:
    """Return one row per topic: who uses it, what leads it, what that is known for."""
    columns = ["Topic", f"Used more where {label_name} is", "AUROC", "Adjusted p"]
    with_units = any(topic.p_units == topic.p_units for topic in topics)
    rows = [
        [
            Cell(f"Topic {topic.number}", str(topic.number)),
            Cell(topic.favours, topic.favours),
            _number(topic.auroc, ".2f"),
            _p_cell(topic.p_adjusted),
            *([_p_cell(topic.p_units)] if with_units else []),
            Cell(", ".join(topic.leading), topic.leading[0] if topic.leading else ""),
            Cell("; ".join(name for name, _ in topic.sets) or "–", ""),
        ]
        for topic in topics
    ]
    units = ["Adjusted p, units"] if with_units else []
    return Table("Topics", [*columns, *units, "Led by", "Over-represented gene sets"], rows)


def _p_cell(p_value: float) -> Cell:
    if pd.isna(p_value):
        return Cell("–", "", number=True)
    return Cell(f"{p_value:.2g}", repr(float(p_value)), number=True)


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


def _download(name: str, path: str | os.PathLike, folder: Path) -> dict[str, str]:
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


def what_ran_table(studies: Sequence[Mapping[str, str]], summary: pd.DataFrame) -> Table:
    """Return one row per study: what data, which methods, how many fits."""
    rows = []
    for study in studies:
        of_study = summary[summary["study"] == study["study"]]
        methods = list(dict.fromkeys(map(str, of_study["method_label"])))
        settings = of_study.drop_duplicates(_SETTING)
        fits = int(settings["n_runs"].sum())
        samples = int(of_study["n"].max()) if len(of_study) else 0
        rows.append(
            [
                Cell(study["title"], study["title"]),
                Cell(study["dataset"], study["dataset"]),
                Cell(f"{study['label']}{_unit_text(study)}", study["label"]),
                _number(samples, "d"),
                Cell(", ".join(methods), str(len(methods))),
                _number(int(of_study["n_replicates"].max()) if len(of_study) else 0, "d"),
                _number(fits, "d"),
            ]
        )
    columns = ["Study", "Data set", "Held-out label", "Samples", "Methods", "Data replicates"]
    return Table("What ran, and on what", [*columns, "Fits"], rows)


def reported_table(summary: pd.DataFrame, titles: Mapping[str, str]) -> Table:
    """Return every summary row for which the paper reports a value, both side by side."""
    known = summary[summary["reported"].notna()]
    rows = [
        [
            Cell(titles.get(str(row.study), str(row.study)), str(row.study)),
            Cell(str(row.method_label), str(row.method_label)),
            _number(row.k, "d"),
            alpha_cell(row.alpha, row.alpha_setting),
            Cell(SCORE_TITLES.get(row.score, str(row.score)), str(row.score)),
            _number(row.reported, ".4g"),
            Cell(mean_sd(row.mean, row.sd, 4), repr(float(row.mean)), number=True),
            _difference(float(row.mean - row.reported)),
            _number(row.n_runs, "d"),
            Cell("" if pd.isna(row.source) else str(row.source)),
        ]
        for row in known.itertuples()
    ]
    columns = [
        "Study", "Method", "K", "Alpha", "Score", "Reported", "This run (mean ± s.d.)",
        "Difference", "Runs", "Where reported",
    ]  # fmt: skip
    return Table("Reported against reproduced", columns, rows)


def study_table(summary: pd.DataFrame) -> Table:
    """Return the scores of one study, a row per method, K and alpha, a column per score.

    Below a score stand its 95% interval over resampled units and the value that the paper reports,
    where they exist.
    """
    present = list(dict.fromkeys(map(str, summary["score"])))
    ends = ("_low", "_high")
    known = [score for score in SCORE_TITLES if score in present]
    shown = known + [s for s in present if s not in known and not s.endswith(ends)]
    rows = []
    for (_, k, setting), group in summary.groupby(_SETTING, sort=False, dropna=False):
        by_score = {row.score: row for row in group.itertuples()}
        first = group.iloc[0]
        rows.append(
            [
                Cell(str(first["method_label"]), str(first["method_label"]), notes=_id_note(first)),
                _number(k, "d"),
                alpha_cell(first["alpha"], setting),
                *[_score_cell(by_score, score) for score in shown],
                _number(first["n_runs"], "d"),
                _number(first["n"], "d"),
            ]
        )
    titles = [SCORE_TITLES.get(score, score) for score in shown]
    return Table(
        "Scores, mean ± s.d. over runs", ["Method", "K", "Alpha", *titles, "Runs", "Samples"], rows
    )


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """Return ``mean ± sd``; only the mean where there was a single run."""
    if pd.isna(mean):
        return "–"
    text = _plain(mean, digits)
    return text if pd.isna(sd) else f"{text} ± {_plain(sd, digits)}"


def alpha_cell(alpha: float, setting: object = "") -> Cell:
    """Return a table cell with a contrast, or a dash for methods without one."""
    text = _alpha_text(alpha, setting)
    return Cell(text, "" if pd.isna(alpha) else repr(float(alpha)), number=True)


def render_caption(
    caption_file: str | os.PathLike,
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


def scores_text_table(summary: pd.DataFrame) -> str:
    """Return the ARIs of a summary as plain text for a terminal.

    Parameters
    ----------
    summary : DataFrame
        `tables/summary.tsv`.

    Returns
    -------
    str
        A block per study with a row per method, K and alpha: mean ± sd of each ARI over runs, the
        number of runs, and the values that the paper reports, labelled as such.
    """
    _require(summary, _SUMMARY_COLUMNS, "summary")
    present = [score for score in _TERMINAL_SCORES if score in set(summary["score"])]
    header = ["study", "method", "K", "alpha", *[s.replace("_", " ") for s in present], "runs"]
    lines = []
    kept = summary[summary["score"].isin(present)]
    last_study = None
    for (study, _, k, setting), group in kept.groupby(
        ["study", *_SETTING], sort=False, dropna=False
    ):
        by_score = {row.score: row for row in group.itertuples()}
        values = [
            mean_sd(by_score[s].mean, by_score[s].sd) if s in by_score else "–" for s in present
        ]
        reported = [
            f"{by_score[s].reported:.4g} ({s.removeprefix('ari_').replace('_', ' ')})"
            for s in present
            if s in by_score and not pd.isna(by_score[s].reported)
        ]
        lines.append(
            [
                str(study) if study != last_study else "",
                str(group["method_label"].iloc[0]),
                str(int(k)),
                _alpha_text(group["alpha"].iloc[0], setting),
                *values,
                str(int(group["n_runs"].max())),
                ", ".join(reported),
            ]
        )
        last_study = study
    return _aligned([[*header, "reported by the paper"], *lines])


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("bcnmf", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _require(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"table {name}: missing column(s) {', '.join(missing)}; found "
            f"{', '.join(map(str, table.columns)) or 'none'}; make the tables of this run again"
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


def _unit_text(study: Mapping[str, str]) -> str:
    return f" (unit: {study['unit']})" if study["unit"] else ""


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


def png_size(content: bytes, name: str | os.PathLike) -> tuple[int, int]:
    """Return width and height of a PNG file in pixels.

    Raises
    ------
    InputError
        It is no PNG.
    """
    if content[:8] != _PNG_SIGNATURE or len(content) < 24:
        raise InputError(f"{name}: not a PNG file; make the figure again")
    return struct.unpack(">II", content[16:24])


def _relative(target: str | os.PathLike, folder: Path) -> str:
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


def _score_cell(by_score: Mapping[str, Any], score: str) -> Cell:
    if score not in by_score:
        return Cell("–", "", number=True)
    row = by_score[score]
    notes = []
    low, high = (by_score.get(f"{score}_units_{end}") for end in ("low", "high"))
    if low is not None and high is not None:
        notes.append(f"95% [{_plain(low.mean, 2)}, {_plain(high.mean, 2)}]")
    if not pd.isna(row.reported):
        notes.append(f"reported {row.reported:.4g}")
    return Cell(mean_sd(row.mean, row.sd), repr(float(row.mean)), tuple(notes), number=True)


def _id_note(row: pd.Series) -> tuple[str, ...]:
    return (str(row["method"]),) if str(row["method"]) != str(row["method_label"]) else ()


def _number(value: float, form: str) -> Cell:
    if pd.isna(value):
        return Cell("–", "", number=True)
    number = int(value) if form == "d" else float(value)
    return Cell(format(number, form), repr(number), number=True)


def _alpha_text(alpha: float, setting: object) -> str:
    """Return a contrast; one that was chosen automatically by its rank, since its value varies."""
    if str(setting).startswith("auto"):
        value = "" if pd.isna(alpha) else f" ({_alpha(alpha)})"
        return f"auto {str(setting).removeprefix('auto')}{value}"
    return "–" if pd.isna(alpha) else _alpha(alpha)


def _alpha(alpha: float) -> str:
    """Return three significant digits without an exponent up to a million."""
    rounded = float(f"{float(alpha):.3g}")
    return f"{rounded:g}" if rounded < 1e6 else f"{rounded:.2e}"


def _plain(value: float, digits: int) -> str:
    """Return fixed decimals with a true minus sign and no negative zero."""
    text = f"{float(value):.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def _difference(value: float) -> Cell:
    """Return a cell with an explicit sign."""
    text = _plain(value, 4)
    positive = not text.startswith("−") and float(text) != 0
    return Cell(f"+{text}" if positive else text, repr(value), number=True)
