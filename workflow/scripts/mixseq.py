"""Read both arms of the MIX-seq experiment."""

from bcnmf_pipeline.datasets.mixseq import changed, read_mixseq
from bcnmf_pipeline.datasets.single_cell import write_dataset
from bcnmf_pipeline.record.job import logged

with logged(snakemake):
    data = read_mixseq(
        {arm: snakemake.input[arm] for arm in ("idasanutlin", "dmso")},
        snakemake.input.mutations,
        snakemake.input.cell_lines,
    )
    write_dataset(data, changed(data), "arm", snakemake.output.data, snakemake.output.qc)
