"""Files of the registry: fetched once, checked, kept under resources/."""


localrules:
    download,


rule download:
    output:
        "resources/downloads/{dataset}/{file}",
    log:
        "logs/download/{dataset}/{file}.log",
    benchmark:
        "logs/download/{dataset}/{file}.benchmark.tsv"
    wildcard_constraints:
        file="[A-Za-z0-9][A-Za-z0-9._+-]*[A-Za-z0-9]",
    conda:
        "../../envs/data.yaml"
    params:
        registry=str(ACTIVE.sheet_paths["datasets"]),
        mirror=MIRROR,
        download=ACTIVE.settings["download"],
    script:
        "../scripts/download.py"
