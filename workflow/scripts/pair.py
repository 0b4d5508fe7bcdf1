"""Select target and background of a study."""

from bcnmf_pipeline.pair.pairing import write_pair
from bcnmf_pipeline.pair.source import load
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.made_with import own_files
from bcnmf_pipeline.record.tables import write_json

with logged(snakemake):
    with load(snakemake.input.data, snakemake.params.study["layer"]) as data:
        record = write_pair(
            data,
            snakemake.params.study,
            f"{snakemake.params.sheet}, study {snakemake.wildcards.study}",
            snakemake.params.scaled_over,
            [snakemake.output.target, snakemake.output.background],
        )
    if snakemake.params.own:
        # Downloads have their checksums in the registry.
        record["own_files"] = own_files([snakemake.input.data, *snakemake.input.others])
    write_json(record, snakemake.output.record)
