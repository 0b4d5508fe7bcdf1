"""Number of topics and contrast, recommended without labels; nothing else depends on it."""


rule select_split:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
    output:
        f"{SELECTION}{FIT_OF_HALVES}.tsv",
    log:
        f"results/{{config}}/logs/selection/{{study}}/{FIT_OF_HALVES}.log",
    benchmark:
        f"results/{{config}}/benchmarks/selection/{{study}}/{FIT_OF_HALVES}.tsv"
    wildcard_constraints:
        k="[0-9]+",
        alpha="[0-9.e+-]+",
        split="[0-9]+",
    # On a cluster, as many as `--group-components` says go into one job.
    group:
        "select"
    conda:
        fit_env
    resources:
        **OF_GRIDS,
        gpu=gpus_of,
    params:
        code=code("select_split.py"),
        max_iter=setting("selection", "max_iter"),
        compute=arithmetic,
    script:
        "../scripts/select_split.py"


rule select_setting:
    input:
        fits_of_halves,
    output:
        fits=f"{SELECTION}fits.tsv",
        summary=f"{SELECTION}summary.tsv",
        advice=f"{SELECTION}advice.txt",
    log:
        "results/{config}/logs/selection/{study}.log",
    benchmark:
        "results/{config}/benchmarks/selection/{study}.tsv"
    conda:
        fit_env
    resources:
        **SMALL,
    params:
        code=code("select_setting.py"),
        min_specificity=setting("selection", "min_specificity"),
    script:
        "../scripts/select_setting.py"
