"""Fetch one registered file."""

from pathlib import Path

from bcnmf.download import fetch
from bcnmf.job import logged
from bcnmf.registry import load_registry
from bcnmf.sheets import find_file

with logged(snakemake):
    settings = snakemake.config
    root = Path(snakemake.scriptdir).resolve().parents[1]
    registry = load_registry(find_file(settings["sheets"]["datasets"], root))
    fetch(
        registry.entry(snakemake.wildcards.dataset, snakemake.wildcards.file),
        Path(snakemake.output[0]),
        mirror=settings["mirror"] or None,
        **settings["download"],
    )
