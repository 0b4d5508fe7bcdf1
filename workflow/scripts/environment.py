"""Record the versions in the environment of a rule."""

from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.made_with import versions
from bcnmf_pipeline.record.tables import write_json

with logged(snakemake):
    write_json(versions(), snakemake.output[0])
