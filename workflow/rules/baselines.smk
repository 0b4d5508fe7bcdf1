"""Methods to compare with: PCA, NMF and contrastive PCA, through the same script as bcNMF."""


rule cpca_alphas:
    input:
        unpack(pair_files),
    output:
        "results/{config}/fits/{study}/{replicate}/{method}/k{k}_alphas.json",
    log:
        "results/{config}/logs/fits/{study}/{replicate}/{method}/k{k}_alphas.log",
    benchmark:
        "results/{config}/benchmarks/fits/{study}/{replicate}/{method}/k{k}_alphas.tsv"
    wildcard_constraints:
        method=methods_with("cpca"),
    conda:
        fit_env
    params:
        code=code("cpca_alphas.py"),
        values=lambda wildcards: method_row(wildcards)["values"],
    script:
        "../scripts/cpca_alphas.py"


use rule fit as baseline with:
    input:
        unpack(baseline_input),
    wildcard_constraints:
        method=methods_with("pca", "nmf", "cpca"),
