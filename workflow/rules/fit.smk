"""bcNMF fits: one job = one (study, replicate, K, alpha, seed)."""


rule fit:
    input:
        unpack(pair_files),
    output:
        fit="results/{config}/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.npz",
        info="results/{config}/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.json",
    log:
        "results/{config}/logs/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.log",
    benchmark:
        "results/{config}/benchmarks/fits/{study}/{replicate}/{method}/k{k}_alpha{alpha}_seed{seed}.tsv"
    wildcard_constraints:
        method=methods_with("bcnmf", "shared", "combined"),
    conda:
        fit_env
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=gpus_of,
    params:
        code=code("fit.py"),
        row=settings_of_fit,
        compute=arithmetic,
    script:
        "../scripts/fit.py"
