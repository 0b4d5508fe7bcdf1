"""Read both arms of the MIX-seq experiment."""

from bcnmf.data.mixseq import changed, read_mixseq
from bcnmf.data.single_cell import write_dataset
from bcnmf.job import logged

with logged(snakemake):
    data = read_mixseq(
        {arm: snakemake.input[arm] for arm in ("idasanutlin", "dmso")},
        snakemake.input.mutations,
        snakemake.input.cell_lines,
    )
    write_dataset(data, changed(data), "arm", snakemake.output.data, snakemake.output.qc)
