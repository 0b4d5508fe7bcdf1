"""Set every value that the paper reports beside what this run gives."""

from bcnmf_pipeline.evaluate.reproduced import reproduced
from bcnmf_pipeline.record.job import logged
from bcnmf_pipeline.record.tables import read_table, write_table

with logged(snakemake):
    scores = read_table(snakemake.input[0])
    params = snakemake.params
    write_table(reproduced(scores, params.reported, params.labels), snakemake.output[0])
