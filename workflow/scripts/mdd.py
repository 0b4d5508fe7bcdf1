"""Read the nuclei of the donors of the depression study."""

from bcnmf_pipeline.datasets.donors import choice_of
from bcnmf_pipeline.datasets.mdd import changed, read_mdd
from bcnmf_pipeline.datasets.single_cell import EntriesRead, write_dataset
from bcnmf_pipeline.record.job import logged

with logged(snakemake):
    files, choice = snakemake.input, snakemake.params.choice
    data = read_mdd(
        files.matrix,
        files.genes,
        files.cells,
        files.donors,
        files.gencode,
        choice_of(choice),
        choice["cell_types"],
        progress=EntriesRead("GSE213982"),
    )
    write_dataset(data, changed(data), "donor", snakemake.output.data, snakemake.output.qc)
