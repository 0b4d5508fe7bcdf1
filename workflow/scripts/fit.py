"""Fit one method with one K, alpha and seed."""

import json
from pathlib import Path

from bcnmf.fitting import fit_run
from bcnmf.gpus import claimed
from bcnmf.io import read_h5ad, write_json
from bcnmf.job import limit_threads, logged
from bcnmf.plan import Run
from bcnmf.provenance import file_digest, versions

with logged(snakemake):
    limit_threads(snakemake.threads)
    wildcards = snakemake.wildcards
    run = Run(
        wildcards.study,
        int(wildcards.replicate),
        wildcards.method,
        int(wildcards.k),
        wildcards.alpha,
        int(wildcards.seed),
    )
    alphas = snakemake.input.get("alphas")
    with claimed(snakemake.params.compute["device"]) as device:
        fit = fit_run(
            read_h5ad(snakemake.input.target),
            read_h5ad(snakemake.input.background),
            run,
            snakemake.params.row,
            {**snakemake.params.compute, "device": device},
            json.loads(Path(alphas).read_text()) if alphas else None,
            Path(snakemake.output.fit).with_suffix(".checkpoint.npz"),
        )
    inputs = {name: file_digest(snakemake.input[name]) for name in ("target", "background")}
    fit.write(snakemake.output.fit)
    write_json(
        fit.info | {"input_sha256": inputs, "versions": versions(), "code": snakemake.params.code},
        snakemake.output.info,
    )
