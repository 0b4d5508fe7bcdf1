"""Number of topics and contrast, recommended without labels; nothing else depends on it."""

SELECTION = "results/{config}/selection/{study}/"
# One file a setting and split: a further K, alpha or split fits what is new alone.
FIT_OF_HALVES = "k{k}_alpha{alpha}_split{split}"


def fits_of_halves(wildcards) -> list[str]:
    grid = plan_of(wildcards).settings["selection"]
    return [
        SELECTION.format(**wildcards)
        + FIT_OF_HALVES.format(k=k, alpha=format(alpha, ".10g"), split=split)
        + ".tsv"
        for k in grid["k"]
        for alpha in grid["alpha"]
        for split in range(grid["splits"])
    ]


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
