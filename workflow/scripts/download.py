"""Fetch one registered file."""

from pathlib import Path

import bcnmf_pipeline
from bcnmf_pipeline.acquire.download import fetch
from bcnmf_pipeline.acquire.registry import load_registry
from bcnmf_pipeline.plan.sheets import find_file
from bcnmf_pipeline.record.job import logged

with logged(snakemake):
    settings = snakemake.config
    root = Path(bcnmf_pipeline.__file__).resolve().parents[2]
    registry = load_registry(find_file(settings["sheets"]["datasets"], root))
    fetch(
        registry.entry(snakemake.wildcards.dataset, snakemake.wildcards.file),
        Path(snakemake.output[0]),
        mirror=settings["mirror"] or None,
        **settings["download"],
    )
