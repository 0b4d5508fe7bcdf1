"""Scores of all replicates in one table, beside what the paper reports, and their summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from bcnmf.errors import InputError

REPORTED_COLUMNS = ("study", "method", "score", "value", "source", "note")
SCORE_COLUMNS = (
    "study", "method", "k", "alpha", "contrast", "seed", "score", "label", "value", "n",
    "reported", "source", "replicate", "title", "alpha_setting", "remark",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "study", "method", "method_label", "k", "alpha", "contrast", "score", "label", "mean", "sd",
    "n_runs", "n_replicates", "n_seeds", "n", "reported", "source", "alpha_setting", "remark",
)  # fmt: skip
SHARE_COLUMNS = (
    "study", "method", "k", "alpha", "seed", "column", "group", "n", "n_above", "share", "low",
    "high", "n_units", "auroc", "chance",
)  # fmt: skip

# Rand indices, silhouettes, areas, shares and cosines all lie between -1 and 1, but for rounding.
MOST_OF_A_SCORE = 1 + 1e-6

_REPORTED_KEY = ["study", "method", "score"]
_INPUT_COLUMNS = tuple(
    column for column in SCORE_COLUMNS if column not in {"reported", "source", "title"}
)
# One row of the summary. Not alpha itself: automatic alphas differ from replicate to replicate.
_SUMMARY_KEY = ["study", "method", "k", "alpha_setting", "contrast", "score", "label"]
_TEXT = ("study", "method", "contrast", "score", "label", "alpha_setting", "remark")


def collect_scores(
    tables: Sequence[pd.DataFrame], reported: pd.DataFrame, studies: pd.DataFrame
) -> pd.DataFrame:
    """Join the scores of replicates and put the reported values beside them.

    Parameters
    ----------
    tables : sequence of DataFrame
        `scores` tables of evaluations.
    reported : DataFrame
        The paper's values: study, method, score, value, source, note. Rows about studies that are
        not in `studies` are allowed; see `reported_without_counterpart` for finding them.
    studies : DataFrame
        The studies of the run: study, title.

    Returns
    -------
    DataFrame
        Columns `SCORE_COLUMNS`, in the order of `studies`, then by method, k, alpha, replicate,
        seed; scores keep their order. `reported` is missing and `source` empty where the paper has
        no value for (study, method, score).

    Raises
    ------
    InputError
        Missing columns, reported values that are no numbers or stand twice, no scores at all,
        scores that cannot be, or those of a study that is not in `studies`.
    """
    _check_reported(reported)
    _check_columns("studies", studies, ("study", "title"))
    if not tables:
        raise InputError("there are no tables of scores to collect")
    for table in tables:
        _check_columns("scores", table, _INPUT_COLUMNS)
    scores = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    scores = _plain_text(scores)
    if len(rows := impossible_scores(scores, "value")):
        row = rows.iloc[0]
        raise InputError(
            f"study {row['study']}, method {row['method']}, K={row['k']}, seed {row['seed']}: "
            f"{row['score']} is {row['value']:.6g}; scores lie between -1 and 1. Delete its fits "
            "and its evaluation and run again"
        )
    unknown = sorted(set(scores["study"]) - set(studies["study"]))
    if unknown:
        raise InputError(
            f"scores of the study {', '.join(unknown)}, which is not in the run's studies: "
            f"{', '.join(studies['study'])}"
        )
    values = reported.set_index(_REPORTED_KEY)[["value", "source"]]
    values = values.rename(columns={"value": "reported"})
    scores = scores.drop(columns=["reported", "source", "title"], errors="ignore")
    scores = scores.join(values, on=_REPORTED_KEY).fillna({"source": ""})
    scores["title"] = scores["study"].map(studies.set_index("study")["title"])
    rank = {study: position for position, study in enumerate(studies["study"])}
    scores["_study"] = scores["study"].map(rank)
    scores["_alpha"] = scores["alpha"].fillna(-1.0)
    by = ["_study", "method", "k", "_alpha", "alpha_setting", "replicate", "seed"]
    return scores.sort_values(by, kind="stable", ignore_index=True)[list(SCORE_COLUMNS)]


def share_scores(shares: pd.DataFrame, contrasts: Mapping[str, str]) -> pd.DataFrame:
    """Return the share of all target samples above left-out background as rows of scores.

    Parameters
    ----------
    shares : DataFrame
        `SHARE_COLUMNS`, of `answer.answer`; rows of methods not in `contrasts` are left out.
    contrasts : mapping
        Contrast of each method of the study, as in the methods sheet.

    Returns
    -------
    DataFrame
        As `scores` of evaluations: the score is `share_above`, of replicate 0, without a label.
    """
    whole = shares[(shares["column"] == "") & shares["method"].isin(list(contrasts))]
    return whole.assign(
        replicate=0,
        contrast=whole["method"].map(contrasts),
        score="share_above",
        label="",
        value=whole["share"],
        remark="",
        alpha_setting=whole["alpha"].map(lambda alpha: "" if pd.isna(alpha) else f"{alpha:.12g}"),
    )[list(_INPUT_COLUMNS)]


def summarise(scores: pd.DataFrame, methods: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation of every score over replicates and seeds.

    Parameters
    ----------
    scores : DataFrame
        From `collect_scores`.
    methods : DataFrame
        Registry of methods: method, label (the name in figures).

    Returns
    -------
    DataFrame
        Columns `SUMMARY_COLUMNS`; rows in the order in which they appear in `scores`. `sd` (n - 1)
        is over all runs, missing for a single one. Scores that are missing in a run do not count;
        `n` is the smallest number of samples (or units) of a run. `remark` is the first of the
        runs, "" where there is none. `alpha` is missing where the
        method has none and where an automatic choice differs from run to run.

    Raises
    ------
    InputError
        Missing columns, or a method that is not in `methods`.
    """
    _check_columns("scores", scores, SCORE_COLUMNS)
    _check_columns("methods", methods, ("method", "label"))
    scores = _plain_text(scores)
    labels = methods.drop_duplicates("method").set_index("method")["label"]
    unknown = sorted(set(scores["method"]) - set(labels.index))
    if unknown:
        raise InputError(
            f"scores of the method {', '.join(unknown)}, which is not in the methods sheet: "
            f"{', '.join(labels.index)}"
        )
    measured = scores[scores["value"].notna()]
    of_all = scores.groupby(_SUMMARY_KEY, sort=False)
    of_measured = measured.groupby(_SUMMARY_KEY, sort=False)
    summary = of_all.agg(
        n=("n", "min"),
        alpha=("alpha", _if_same),
        reported=("reported", "first"),
        source=("source", "first"),
        remark=("remark", _first_remark),
    )
    summary = summary.join(
        of_measured.agg(
            mean=("value", "mean"),
            sd=("value", "std"),
            n_runs=("value", "size"),
            n_replicates=("replicate", "nunique"),
            n_seeds=("seed", "nunique"),
        )
    ).reset_index()
    counts = ["n_runs", "n_replicates", "n_seeds"]
    summary[counts] = summary[counts].fillna(0).astype(int)
    summary["method_label"] = summary["method"].map(labels)
    return summary[list(SUMMARY_COLUMNS)]


def reported_without_counterpart(
    reported: pd.DataFrame, studies: Sequence[str], methods: Sequence[str]
) -> pd.DataFrame:
    """Return the reported rows whose study or method is not registered, with the reason.

    Parameters
    ----------
    reported : DataFrame
        The paper's values.
    studies, methods : sequence of str
        Names in the studies and methods sheets.

    Returns
    -------
    DataFrame
        The rows, with a column `reason`; empty if every row has a counterpart.
    """
    _check_reported(reported)
    no_study = ~reported["study"].isin(list(studies))
    no_method = ~reported["method"].isin(list(methods))
    rows = reported[no_study | no_method].copy()
    rows["reason"] = [
        " and ".join(
            f"{kind} {name!r} is not registered"
            for kind, name, absent in (
                ("study", row.study, no_study[row.Index]),
                ("method", row.method, no_method[row.Index]),
            )
            if absent
        )
        for row in rows.itertuples()
    ]
    return rows.reset_index(drop=True)


def _check_reported(reported: pd.DataFrame) -> None:
    _check_columns("reported values", reported, REPORTED_COLUMNS)
    if not pd.api.types.is_numeric_dtype(reported["value"]):
        bad = reported.loc[pd.to_numeric(reported["value"], errors="coerce").isna(), "value"]
        raise InputError(
            f"reported values, column value: {', '.join(map(repr, bad))} is not a number"
        )
    repeated = reported[reported.duplicated(_REPORTED_KEY)]
    if len(repeated):
        row = repeated.iloc[0]
        raise InputError(
            f"reported values: ({row['study']}, {row['method']}, {row['score']}) stands twice; "
            "keep one and name the other in its note"
        )


def _check_columns(what: str, table: pd.DataFrame, required: Sequence[str]) -> None:
    missing = [column for column in required if column not in table]
    if missing:
        raise InputError(
            f"{what}: missing column {', '.join(missing)}; found: {', '.join(table.columns)}"
        )


def _plain_text(scores: pd.DataFrame) -> pd.DataFrame:
    """Return text columns with "" for missing: an empty cell of a .tsv is read as missing."""
    text = {
        column: scores[column].map(lambda value: "" if pd.isna(value) else str(value))
        for column in _TEXT
    }
    text["alpha_setting"] = text["alpha_setting"].map(_canonical_setting)
    return scores.assign(**text)


def _canonical_setting(setting: str) -> str:
    """Return "1.5" for "1.50" too: a column without "auto1" is read back as numbers."""
    return setting if setting.startswith("auto") or not setting else format(float(setting), ".12g")


def impossible_scores(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the rows whose number no score can have; missing ones are no numbers."""
    return table[table[column].notna() & ~(table[column].abs() <= MOST_OF_A_SCORE)]


def _first_remark(remarks: pd.Series) -> str:
    """Return a remark on one of several fits, and on how many there is any."""
    found = remarks[remarks != ""]
    if not len(found):
        return ""
    return f"{found.iloc[0]}, {len(found)} of {len(remarks)} runs"


def _if_same(values: pd.Series) -> float:
    first = values.iloc[0]
    return first if (values == first).all() else float("nan")
