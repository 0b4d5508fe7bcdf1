"""bcNMF fits: one job = one (study, replicate, K, alpha, seed)."""


def settings_of_fit(wildcards) -> dict:
    """Return the cells of the methods sheet that a fit depends on."""
    row = method_row(wildcards)
    return {k: v for k, v in row.items() if k not in {"label", "studies", "description", "order"}}


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
    conda:
        "../../envs/fit.yaml"
    wildcard_constraints:
        method=methods_with("bcnmf"),
    params:
        code=code("fit.py"),
        row=settings_of_fit,
        compute=setting("compute"),
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    script:
        "../scripts/fit.py"
