"""Select target and background of a study."""

from bcnmf.files import atomic_path
from bcnmf_pipeline.pair.pairing import make_pair, pair_record
from bcnmf_pipeline.pair.source import load
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.made_with import own_files
from bcnmf_pipeline.record.tables import write_json

with logged(snakemake):
    where = f"{snakemake.params.sheet}, study {snakemake.wildcards.study}"
    pair = make_pair(
        load(snakemake.input.data, snakemake.params.study["layer"]),
        snakemake.params.study,
        where=where,
        scaled_over=snakemake.params.scaled_over,
    )
    for side, name in zip(pair, ("target", "background"), strict=True):
        with atomic_path(snakemake.output[name]) as path:
            side.write_h5ad(path)
    record = pair_record(pair[0])
    if snakemake.params.own:
        # Downloads have their checksums in the registry.
        record["own_files"] = own_files([snakemake.input.data, *snakemake.input.others])
    write_json(record, snakemake.output.record)
