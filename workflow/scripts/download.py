"""Fetch one registered file."""

from pathlib import Path

from bcnmf.download import fetch
from bcnmf.registry import load_registry

from bcnmf.job import logged

with logged(snakemake):
    entry = load_registry(snakemake.params.registry).entry(
        snakemake.wildcards.dataset, snakemake.wildcards.file
    )
    fetch(
        entry,
        Path(snakemake.output[0]),
        mirror=snakemake.params.mirror or None,
        **snakemake.params.download,
    )
