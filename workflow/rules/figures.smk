"""Figures: one script each, reading only tables."""

# Direct targets of p53 that the paper looks for in the MIX-seq study: their names are bold.
P53_TARGETS = ("MDM2", "CDKN1A", "TP53I3", "FDXR", "GDF15")


rule draw_beta:
    input:
        scores=lambda wildcards: [
            f"results/{wildcards.config}/tables/studies/{study}.scores.tsv"
            for study in group_studies(wildcards.config, wildcards.study)
        ],
    output:
        **drawn("beta"),
    log:
        "results/{config}/logs/figures/{study}/beta.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/beta.tsv"
    wildcard_constraints:
        study="simulation",
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/beta.py"),
        labels=method_labels,
    script:
        "../scripts/figures/beta.py"


rule draw_drivers:
    input:
        scores=lambda wildcards: [
            f"results/{wildcards.config}/tables/studies/{study}.scores.tsv"
            for study in group_studies(wildcards.config, wildcards.study)
        ],
    output:
        **drawn("drivers"),
    log:
        "results/{config}/logs/figures/{study}/drivers.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/drivers.tsv"
    wildcard_constraints:
        study="drivers",
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/drivers.py"),
        labels=method_labels,
        variants=variants_of_drivers,
        score="ari_usage",
    script:
        "../scripts/figures/drivers.py"


use rule draw_drivers as draw_drivers_auroc with:
    output:
        **drawn("drivers_auroc"),
    log:
        "results/{config}/logs/figures/{study}/drivers_auroc.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/drivers_auroc.tsv"
    params:
        code=code("figures/drivers.py"),
        labels=method_labels,
        variants=variants_of_drivers,
        score="auroc_best",


rule draw_scores:
    input:
        scores="results/{config}/tables/studies/{study}.scores.tsv",
    output:
        **drawn("scores"),
    log:
        "results/{config}/logs/figures/{study}/scores.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/scores.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/scores.py"),
        labels=method_labels,
        unit=lambda wildcards: study_row(wildcards)["unit"],
    script:
        "../scripts/figures/scores.py"


rule draw_embedding:
    input:
        samples=f"{FIRST}samples.parquet",
    output:
        **drawn("embedding"),
    log:
        "results/{config}/logs/figures/{study}/embedding.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/embedding.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/embedding.py"),
        labels=method_labels,
        label_name=label_name,
    script:
        "../scripts/figures/embedding.py"


rule draw_usages:
    input:
        samples=f"{FIRST}samples.parquet",
        topics=f"{FIRST}topics.tsv",
    output:
        **drawn("usages"),
    log:
        "results/{config}/logs/figures/{study}/usages.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/usages.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/usages.py"),
        labels=method_labels,
        label_name=label_name,
    script:
        "../scripts/figures/usages.py"


rule draw_loadings:
    input:
        loadings=f"{FIRST}loadings.parquet",
        samples=f"{FIRST}samples.parquet",
        topics=f"{FIRST}topics.tsv",
        features=f"{FIRST}features.tsv",
    output:
        **drawn("loadings"),
    log:
        "results/{config}/logs/figures/{study}/loadings.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/loadings.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/loadings.py"),
        labels=method_labels,
    script:
        "../scripts/figures/loadings.py"


rule draw_basis:
    input:
        loadings=f"{FIRST}loadings.parquet",
        record="results/{config}/pairs/{study}/0/pair.json",
    output:
        **drawn("basis"),
    log:
        "results/{config}/logs/figures/{study}/basis.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/basis.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/basis.py"),
        labels=method_labels,
    script:
        "../scripts/figures/basis.py"


rule draw_objective:
    input:
        traces=f"{FIRST}traces.tsv",
    output:
        **drawn("objective"),
    log:
        "results/{config}/logs/figures/{study}/objective.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/objective.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/objective.py"),
        labels=method_labels,
    script:
        "../scripts/figures/objective.py"


rule draw_mouse:
    input:
        samples=f"{FIRST}samples.parquet",
        topics=f"{FIRST}topics.tsv",
        loadings=f"{FIRST}loadings.parquet",
        features=f"{FIRST}features.tsv",
    output:
        **drawn("mouse"),
    log:
        "results/{config}/logs/figures/{study}/mouse.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/mouse.tsv"
    wildcard_constraints:
        study="mouse",
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/mouse.py"),
        labels=method_labels,
        label_name=label_name,
        unit=lambda wildcards: study_row(wildcards)["unit"],
    script:
        "../scripts/figures/mouse.py"


rule draw_digits:
    input:
        examples=f"{FIRST}examples.parquet",
        samples=f"{FIRST}samples.parquet",
        topics=f"{FIRST}topics.tsv",
        loadings=f"{FIRST}loadings.parquet",
        scores="results/{config}/tables/studies/{study}.scores.tsv",
        record="results/{config}/pairs/{study}/0/pair.json",
    output:
        **drawn("digits"),
    log:
        "results/{config}/logs/figures/{study}/digits.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/digits.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/digits.py"),
        labels=method_labels,
        label_name=label_name,
    script:
        "../scripts/figures/digits.py"


rule draw_leukemia:
    input:
        samples=f"{FIRST}samples.parquet",
        annotations=f"{FIRST}annotations.parquet",
        scores="results/{config}/tables/studies/{study}.scores.tsv",
        topics=f"{FIRST}topics.tsv",
        loadings=f"{FIRST}loadings.parquet",
        features=f"{FIRST}features.tsv",
    output:
        **drawn("leukemia"),
    log:
        "results/{config}/logs/figures/{study}/leukemia.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/leukemia.tsv"
    conda:
        "../../envs/figures.yaml"
    params:
        code=code("figures/single_cell.py"),
        labels=method_labels,
        label_name=label_name,
        unit=lambda wildcards: study_row(wildcards)["unit"] or "unit",
        method=described_method,
        marked=(),
    script:
        "../scripts/figures/single_cell.py"


use rule draw_leukemia as draw_mixseq with:
    output:
        **drawn("mixseq"),
    log:
        "results/{config}/logs/figures/{study}/mixseq.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/mixseq.tsv"
    params:
        code=code("figures/single_cell.py"),
        labels=method_labels,
        label_name=label_name,
        unit=lambda wildcards: study_row(wildcards)["unit"] or "unit",
        method=described_method,
        marked=P53_TARGETS,


use rule draw_leukemia as draw_mdd with:
    output:
        **drawn("mdd"),
    log:
        "results/{config}/logs/figures/{study}/mdd.log",
    benchmark:
        "results/{config}/benchmarks/figures/{study}/mdd.tsv"
    params:
        code=code("figures/single_cell.py"),
        labels=method_labels,
        label_name=label_name,
        unit=lambda wildcards: study_row(wildcards)["unit"] or "unit",
        method=described_method,
        marked=(),
