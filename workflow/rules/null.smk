"""Is there anything at all: refits with target and background exchanged; nothing else depends on it."""

EVIDENCE = "results/{config}/evidence/{study}/"


rule refit_null:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
    output:
        null=f"{EVIDENCE}null.tsv",
        draws=f"{EVIDENCE}null_draws.tsv",
    log:
        "results/{config}/logs/null/{study}.log",
    benchmark:
        "results/{config}/benchmarks/null/{study}.tsv"
    conda:
        fit_env
    resources:
        **OF_GRIDS,
        gpu=gpus_of,
    params:
        code=code("null.py"),
        files=lambda wildcards: answered_files(wildcards, "null_test"),
        methods=lambda wildcards: {
            method: recipe(wildcards, method)
            for method in sorted(
                {Run.of_file(file).method for file in answered_files(wildcards, "null_test")}
            )
        },
        compute=arithmetic,
        refits=setting("null_test", "refits"),
    script:
        "../scripts/null.py"
