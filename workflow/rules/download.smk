"""Files of the registry: fetched once, checked, kept under resources/."""


rule download:
    output:
        "resources/downloads/{dataset}/{file}",
    log:
        "logs/download/{dataset}/{file}.log",
    benchmark:
        "logs/download/{dataset}/{file}.benchmark.tsv"
    wildcard_constraints:
        file="[A-Za-z0-9][A-Za-z0-9._+-]*[A-Za-z0-9]",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        # What the file has to be, and no more: where it is asked for (the mirror, the number of
        # attempts) must not make Snakemake delete it and fetch it anew.
        expected=registered,
    script:
        "../scripts/download.py"
