"""What topics are known for: gene scores and gene sets, for one fit of every non-negative method."""

ENRICHMENT = "results/{config}/enrichment/{study}/"
ENRICHMENT_TABLES = ("genes", "ora", "gsea")


# Gene sets that fit no gene of the data should stop a run before the first fit.
rule gene_sets_match:
    input:
        unpack(gene_set_files),
        target="results/{config}/pairs/{study}/0/target.h5ad",
    output:
        f"{ENRICHMENT}gene_sets.tsv",
    log:
        "results/{config}/logs/enrichment/{study}_gene_sets.log",
    benchmark:
        "results/{config}/benchmarks/enrichment/{study}_gene_sets.tsv"
    priority: 100
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DATA,
    params:
        code=code("gene_sets_match.py"),
        collections=lambda wildcards: plan_of(wildcards).gene_sets(wildcards.study),
        sizes=lambda wildcards: {
            key: plan_of(wildcards).settings["enrichment"][key] for key in ("min_size", "max_size")
        },
        where=lambda wildcards: (
            f"{plan_of(wildcards).settings['sheets']['studies']}, study {wildcards.study}, "
            "column gene_sets"
        ),
    script:
        "../scripts/gene_sets_match.py"


rule enrich:
    input:
        unpack(gene_set_files),
        # Asked for, that it is made: what it says is what this rule would fail for.
        matched=f"{ENRICHMENT}gene_sets.tsv",
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
        # Of the fits of that job one alone is read: further ones are no reason to do this again.
        list=list_with_shown_fit,
    output:
        genes=f"{ENRICHMENT}{{method}}/genes.tsv",
        ora=f"{ENRICHMENT}{{method}}/ora.tsv",
        gsea=f"{ENRICHMENT}{{method}}/gsea.tsv",
    log:
        "results/{config}/logs/enrichment/{study}/{method}.log",
    benchmark:
        "results/{config}/benchmarks/enrichment/{study}/{method}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DATA,
    params:
        code=code("enrich.py"),
        fit=lambda wildcards: (plan_of(wildcards).shown_run(wildcards.study, wildcards.method).file),
        fitted_with=lambda wildcards: [
            recipe(wildcards, wildcards.method),
            arithmetic(wildcards),
        ],
        values=lambda wildcards: method_row(wildcards)["values"],
        collections=lambda wildcards: plan_of(wildcards).gene_sets(wildcards.study),
        how=lambda wildcards: {
            key: value
            for key, value in sorted(plan_of(wildcards).settings["enrichment"].items())
            if key not in {"collections", "methods"}
        },
    script:
        "../scripts/enrich.py"


rule enrichment_of_study:
    input:
        **{
            table: lambda wildcards, table=table: [
                f"results/{wildcards.config}/enrichment/{wildcards.study}/{method}/{table}.tsv"
                for method in plan_of(wildcards).enriched_methods(wildcards.study)
            ]
            for table in ENRICHMENT_TABLES
        },
    output:
        **{table: f"{ENRICHMENT}{table}.tsv" for table in ENRICHMENT_TABLES},
    log:
        "results/{config}/logs/enrichment/{study}.log",
    benchmark:
        "results/{config}/benchmarks/enrichment/{study}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("enrichment_tables.py"),
    script:
        "../scripts/enrichment_tables.py"


rule enrichment_table:
    input:
        ora=lambda wildcards: enrichment_tables(wildcards.config, "ora"),
        gsea=lambda wildcards: enrichment_tables(wildcards.config, "gsea"),
    output:
        ora="results/{config}/tables/enrichment_ora.tsv",
        gsea="results/{config}/tables/enrichment_gsea.tsv",
    log:
        "results/{config}/logs/tables/enrichment.log",
    benchmark:
        "results/{config}/benchmarks/tables/enrichment.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **SMALL,
    params:
        code=code("enrichment_tables.py"),
    script:
        "../scripts/enrichment_tables.py"
