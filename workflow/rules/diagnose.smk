"""What may be wrong with the fits that a study is answered by, in sentences with remedies."""


rule diagnose:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
        lists=lists_of_diagnosed,
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
        files=diagnosed_files,
        methods=lambda wildcards: {
            method: recipe(wildcards, method)
            for method in sorted({Run.of_file(file).method for file in diagnosed_files(wildcards)})
        },
        compute=arithmetic,
    script:
        "../scripts/diagnose.py"
