"""Fit one method with one K, alpha and seed."""

import json
from pathlib import Path

from bcnmf.files import read_h5ad
from bcnmf_pipeline.fit.gpus import claimed
from bcnmf_pipeline.fit.run import fit_run
from bcnmf_pipeline.plan.runs import Run
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.provenance import file_digest, versions
from bcnmf_pipeline.record.tables import write_json

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
