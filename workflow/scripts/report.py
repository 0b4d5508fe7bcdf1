"""Write the report of a run from its tables and figures."""

import json
from pathlib import Path

from bcnmf_pipeline.figures.registry import read_drawings
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table
from bcnmf_pipeline.report.contents import (
    all_warnings,
    described_figure,
    fitted_runs,
    study_details,
    study_with_sizes,
)
from bcnmf_pipeline.report.page import write_report

with logged(snakemake):
    given, params = snakemake.input, snakemake.params
    captions, tables = Path(params.captions), Path(given.scores).parent
    drawings = read_drawings(captions / "figures.yaml")
    scores, shares = read_table(given.scores), read_table(given.shares)
    records = [json.loads(Path(path).read_text()) for path in given.records]
    pairs = list(zip(params.studies, records, strict=True))
    runs = fitted_runs(scores, params.studies, tables.parent)
    write_report(
        snakemake.output[0],
        config_name=snakemake.wildcards.config,
        title=params.title,
        scores=scores,
        summary=read_table(given.summary),
        figures=[
            described_figure(figure, drawings[figure["name"]], runs, captions)
            for figure in params.figures
        ],
        provenance=json.loads(Path(given.provenance).read_text()),
        studies=[study_with_sizes(study, record) for study, record in pairs],
        warnings=all_warnings(
            params.studies,
            records,
            params.made_otherwise,
            params.left_out,
            params.answered,
            shares,
            scores,
        ),
        tables={
            "All scores (TSV)": tables / "scores.tsv",
            "Mean and standard deviation (TSV)": tables / "summary.tsv",
            "Shares of samples that hold something new (TSV)": tables / "shares.tsv",
            "Reported against reproduced (TSV)": given.reported,
        },
        front_file=captions / "workflow.rst",
        details={
            name: study_details(
                study,
                tables.parent,
                params.labels[name],
                params.methods[name],
                set(given.details),
                shares,
                record,
                params.selected.get(name, ""),
            )
            for study, record in pairs
            for name in [study["study"]]
        },
        reproduced=read_table(given.reported),
        runs=runs,
        methods_text=Path(given.methods).read_text(encoding="utf-8"),
    )
