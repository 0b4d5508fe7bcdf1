"""Fits: a job makes those of one pair, or so many of them (`compute.fits_per_job`).

What Snakemake sees is the list of the fits that a job answers for. Those that stand are not made
again when the list grows, nor when the job was cut off: see fit/batch.py.
"""


rule fit:
    input:
        unpack(pair_files),
    output:
        list="results/{config}/fits/{study}/{replicate}/fits_{part}.json",
    log:
        "results/{config}/logs/fits/{study}/{replicate}/fits_{part}.log",
    benchmark:
        "results/{config}/benchmarks/fits/{study}/{replicate}/fits_{part}.tsv"
    conda:
        fit_env
    resources:
        **OF_FITS,
        gpu=gpus_of,
    params:
        files=files_of_job,
        methods=recipes,
        compute=arithmetic,
    script:
        "../scripts/fit.py"


use rule fit as fit_alone with:
    output:
        fit="results/{config}/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.npz",
        info="results/{config}/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.json",
    log:
        "results/{config}/logs/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.log",
    benchmark:
        "results/{config}/benchmarks/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.tsv"
    params:
        files=lambda wildcards: [
            "{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.npz".format(**wildcards)
        ],
        methods=lambda wildcards: {wildcards.method: recipe(wildcards, wildcards.method)},
        compute=arithmetic,
