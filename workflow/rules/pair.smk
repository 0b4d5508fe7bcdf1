"""Target and background of a study, selected by the sheet and checked before any fit."""


rule pair:
    input:
        data=dataset_file,
        # What else is read with it: the files in its folder, a table of samples beside it.
        others=files_beside,
    output:
        target="results/{config}/pairs/{study}/{replicate}/target.h5ad",
        background="results/{config}/pairs/{study}/{replicate}/background.h5ad",
        record="results/{config}/pairs/{study}/{replicate}/pair.json",
    log:
        "results/{config}/logs/pairs/{study}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/pairs/{study}/{replicate}.tsv"
    # Bad input should stop a run before the first fit.
    priority: 100
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_PAIRS,
    params:
        code=code("pair.py"),
        # Texts of the sheet that change no number are left out: editing them reruns nothing.
        study=lambda wildcards: {
            key: value
            for key, value in study_row(wildcards).items()
            if key
            not in {
                "group",
                "title",
                "panels",
                "figure",
                "series",
                "marked",
                "methods",
                "colours",
                "gene_sets",
                "description",
            }
        },
        scaled_over=lambda wildcards: (
            # The paper scaled after genes were chosen; what that took is in its numbers.
            "all"
            if is_own(study_row(wildcards)["dataset"])
            else "kept"
        ),
        own=lambda wildcards: is_own(study_row(wildcards)["dataset"]),
        # As the configuration has it, not where it was found: results can be moved.
        sheet=lambda wildcards: plan_of(wildcards).settings["sheets"]["studies"],
    script:
        "../scripts/pair.py"
