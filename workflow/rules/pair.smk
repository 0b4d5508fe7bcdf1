"""Target and background of a study, selected by the sheet and checked before any fit."""


def dataset_file(wildcards) -> str:
    dataset = study_row(wildcards)["dataset"]
    if dataset.endswith(".h5ad"):
        return dataset
    return f"results/{wildcards.config}/datasets/{dataset}/{wildcards.replicate}.h5ad"


rule pair:
    input:
        dataset_file,
    output:
        target="results/{config}/pairs/{study}/{replicate}/target.h5ad",
        background="results/{config}/pairs/{study}/{replicate}/background.h5ad",
    log:
        "results/{config}/logs/pairs/{study}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/pairs/{study}/{replicate}.tsv"
    conda:
        "../../envs/data.yaml"
    # Bad input should stop a run before the first fit.
    priority: 100
    params:
        code=code("pair.py"),
        # Texts of the sheet that change no number are left out: editing them reruns nothing.
        study=lambda wildcards: {
            key: value
            for key, value in study_row(wildcards).items()
            if key not in {"group", "title", "panels", "description"}
        },
        sheet=lambda wildcards: str(plan_of(wildcards).sheet_paths["studies"]),
    script:
        "../scripts/pair.py"
