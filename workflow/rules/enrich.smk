"""What topics are known for: gene scores and gene sets, for one fit of every non-negative method."""

ENRICHMENT = "results/{config}/enrichment/{study}/"
ENRICHMENT_TABLES = ("genes", "ora", "gsea")


rule enrich:
    input:
        unpack(gene_set_files),
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
        # Of the fits of that job one alone is read: further ones are no reason to do this again.
        list=lambda wildcards: ancient(list_with_shown_fit(wildcards)),
    output:
        genes=f"{ENRICHMENT}{{method}}/genes.tsv",
        ora=f"{ENRICHMENT}{{method}}/ora.tsv",
        gsea=f"{ENRICHMENT}{{method}}/gsea.tsv",
    log:
        "results/{config}/logs/enrichment/{study}/{method}.log",
    benchmark:
        "results/{config}/benchmarks/enrichment/{study}/{method}.tsv"
    conda:
        "../../envs/enrich.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
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
        "../../envs/enrich.yaml"
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
        "../../envs/enrich.yaml"
    params:
        code=code("enrichment_tables.py"),
    script:
        "../scripts/enrichment_tables.py"
