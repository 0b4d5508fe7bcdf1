"""Fit methods to one pair, with the K, alpha and seed of each fit."""

from pathlib import Path

from bcnmf_pipeline.fit.batch import fit_missing
from bcnmf_pipeline.record.job import limit_threads, logged
from bcnmf_pipeline.record.tables import write_json

with logged(snakemake):
    limit_threads(snakemake.threads)
    params = snakemake.params
    made = snakemake.output.get("list")
    # <folder>/<study>/<replicate>/fits_<part>.json, or the one fit <folder>/<its name>.
    folder = Path(made).parents[2] if made else Path(snakemake.output.fit).parents[3]
    fit_missing(snakemake.input, params.files, params.methods, params.compute, folder)
    if made:
        write_json({"fits": params.files}, made)
