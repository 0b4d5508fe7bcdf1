"""What the report of a run says, gathered from the run's tables and records."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bcnmf_pipeline.figures.drivers import reference_text
from bcnmf_pipeline.figures.registry import Drawing
from bcnmf_pipeline.figures.representative import representative_runs, representative_text
from bcnmf_pipeline.record.tables import read_table
from bcnmf_pipeline.report.answer import answer_of
from bcnmf_pipeline.report.evidence import evidence_of
from bcnmf_pipeline.report.explorer import explorer_json
from bcnmf_pipeline.report.page import StudyDetails
from bcnmf_pipeline.report.topic_words import topics_of

_EVALUATION = (
    "topics.tsv", "loadings.parquet", "samples.parquet", "annotations.parquet",
    "top_values.parquet",
)  # fmt: skip
_ENRICHMENT = ("genes", "ora", "gsea")
_EVIDENCE = ("programs", "null", "diagnosis")
_RUN = ["study", "method", "k", "alpha", "seed", "replicate"]
_NAMED = 3  # Studies that a warning names; of more it says how many.


def fitted_runs(
    scores: pd.DataFrame, studies: Sequence[Mapping[str, str]], folder: Path
) -> pd.DataFrame:
    """Return the runs of all studies, of which one without a label has hardly any scores.

    Parameters
    ----------
    scores : DataFrame
        `tables/scores.tsv`.
    studies : sequence of mapping
        Rows of the studies sheet.
    folder : Path
        Folder of the results.

    Returns
    -------
    DataFrame
        study, method, k, alpha, seed, replicate.
    """
    labelled = [study["study"] for study in studies if study["label"]]
    tables = [scores.loc[scores["study"].isin(labelled), _RUN]]
    tables += [
        read_table(folder / "evaluation" / study["study"] / "0" / "topics.tsv")[_RUN]
        for study in studies
        if not study["label"]
    ]
    return pd.concat(tables).drop_duplicates(ignore_index=True)


def described_figure(
    figure: Mapping[str, Any], drawing: Drawing, runs: pd.DataFrame, captions: Path
) -> dict[str, Any]:
    """Return a figure as `page.write_report` takes it.

    Parameters
    ----------
    figure : mapping
        name, study (the folder it stands in), png, pdf; `studies` behind it; `labels`: name in
        figures of each method that it shows.
    drawing : Drawing
        What figure it is.
    runs : DataFrame
        What was fitted: `fitted_runs`.
    captions : Path
        Folder of the captions.
    """
    return {
        **figure,
        "caption_file": captions / f"{drawing.name}.rst",
        "alt": f"{drawing.alt}; study {figure['study']}",
        "fields": {"title": drawing.title, "chosen": shown_fits(figure, drawing, runs)},
    }


def shown_fits(figure: Mapping[str, Any], drawing: Drawing, runs: pd.DataFrame) -> str:
    """Return the sentences of a caption that say which fits a figure shows."""
    rows = runs[runs["study"].isin(figure["studies"])]
    labels = figure["labels"]
    if drawing.plot == "drivers":
        return reference_text(rows, list(labels), labels)
    chosen = representative_runs(rows, list(labels))
    return representative_text(chosen, labels, every_run=bool(drawing.series))


def study_with_sizes(study: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the studies sheet with what the pairing found."""
    sizes = f"{record['n_target']} target and {record['n_background']} background samples, "
    sizes += f"{record['n_features']} features"
    return {**study, "description": " ".join(filter(None, [study["description"], f"{sizes}."]))}


def all_warnings(
    studies: Sequence[Mapping[str, str]],
    records: Sequence[Mapping[str, Any]],
    made_otherwise: Sequence[str],
    left_out: Mapping[str, Mapping[str, str]],
    answered: Mapping[str, Sequence[str]],
    shares: pd.DataFrame,
    scores: pd.DataFrame,
) -> list[str]:
    """Return what the pairing noticed, what was not run or says little, and what is not fair.

    Parameters
    ----------
    studies, records : sequence of mapping
        Rows of the studies sheet, and the record of the pair of each.
    made_otherwise : sequence of str
        Studies that the paper reports values of, which are made otherwise here.
    left_out : mapping of study to mapping of method to str
        Methods of the configuration that were not run on a study, and why.
    answered : mapping of study to sequence of str
        Methods that were to be cross-fitted.
    shares : DataFrame
        `tables/shares.tsv`: what was.
    scores : DataFrame
        `tables/scores.tsv`: whose fits bear a remark.
    """
    by_text: dict[str, list[str]] = {}
    for study, record in zip(studies, records, strict=True):
        reasons: dict[str, list[str]] = {}
        for method, reason in left_out.get(study["study"], {}).items():
            reasons.setdefault(reason, []).append(method)
        texts = [f"not run: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
        done = set(shares.loc[shares["study"] == study["study"], "method"])
        if missing := [name for name in answered.get(study["study"], []) if name not in done]:
            texts.append(
                f"not cross-fitted: {', '.join(missing)}; there are too few samples "
                f"(logs/answer/{study['study']}.log says more)"
            )
        of_study = scores[(scores["study"] == study["study"]) & (scores["remark"] != "")]
        texts += [
            f"{method}: {remark}; the table of scores marks such fits"
            for method, remark in sorted(
                {(row.method, row.remark.partition(" (")[0]) for row in of_study.itertuples()}
            )
        ]
        for text in [*record["warnings"], *texts]:
            by_text.setdefault(text, []).append(study["title"])
    found = [f"{_several(titles, len(studies))}: {text}" for text, titles in by_text.items()]
    if made_otherwise:
        found.append(
            "No reported values stand beside studies of other data than the paper's, or of a "
            "simulation that has not the size of the paper's: "
            f"{', '.join(made_otherwise)}."
        )
    return found


def _several(titles: Sequence[str], n: int) -> str:
    """Return which studies a warning is about."""
    if len(titles) <= _NAMED:
        return "; ".join(titles)
    return f"All {n} studies" if len(titles) == n else f"{len(titles)} of {n} studies"


def study_details(
    study: Mapping[str, str],
    folder: Path,
    labels: Mapping[str, str],
    method: str,
    available: Collection[str],
    shares: pd.DataFrame,
    record: Mapping[str, Any],
    selection: str = "",
) -> StudyDetails:
    """Return topics, evidence, map and tables of a study.

    Parameters
    ----------
    study : mapping
        Its row of the studies sheet.
    folder : Path
        Folder of the results.
    labels : mapping
        Names of its methods.
    method : str
        The method whose topics are described.
    available : collection of str
        Paths of the tables that the run has; those of gene sets are not made for every study.
    shares : DataFrame
        `tables/shares.tsv`.
    record : mapping
        The record of its pair.
    selection : str
        What the selection of K and alpha said, if it was asked.
    """
    name = study["study"]
    evaluation = folder / "evaluation" / name / "0"
    topics, loadings, samples, annotations, values = (
        read_table(evaluation / table) for table in _EVALUATION
    )
    known = {table: folder / "enrichment" / name / f"{table}.tsv" for table in _ENRICHMENT}
    found = {table: path for table, path in known.items() if str(path) in available}
    read = {table: read_table(path) for table, path in found.items() if table != "gsea"}
    n_background_units = int(record.get("n_background_units", 0))
    answer = answer_of(shares, study, method, labels, n_background_units)
    columns = {name: annotations.set_index("sample")[name] for name in annotations.columns[1:]}
    if study["label"]:
        label = samples.drop_duplicates("sample").set_index("sample")["label"]
        columns = {study["label"]: label} | columns
    fit, words = topics_of(
        topics, loadings, method=method, samples=samples, columns=columns, **read
    )
    evidence = folder / "evidence" / name
    paths = {table: evidence / f"{table}.tsv" for table in _EVIDENCE}
    proof = {table: path for table, path in paths.items() if str(path) in available}
    return StudyDetails(
        fit=fit,
        topics=words,
        labels=labels,
        ranked_by="by loading x contrast specificity" if "genes" in found else "by loading",
        answer=answer,
        with_sets="ora" in found,
        evidence=evidence_of(
            {table: read_table(path) for table, path in proof.items()},
            method, study["unit"], words, selection, fit,
        ),
        explorer=explorer_json(
            samples, annotations, values, study=name, labels=labels, label_name=study["label"],
            unit=study["unit"], start=method,
        ),
        tables={
            "Scores": folder / "tables" / "studies" / f"{name}.scores.tsv",
            "Shares": folder / "answer" / name / "shares.tsv",
            **{f"{table} (TSV)": path for table, path in (found | proof).items()},
        },
    )  # fmt: skip
