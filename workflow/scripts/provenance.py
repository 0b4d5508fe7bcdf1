"""Record what a run was made from."""

import yaml

from bcnmf.io import atomic_path, write_json
from bcnmf.job import logged
from bcnmf.provenance import describe_device, file_digest, versions

with logged(snakemake):
    with atomic_path(snakemake.output.config) as path:
        path.write_text(yaml.safe_dump(dict(snakemake.params.settings), sort_keys=False))
    write_json(
        {
            "configuration": snakemake.params.settings,
            "sheets_sha256": {str(path): file_digest(path) for path in snakemake.input.sheets},
            "versions": versions(),
            "device": describe_device(),
        },
        snakemake.output.provenance,
    )
