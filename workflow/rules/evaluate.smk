"""Scores against the held-out labels, and the tables that figures are drawn from."""

EVALUATION = "results/{config}/evaluation/{study}/{replicate}/"


rule evaluate:
    input:
        unpack(pair_files),
        lists=lists_of_fits,
    output:
        scores=f"{EVALUATION}scores.tsv",
        samples=f"{EVALUATION}samples.parquet",
        topics=f"{EVALUATION}topics.tsv",
        loadings=f"{EVALUATION}loadings.parquet",
        features=f"{EVALUATION}features.tsv",
        traces=f"{EVALUATION}traces.tsv",
    log:
        "results/{config}/logs/evaluation/{study}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/evaluation/{study}/{replicate}.tsv"
    conda:
        fit_env
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    params:
        code=code("evaluate.py"),
        fits=files_of_fits,
        evaluation=setting("evaluation"),
    script:
        "../scripts/evaluate.py"


rule examples:
    input:
        unpack(pair_files),
    output:
        f"{EVALUATION}examples.parquet",
    log:
        "results/{config}/logs/evaluation/{study}/{replicate}_examples.log",
    benchmark:
        "results/{config}/benchmarks/evaluation/{study}/{replicate}_examples.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("examples.py"),
    script:
        "../scripts/examples.py"


rule maps:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        topics="results/{config}/evaluation/{study}/0/topics.tsv",
        loadings="results/{config}/evaluation/{study}/0/loadings.parquet",
    output:
        annotations="results/{config}/evaluation/{study}/0/annotations.parquet",
        top_values="results/{config}/evaluation/{study}/0/top_values.parquet",
    log:
        "results/{config}/logs/evaluation/{study}/maps.log",
    benchmark:
        "results/{config}/benchmarks/evaluation/{study}/maps.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("maps.py"),
        method=described_method,
        columns=lambda wildcards: plan_of(wildcards).colours(wildcards.study),
        where=lambda wildcards: (
            f"{plan_of(wildcards).settings['sheets']['studies']}, study {wildcards.study}"
        ),
    script:
        "../scripts/maps.py"


rule study_scores:
    input:
        scores=lambda wildcards: tables_of_replicates(wildcards, "scores.tsv"),
        shares=lambda wildcards: answer_tables(wildcards.config, [wildcards.study], "shares.tsv"),
        reported=lambda wildcards: plan_of(wildcards).sheet_paths["reported"],
    output:
        scores="results/{config}/tables/studies/{study}.scores.tsv",
        summary="results/{config}/tables/studies/{study}.summary.tsv",
    log:
        "results/{config}/logs/tables/{study}.log",
    benchmark:
        "results/{config}/benchmarks/tables/{study}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("study_scores.py"),
        title=lambda wildcards: study_row(wildcards)["title"],
        as_in_paper=lambda wildcards: plan_of(wildcards).as_in_paper(wildcards.study),
        labels=lambda wildcards: {
            row["method"]: row["label"] for row in plan_of(wildcards).method_rows(wildcards.study)
        },
        contrasts=lambda wildcards: {
            row["method"]: row["contrast"]
            for row in plan_of(wildcards).method_rows(wildcards.study)
        },
    script:
        "../scripts/study_scores.py"


rule tables:
    input:
        scores=lambda wildcards: [
            f"results/{wildcards.config}/tables/studies/{study}.scores.tsv"
            for study in plan_of(wildcards).study_ids()
        ],
        summaries=lambda wildcards: [
            f"results/{wildcards.config}/tables/studies/{study}.summary.tsv"
            for study in plan_of(wildcards).study_ids()
        ],
        shares=lambda wildcards: answer_tables(
            wildcards.config, plan_of(wildcards).study_ids(), "shares.tsv"
        ),
    output:
        shares="results/{config}/tables/shares.tsv",
        scores="results/{config}/tables/scores.tsv",
        summary="results/{config}/tables/summary.tsv",
    log:
        "results/{config}/logs/tables/all.log",
    benchmark:
        "results/{config}/benchmarks/tables/all.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code("tables.py"),
    script:
        "../scripts/tables.py"
