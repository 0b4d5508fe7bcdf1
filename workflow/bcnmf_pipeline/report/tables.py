"""The tables of a report: cells with what is read and what is sorted by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bcnmf.errors import InputError
from bcnmf_pipeline.evaluate.aggregate import MOST_OF_A_SCORE

SCORE_TITLES = {
    "share_above": "Something new, share",
    "auroc_target_score": "AUROC target score",
    "ari_target_score": "ARI target score",
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
_TERMINAL_SCORES = (
    "ari_usage", "ari_usage_share", "ari_umap", "ari_usage_merged", "ari_target_score",
    "auroc_target_score",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "study", "method", "method_label", "k", "alpha", "score", "mean", "sd",
    "n_runs", "n_replicates", "n_seeds", "n", "reported", "source", "alpha_setting", "remark",
)  # fmt: skip
# What makes a row of a table. Not alpha itself: automatic alphas differ between replicates.
_SETTING = ["method", "k", "alpha_setting"]


@dataclass(frozen=True)
class Cell:
    """One cell: what is read, what is sorted by, small lines below it, and where it leads."""

    text: str
    sort: str = ""
    notes: tuple[str, ...] = ()
    number: bool = False
    href: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]


def what_ran_table(
    studies: Sequence[Mapping[str, str]],
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    labels: Mapping[str, Mapping[str, str]],
) -> Table:
    """Return one row per study: what data, which methods, how many fits."""
    rows = []
    for study in studies:
        of_study = summary[summary["study"] == study["study"]]
        scored = dict(zip(of_study["method"], of_study["method_label"], strict=True))
        names = scored | dict(labels.get(study["study"], {}))
        fitted = runs[runs["study"] == study["study"]]
        fits = fitted[["method", "k", "alpha", "seed", "replicate"]].drop_duplicates()
        methods = [str(names.get(one, one)) for one in fits["method"].unique()]
        samples = int(of_study["n"].max()) if len(of_study) else 0
        rows.append(
            [
                Cell(study["title"], study["title"]),
                Cell(study["dataset"], study["dataset"]),
                Cell(f"{study['label']}{_unit_text(study)}", study["label"]),
                number_cell(samples, "d"),
                Cell(", ".join(methods), str(len(methods))),
                number_cell(fits["replicate"].nunique(), "d"),
                number_cell(len(fits), "d"),
            ]
        )
    columns = ["Study", "Data set", "Held-out label", "Samples", "Methods", "Data replicates"]
    return Table("What ran, and on what", [*columns, "Fits"], rows)


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
                number_cell(k, "d"),
                alpha_cell(first["alpha"], setting),
                *[_score_cell(by_score, score) for score in shown],
                number_cell(first["n_runs"], "d"),
                number_cell(first["n"], "d"),
            ]
        )
    titles = [SCORE_TITLES.get(score, score) for score in shown]
    return Table(
        "Scores, mean ± s.d. over runs", ["Method", "K", "Alpha", *titles, "Runs", "Samples"], rows
    )


def mean_sd(mean: float, sd: float, digits: int = 3) -> str:
    """Return ``mean ± sd``; only the mean where there was a single run, words if it cannot be."""
    if pd.isna(mean):
        return "–"
    if not abs(mean) <= MOST_OF_A_SCORE:
        return f"cannot be ({mean:.3g})"
    text = plain(mean, digits)
    return text if pd.isna(sd) else f"{text} ± {plain(sd, digits)}"


def alpha_cell(alpha: float, setting: object = "") -> Cell:
    """Return a table cell with a contrast, or a dash for methods without one."""
    text = _alpha_text(alpha, setting)
    return Cell(text, "" if pd.isna(alpha) else repr(float(alpha)), number=True)


def scores_text_table(summary: pd.DataFrame) -> str:
    """Return the main scores of a summary as plain text for a terminal.

    Parameters
    ----------
    summary : DataFrame
        `tables/summary.tsv`.

    Returns
    -------
    str
        A block per study with a row per method, K and alpha: mean ± sd of each score over runs, the
        number of runs, and the values that the paper reports, labelled as such. Empty where there
        are none, as without a label.
    """
    require(summary, SUMMARY_COLUMNS, "summary")
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
    if not lines:
        return ""
    marked = kept[kept["remark"] != ""].drop_duplicates(["study", *_SETTING])
    notes = [
        f"NOTE {row.study}, {row.method_label}, K={row.k}: {row.remark}"
        for row in marked.itertuples()
    ]
    return "\n".join([aligned([[*header, "reported by the paper"], *lines]), *notes])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in columns, with a rule below the first."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def require(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Raise `InputError` unless a table has these columns."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"table {name}: missing column(s) {', '.join(missing)}; found "
            f"{', '.join(map(str, table.columns)) or 'none'}; make the tables of this run again"
        )


def _unit_text(study: Mapping[str, str]) -> str:
    return f" (unit: {study['unit']})" if study["unit"] else ""


def _score_cell(by_score: Mapping[str, Any], score: str) -> Cell:
    if score not in by_score:
        return Cell("–", "", number=True)
    row = by_score[score]
    notes = []
    low, high = (by_score.get(f"{score}_units_{end}") for end in ("low", "high"))
    if low is not None and high is not None:
        notes.append(f"95% [{plain(low.mean, 2)}, {plain(high.mean, 2)}]")
    if not pd.isna(row.reported):
        notes.append(f"reported {row.reported:.4g}")
    return Cell(mean_sd(row.mean, row.sd), repr(float(row.mean)), tuple(notes), number=True)


def _id_note(row: pd.Series) -> tuple[str, ...]:
    name = (str(row["method"]),) if str(row["method"]) != str(row["method_label"]) else ()
    return (*name, f"NOTE: {row['remark']}") if row["remark"] else name


def number_cell(value: float, form: str) -> Cell:
    """Return a cell with a number, or a dash where there is none."""
    if pd.isna(value):
        return Cell("–", "", number=True)
    number = int(value) if form == "d" else float(value)
    return Cell(format(number, form), repr(number), number=True)


def p_cell(p_value: float) -> Cell:
    """Return a cell with a p-value, or a dash where there is none."""
    if pd.isna(p_value):
        return Cell("–", "", number=True)
    return Cell(f"{p_value:.2g}", repr(float(p_value)), number=True)


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


def plain(value: float, digits: int) -> str:
    """Return fixed decimals with a true minus sign and no negative zero."""
    text = f"{float(value):.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")
