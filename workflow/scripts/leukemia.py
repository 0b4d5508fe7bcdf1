"""Read a leukemia patient and a healthy donor from the archives of 10x Genomics."""

from bcnmf_pipeline.datasets.leukemia import SAMPLES, changed, read_leukemia
from bcnmf_pipeline.datasets.single_cell import write_dataset
from bcnmf_pipeline.record.job import logged

with logged(snakemake):
    paths = {sample: snakemake.input[sample] for sample in SAMPLES}
    data = read_leukemia(paths, snakemake.input.gencode)
    output = snakemake.output
    write_dataset(data, changed(paths, data), "sample", output.data, output.qc)
