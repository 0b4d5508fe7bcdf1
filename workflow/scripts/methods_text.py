"""A methods section from the configuration of the run."""

import json
from pathlib import Path

from bcnmf.files import atomic_path
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.report.methods_text import methods_text

with logged(snakemake):
    params = snakemake.params
    provenance = json.loads(Path(snakemake.input.provenance).read_text())
    records = [json.loads(Path(path).read_text()) for path in snakemake.input.records]
    text = methods_text(
        params.settings,
        params.studies,
        params.rows,
        params.seeds,
        params.replicates,
        provenance,
        dict(zip([row["study"] for row in params.studies], records, strict=True)),
        params.answered,
    )
    with atomic_path(snakemake.output[0]) as path:
        path.write_text(text, encoding="utf-8")
