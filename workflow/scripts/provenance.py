"""Record what a run was made from."""

import yaml

from bcnmf.files import atomic_path
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.provenance import describe_device, file_digest, versions
from bcnmf_pipeline.record.tables import write_json

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
