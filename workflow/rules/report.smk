"""What was run, and the report."""

import time

from bcnmf_pipeline.plan.reported import standing
from bcnmf_pipeline.plan.sheets import read_sheet

STARTED = time.time()
REPRODUCED = "results/{config}/tables/reported_vs_reproduced.tsv"

# Of its own runs, quick and paper, `make` prints more.
if ACTIVE.name not in ("quick", "paper"):

    onsuccess:
        folder = Path(f"results/{ACTIVE.name}")
        answer = folder / "tables" / "answer.txt"
        if answer.exists() and answer.stat().st_mtime > STARTED:
            text = answer.read_text(encoding="utf-8")
            print(f"\n{text}\nReport: {folder / 'report.html'}")


rule methods_text:
    input:
        provenance="results/{config}/provenance.json",
        records=pair_records,
    output:
        "results/{config}/tables/methods.md",
    log:
        "results/{config}/logs/methods_text.log",
    benchmark:
        "results/{config}/benchmarks/methods_text.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("methods_text.py"),
        settings=lambda wildcards: plan_of(wildcards).settings,
        studies=lambda wildcards: list(plan_of(wildcards).studies.values()),
        rows=lambda wildcards: {
            study: plan_of(wildcards).method_rows(study)
            for study in plan_of(wildcards).study_ids()
        },
        seeds=lambda wildcards: {
            study: len(plan_of(wildcards).seeds(study, "bcnmf"))
            for study in plan_of(wildcards).study_ids()
        },
        replicates=lambda wildcards: {
            study: len(plan_of(wildcards).replicates(study))
            for study in plan_of(wildcards).study_ids()
        },
        answered=lambda wildcards: {
            study: [
                plan_of(wildcards).method_row(study, run.method)["label"]
                for run in plan_of(wildcards).answered_runs(study)
            ]
            for study in plan_of(wildcards).study_ids()
        },
    script:
        "../scripts/methods_text.py"


# What a change of the installed versions makes again is this record, and what states it.
rule environment:
    output:
        "results/{config}/environments/analysis.json",
    log:
        "results/{config}/logs/environments/analysis.log",
    benchmark:
        "results/{config}/benchmarks/environments/analysis.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("environment.py"),
        # With conda, a changed environment is seen by itself.
        versions=versions(),
    script:
        "../scripts/environment.py"


use rule environment as environment_of_fits with:
    output:
        "results/{config}/environments/fit.json",
    log:
        "results/{config}/logs/environments/fit.log",
    benchmark:
        "results/{config}/benchmarks/environments/fit.tsv"
    conda:
        fit_env


rule provenance:
    input:
        sheets=lambda wildcards: list(plan_of(wildcards).sheet_paths.values()),
        records=pair_records,
        environments=rules.environment.output + rules.environment_of_fits.output,
        fits=lambda wildcards: [
            path
            for study in plan_of(wildcards).study_ids()
            for replicate in plan_of(wildcards).replicates(study)
            for path in lists_of_fits(
                SimpleNamespace(config=wildcards.config, study=study, replicate=replicate)
            )
        ],
    output:
        config="results/{config}/config.yaml",
        provenance="results/{config}/provenance.json",
    log:
        "results/{config}/logs/provenance.log",
    benchmark:
        "results/{config}/benchmarks/provenance.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    # No commit: one that changes nothing which is computed makes nothing again, not even this.
    params:
        code=code("provenance.py"),
        settings=lambda wildcards: plan_of(wildcards).settings,
        snakemake=snakemake.__version__,
    script:
        "../scripts/provenance.py"


rule reported:
    input:
        "results/{config}/tables/scores.tsv",
    output:
        REPRODUCED,
    log:
        "results/{config}/logs/reported.log",
    benchmark:
        "results/{config}/benchmarks/reported.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("reported.py"),
        reported=lambda wildcards: standing(plan_of(wildcards), absent()),
        labels=lambda wildcards: {
            row["method"]: row["label"]
            for row in read_sheet(plan_of(wildcards).sheet_paths["methods"]).rows
        },
    script:
        "../scripts/reported.py"


rule report:
    input:
        scores="results/{config}/tables/scores.tsv",
        summary="results/{config}/tables/summary.tsv",
        shares="results/{config}/tables/shares.tsv",
        reported=REPRODUCED,
        provenance="results/{config}/provenance.json",
        records=pair_records,
        methods="results/{config}/tables/methods.md",
        details=lambda wildcards: report_details(wildcards.config),
        figures=lambda wildcards: all_figures(wildcards.config),
        # Captions and the template are no Python that `code` would follow.
        texts=lambda wildcards: report_texts(wildcards),
    output:
        "results/{config}/report.html",
        "results/{config}/tables/answer.txt",
    log:
        "results/{config}/logs/report.log",
    benchmark:
        "results/{config}/benchmarks/report.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("report.py"),
        title=setting("title"),
        figures=report_figures,
        methods=lambda wildcards: {
            study: described_method(SimpleNamespace(config=wildcards.config, study=study))
            for study in plan_of(wildcards).study_ids()
        },
        captions=str(WORKFLOW / "report"),
        studies=lambda wildcards: list(plan_of(wildcards).studies.values()),
        made_otherwise=lambda wildcards: [
            study
            for study in plan_of(wildcards).study_ids()
            if not plan_of(wildcards).as_in_paper(study)
            and study in {row["study"] for row in plan_of(wildcards).reported}
        ],
        answered=lambda wildcards: {
            study: [run.method for run in plan_of(wildcards).answered_runs(study)]
            for study in plan_of(wildcards).study_ids()
        },
        left_out=lambda wildcards: {
            study: plan_of(wildcards).left_out(study) for study in plan_of(wildcards).study_ids()
        },
        selected=lambda wildcards: selection_advice(wildcards.config),
        labels=lambda wildcards: {
            study: {row["method"]: row["label"] for row in plan_of(wildcards).method_rows(study)}
            for study in plan_of(wildcards).study_ids()
        },
    script:
        "../scripts/report.py"
