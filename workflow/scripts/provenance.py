"""Record what a run was made from, and with."""

import json
from pathlib import Path

import yaml

from bcnmf import __version__
from bcnmf.files import atomic_path
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.made_with import checkout, fits_of, joined_versions, machines
from bcnmf_pipeline.record.provenance import file_digest
from bcnmf_pipeline.record.tables import write_json


def read(path):
    """Return what a record says."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


with logged(snakemake):
    given, params = snakemake.input, snakemake.params
    with atomic_path(snakemake.output.config) as path:
        path.write_text(yaml.safe_dump(dict(params.settings), sort_keys=False))
    environments = {Path(path).stem: read(path) for path in given.environments}
    records = [read(path) for path in given.records]
    fits = fits_of(given.fits)
    write_json(
        {
            "configuration": params.settings,
            "sheets_sha256": {str(path): file_digest(path) for path in given.sheets},
            "own_files": {
                record["study"]["study"]: record["own_files"]
                for record in records
                if "own_files" in record
            },
            "workflow": {"version": __version__, **checkout()},
            "versions": joined_versions(environments, fits) | {"snakemake": params.snakemake},
            "environments": environments,
            "machines": machines(fits),
        },
        snakemake.output.provenance,
    )
