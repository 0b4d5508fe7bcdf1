"""What may be wrong with the fits that a study is answered by, in sentences with remedies."""


rule diagnose:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
        lists=lambda wildcards: lists_with_answered_fits(wildcards, "diagnosis"),
    output:
        "results/{config}/evidence/{study}/diagnosis.tsv",
    log:
        "results/{config}/logs/evidence/{study}_diagnosis.log",
    benchmark:
        "results/{config}/benchmarks/evidence/{study}_diagnosis.tsv"
    conda:
        fit_env
    resources:
        **OF_FITS,
        gpu=gpus_of,
    params:
        code=code("diagnose.py"),
        files=lambda wildcards: answered_files(wildcards, "diagnosis"),
        methods=lambda wildcards: {
            method: recipe(wildcards, method)
            for method in sorted(
                {Run.of_file(file).method for file in answered_files(wildcards, "diagnosis")}
            )
        },
        compute=arithmetic,
    script:
        "../scripts/diagnose.py"
