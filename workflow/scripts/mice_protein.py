"""Read the mouse protein table."""

from bcnmf.files import atomic_path
from bcnmf_pipeline.datasets.mouse import read_mouse
from bcnmf_pipeline.record.job import logged

with logged(snakemake), atomic_path(snakemake.output[0]) as path:
    read_mouse(snakemake.input[0]).write_h5ad(path)
