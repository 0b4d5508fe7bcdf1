"""Number of topics and contrast, recommended without labels; nothing else depends on it."""

SELECTION = "results/{config}/selection/{study}/"


rule select_split:
    input:
        target="results/{config}/pairs/{study}/0/target.h5ad",
        background="results/{config}/pairs/{study}/0/background.h5ad",
    output:
        f"{SELECTION}split{{split}}.tsv",
    log:
        "results/{config}/logs/selection/{study}/split{split}.log",
    benchmark:
        "results/{config}/benchmarks/selection/{study}/split{split}.tsv"
    wildcard_constraints:
        split="[0-9]+",
    conda:
        fit_env
    resources:
        **OF_GRIDS,
        gpu=gpus_of,
    params:
        code=code("select_split.py"),
        selection=lambda wildcards: {
            key: plan_of(wildcards).settings["selection"][key]
            for key in ("k", "alpha", "max_iter")
        },
        compute=arithmetic,
    script:
        "../scripts/select_split.py"


rule select_setting:
    input:
        lambda wildcards: [
            f"results/{wildcards.config}/selection/{wildcards.study}/split{split}.tsv"
            for split in range(plan_of(wildcards).settings["selection"]["splits"])
        ],
    output:
        fits=f"{SELECTION}fits.tsv",
        summary=f"{SELECTION}summary.tsv",
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
