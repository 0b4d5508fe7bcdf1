"""What target samples hold that the background does not: fits of the first data, cross-fitted."""

ANSWER = "results/{config}/answer/{study}/"


rule answer:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
        lists=lists_with_answered_fits,
    output:
        samples=f"{ANSWER}samples.parquet",
        shares=f"{ANSWER}shares.tsv",
        programs="results/{config}/evidence/{study}/programs.tsv",
    log:
        "results/{config}/logs/answer/{study}.log",
    benchmark:
        "results/{config}/benchmarks/answer/{study}.tsv"
    conda:
        fit_env
    resources:
        **OF_FITS,
        gpu=gpus_of,
    params:
        code=code("answer.py"),
        files=answered_files,
        methods=lambda wildcards: {
            method: recipe(wildcards, method)
            for method in sorted({Run.of_file(file).method for file in answered_files(wildcards)})
        },
        compute=arithmetic,
        columns=lambda wildcards: plan_of(wildcards).colours(wildcards.study),
        folds=setting("answer", "folds"),
    script:
        "../scripts/answer.py"
