"""Data sets as AnnData, samples x features: one rule a source."""


rule simulate:
    output:
        "results/{config}/datasets/simulation{variant}_beta{beta}/{replicate}.h5ad",
    log:
        "results/{config}/logs/datasets/simulation{variant}_beta{beta}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/simulation{variant}_beta{beta}/{replicate}.tsv"
    wildcard_constraints:
        variant=f"(_({'|'.join(VARIANTS)}))?",
        beta="[0-9]+([.][0-9]+)?",
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DATA,
    params:
        code=code("simulate.py"),
        sizes=simulated_as,
    script:
        "../scripts/simulate.py"


rule digits_texture:
    output:
        "results/{config}/datasets/digits_texture/{replicate}.h5ad",
    log:
        "results/{config}/logs/datasets/digits_texture/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/digits_texture/{replicate}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DATA,
    params:
        code=code("digits_texture.py"),
        sizes=setting("digits"),
    script:
        "../scripts/digits_texture.py"


rule pbmc68k_reduced:
    output:
        "results/{config}/datasets/pbmc68k_reduced/{replicate}.h5ad",
    log:
        "results/{config}/logs/datasets/pbmc68k_reduced/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/pbmc68k_reduced/{replicate}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DATA,
    params:
        code=code("pbmc68k_reduced.py"),
    script:
        "../scripts/pbmc68k_reduced.py"


rule mice_protein:
    input:
        part_of("mice_protein", "table"),
    output:
        "results/{config}/datasets/mice_protein/{replicate}.h5ad",
    log:
        "results/{config}/logs/datasets/mice_protein/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/mice_protein/{replicate}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DOWNLOADS,
    params:
        code=code("mice_protein.py"),
    script:
        "../scripts/mice_protein.py"


rule digits_on_images:
    input:
        unpack(mnist_files),
        crops=part_of("grass", "images"),
    output:
        "results/{config}/datasets/digits_on_images_{digits}{protocol}/{replicate}.h5ad",
    log:
        "results/{config}/logs/datasets/digits_on_images_{digits}{protocol}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/digits_on_images_{digits}{protocol}/{replicate}.tsv"
    wildcard_constraints:
        digits="two|ten",
        protocol="(_published)?",
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DOWNLOADS,
    params:
        code=code("digits_on_images.py"),
        share=setting("mnist", "share"),
    script:
        "../scripts/digits_on_images.py"


rule leukemia_counts:
    input:
        pre=lambda wildcards: part_of("leukemia", f"{wildcards.patient}_pre_transplant")(wildcards),
        post=lambda wildcards: part_of("leukemia", f"{wildcards.patient}_post_transplant")(
            wildcards
        ),
        healthy=lambda wildcards: part_of(
            "leukemia", f"frozen_bmmc_healthy_donor{2 if wildcards.donor else 1}"
        )(wildcards),
        gencode=part_of("gencode", "annotation"),
    output:
        data="results/{config}/datasets/leukemia_{patient}{donor}/{replicate}.h5ad",
        qc="results/{config}/datasets/leukemia_{patient}{donor}/{replicate}.qc.tsv",
    log:
        "results/{config}/logs/datasets/leukemia_{patient}{donor}/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/leukemia_{patient}{donor}/{replicate}.tsv"
    wildcard_constraints:
        patient="aml027|aml035",
        donor="(_donor2)?",
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DOWNLOADS,
    params:
        code=code("leukemia.py"),
    script:
        "../scripts/leukemia.py"


rule mixseq_counts:
    input:
        idasanutlin=part_of("mixseq", "idasanutlin"),
        dmso=part_of("mixseq", "dmso"),
        mutations=part_of("depmap_19q3", "mutations"),
        cell_lines=part_of("depmap_19q3", "cell_lines"),
    output:
        data="results/{config}/datasets/mixseq/{replicate}.h5ad",
        qc="results/{config}/datasets/mixseq/{replicate}.qc.tsv",
    log:
        "results/{config}/logs/datasets/mixseq/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/mixseq/{replicate}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DOWNLOADS,
    params:
        code=code("mixseq.py"),
    script:
        "../scripts/mixseq.py"


rule mdd_counts:
    input:
        matrix=part_of("mdd", "matrix"),
        genes=part_of("mdd", "genes"),
        cells=part_of("mdd", "cells"),
        donors=part_of("mdd", "donors"),
        gencode=part_of("gencode", "annotation"),
    output:
        data="results/{config}/datasets/mdd/{replicate}.h5ad",
        qc="results/{config}/datasets/mdd/{replicate}.qc.tsv",
    log:
        "results/{config}/logs/datasets/mdd/{replicate}.log",
    benchmark:
        "results/{config}/benchmarks/datasets/mdd/{replicate}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        **OF_DOWNLOADS,
    params:
        code=code("mdd.py"),
        choice=setting("mdd"),
    script:
        "../scripts/mdd.py"
