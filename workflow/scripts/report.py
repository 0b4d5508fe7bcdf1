"""Write the report of a run from its tables and figures."""

import json
from pathlib import Path

from bcnmf_pipeline.figures.digits import shown_methods
from bcnmf_pipeline.figures.drivers import reference_text
from bcnmf_pipeline.figures.representative import representative_runs, representative_text
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table
from bcnmf_pipeline.report.explorer import explorer_json
from bcnmf_pipeline.report.page import StudyDetails, write_report
from bcnmf_pipeline.report.topic_words import topics_of

# Title, and what a reader who cannot see the figure is told.
FIGURES = {
    "beta": ("Scores against beta", "Lines of adjusted Rand index against beta for each method"),
    "drivers": (
        "What drives success",
        "Lines of adjusted Rand index against levels of each driver",
    ),
    "drivers_auroc": (
        "What drives success, topic by topic",
        "Lines of AUROC of the best topic against levels of each driver",
    ),
    "scores": ("Scores", "Bars of adjusted Rand index for each method, with runs as dots"),
    "embedding": ("UMAP of the usages", "Two-dimensional maps of the samples, one for each method"),
    "usages": ("Usages", "Scatter of the samples in two topics, one panel for each method"),
    "loadings": ("Loadings", "Heatmap of the top features of the most associated topics"),
    "basis": ("Components", "Grid of the components of each method, drawn as images"),
    "objective": ("Objective", "Lines of the objective against the iteration for each method"),
    "selection": (
        "Choice of K and contrast",
        "Heatmaps of stability and specificity over K and alpha",
    ),
    "enrichment": (
        "Gene sets",
        "Dots of gene sets against topics, by overlap and adjusted p-value",
    ),
    "digits": ("Digits figure of the paper", "Images, scores, components, usages and UMAPs"),
    "leukemia": ("Leukemia figure of the paper", "UMAPs, scores, genes of topics"),
    "mixseq": ("MIX-seq figure of the paper", "UMAPs by TP53 and line, scores, genes of topics"),
    "mdd": ("Depression figure of the paper", "UMAPs by diagnosis and cell type, scores, genes"),
    "mouse": ("Mouse figure of the paper", "UMAPs, usages by sample and by mouse, top proteins"),
}


# Figures that show these methods only; the others show all.
SHOWN = {"mouse": ("nmf", "bcnmf"), "loadings": ("bcnmf",), "enrichment": ("bcnmf",)}


def shown_fits(name, study, scores, labels):
    """Return the sentences of a caption that say which fits a figure shows."""
    if name.startswith("drivers"):
        members = [row["study"] for row in snakemake.params.studies if row["group"] == study]
        names = labels[members[0]]
        return reference_text(scores[scores["study"].isin(members)], list(names), names)
    if study not in labels:  # a figure across the studies of a group, all with the same settings
        study = next(one for one in labels if one.startswith(study))
    known = list(labels[study])
    wanted = shown_methods(known) if name == "digits" else SHOWN.get(name, known)
    methods = [method for method in wanted if method in known] or known[-1:]
    runs = representative_runs(scores[scores["study"] == study], methods)
    return representative_text(runs, labels[study], every_run=name == "beta")


def describe(figure, scores, labels):
    """Return a figure with its caption, its texts and which fits it shows."""
    name, study = figure["name"], figure["study"]
    title, alt = FIGURES[name]
    return figure | {
        "caption_file": Path(snakemake.params.captions) / f"{name}.rst",
        "alt": f"{alt}; study {study}",
        "fields": {"title": title, "chosen": shown_fits(name, study, scores, labels)},
    }


def study_with_sizes(study, record):
    """Return a row of the studies sheet with what the pairing found."""
    sizes = f"{record['n_target']} target and {record['n_background']} background samples, "
    sizes += f"{record['n_features']} features"
    return study | {"description": " ".join(filter(None, [study["description"], f"{sizes}."]))}


def all_warnings(studies, records):
    """Return what the pairing noticed, and where a comparison with the paper would not be fair."""
    found = [
        f"{study['title']}: {warning}"
        for study, record in zip(studies, records, strict=True)
        for warning in record["warnings"]
    ]
    if snakemake.params.smaller:
        found.append(
            "The simulation of this run has not the size of the paper's, so no reported values "
            f"stand beside it ({', '.join(snakemake.params.smaller)})."
        )
    return found


def details_of(study, folder):
    """Return topics, map and tables of a study."""
    name, labels = study["study"], snakemake.params.labels[study["study"]]
    evaluation = folder / "evaluation" / name / "0"
    tables = {
        table: read_table(evaluation / f"{table}.{kind}")
        for table, kind in (
            ("topics", "tsv"), ("loadings", "parquet"), ("samples", "parquet"),
            ("annotations", "parquet"), ("top_values", "parquet"),
        )
    }  # fmt: skip
    known = {
        table: folder / "enrichment" / name / f"{table}.tsv" for table in ("genes", "ora", "gsea")
    }
    found = {table: path for table, path in known.items() if str(path) in DETAILS}
    read = {table: read_table(path) for table, path in found.items() if table != "gsea"}
    fit, topics = topics_of(
        tables["topics"], tables["loadings"], method=snakemake.params.methods[name], **read
    )
    own = {"Scores": folder / "tables" / "studies" / f"{name}.scores.tsv"}
    own |= {f"{table} (TSV)": path for table, path in found.items()}
    return StudyDetails(
        fit=fit,
        topics=topics,
        labels=labels,
        ranked_by="by loading x contrast specificity" if "genes" in found else "by loading",
        explorer=explorer_json(
            tables["samples"], tables["annotations"], tables["top_values"], study=name,
            labels=labels, label_name=study["label"], unit=study["unit"],
            start=snakemake.params.methods[name],
        ),
        tables=own,
    )  # fmt: skip


with logged(snakemake):
    DETAILS = set(map(str, snakemake.input.details))
    folder = Path(snakemake.input.provenance).parent
    scores = read_table(snakemake.input.scores)
    records = [json.loads(Path(path).read_text()) for path in snakemake.input.records]
    studies = snakemake.params.studies
    tables = Path(snakemake.input.scores).parent
    write_report(
        snakemake.output[0],
        config_name=snakemake.wildcards.config,
        title=snakemake.params.title,
        scores=scores,
        summary=read_table(snakemake.input.summary),
        figures=[
            describe(figure, scores, snakemake.params.labels) for figure in snakemake.params.figures
        ],
        provenance=json.loads(Path(snakemake.input.provenance).read_text()),
        studies=[
            study_with_sizes(study, record) for study, record in zip(studies, records, strict=True)
        ],
        warnings=all_warnings(studies, records),
        tables={
            "All scores (TSV)": tables / "scores.tsv",
            "Mean and standard deviation (TSV)": tables / "summary.tsv",
        },
        front_file=Path(snakemake.params.captions) / "workflow.rst",
        details={study["study"]: details_of(study, folder) for study in studies},
        methods_text=Path(snakemake.input.methods).read_text(encoding="utf-8"),
    )
